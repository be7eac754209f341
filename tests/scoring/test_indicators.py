import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from gansearch.data.registry import load_dataset
from gansearch.errors import SamplesError
from gansearch.measures import Indicators
from gansearch.scoring import indicators
from gansearch.scoring.evaluation import evaluate_samples
from gansearch.scoring.indicators import HealthReference
from gansearch.scoring.verdict import judge_indicators


def digits() -> np.ndarray:
    dataset = load_dataset("digits")
    return dataset.to_float(dataset.train)


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> Indicators:
    """Naeem et al. (2020) and Kynkäänniemi et al. (2019), straight from their definitions."""

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
    for found, wanted in zip((in_blocks.null, in_blocks.indicators(fake)), expected, strict=True):
        # A product of fewer rows may differ in its last bit.
        assert vars(found) == pytest.approx(vars(wanted), rel=1e-12)


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


def test_a_sample_at_the_very_edge_of_a_ball_is_within_it() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((600, 784), dtype=np.float32)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0)).numpy()
    real = points[order[:300]]
    # Each sample is a copy of some real point's fifth neighbour: its distance is the radius.
    fifth = real[cdist(real, real).argsort(axis=1)[:, 5]]
    found = HealthReference(points, 300).indicators(fifth)
    assert found.coverage == by_definition(real, fifth, 5).coverage == 1
    assert found.recall == by_definition(real, fifth, 5).recall


@pytest.mark.parametrize("value", [1e4, 1e8, 1e12])
def test_one_sample_that_is_far_off_hides_nothing_of_the_others(value: float) -> None:
    reference = HealthReference(digits(), 300)
    order = torch.randperm(1197, generator=torch.Generator().manual_seed(0)).numpy()
    real = digits()[order[:300]]
    fake = np.random.default_rng(0).random((300, 64), dtype=np.float32)
    fake[7] = value
    found = reference.indicators(fake)
    assert found.coverage == by_definition(real, fake, 5).coverage == 0
    assert found.nn_ratio == pytest.approx(by_definition(real, fake, 5).nn_ratio)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e14])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_the_scale_and_the_place_of_the_data_change_nothing(scale: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(600, 3)), 0.8 * rng.normal(size=(300, 3))
    expected = HealthReference(real, 300).indicators(fake)
    moved = HealthReference(scale * (real + offset), 300).indicators(scale * (fake + offset))
    assert (moved.coverage, moved.recall) == (expected.coverage, expected.recall)
    assert moved.nn_ratio == pytest.approx(expected.nn_ratio)


def test_real_points_that_are_all_the_same_are_covered_by_that_point_alone() -> None:
    reference = HealthReference(np.full((40, 3), 0.5), 20)
    assert reference.null == Indicators(1.0, 1.0, 1.0)
    assert reference.indicators(np.full((20, 3), 0.5)) == Indicators(1.0, 1.0, 1.0)
    beside = reference.indicators(np.full((20, 3), 0.6))
    assert beside == Indicators(0.0, 0.0, 1.0)
    assert judge_indicators(beside, reference.null).status == "collapsed"


def test_duplicates_that_are_over_half_of_the_real_points_leave_two_indicators() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 5))
    real[rng.permutation(400)[:240]] = 0
    reference = HealthReference(real, 200)
    assert reference.null.nn_ratio == 1
    assert reference.null.coverage > 0.9
    others = np.concatenate([rng.normal(size=(80, 5)), np.zeros((120, 5))])
    assert judge_indicators(reference.indicators(others), reference.null).status == "sound"
    away = reference.indicators(np.full((200, 5), 0.5))
    assert away.nn_ratio == 1  # it says nothing
    assert judge_indicators(away, reference.null).status == "collapsed"
    # A generator that has found the duplicates and nothing else covers just these.
    only = reference.indicators(np.zeros((200, 5)))
    assert only.coverage == pytest.approx(0.6, abs=0.07)
    assert only.recall == pytest.approx(0.6, abs=0.07)


def test_points_on_a_line_are_judged() -> None:
    gaussian = load_dataset("gaussian")
    reference = HealthReference(gaussian.train[:2500], 500)
    assert reference.null.coverage == pytest.approx(0.97, abs=0.02)
    for samples, status in (
        (gaussian.valid, "sound"),
        (np.ones((500, 1), np.float32), "collapsed"),
        (1 + 0.01 * (gaussian.valid - 1), "collapsed"),
    ):
        found = evaluate_samples(gaussian, samples)["health"]
        assert found["verdict"] == status


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e15, 1e38])
def test_a_value_that_is_no_sample_of_anything_is_refused(bad: float) -> None:
    fake = digits()[:120].copy()
    fake[3, 1] = bad
    with pytest.raises(SamplesError, match=r"1 of 100 hold a NaN, an infinite.*sample 3 "):
        HealthReference(digits(), 100).indicators(fake)


# What the machine can count: resident memory at its highest, before and after, in a process alone.
PEAK = """
import resource, sys
import numpy as np, torch
from gansearch.scoring.indicators import HealthReference
n, dim = map(int, sys.argv[1:])
torch.set_num_threads(1)
rng = np.random.default_rng(0)
real = rng.random((2 * n, dim), dtype=np.float32)
HealthReference(real[:40], 20).indicators(real[:20])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
HealthReference(real, n, n_draws=1).indicators(real[:n])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _peak_bytes(n: int, dim: int) -> int:
    command = [sys.executable, "-c", PEAK, str(n), str(dim)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    per_unit = 1 if sys.platform == "darwin" else 1024
    return int(told.stdout) * per_unit


def test_distances_are_never_all_in_memory_at_once() -> None:
    # All pairs of 6,000 would be 288 MB; the points themselves are 2 MB at most.
    assert _peak_bytes(6000, 20) < 80e6


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_images_of_mnist_size_need_their_copies_and_some_blocks() -> None:
    # 63 MB for the points of each side, as much for the product, copies; all pairs: 800 MB more.
    peak = _peak_bytes(10_000, 784)
    print(f"{peak / 1e6:.0f} MB")
    assert peak < 450e6  # 291 MB


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_samples_on_a_gpu_are_waited_for_once() -> None:
    fake = torch.rand(500, 64, device="cuda")
    reference = HealthReference(digits(), 500, device="cuda")
    on_cpu = HealthReference(digits(), 500).indicators(fake.cpu())
    found = reference.indicators(fake)
    assert (found.coverage, found.recall) == (on_cpu.coverage, on_cpu.recall)
    assert found.nn_ratio == pytest.approx(on_cpu.nn_ratio)
    assert _waits(lambda: reference.indicators(fake)) == 1


def _waits(work: Callable[[], object]) -> int:
    """How often the processor waits for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(each.message) for each in caught)


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
    for name, expected in table.items():
        mean = [float(np.mean(values)) for values in zip(*map(astuple, found[name]), strict=True)]
        assert mean == pytest.approx(expected, abs=0.05), name
