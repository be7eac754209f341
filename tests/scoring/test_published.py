from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansearch.data import originals
from gansearch.data.dataset import SPLITS, Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.data.originals import is_original, origin_notes
from gansearch.data.registry import load_dataset
from gansearch.runs.schemas import REFERENCES
from gansearch.scoring.published import published_lines


@pytest.fixture
def originals_are_digits(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the digits be the originals of MNIST and TFD."""
    found = Fingerprint.of(digits)
    sums = tuple(getattr(found, split).sha256 for split in SPLITS)
    monkeypatch.setattr(originals, "_SHA256", {"mnist": sums})
    monkeypatch.setattr(originals, "_N_TRAIN", {"tfd": len(digits.train)})


def published(name: str, digits: Dataset) -> dict[str, Any]:
    return {line["name"]: line for line in published_lines(replace(digits, name=name))}


def test_published_figures_stand_beside_the_data_they_belong_to_with_their_source(
    digits: Dataset, originals_are_digits: None
) -> None:
    mnist = published("mnist", digits)
    nets = mnist["adversarial nets"]
    assert (nets["test_ll"], nets["test_ll_se"], nets["n_samples"]) == (225, 2, 10_000)
    assert nets["source"] == "Goodfellow et al. 2014, Table 1"
    assert nets["coverage"] is None
    assert set(nets) == set(REFERENCES.names)
    assert published("tfd", digits)["adversarial nets"]["test_ll"] == 2057
    # Another fold of the same faces.
    assert published("tfd-3", digits)["DBN"]["test_ll"] == 1909
    assert published("digits", digits) == {}
    assert published("folder", digits) == {}


def test_other_images_under_a_published_name_get_no_published_figures(
    digits: Dataset, originals_are_digits: None
) -> None:
    mnist = replace(digits, name="mnist")
    assert published_lines(mnist)
    augmented = np.concatenate([digits.train, digits.train[:, ::-1]])
    brighter = digits.test.copy()
    brighter[7, 3] += 1
    for changes in (
        {"train": digits.train[::-1]},
        {"train": augmented},
        {"test": brighter},
        {"valid": digits.test, "test": digits.valid},
    ):
        assert published_lines(replace(mnist, **changes)) == []
    assert published_lines(replace(digits, name="tfd", train=digits.train[1:])) == []


def test_a_word_says_why_the_published_figures_are_absent(
    digits: Dataset, originals_are_digits: None
) -> None:
    assert origin_notes(digits) == origin_notes(replace(digits, name="mnist")) == ()
    (note,) = origin_notes(replace(digits, name="mnist", train=digits.train[::-1]))
    assert note == (
        "The files of mnist are not the original: other images, or the same in another order. "
        "Figures published for mnist are left out, since they belong to other images."
    )
    (note,) = origin_notes(replace(digits, name="tfd-2", train=digits.train[1:]))
    assert "1,196 unlabelled images, where it has 1,197." in note


@pytest.mark.data
def test_mnist_itself_is_recognised_and_no_other_order_of_it(mnist_dir: Path) -> None:
    mnist = load_dataset("mnist", mnist_dir)
    assert is_original(mnist) and mnist.notes == ()
    assert not is_original(replace(mnist, train=mnist.train[::-1]))
    assert not is_original(load_dataset("digits"))
