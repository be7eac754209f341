"""What is said of samples that are in the range that is asked for, and still off the data."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.comparison import evaluate_with_references
from gansearch.scoring.mismatch import mismatch_warnings
from gansearch.scoring.references import References
from gansearch.scoring.samples import check_samples

Change = Callable[[np.ndarray], np.ndarray]


def warned(dataset: Dataset, samples: np.ndarray) -> str:
    """Return the only warning about samples as a user gives them, or nothing."""
    found = list(mismatch_warnings(dataset, check_samples(samples, dataset)))
    assert len(found) <= 1
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x, ""),
        (lambda x: x * 0.5, "run from 0 to 0.5, those of the data from 0 to 1 (1 is 16"),
        (lambda x: (x * 7).astype(int), "run from 0 to 0.438,"),
        (lambda x: (x + 1) / 2, "run from 0.5 to 1,"),
        (lambda x: 1 - x, "look inverted: .* save 1 - x"),
        (lambda x: x.reshape(-1, 8, 8).transpose(0, 2, 1), "look transposed: .*(0, 2, 1, 3)"),
    ],
)
def test_pixels_that_mean_something_else_are_warned_of(
    digits: Dataset, change: Change, words: str
) -> None:
    said = warned(digits, change(digits.test / 16))
    assert all(part in said for part in words.split(".*")) and bool(said) == bool(words)


def test_the_work_of_bad_generators_is_not_called_another_scale(
    digits: Dataset, fakes: np.ndarray, ring: Dataset
) -> None:
    one_digit = np.tile(digits.to_float(digits.train[:1]), (100, 1))
    noise = np.random.default_rng(0).random((300, 64))
    for samples in (fakes, one_digit, noise):
        assert warned(digits, samples) == ""
    one_mode = ring.train[ring.train[:, 0] > 0.9][:500]
    cloud = np.random.default_rng(0).normal(size=(500, 2))
    for points in (ring.test, one_mode, cloud, np.zeros((30, 2))):
        assert warned(ring, points) == ""


@pytest.mark.parametrize(
    ("name", "change", "remedy"),
    [
        ("ring", lambda x: x * 10, "save x * 0.1 + ["),
        ("ring", lambda x: x + 3, "save x * 1 + [-3"),
        ("grid", lambda x: x / 4, "save x * 3.99 + ["),
        ("gaussian", lambda x: (x - 1) / 0.5, "save x * 0.497 + [0.99"),
    ],
)
def test_points_in_other_units_are_warned_of(name: str, change: Change, remedy: str) -> None:
    dataset = load_dataset(name)
    said = warned(dataset, change(dataset.test))
    assert "If they are in other units, the score is wrong" in said and remedy in said


def test_colours_in_another_order_are_warned_of(digits: Dataset) -> None:
    grey = digits.train[:, :, None].astype(float)
    pixels = (grey * [1, 0.6, 0.2]).astype(np.uint8).reshape(len(grey), -1)
    colour = replace(digits, train=pixels, valid=pixels, test=pixels, shape=(8, 8, 3))
    images = pixels.reshape(-1, 8, 8, 3)
    assert warned(colour, images) == ""
    by_channel = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    assert "look flattened channel by channel" in warned(colour, by_channel)
    assert "look in the order blue, green, red" in warned(colour, images[..., ::-1])


def test_images_that_are_only_roughly_contrast_normalised_are_warned_of(digits: Dataset) -> None:
    dataset = replace(digits, contrast=8.0)
    images = dataset.to_float(dataset.test)
    assert warned(dataset, images) == ""
    assert warned(dataset, dataset.test) == ""
    said = warned(dataset, images * np.random.default_rng(0).uniform(0.6, 1.4, (300, 1)))
    assert "taken as contrast normalised already. But their norms run from" in said
    pixels = dataset.test / 16
    assert "so they were taken as" in warned(dataset, (pixels - pixels.mean()) / pixels.std())


def test_an_evaluation_says_so_among_its_warnings(
    digits: Dataset, digits_lines: References
) -> None:
    found = evaluate_with_references(digits, digits.to_float(digits.test) * 0.5, digits_lines)
    assert "If this is another scale and not the generator's doing" in found["warnings"][-1]
