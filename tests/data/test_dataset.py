import dataclasses

import numpy as np
import pytest

from gansearch.data.dataset import Dataset, check_variety
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError


def colour_images(n: int = 2500, *, contrast: float | None = 55.0) -> Dataset:
    """Random images of 4x4x3 whose brightness and contrast differ."""
    rng = np.random.default_rng(0)
    middles, halves = rng.uniform(60, 190, (n, 1)), rng.uniform(5, 60, (n, 1))
    images = (middles + halves * rng.uniform(-1, 1, (n, 48))).round().astype(np.uint8)
    train, valid, test = np.split(images, [n - 200, n - 100])
    return Dataset("colours", train, valid, test, (4, 4, 3), scale=255.0, contrast=contrast)


def test_contrast_normalised_images_have_mean_0_and_the_norm() -> None:
    dataset = colour_images()
    values = dataset.to_float(dataset.train)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 55, rtol=1e-5)


def test_contrast_normalisation_is_the_authors_in_double_precision() -> None:
    """On values from 0 to 255: less the mean, over the norm, times 55."""
    dataset = colour_images()
    images = dataset.train.astype(np.float64)
    centred = images - images.mean(axis=1)[:, None]
    expected = 55 * centred / np.sqrt((centred**2).sum(axis=1))[:, None]
    np.testing.assert_allclose(dataset.to_float(dataset.train), expected, atol=2e-4)


def test_a_constant_image_becomes_0_and_one_grey_level_is_contrast() -> None:
    dataset = colour_images()
    images = np.full((256, 48), np.arange(256)[:, None], np.uint8)
    np.testing.assert_array_equal(dataset.to_float(images), 0)
    images[:, 0] ^= 1
    np.testing.assert_allclose(np.linalg.norm(dataset.to_float(images), axis=1), 55, rtol=1e-4)


def test_contrast_is_invariant_to_brightness_and_scale() -> None:
    dataset = colour_images()
    image = dataset.train[:1] // 3
    brighter = image * 2 + 20
    np.testing.assert_allclose(dataset.to_float(brighter), dataset.to_float(image), atol=1e-4)


def test_the_mean_is_that_of_what_is_trained_on() -> None:
    for dataset in (colour_images(), load_dataset("digits"), load_dataset("ring")):
        mean = dataset.mean()
        assert mean.dtype == np.float32
        expected = dataset.to_float(dataset.train).astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(mean, expected, atol=2e-6)


def test_pixels_of_a_contrast_normalised_image_resemble_the_image() -> None:
    dataset = colour_images()
    images = dataset.train[:100]
    pixels = dataset.to_pixels(dataset.to_float(images))
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    correlations = [
        np.corrcoef(p, i)[0, 1] for p, i in zip(pixels, images.astype(float), strict=True)
    ]
    assert min(correlations) > 0.99


def test_pixels_have_the_middle_training_images_mean_and_contrast() -> None:
    dataset = colour_images()
    first = dataset.train[:1000] / 255
    means = first.mean(axis=1)
    norms = np.linalg.norm(first - means[:, None], axis=1)
    flat = dataset.to_pixels(np.zeros((1, 48), np.float32))
    np.testing.assert_allclose(flat, np.median(means), rtol=1e-6)
    pattern = np.where(np.arange(48) % 2, 1, -1) * np.float32(55 / np.sqrt(48))  # of norm 55
    drawn = dataset.to_pixels(pattern[None])
    assert np.linalg.norm(drawn - flat) == pytest.approx(np.median(norms), rel=1e-5)


def test_pixels_of_bounded_images_are_clipped_to_black_and_white() -> None:
    digits = load_dataset("digits")
    images = np.tile(np.float32([-0.5, 0.25, 0.75, 1.5]), (2, 16))
    np.testing.assert_array_equal(digits.to_pixels(images), images.clip(0, 1))


def test_only_images_that_keep_their_values_are_bounded() -> None:
    assert colour_images(contrast=None).is_bounded
    assert not colour_images().is_bounded
    assert not load_dataset("ring").is_bounded


def test_sigma_is_chosen_on_a_thousand_validation_examples_where_nothing_else_is_said() -> None:
    assert load_dataset("digits").n_valid_for_sigma == 1000
    assert dataclasses.replace(colour_images(), n_valid_for_sigma=7).n_valid_for_sigma == 7


def test_identical_images_teach_nothing() -> None:
    images = np.tile(np.arange(5, dtype=np.uint8), (3, 1))
    with pytest.raises(DataError, match=r"^here: all 3 images are identical\. Give others\.$"):
        check_variety("here", images, "Give others.")
    images[2, 4] = 0
    check_variety("here", images, "Give others.")


def test_images_of_one_value_each_teach_nothing() -> None:
    images = np.repeat(np.uint8([[1], [2], [3]]), 5, axis=1)
    with pytest.raises(DataError, match=r"^here: each of the 3 images has a single value\. G"):
        check_variety("here", images, "Give others.")
