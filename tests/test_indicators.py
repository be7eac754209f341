import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from gansearch import indicators
from gansearch.data import load_dataset
from gansearch.errors import SamplesError
from gansearch.health import judge_once
from gansearch.indicators import HealthReference, Indicators


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def digits() -> np.ndarray:
    dataset = load_dataset("digits")
    return dataset.to_float(dataset.train)


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> Indicators:
    """Naeem et al. (2020) and Kynkaanniemi et al. (2019), straight from their definitions."""

    def neighbours(points: np.ndarray) -> np.ndarray:
        return np.sort(cdist(points, points), axis=1)[:, 1:]  # without the point itself

    between = cdist(real, fake)
    return Indicators(
        coverage=float(np.mean(between.min(axis=1) <= neighbours(real)[:, k - 1])),
        recall=float(np.mean((between <= neighbours(fake)[:, k - 1]).any(axis=1))),
        nn_ratio=float(np.median(neighbours(fake)[:, 0]) / np.median(neighbours(real)[:, 0])),
    )


@pytest.mark.parametrize("dim", [1, 2, 20])
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_indicators_are_those_of_the_definitions(dim: int, k: int, shift: float) -> None:
    rng = np.random.default_rng(dim)
    real = rng.normal(size=(600, dim))
    fake = rng.normal(size=(300, dim)) * 0.7 + shift
    # All 300 reference points are known once the seed's order is.
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0)).numpy()
    expected = by_definition(real[order[:300]], fake, k)
    ours = HealthReference(real, 300, k=k).indicators(fake)
    assert (ours.coverage, ours.recall) == (expected.coverage, expected.recall)
    assert ours.nn_ratio == pytest.approx(expected.nn_ratio)


def test_the_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    fake = rng.random((300, 64), dtype=np.float32)
    whole = HealthReference(digits(), 300)
    expected = whole.null, whole.indicators(fake)
    monkeypatch.setattr(indicators, "_BLOCK_BYTES", 7 * 8 * 300)
    in_blocks = HealthReference(digits(), 300)
    assert (in_blocks.null, in_blocks.indicators(fake)) == expected


def test_other_real_data_has_nearly_full_coverage_and_recall() -> None:
    null = HealthReference(digits(), 500).null
    assert null.coverage == pytest.approx(0.97, abs=0.02)
    assert null.recall == pytest.approx(0.96, abs=0.02)
    assert null.nn_ratio == pytest.approx(1, abs=0.05)


def test_the_reference_is_the_same_every_time() -> None:
    first, second = HealthReference(digits(), 200), HealthReference(digits(), 200)
    fake = digits()[:300] * 0.9
    assert first.null == second.null
    assert first.indicators(fake) == second.indicators(fake)


def test_only_the_first_n_samples_count() -> None:
    reference = HealthReference(digits(), 200)
    fake = digits()[:400].copy()
    fake[200:] = 0
    assert reference.indicators(fake) == reference.indicators(fake[:200])


def test_a_constant_generator_covers_nothing_and_repeats_itself() -> None:
    reference = HealthReference(digits(), 500)
    constant = np.full((500, 64), 0.3, dtype=np.float32)
    assert reference.indicators(constant) == Indicators(0.0, 0.0, 0.0)


def test_copies_of_the_real_points_cover_all_even_among_duplicates() -> None:
    rng = np.random.default_rng(0)
    three_points = np.repeat(rng.normal(size=(3, 5)), 40, axis=0)
    reference = HealthReference(three_points, 60)
    assert reference.null == Indicators(1.0, 1.0, 1.0)
    assert reference.indicators(rng.normal(size=(60, 5))).coverage == 0


def test_samples_of_nan_or_another_shape_are_refused() -> None:
    reference = HealthReference(digits(), 100)
    bad = digits()[:100].copy()
    bad[3, 1] = np.nan
    with pytest.raises(SamplesError, match=r"samples: 1 of 100 hold a NaN.*sample 3 \(from 0\)"):
        reference.indicators(bad)
    expected = r"samples: shape \[99, 64\]\. The health indicators need \[100 or more, 64\]\."
    with pytest.raises(SamplesError, match=expected):
        reference.indicators(digits()[:99])
    with pytest.raises(SamplesError, match=r"need \[100 or more, 64\]"):
        reference.indicators(digits()[:, :63])


@pytest.mark.parametrize(("n", "k"), [(5, 5), (61, 5), (10, 20)])
def test_too_few_points_for_the_neighbours_or_the_null_are_refused(n: int, k: int) -> None:
    with pytest.raises(
        SamplesError, match=rf"health: n={n} of 120 real points at k={k}\. It needs n > k"
    ):
        HealthReference(np.random.default_rng(0).normal(size=(120, 3)), n, k=k)


def test_a_report_on_digits_costs_milliseconds() -> None:
    reference = HealthReference(digits(), 500)
    fake = digits()[:500]
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        reference.indicators(fake)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05  # .005 on an idle core


@pytest.mark.data
def test_the_collapses_of_mnist_show_in_the_three_indicators(mnist_dir: Path) -> None:
    mnist = load_dataset("mnist", mnist_dir)
    raw = (mnist_dir / "MNIST" / "raw" / "train-labels-idx1-ubyte").read_bytes()
    labels = np.frombuffer(raw, np.uint8, offset=8)[:50_000]
    # Coverage, recall, nn_ratio: means over six draws of each, measured on their own.
    table = {
        "real": (0.977, 0.952, 1.00),
        "without digit 9": (0.943, 0.943, 1.01),
        "5 digits only": (0.70, 0.75, 0.96),
        "only 3s": (0.30, 0.41, 0.93),
        "only 1s": (0.23, 0.19, 0.36),
        "100 images": (0.40, 0.04, 0.0),
        "10 images": (0.05, 0.0, 0.0),
        "blends": (0.92, 0.21, 0.83),
    }
    found: dict[str, list[Indicators]] = {name: [] for name in table}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        order = rng.permutation(50_000)
        reference = HealthReference(mnist.to_float(mnist.train[order[:5000]]), 1000, seed=seed)
        others = order[5000:]

        def draw(
            of: Callable[[np.ndarray], np.ndarray], n: int = 1000, others: np.ndarray = others
        ) -> np.ndarray:
            return mnist.to_float(mnist.train[others[of(labels[others])][:n]])

        generators = {
            "real": draw(lambda label: label >= 0),
            "without digit 9": draw(lambda label: label != 9),
            "5 digits only": draw(lambda label: label < 5),
            "only 3s": draw(lambda label: label == 3),
            "only 1s": draw(lambda label: label == 1),
            "100 images": draw(lambda label: label >= 0, 100)[rng.integers(100, size=1000)],
            "10 images": draw(lambda label: label >= 0, 10)[rng.integers(10, size=1000)],
            "blends": draw(lambda label: label >= 0, 2000).reshape(2, 1000, 784).mean(axis=0),
        }
        for name, samples in generators.items():
            found[name].append(reference.indicators(samples))
    verdicts = {}
    for name, expected in table.items():
        mean = [float(np.mean(values)) for values in zip(*map(astuple, found[name]), strict=True)]
        assert mean == pytest.approx(expected, abs=0.05), name
        verdicts[name] = judge_once(Indicators(*mean), reference.null).status
    assert verdicts == {
        "real": "sound",
        "without digit 9": "sound",
        "5 digits only": "sound",
        "only 3s": "undetermined",
        "only 1s": "collapsed",
        "100 images": "collapsed",
        "10 images": "collapsed",
        "blends": "sound",
    }


def test_a_generator_of_one_mode_of_the_ring_is_called_collapsed() -> None:
    ring = load_dataset("ring")
    assert ring.modes is not None
    reference = HealthReference(ring.train[:2500], 500)
    one_mode = ring.train[np.linalg.norm(ring.train - ring.modes[0], axis=1) < 0.1]
    assert judge_once(reference.indicators(one_mode), reference.null).status == "collapsed"
    assert judge_once(reference.indicators(ring.test), reference.null).status == "sound"
