"""The user's own examples become a data set, or one clear sentence says why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.data.own import as_dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DataError
from gansearch.scoring.evaluation import evaluate_samples
from gansearch.scoring.samples import check_samples
from gansearch.training.examples import Examples

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 3)) * [1, 10, 100] + [5, 0, 1e6]
PIXELS = RNG.integers(0, 256, (300, 6, 5, 3), dtype=np.uint8)
CLASSES = np.arange(300) % 3


def refused(value: Any) -> str:
    with pytest.raises(DataError) as caught:
        as_dataset(value)
    return str(caught.value)


def same(a: Dataset, b: Dataset) -> bool:
    return Fingerprint.of(a) == Fingerprint.of(b)


def contents(*splits: np.ndarray) -> list[bytes]:
    return sorted(bytes(row) for split in splits for row in split.reshape(len(split), -1))


# Vectors


def test_vectors_are_standardised_by_the_training_set_alone():
    dataset = as_dataset(ROWS)
    assert dataset.shape == (3,) and dataset.scale == 1 and not dataset.is_image
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [240, 30, 30]
    assert dataset.train.dtype == np.float32
    np.testing.assert_allclose(dataset.train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(dataset.train.std(axis=0), 1, atol=1e-4)
    assert np.abs(dataset.test.mean(axis=0)).max() > 1e-3


def test_vectors_come_back_in_their_own_units():
    dataset = as_dataset(ROWS)
    restored = np.concatenate(
        [dataset.in_own_units(dataset.to_float(part)) for part in (dataset.train, dataset.test)]
    )
    nearest = np.abs(restored[:, None] - ROWS[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 0.1  # of a million
    np.testing.assert_array_equal(check_samples(restored, dataset)[:240], dataset.train)


def test_dates_in_seconds_keep_their_digits():
    seconds = 1.7e9 + 3600 * RNG.normal(size=(300, 1))
    dataset = as_dataset(seconds)
    restored = dataset.in_own_units(dataset.train)
    assert restored.dtype == np.float64
    assert np.abs(restored - seconds.T).min(axis=1).max() < 0.01


def test_a_constant_column_is_left_at_one_unit():
    dataset = as_dataset(np.column_stack([ROWS, np.full(300, 7.0)]))
    assert dataset.units is not None and dataset.units.unit[3] == 1
    assert (dataset.train[:, 3] == 0).all()
    assert "1 of 4 columns are constant." in dataset.notes[0]


def test_the_constant_between_the_units_is_the_difference_of_the_log_likelihoods():
    """Of a Gaussian, whose density is known in both units."""
    dataset = as_dataset(ROWS)
    units = dataset.units
    assert units is not None
    z = dataset.train.astype(np.float64)
    x = z * units.unit + units.offset

    def log_density(values, mean, sd):
        terms = -0.5 * ((values - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))
        return terms.sum(axis=1).mean()

    own, standardised = log_density(x, units.offset, units.unit), log_density(z, 0.0, 1.0)
    assert own == pytest.approx(standardised - units.log_volume)
    assert f"add {-units.log_volume:.2f} nats" in dataset.notes[0]


def test_frames_tensors_lists_and_arrays_of_the_same_rows_are_the_same_data():
    expected = as_dataset(ROWS)
    for value in (
        torch.from_numpy(ROWS),
        torch.from_numpy(ROWS).requires_grad_(),
        pd.DataFrame(ROWS, columns=list("abc")),
        ROWS.tolist(),
        list(ROWS),
        TensorDataset(torch.from_numpy(ROWS)),
        {"train": ROWS},
    ):
        assert same(as_dataset(value), expected)


def test_numbers_without_an_axis_of_values_are_vectors_of_one():
    assert as_dataset(ROWS[:, 0]).shape == as_dataset(pd.Series(ROWS[:, 0])).shape == (1,)


def test_the_last_bits_of_a_sum_decide_nothing():
    """A resume on another machine, which sums in another order, finds the same data."""
    shuffled = np.concatenate([ROWS[150:], ROWS[:150]])
    a, b = as_dataset((ROWS, ROWS + 1, ROWS + 2)), as_dataset((shuffled, ROWS + 1, ROWS + 2))
    assert contents(a.train) == contents(b.train)
    assert contents(a.test) == contents(b.test)


def test_rows_of_few_values_are_split_although_they_repeat():
    dataset = as_dataset(RNG.integers(0, 3, (500, 1)))
    assert len(dataset.train) == 400
    assert any("The 500 rows have 3 different values." in note for note in dataset.notes)


# Images


def test_images_are_read_with_their_channels_on_either_axis():
    expected = as_dataset(PIXELS)
    assert expected.shape == (6, 5, 3) and expected.scale == 255
    assert expected.train.dtype == np.uint8 and expected.train.flags.c_contiguous
    for value in (
        PIXELS.transpose(0, 3, 1, 2),
        PIXELS.astype(np.int64),
        PIXELS / 255,
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2).half() / 255,
        [Image.fromarray(image) for image in PIXELS],
    ):
        assert same(as_dataset(value), expected)


def test_grey_images_need_no_axis_of_channels():
    grey = PIXELS[..., 0]
    assert as_dataset(grey).shape == (6, 5, 1)
    assert same(as_dataset(grey), as_dataset(grey[..., None]))
    assert same(as_dataset(grey), as_dataset([Image.fromarray(image) for image in grey]))


def test_images_that_are_finer_than_eight_bits_stay_float32_wherever_they_are_read():
    fine = RNG.random((300, 1, 6, 5), np.float32)
    dataset = as_dataset((fine, CLASSES))
    assert dataset.scale == 1 and dataset.train.dtype == np.float32 and dataset.is_bounded
    np.testing.assert_array_equal(dataset.to_float(dataset.train), dataset.train)
    examples = Examples(dataset, "cpu")
    rows = torch.arange(10)
    assert torch.equal(examples.at(rows), torch.from_numpy(dataset.train[:10]))
    assert torch.equal(examples.at(rows), torch.from_numpy(dataset.train[:10]))  # unchanged
    np.testing.assert_allclose(dataset.mean(), dataset.train.mean(axis=0), atol=1e-6)
    assert dataset.to_pixels(dataset.train).max() <= 1
    found = evaluate_samples(dataset, check_samples(dataset.test, dataset))
    assert found["health"]["verdict"] in ("sound", "undetermined")


def test_black_and_white_images_may_be_booleans():
    dataset = as_dataset(PIXELS[..., 0] > 127)
    assert set(np.unique(dataset.train)) == {0, 255} and dataset.scale == 255


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS / 127.5 - 1, "from -1 to 1. Images are floating-point numbers in [0, 1], or"),
        (PIXELS / 127.5 - 1, "as for a tanh, give (x + 1) / 2."),
        (PIXELS.astype(np.float32), "If 255 is white, give x / 255."),
        (PIXELS // 16, None),
        ((PIXELS // 16).astype(int), "whole numbers from 0 to 15."),
        (PIXELS // 255, "If 1 is white, give x.astype(bool)"),
        (PIXELS.astype(np.uint16) * 257, "If 65535 is white, give x / 65535."),
        (PIXELS / 200, "give numpy.clip(x, 0, 1)."),
        (ROWS.reshape(300, 3, 1) * 5, "vectors: x.reshape(len(x), -1)."),
        (RNG.random((300, 3, 5, 1)), "It may be [n, h, w, c] or [n, c, h, w]"),
        (RNG.random((300, 3, 8, 3)), "It may be [n, h, w, c] or [n, c, h, w]"),
        (RNG.random((300, 4, 5, 5)), "Without an alpha channel: x[:, :3]."),
        (RNG.random((300, 5, 5, 4)), "Without an alpha channel: x[..., :3]."),
        (RNG.random((300, 5, 5, 2)), "Images have 1 or 3 channels"),
        (RNG.random((30, 2, 2, 2, 2)), "x.reshape(len(x), -1) makes vectors."),
    ],
)
def test_images_that_may_be_read_wrongly_are_refused_with_what_mends_them(images, message):
    if message is None:  # uint8 has a white of its own
        assert "The brightest value of the images is 15" in as_dataset(images).notes[0]
        return
    assert message in refused(images)


# Splits and labels


def test_splits_that_are_given_stay_what_they_are():
    train, valid, test = PIXELS[:200], PIXELS[200:240], PIXELS[240:]
    for value in (
        (train, valid, test),
        {"train": train, "valid": valid, "test": test},
        {"test": test, "validation": valid, "train": train},
    ):
        dataset = as_dataset(value)
        assert contents(dataset.train) == contents(train)
        assert contents(dataset.valid) == contents(valid)
        assert contents(dataset.test) == contents(test)


def test_without_validation_examples_a_tenth_of_the_training_set_is_held_out():
    dataset = as_dataset((PIXELS[:200], PIXELS[200:]))
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [180, 20, 100]
    assert contents(dataset.test) == contents(PIXELS[200:])


def test_sorted_examples_are_mixed():
    dataset = as_dataset((PIXELS, np.sort(CLASSES)))
    assert dataset.labels is not None
    assert len(np.unique(dataset.labels.train[:20])) == 3
    assert len(np.unique(dataset.labels.test)) == 3


def test_a_split_that_is_made_keeps_copies_on_one_side():
    dataset = as_dataset(np.concatenate([PIXELS, PIXELS]))
    assert not set(contents(dataset.train)) & set(contents(dataset.test, dataset.valid))
    assert any("are copies of others there" in note for note in dataset.notes)


def test_images_that_are_in_two_splits_are_refused_if_they_are_many():
    assert "60 of 60 images to test on are also images to train on" in refused(
        (PIXELS, PIXELS[:60])
    )


@dataclass
class Items(TorchDataset):
    """A map-style data set, as torchvision's are."""

    images: Any
    labels: Any
    classes: tuple[str, ...] = ("cat", "dog", "horse")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


def test_items_of_a_data_set_keep_their_labels_and_the_names_of_these():
    tensors = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255  # as ToTensor
    whole = Items(tensors, CLASSES)
    dataset = as_dataset(whole)
    assert same(dataset, as_dataset(PIXELS))
    assert dataset.labels is not None and dataset.labels.names == ("cat", "dog", "horse")
    by_content = {
        bytes(image): label for image, label in zip(PIXELS.reshape(300, -1), CLASSES, strict=True)
    }
    found = [by_content[bytes(image)] for image in dataset.test]
    assert found == dataset.labels.test.tolist()
    assert as_dataset(Subset(whole, range(200))).labels.names == ("cat", "dog", "horse")


@pytest.mark.parametrize(
    "labelled",
    [
        (PIXELS, CLASSES),
        (torch.from_numpy(PIXELS), torch.from_numpy(CLASSES)),
        {"train": PIXELS, "labels": CLASSES},
        {"train": PIXELS, "train_labels": CLASSES.astype(float)},
        {"train": PIXELS, "labels": {"train": CLASSES.tolist()}},
        {"images": PIXELS, "labels": pd.Series(CLASSES)},
        [
            (Image.fromarray(image), int(label))
            for image, label in zip(PIXELS, CLASSES, strict=True)
        ],
        [{"image": image, "label": label} for image, label in zip(PIXELS, CLASSES, strict=True)],
        TensorDataset(torch.from_numpy(PIXELS), torch.from_numpy(CLASSES)),
    ],
)
def test_labels_may_stand_beside_the_examples_in_many_ways(labelled):
    labels = as_dataset(labelled).labels
    assert labels is not None and labels.names == ("0", "1", "2")
    assert (
        np.bincount(np.concatenate([labels.train, labels.valid, labels.test])).tolist() == [100] * 3
    )


def test_labels_may_be_text():
    labels = as_dataset((PIXELS, np.array(["b", "a", "c"])[CLASSES])).labels
    assert labels is not None and labels.names == ("a", "b", "c")


def test_what_stands_beside_items_and_is_no_class_is_left_out_and_said():
    dataset = as_dataset(TensorDataset(torch.from_numpy(ROWS), torch.rand(300)))
    assert dataset.labels is None
    assert dataset.notes[0] == "The labels of the items are no classes, and are not used."


class _Feature:
    def __init__(self, names=None):
        self.names = names


class ClassLabel(_Feature):
    """Stands in for that of `datasets`, which is known by its name."""


class ImageFeature(_Feature):
    """As above."""


ImageFeature.__name__ = "Image"


class Value(_Feature):
    """As above."""


class Columns:
    """Stands in for `datasets.Dataset`: rows by number, columns by name."""

    def __init__(self, features, columns):
        self.features, self.columns, self.column_names = features, columns, list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}


def test_a_data_set_of_hugging_face_gives_its_images_and_the_names_of_its_classes():
    images = [Image.fromarray(image) for image in PIXELS]
    features = {"img": ImageFeature(), "label": ClassLabel(["x", "y", "z"]), "id": Value()}
    hub = Columns(features, {"img": images, "label": CLASSES.tolist(), "id": list("a" * 300)})
    others = [Image.fromarray(255 - image) for image in PIXELS]
    test = Columns(features, {**hub.columns, "img": others})
    dataset = as_dataset({"train": hub, "test": test})
    assert contents(dataset.train, dataset.valid) == contents(PIXELS)
    assert dataset.labels is not None and dataset.labels.names == ("x", "y", "z")


def test_a_table_of_hugging_face_gives_its_columns_of_numbers():
    features = {"a": Value(), "b": Value(), "kind": ClassLabel(["x", "y", "z"])}
    columns = {"a": ROWS[:, 0].tolist(), "b": ROWS[:, 1].tolist(), "kind": CLASSES.tolist()}
    dataset = as_dataset(Columns(features, columns))
    assert same(dataset, as_dataset(ROWS[:, :2])) and dataset.labels is not None
    text = Columns({"a": Value(), "b": Value()}, {"a": [1.0] * 300, "b": ["x"] * 300})
    assert "the column b holds no numbers" in refused(text)


# What is refused


class Endless(IterableDataset):
    """Can only be iterated over."""

    def __iter__(self):
        yield torch.zeros(3)


class EndlessColumns:
    """As `datasets.IterableDataset`: columns, but no length."""

    features, column_names = {"a": Value()}, ["a"]

    def __iter__(self):
        yield {"a": 1}


class Broken(Items):
    """Raises at an item."""

    def __getitem__(self, i):
        if i == 7:
            raise OSError("truncated")
        return super().__getitem__(i)


WITH_NAN = np.where(np.arange(900).reshape(300, 3) == 31, np.nan, ROWS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "dataset: found None. It must be an array of numbers"),
        (5, "dataset: found 5. It must be"),
        (WITH_NAN, "1 of 300 examples hold NaN or infinite values in the columns 1 (from 0), "),
        (WITH_NAN, "example 10 (from 0) first. Every value is learned. Leave these examples out"),
        (pd.DataFrame({"a": [1.0, None] * 150}), "150 of 300 examples hold NaN"),
        (ROWS.astype(object), "the type of the values is object"),
        ([[1.0, 2.0], [3.0]], "a list that can't be made an array"),
        ([torch.zeros(2), torch.zeros(3)], "item 1 has the shape 3, item 0 has 2. All examples"),
        (ROWS + 1j, "the type of the values is complex128. It must be that of real numbers"),
        (np.ones((300, 3)), "all 300 rows are identical. There is nothing to learn"),
        (np.repeat(PIXELS[:1], 300, axis=0), "all 300 images are identical."),
        (ROWS[:50], "found 40 rows to train on, of 50 in all. There must be at least 100. Add"),
        ((ROWS, ROWS[:5] + 1), "found 5 rows to test on"),
        ((ROWS, ROWS[:, :2]), "examples of test have the shape 2, those of train 3."),
        ((ROWS, ROWS, ROWS, ROWS), "found a tuple of 4. It must be (train, test)"),
        ({"train": ROWS, "valid": ROWS}, "found train, valid, but no test."),
        ({"test": ROWS}, "found test, but no train."),
        ({"train": ROWS, "other": ROWS}, "found 'other' among train, other."),
        ({"train": ROWS, "data": ROWS}, "found train, data, of which two mean train."),
        (
            {"train": ROWS, "labels": [1, 2]},
            "train: 2 labels of 300 examples. Each example has one",
        ),
        ({"train": ROWS, "labels": ROWS[:, 0]}, "labels of train: found float64 of shape [300]."),
        ({"train": ROWS, "test_labels": [1]}, "found labels of test, but no test."),
        (pd.DataFrame({"a": ROWS[:, 0], "city": "x"}), "the columns city hold no numbers."),
        (Endless(), "found a Endless, which can only be iterated over."),
        (EndlessColumns(), "found a EndlessColumns, which can only be iterated over."),
        ((x for x in ROWS), "found a generator, which can only be iterated over."),
        (Broken(PIXELS, CLASSES), "item 7 raised OSError: truncated"),
        ([{"photo": 1}] * 300, "item 0: found a dict with the keys photo."),
        (np.full((300, 2), 1e308) * np.array([[1, -1]]) * RNG.random((300, 1)), "too large to be"),
        (np.zeros((0, 3)), "no examples."),
        (
            (ROWS, ROWS + np.array([0, 0, 1e300])),
            "a row to test on lies more than 1e+15 standard deviations from the mean of the",
        ),
    ],
)
def test_data_that_cannot_be_used_is_answered_by_one_sentence(value, message):
    found = refused(value)
    assert message in found
    assert "\n" not in found


def test_a_data_set_that_the_user_made_is_taken_as_it_is_but_checked():
    digits = load_dataset("digits")
    assert as_dataset(digits) is digits
    wrong = Dataset("mine", ROWS, ROWS, ROWS, shape=(3,), scale=1.0)
    assert "train of the Dataset has the type float64. It must be uint8" in refused(wrong)
    flat = Dataset("mine", PIXELS, PIXELS, PIXELS, shape=(6, 5, 3), scale=255.0)
    assert "It must be an array [n, 90]" in refused(flat)


KINDS = st.sampled_from(
    ["?", "u1", "i2", "i8", "u4", "f2", "f4", "f8", "c8", "O", "U3", "M8[s]"]
).map(np.dtype)


@st.composite
def arrays(draw):
    """Arrays of any type, of the few shapes that matter and of others, tiled to many examples."""
    dtype, n = draw(KINDS), draw(st.sampled_from([0, 1, 30, 150]))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    low, high = draw(st.sampled_from([(0, 1), (0, 2), (-1, 1), (0, 255), (-1e300, 1e300)]))
    values = rng.uniform(low, high, (n, *shape))
    if draw(st.booleans()):
        values = values.round()
    if values.size and draw(st.integers(0, 4)) == 0:
        values.flat[0] = draw(st.sampled_from([np.nan, np.inf, 1e38, -0.0]))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return values.astype(dtype)


@settings(max_examples=300, deadline=None)
@given(arrays(), arrays(), st.sampled_from(["one", "pair", "three", "dict", "list", "labels"]))
def test_any_arrays_become_a_sound_data_set_or_a_clear_error(a, b, form):
    value = {
        "one": a,
        "pair": (a, b),
        "three": (a, b, a),
        "dict": {"train": a, "test": b, "labels": b},
        "list": list(a),
        "labels": {"train": a, "labels": b},
    }[form]
    try:
        dataset = as_dataset(value)
    except DataError as error:
        assert str(error).startswith("dataset: ") and "\n" not in str(error)
        return
    for split in (dataset.train, dataset.valid, dataset.test):
        assert split.shape == (len(split), dataset.dim) and split.flags.c_contiguous
        values = dataset.to_float(split)
        assert values.dtype == np.float32 and np.isfinite(values).all()
    if dataset.is_image:
        assert (
            0 <= dataset.to_float(dataset.train).min() <= dataset.to_float(dataset.train).max() <= 1
        )


@pytest.mark.parametrize("name", ["ring", "grid", "gaussian"])
def test_the_built_in_points_are_not_standardised(name):
    dataset = load_dataset(name)
    assert dataset.units is None
    assert dataset.to_float(dataset.train) is not None
    np.testing.assert_array_equal(dataset.to_float(dataset.train), dataset.train)
    assert dataset.in_own_units(dataset.train) is dataset.train
