import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.runs.schemas import REFERENCES
from gansearch.scoring import published
from gansearch.scoring import references as module
from gansearch.scoring.evaluation import Evaluator, final_score
from gansearch.scoring.references import (
    References,
    evaluate_training_examples,
    reference_scores,
)


def named(references: References) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in references.lines}


def renamed(dataset: Dataset, **changes: Any) -> Dataset:
    return Dataset(**{**dataset.__dict__, **changes})


# The lines


def test_the_lines_of_the_digits_are_these(digits: Dataset, digits_lines: References) -> None:
    # Where one of them changes, _VERSION must be raised, or caches go on telling the old ones.
    assert module._VERSION == 5
    lines = named(digits_lines)
    assert [*lines] == ["training images", "k-means centroids", "fitted Gaussian"]
    for line in lines.values():
        assert set(line) == set(REFERENCES.names)
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
    assert Evaluator(digits).n_samples == N_EVALUATION_SAMPLES
    row = digits_lines.curve[3]
    assert evaluate_training_examples(digits) == {
        "name": "training images",
        "n_samples": row["n_samples"],
        "valid_ll": pytest.approx(row["valid_ll"], abs=1e-3),
    }
    few = renamed(digits, train=digits.train[:300], labels=None)
    assert evaluate_training_examples(few)["n_samples"] == 300


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


def test_published_lines_follow_the_computed_ones(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "is_original", lambda _dataset: True)
    lines = reference_scores(renamed(digits, name="mnist"), compute=False).lines
    assert [line["name"] for line in lines][:2] == ["DBN", "stacked CAE"]


# The cache


def test_lines_are_computed_once_a_data_set(
    digits: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reference_scores(digits)
    (kept,) = cache.iterdir()
    assert kept.name.startswith("digits-")
    monkeypatch.setattr(module, "_computed_lines", lambda *_: pytest.fail("computed again"))
    start = time.process_time()
    assert reference_scores(digits) == first
    assert time.process_time() - start < 0.5


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace what takes time; return a list that grows with every computation."""
    computed: list[str] = []

    def compute(dataset: Dataset, *_: object) -> list[dict[str, Any]]:
        computed.append(dataset.name)
        return [{"name": "training images", "test_ll": float(dataset.train[0, 0])}]

    monkeypatch.setattr(module, "_computed_lines", compute)
    monkeypatch.setattr(module, "_training_curve", lambda *_: [])
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
