import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.report import report
from gansearch.runs.schemas import REFERENCES
from gansearch.scoring import references as module
from gansearch.scoring.evaluation import Evaluator, final_score, scores_by_count
from gansearch.scoring.references import (
    References,
    curve_beside,
    evaluate_beside,
    reference_scores,
    training_report,
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the lines are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gansearch" / "references"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def digits_lines(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> References:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return reference_scores(digits)


def named(references: References) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in references.lines}


def renamed(dataset: Dataset, **changes: Any) -> Dataset:
    return Dataset(**{**dataset.__dict__, **changes})


# The lines


def test_the_lines_of_the_digits_are_these(digits: Dataset, digits_lines: References) -> None:
    # Where one of them changes, _VERSION must be raised, or caches go on telling the old ones.
    assert module._VERSION == 1
    lines = named(digits_lines)
    assert [*lines] == ["training images", "k-means centroids", "fitted Gaussian"]
    for line in lines.values():
        assert list(line) == REFERENCES.names
        assert line["source"] is None
    assert [line["n_samples"] for line in lines.values()] == [1197, 239, 10_000]
    scores = [line["test_ll"] for line in lines.values()]
    assert scores == pytest.approx([29.46, 26.88, 10.88], abs=0.05)
    real = lines["training images"]
    # What other real images score, not these, which would cover themselves.
    assert real["coverage"] == pytest.approx(0.97, abs=0.02)
    assert real["train_nn_ratio"] == 0
    # As many real images as there are centroids score less.
    fifth = final_score(digits, digits.to_float(digits.train[:239])).parzen
    assert lines["k-means centroids"]["test_ll"] > fifth.test_ll + 3


def test_the_gaussian_has_the_mean_and_covariance_of_the_training_examples() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    points = (rng.normal(size=(3000, 5)) @ mixing + 3).astype(np.float32)
    dataset = Dataset("some", points, points, points, shape=(5,), scale=1.0)
    draws = module._gaussian(dataset, 200_000)
    np.testing.assert_allclose(draws.mean(axis=0), points.mean(axis=0), atol=0.03)
    scale = np.abs(np.cov(points.T)).max()
    np.testing.assert_allclose(np.cov(draws.T), np.cov(points.T), atol=0.02 * scale)


def test_the_gaussian_of_pixels_is_clipped_to_their_range(digits: Dataset) -> None:
    draws = module._gaussian(digits, 500)
    assert (draws.min(), draws.max()) == (0, 1)
    # Pixels that are black in all images stay so, up to what keeps the covariance regular.
    never = digits.train.max(axis=0) == 0
    assert never.any()
    assert draws[:, never].max() < 0.01


def test_the_gaussian_of_contrast_normalised_images_is_not_clipped(digits: Dataset) -> None:
    draws = module._gaussian(renamed(digits, contrast=55.0), 500)
    assert draws.min() < -5
    assert draws.max() > 5


def test_points_have_lines_of_their_own() -> None:
    ring = load_dataset("ring")
    small = renamed(ring, train=ring.train[:3000], valid=ring.valid[:300], test=ring.test[:500])
    lines = named(reference_scores(small))
    assert [*lines] == ["training points", "fitted Gaussian"]
    # Eight modes of sd .01 against one Gaussian over all of them.
    assert lines["training points"]["test_ll"] > lines["fitted Gaussian"]["test_ll"] + 4
    assert lines["fitted Gaussian"]["coverage"] < 0.2


def test_the_curve_of_training_images_ends_at_their_line(digits_lines: References) -> None:
    curve = digits_lines.curve
    assert [row["n_samples"] for row in curve] == [100, 200, 500, 1000, 1197]
    assert {row["name"] for row in curve} == {"training images"}
    line = named(digits_lines)["training images"]
    assert curve[-1]["test_ll"] == pytest.approx(line["test_ll"], abs=1e-3)
    assert curve[-1]["sigma"] == line["sigma"]


def test_training_images_are_scored_as_reports_are(
    digits: Dataset, digits_lines: References
) -> None:
    # The curve chooses sigma and scores the validation images in its own way, for the same number.
    assert Evaluator(digits).n_samples == report.N_REPORT_SAMPLES
    row = digits_lines.curve[3]
    assert training_report(digits) == {
        "name": "training images",
        "n_samples": row["n_samples"],
        "valid_ll": pytest.approx(row["valid_ll"], abs=1e-3),
    }
    few = renamed(digits, train=digits.train[:300])
    assert training_report(few)["n_samples"] == 300


def published(name: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(module, "_computed_lines", lambda dataset: [])
    monkeypatch.setattr(module, "_training_curve", lambda dataset: [])
    return named(reference_scores(renamed(digits, name=name)))


def test_published_figures_stand_beside_the_data_they_belong_to_with_their_source(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = published("mnist", digits, monkeypatch)
    nets = mnist["adversarial nets"]
    assert (nets["test_ll"], nets["test_ll_se"], nets["n_samples"]) == (225, 2, 10_000)
    assert nets["source"] == "Goodfellow et al. 2014, Table 1"
    assert nets["coverage"] is None
    assert list(nets) == REFERENCES.names
    assert published("tfd", digits, monkeypatch)["adversarial nets"]["test_ll"] == 2057
    # Another fold of the same faces.
    assert published("tfd-3", digits, monkeypatch)["DBN"]["test_ll"] == 1909
    assert published("digits", digits, monkeypatch) == {}
    assert published("folder", digits, monkeypatch) == {}


@pytest.mark.data
@pytest.mark.slow
def test_the_lines_of_mnist_are_as_measured(mnist_dir: Path) -> None:
    references = reference_scores(load_dataset("mnist", mnist_dir))
    lines = named(references)
    assert lines["training images"]["test_ll"] == pytest.approx(243.2, abs=0.1)
    # Measured on its own with k-means to convergence: 340.
    assert lines["k-means centroids"]["test_ll"] == pytest.approx(340, abs=2)
    assert lines["fitted Gaussian"]["test_ll"] == pytest.approx(66.5, abs=1)
    curve = {row["n_samples"]: row["test_ll"] for row in references.curve}
    # Measured on their own: 318 from all 50,000, on the authors' grid, which costs some 2 nats.
    assert curve[10_000] == pytest.approx(243.2, abs=0.1)
    assert curve[50_000] == pytest.approx(320, abs=1)


# The cache


def test_lines_are_computed_once_a_data_set(
    digits: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reference_scores(digits)
    (kept,) = cache.iterdir()
    assert kept.name.startswith("digits-")
    monkeypatch.setattr(module, "_computed_lines", lambda dataset: pytest.fail("computed again"))
    start = time.process_time()
    assert reference_scores(digits) == first
    assert time.process_time() - start < 0.5


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace what takes time; return a list that grows with every computation."""
    computed: list[str] = []

    def compute(dataset: Dataset) -> list[dict[str, Any]]:
        computed.append(dataset.name)
        return [{"name": "training images", "test_ll": float(dataset.train[0, 0])}]

    monkeypatch.setattr(module, "_computed_lines", compute)
    monkeypatch.setattr(module, "_training_curve", lambda dataset: [])
    return computed


def test_other_data_of_the_same_name_is_not_taken_for_the_same(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(monkeypatch)
    changed = digits.train.copy()
    changed[0, 0] = 9
    for n_expected, dataset in enumerate(
        [
            digits,
            renamed(digits, train=changed),
            renamed(digits, test=digits.test[1:]),
            renamed(digits, contrast=55.0),
            renamed(digits, n_valid_for_sigma=100),
        ],
        start=1,
    ):
        reference_scores(dataset)
        reference_scores(dataset)
        assert len(computed) == n_expected
    assert reference_scores(renamed(digits, train=changed)).lines[0]["test_ll"] == 9


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "no JSON", "a folder"])
def test_a_damaged_cache_is_computed_anew(
    digits: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    computed = counted(monkeypatch)
    first = reference_scores(digits)
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    if damage == "a folder":
        kept.unlink()
        kept.mkdir()
    else:
        new = {
            "cut": content[:-5],
            "emptied": b"",
            "changed": content.replace(b'"test_ll": 0.0', b'"test_ll": 1.0'),
            "no JSON": b"\x00" * 100,
        }
        assert new[damage] != content
        kept.write_bytes(new[damage])
    assert reference_scores(digits) == first
    assert len(computed) == 2
    if damage != "a folder":
        assert kept.read_bytes() == content


def test_a_cache_that_can_not_be_written_is_done_without(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert reference_scores(digits).lines[0]["name"] == "training images"
    reference_scores(digits)
    assert len(computed) == 2


def test_a_relative_cache_folder_is_ignored_and_no_home_is_done_without(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    reference_scores(digits)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert len(list((tmp_path / "home/.cache/gansearch/references").iterdir())) == 1

    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    reference_scores(digits)
    assert len(computed) == 2


def test_nothing_half_written_is_left_in_the_cache(
    digits: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    assert len(reference_scores(digits).lines) == 1
    assert list(cache.iterdir()) == []


# Scores beside the lines


FEWER = "The score comes from {n} samples, where the protocol takes 10,000. Fewer score lower"


@pytest.fixture
def told(digits: Dataset, digits_lines: References) -> Any:
    """Return what is told of samples, but that they are fewer than the protocol's."""

    def warnings_of(samples: np.ndarray) -> Any:
        first, *others = evaluate_beside(digits, samples, digits_lines)["warnings"]
        assert first.startswith(FEWER.format(n=f"{len(samples):,}"))
        return others

    return warnings_of


def test_fewer_samples_than_the_protocols_are_told_to_score_lower_and_by_how_much(
    digits: Dataset, digits_lines: References
) -> None:
    samples = digits.to_float(digits.train[:200])
    (told, _copies) = evaluate_beside(digits, samples, digits_lines)["warnings"]
    scores = {row["n_samples"]: row["test_ll"] for row in digits_lines.curve}
    assert scores[200] < scores[1197] - 5
    assert told == FEWER.format(n=200) + (
        f" (training images: {scores[200]:.1f} nats from 200, {scores[1197]:.1f} from 1,197): hold "
        "it only against scores of as many."
    )


def found(**changes: Any) -> dict[str, Any]:
    sound = {"test_ll": 20.0, "n_samples": 10_000, "train_nn_ratio": 1.0, "sigma_at_edge": False}
    return sound | changes


def test_the_protocols_number_and_more_are_not_called_few(
    digits: Dataset, digits_lines: References
) -> None:
    for n, n_told in ((9999, 1), (10_000, 0), (50_000, 0)):
        told = module._warnings(digits, found(n_samples=n), digits_lines.curve)
        assert len(told) == n_told
    # Without a curve that reaches so far, no figures are made up.
    for curve, n in (([], 200), (digits_lines.curve, 50), (digits_lines.curve, 5000)):
        told = module._warnings(digits, found(n_samples=n), curve)
        assert told[0].endswith("Fewer score lower: hold it only against scores of as many.")


def test_new_real_images_are_told_only_to_be_few(digits: Dataset) -> None:
    fewer = renamed(digits, train=digits.train[:900])
    found = evaluate_beside(fewer, digits.to_float(digits.train[900:]), reference_scores(fewer))
    (only,) = found["warnings"]
    assert only.startswith(FEWER.format(n=297))
    assert found["train_nn_ratio"] == pytest.approx(1, abs=0.1)


def test_a_score_that_was_held_against_nothing_says_so_and_what_would_compute_it(
    digits: Dataset,
) -> None:
    blurred = np.tile(module._k_means(digits, 200), (50, 1))
    lines = reference_scores(digits, compute=False)
    assert evaluate_beside(digits, blurred, lines)["warnings"] == [
        "The score was not held against that of the training examples themselves, which takes "
        "minutes to compute and is not in the cache. It is computed, and kept there, by `gansearch "
        "evaluate SAMPLES.npy --dataset digits` without --json or with --curve, and at the end of "
        "every run."
    ]


def test_an_evaluation_is_strict_json_with_the_lines(
    digits: Dataset, digits_lines: References
) -> None:
    found = evaluate_beside(digits, digits.to_float(digits.valid), digits_lines)
    again = json.loads(json.dumps(found, allow_nan=False))
    assert [*again][-4:] == ["health", "train_nn_ratio", "references", "warnings"]
    assert again["references"][0]["name"] == "training images"


def test_a_score_above_that_of_as_many_training_images_is_warned_of(
    digits: Dataset, digits_lines: References, told: Any
) -> None:
    (above,) = told(module._k_means(digits, 200))
    real = next(row["test_ll"] for row in digits_lines.curve if row["n_samples"] == 200)
    assert above == (
        f"The score lies above the {real:.1f} nats of as many training images. The Parzen "
        "estimate rewards blurred samples and copies. Look at the samples."
    )


def test_more_samples_than_there_are_training_images_are_held_against_all_of_these(
    digits: Dataset, digits_lines: References
) -> None:
    curve = digits_lines.curve
    assert module._warnings(digits, found(test_ll=29.4), curve) == []
    half = np.interp(
        np.log(1197 / 2), *(np.log([500, 1000]), [row["test_ll"] for row in curve[2:4]])
    )
    assert module._warnings(digits, found(test_ll=29.6), curve) == [
        f"The score, from 10,000 samples, lies above the {curve[-1]['test_ll']:.1f} nats of 1,197 "
        "training images, the most there are to compare with. More samples score higher: the last "
        f"doubling of these gave {curve[-1]['test_ll'] - half:.1f} nats, and as much for each "
        "further doubling may be honest. The Parzen estimate rewards blurred samples and copies. "
        "Look at the samples."
    ]
    # What one training image more scores is no matter of doublings.
    (short,) = module._warnings(digits, found(test_ll=29.6), curve[:1])
    assert "More samples score higher. The Parzen" in short


def test_as_many_doublings_as_the_warning_allows_for_are_what_new_real_images_gain(
    digits: Dataset,
) -> None:
    # 300 images for a data set, and the 897 others, which are no worse than these.
    images = digits.to_float(digits.train)
    curve = scores_by_count(digits, images[:300])
    gain = curve[-1]["test_ll"] - module._training_ll(curve, 150)
    lead = final_score(digits, images[300:]).parzen.test_ll - curve[-1]["test_ll"]
    assert 0.7 < lead / (gain * np.log2(897 / 300)) < 1.1


def test_copies_are_warned_of_and_as_training_images_score_no_higher(
    digits: Dataset, told: Any
) -> None:
    assert told(digits.to_float(digits.train)) == [
        "The samples lie 0 times as far from training examples as new real ones do: they may be "
        "copies, or blurred. Look at each beside its nearest."
    ]


def test_a_sigma_at_the_edge_is_warned_of(digits: Dataset, told: Any) -> None:
    # Samples that repeat the validation data: the narrower the better.
    assert told(digits.to_float(digits.valid)) == [
        "The best sigma is at the edge of its grid, so the score is broken."
    ]


def test_a_curve_beside_training_images_does_not_depend_on_the_samples_order(
    digits: Dataset, digits_lines: References
) -> None:
    samples = digits.to_float(digits.train[:600])
    by_ink = samples[np.argsort(samples.sum(axis=1))]
    curve = curve_beside(digits, by_ink, digits_lines, name="mine")
    assert [row["name"] for row in curve] == ["mine"] * 4 + ["training images"] * 5
    assert [row["n_samples"] for row in curve[:4]] == [100, 200, 500, 600]
    # The first 200 alone would be the thinnest digits.
    thin = final_score(digits, by_ink[:200]).parzen.test_ll
    assert curve[1]["test_ll"] > thin + 2
    assert math.isfinite(curve[0]["test_ll"])
