import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError, SamplesError
from gansearch.scoring.evaluation import (
    Evaluator,
    evaluate_samples,
    final_score,
    scores_by_count,
)
from gansearch.scoring.parzen import log_likelihoods
from gansearch.scoring.samples import check_samples

# Reports


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_an_evaluator_is_ready_in_a_fraction_of_a_second(name: str) -> None:
    dataset = load_dataset(name)
    start = time.process_time()
    Evaluator(dataset)
    assert time.process_time() - start < 0.5


def test_a_report_is_the_validation_likelihood_at_its_best_sigma(
    digits: Dataset, fakes: np.ndarray
) -> None:
    report = Evaluator(digits).evaluate(fakes)
    valid = digits.to_float(digits.valid)
    at = {
        s: log_likelihoods(fakes, valid, [s]).mean() for s in report.sigma + np.r_[-1, 0, 1] / 200
    }
    assert report.valid_ll == pytest.approx(at[report.sigma], abs=1e-4)
    assert report.valid_ll == max(at.values())
    assert not report.sigma_at_edge


def test_a_report_of_real_data_is_healthy(digits: Dataset) -> None:
    evaluator = Evaluator(digits)
    others = np.concatenate([digits.test, digits.valid])
    report = evaluator.evaluate(digits.to_float(others))
    assert report.coverage == pytest.approx(evaluator.reference.null.coverage, abs=0.03)
    assert report.recall == pytest.approx(evaluator.reference.null.recall, abs=0.03)
    assert report.nn_ratio == pytest.approx(1, abs=0.05)


def test_a_report_is_the_same_every_time_and_for_tensors(
    digits: Dataset, fakes: np.ndarray
) -> None:
    first = Evaluator(digits).evaluate(fakes)
    assert Evaluator(digits).evaluate(fakes) == first
    assert Evaluator(digits).evaluate(torch.from_numpy(fakes)) == first


def test_a_report_never_sees_the_test_set(digits: Dataset, fakes: np.ndarray) -> None:
    no_test = Dataset(
        **{**digits.__dict__, "test": np.zeros((0, 64), np.uint8)}  # would fail if it were read
    )
    assert Evaluator(no_test).evaluate(fakes) == Evaluator(digits).evaluate(fakes)


def test_a_collapsed_generator_has_no_coverage_in_a_report(digits: Dataset) -> None:
    evaluator = Evaluator(digits)
    report = evaluator.evaluate(np.full((evaluator.n_samples, 64), 0.3, np.float32))
    assert (report.coverage, report.recall, report.nn_ratio) == (0, 0, 0)


def test_a_report_of_samples_that_are_not_finite_is_refused(digits: Dataset) -> None:
    with pytest.raises(SamplesError, match="sample 0 "):
        Evaluator(digits).evaluate(np.full((1000, 64), np.nan, np.float32))


# Small and odd data


def some(digits: Dataset, n_train: int) -> Dataset:
    return Dataset(**{**digits.__dict__, "train": digits.train[:n_train], "labels": None})


@pytest.mark.parametrize("n_train", [11, 39])
def test_too_few_training_images_are_refused(digits: Dataset, n_train: int) -> None:
    expected = (
        rf"data set digits: {n_train} training examples\. The health indicators use 5 neighbours "
        r"within each half of them, so at least 40 are needed\. Add examples\."
    )
    with pytest.raises(DataError, match=expected):
        Evaluator(some(digits, n_train))
    with pytest.raises(DataError, match=expected):
        evaluate_samples(some(digits, n_train), digits.to_float(digits.valid))


@pytest.mark.parametrize("n_train", [40, 100])
def test_a_constant_generator_is_told_from_real_images_by_a_few_training_images(
    digits: Dataset, n_train: int
) -> None:
    few = some(digits, n_train)
    evaluator = Evaluator(few)
    constant = np.full((1000, 64), 0.3, np.float32)
    report = evaluator.evaluate(constant)
    assert report.coverage < 0.25 * evaluator.reference.null.coverage
    assert (report.recall, report.nn_ratio) == (0, 0)
    assert evaluate_samples(few, constant)["health"]["verdict"] == "collapsed"
    assert evaluate_samples(few, digits.to_float(digits.valid))["health"]["verdict"] == "sound"


def test_a_folder_with_the_fewest_images_allowed_can_be_judged(tmp_path: Path) -> None:
    images = load_dataset("digits").train * 15
    for split, n, start in (("train", 100, 0), ("valid", 20, 100), ("test", 20, 120)):
        (tmp_path / split).mkdir()
        for i in range(start, start + n):
            Image.fromarray(images[i].reshape(8, 8)).save(tmp_path / split / f"{i}.png")
    folder = load_dataset("folder", tmp_path)
    evaluator = Evaluator(folder)
    assert evaluator.reference.n == 50
    report = evaluator.evaluate(np.full((1000, 64), 0.3, np.float32))
    assert (report.coverage, report.recall, report.nn_ratio) == (0, 0, 0)
    (tmp_path / "train" / "0.png").unlink()
    with pytest.raises(DataError, match=r"99 images .*There must be at least 100"):
        load_dataset("folder", tmp_path)


def test_points_on_a_line_have_a_report() -> None:
    line = load_dataset("gaussian")
    evaluator = Evaluator(line)
    report = evaluator.evaluate(line.test[:1000])
    assert report.coverage == pytest.approx(evaluator.reference.null.coverage, abs=0.03)
    # The entropy of N(1, .5^2) bounds it: log .5 + log(2 pi e) / 2 = .726 nats.
    assert report.valid_ll == pytest.approx(-0.726, abs=0.05)
    stuck = evaluator.evaluate(np.ones((1000, 1), np.float32))
    assert stuck.coverage < 0.1
    assert stuck.nn_ratio == 0


def test_one_exploded_sample_makes_no_report_healthy(ring: Dataset) -> None:
    samples = np.zeros((1000, 2), np.float32)
    samples[0] = 1e8
    report = Evaluator(ring).evaluate(samples)
    assert report.coverage == 0
    assert report.nn_ratio == 0


# Final scores


@pytest.mark.parametrize(("n", "told"), [(1, "1 sample"), (19, "19 samples")])
def test_a_score_of_too_few_samples_is_refused(digits: Dataset, n: int, told: str) -> None:
    with pytest.raises(SamplesError, match=rf"samples: {told}\. A score needs 20 at least"):
        final_score(digits, digits.to_float(digits.valid[:n]))


def test_a_final_score_uses_all_samples_and_the_whole_test_set(
    digits: Dataset, fakes: np.ndarray
) -> None:
    final = final_score(digits, fakes)
    parzen, indicators = final.parzen, final.indicators
    expected = log_likelihoods(fakes, digits.to_float(digits.test), [parzen.sigma])[0]
    np.testing.assert_allclose(parzen.per_example, expected, atol=1e-4)
    assert parzen.n_samples == 1000
    assert 0 < indicators.coverage <= 1


def test_the_authors_grid_can_be_asked_for(digits: Dataset, fakes: np.ndarray) -> None:
    parzen = final_score(digits, fakes, grid="authors").parzen
    assert parzen.sigma in np.logspace(-1, 0, 10)


def test_fewer_validation_examples_choose_sigma_on_the_first_ones(
    digits: Dataset, fakes: np.ndarray
) -> None:
    parzen = final_score(digits, fakes, n_valid=50).parzen
    valid = digits.to_float(digits.valid[:50])
    expected = log_likelihoods(fakes, valid, [parzen.sigma]).mean()
    assert parzen.valid_ll == pytest.approx(expected, abs=1e-4)


def test_a_sorted_file_is_as_healthy_as_a_shuffled_one(digits: Dataset) -> None:
    others = np.tile(digits.to_float(np.concatenate([digits.valid, digits.test])), (3, 1))
    others += np.random.default_rng(0).normal(scale=0.02, size=others.shape).astype(np.float32)
    by_ink = others[np.argsort(others.sum(axis=1))]
    assert final_score(digits, by_ink).indicators.coverage > 0.85
    # What the first ones alone would have said:
    assert final_score(digits, by_ink[:600]).indicators.coverage < 0.7


def test_an_evaluation_is_one_json_object_of_the_documented_keys(
    digits: Dataset, fakes: np.ndarray
) -> None:
    result = json.loads(json.dumps(evaluate_samples(digits, fakes)))
    assert list(result) == [
        "dataset",
        "n_samples",
        "test_ll",
        "test_ll_se",
        "valid_ll",
        "sigma",
        "sigma_at_edge",
        "health",
        "train_nn_ratio",
        "copy_p",
        "fld",
        "kl",
        "precision",
        "clipped_density",
        "clipped_coverage",
    ]
    assert list(result["health"]) == [
        *("coverage", "recall", "nn_ratio"),
        *("n_classes_effective", "missing_classes", "collapsed_p"),
        *("verdict", "reason"),
    ]
    assert result["dataset"] == "digits"
    assert result["n_samples"] == 1000
    assert result["health"]["verdict"] == "sound"
    assert result["health"]["reason"] == ""


def test_a_few_repeated_images_are_called_collapsed(digits: Dataset) -> None:
    ten = digits.to_float(digits.train[:10])
    health = evaluate_samples(digits, np.tile(ten, (50, 1)))["health"]
    assert isinstance(health, dict)
    assert health["verdict"] == "collapsed"
    assert "copies of about" in health["reason"] or "coverage" in health["reason"]


def test_twenty_samples_can_be_evaluated(digits: Dataset) -> None:
    result = evaluate_samples(digits, digits.to_float(digits.valid[:20]))
    assert result["n_samples"] == 20
    assert isinstance(result["test_ll"], float)
    assert math.isfinite(result["test_ll"])


def test_points_are_evaluated_against_their_mixture(ring: Dataset) -> None:
    result = evaluate_samples(ring, ring.train[-2000:])
    # A perfect density of eight Gaussians, sd .01, has -log 8 - log(2 pi e) + 2 log 100 nats.
    ideal = -math.log(8) - math.log(2 * math.pi * math.e) + 2 * math.log(100)
    assert result["test_ll"] == pytest.approx(ideal, abs=0.1)
    assert isinstance(result["test_ll"], float)
    assert result["test_ll"] < ideal
    assert not result["sigma_at_edge"]
    assert isinstance(result["health"], dict)
    assert result["health"]["verdict"] == "sound"


def test_scores_by_count_are_those_of_the_first_samples(digits: Dataset, fakes: np.ndarray) -> None:
    curve = scores_by_count(digits, fakes)
    assert [row["n_samples"] for row in curve] == [100, 200, 500, 1000]
    for row in curve[::3]:
        alone = final_score(digits, fakes[: row["n_samples"]]).parzen
        for name in ("test_ll", "test_ll_se", "valid_ll", "sigma", "sigma_at_edge"):
            assert row[name] == pytest.approx(getattr(alone, name), abs=1e-3), name
    assert list(np.diff([row["test_ll"] for row in curve]) > 0) == [True] * 3


@pytest.mark.parametrize(
    ("n", "counts"),
    [(20, [20]), (100, [100]), (101, [100, 101]), (2500, [100, 200, 500, 1000, 2000, 2500])],
)
def test_the_last_score_by_count_is_that_of_all_samples(
    digits: Dataset, n: int, counts: list[int]
) -> None:
    samples = np.random.default_rng(0).uniform(size=(n, 64)).astype(np.float32)
    assert [row["n_samples"] for row in scores_by_count(digits, samples)] == counts


# Contrast-normalised images


def test_contrast_normalised_images_are_scored_as_they_are_trained_on() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, size=(900, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    stored = (coarse + rng.integers(0, 50, size=coarse.shape)).astype(np.uint8).reshape(900, -1)
    train, new, valid, test = np.split(stored, [400, 600, 700])
    images = Dataset("x", train, valid, test, shape=(8, 8, 3), scale=255.0, contrast=55.0)
    final = final_score(images, images.to_float(new))
    assert not final.parzen.sigma_at_edge
    assert final.parzen.sigma > 1
    assert final.train_nn_ratio == pytest.approx(1, abs=0.05)
    expected = log_likelihoods(
        images.to_float(new), images.to_float(test), [final.parzen.sigma]
    ).mean()
    assert final.parzen.test_ll == pytest.approx(expected, abs=1e-3)


def test_constant_samples_of_contrast_normalised_images_have_a_score_and_no_coverage(
    digits: Dataset,
) -> None:
    normalised = Dataset(**{**digits.__dict__, "contrast": 55.0})
    grey = check_samples(np.full((100, 64), 0.5, np.float32), normalised)
    assert not grey.any()
    result = evaluate_samples(normalised, grey)
    assert math.isfinite(result["test_ll"])
    assert not result["sigma_at_edge"]
    assert result["health"]["verdict"] == "collapsed"
