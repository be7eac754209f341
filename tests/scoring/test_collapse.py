"""Whether finished samples are collapsed, on samples whose truth is known."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.samples_bench import Bench, cases
from gansearch.data.dataset import Dataset
from gansearch.data.own import as_dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError
from gansearch.scoring.classifier import class_shares, classifier_of
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import Evaluator, evaluate_samples
from gansearch.scoring.indicators import HealthReference
from gansearch.scoring.variety import homogeneity_p, same_memberships_p


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def of_classes(digits: Dataset, *classes: int) -> np.ndarray:
    assert digits.labels is not None
    stored = np.concatenate([digits.train, digits.valid])
    labels = np.concatenate([digits.labels.train, digits.labels.valid])
    return digits.to_float(stored[np.isin(labels, classes)])


def test_samples_of_known_truth_get_the_right_verdict(digits: Dataset) -> None:
    table = Bench(digits).run(300, 2)
    wrong = table[table["wrong"] > 0]
    assert wrong.empty, wrong.to_string()
    assert {case.name for case in cases(10)} == set(table["samples"])


def test_a_generator_of_nothing_but_sevens_is_collapsed_by_name(digits: Dataset) -> None:
    health = evaluate_samples(digits, of_classes(digits, 7))["health"]
    assert health["verdict"] == "collapsed"
    assert "only 7" in health["reason"]
    assert health["missing_classes"] == [*"012345689"]
    assert health["n_classes_effective"] == pytest.approx(1, abs=0.2)
    assert health["collapsed_p"] < 1e-9


def test_zeros_and_sixes_alone_are_collapsed_by_name(digits: Dataset) -> None:
    health = evaluate_samples(digits, of_classes(digits, 0, 6))["health"]
    assert health["verdict"] == "collapsed"
    assert "only 0, 6" in health["reason"]


def test_too_few_real_samples_are_undetermined_and_say_how_many_are_needed(digits: Dataset) -> None:
    health = evaluate_samples(digits, digits.to_float(digits.valid[:40]))["health"]
    assert health["verdict"] == "undetermined"
    assert health["reason"] == "40 samples of 10 classes: too few to tell, 100 are needed"


def test_data_without_classes_gets_a_verdict_from_pixels(digits: Dataset) -> None:
    flat = dataclasses.replace(digits, labels=None)
    real = evaluate_samples(flat, flat.to_float(flat.valid))["health"]
    assert (real["verdict"], real["n_classes_effective"]) == ("sound", None)
    assert evaluate_samples(flat, of_classes(digits, 7))["health"]["verdict"] == "collapsed"


def relabelled(digits: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    assert digits.labels is not None
    parts = {split: change(getattr(digits.labels, split)) for split in ("train", "valid", "test")}
    return dataclasses.replace(digits, labels=dataclasses.replace(digits.labels, **parts))


def test_labels_that_do_not_fit_are_refused(digits: Dataset) -> None:
    for wrong in (relabelled(digits, lambda x: x[:-1]), relabelled(digits, lambda x: x + 5)):
        with pytest.raises(DataError, match=r"labels from \d+ to \d+ for 1,197 train examples"):
            classifier_of(wrong)


def test_a_class_of_three_images_is_not_counted(digits: Dataset) -> None:
    def rare(labels: np.ndarray) -> np.ndarray:
        found = np.where(labels == 9, 8, labels)
        found[np.flatnonzero(found == 8)[:3]] = 9
        return found

    classifier = classifier_of(relabelled(digits, rare))
    assert classifier is not None
    assert classifier.names == tuple("012345678")


@pytest.mark.parametrize("n_classes", [5, 25])
def test_labels_that_pixels_do_not_show_count_as_none(digits: Dataset, n_classes: int) -> None:
    rng = np.random.default_rng(0)
    dataset = relabelled(digits, lambda labels: rng.integers(n_classes, size=len(labels)))
    names = tuple(map(str, range(n_classes)))
    dataset = dataclasses.replace(dataset, labels=dataclasses.replace(dataset.labels, names=names))
    evaluator = Evaluator(dataset, n_samples=300)
    real = digits.to_float(digits.test)
    assert evaluator.evaluate(real).n_classes_effective is None
    assert evaluator.n_classes is None
    collapse = evaluator.judge(real, evaluator.reference.indicators(real))
    assert (collapse.verdict.status, collapse.n_classes_effective) == ("sound", None)
    sevens = of_classes(digits, 7)[rng.integers(100, size=300)]
    collapse = evaluator.judge(sevens, evaluator.reference.indicators(sevens))
    assert collapse.verdict.status == "collapsed"


def test_the_loss_of_many_rare_classes_is_not_the_loss_of_half_of_the_data(
    digits: Dataset,
) -> None:
    assert digits.labels is not None
    rng = np.random.default_rng(0)

    def kept(labels: np.ndarray) -> np.ndarray:
        """Keep six of the digits as one class, and some of each of three others."""
        return np.flatnonzero((labels < 6) | ((labels < 9) & (rng.random(len(labels)) < 0.2)))

    rows = {split: kept(getattr(digits.labels, split)) for split in ("train", "valid", "test")}
    labels = {
        split: np.maximum(getattr(digits.labels, split)[at] - 5, 0) for split, at in rows.items()
    }
    dataset = dataclasses.replace(
        digits,
        **{split: getattr(digits, split)[at] for split, at in rows.items()},
        labels=dataclasses.replace(digits.labels, names=("few", "6", "7", "8"), **labels),
    )
    most = dataset.to_float(np.concatenate([dataset.valid, dataset.test]))
    most = most[np.concatenate([labels["valid"], labels["test"]]) == 0]
    health = evaluate_samples(dataset, most)["health"]
    assert health["missing_classes"] == ["6", "7", "8"]
    assert health["verdict"] != "collapsed"


def test_a_damaged_cache_is_made_anew_with_the_same_weights(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = dataclasses.replace(
        digits,
        train=digits.train[:300],
        labels=dataclasses.replace(digits.labels, train=digits.labels.train[:300]),
    )
    first = classifier_of(small)
    (path,) = (tmp_path / "gansearch" / "classifiers").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-9] + b"damaged!!")
    again = classifier_of(small)
    assert path.read_bytes() == content
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.held_out, again.held_out)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_shares_are_corrected_for_the_doubts_of_the_classifier(share: float) -> None:
    # Two laws on a line, one unit apart: the likeliest class is wrong for 31 %.
    rng = np.random.default_rng(0)
    values = rng.standard_normal(20_000) + (rng.random(20_000) < share)
    second = 1 / (1 + np.exp(0.5 - values))
    found = class_shares(np.stack([1 - second, second], axis=1), np.array([0.5, 0.5]))
    assert found == pytest.approx([1 - share, share], abs=0.02)


def test_certain_memberships_are_compared_by_the_chi_squared_test() -> None:
    rng = np.random.default_rng(0)
    of_samples, of_real = rng.integers(6, size=300), rng.integers(5, size=1000)
    counts = [np.bincount(each, minlength=6) for each in (of_samples, of_real)]
    p = same_memberships_p(np.eye(6)[of_samples], np.eye(6)[of_real])
    assert p == pytest.approx(homogeneity_p(*counts))


def test_bins_without_any_example_change_no_p_value() -> None:
    counts, of_real = np.array([900, 100, 0, 0]), np.array([300, 700, 0, 0])
    p = homogeneity_p(counts, of_real)
    assert 0 <= p < 1e-9
    assert p == homogeneity_p(counts[:2], of_real[:2])


def test_the_classes_of_vectors_are_counted_too():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 4000)
    rows = 6 * np.eye(5)[classes] + rng.normal(size=(4000, 5))
    dataset = as_dataset((rows, classes))
    test = CollapseTest(dataset)
    reference = HealthReference(dataset.to_float(dataset.train), 500)

    def judged(samples):
        return test.judge(samples, reference.indicators(samples), reference.null)

    real, labels = dataset.to_float(dataset.test), dataset.labels.test
    whole = np.concatenate([real, dataset.to_float(dataset.valid)])
    assert judged(whole).n_classes_effective > 3.8
    few = dataset.train[dataset.labels.train < 2][:1000]
    found = judged(few)
    assert found.verdict.status == "collapsed"
    assert found.missing_classes == ("2", "3")
    assert len(labels) == len(real)
