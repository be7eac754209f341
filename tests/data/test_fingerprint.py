"""What identifies the examples of a data set."""

import dataclasses
import json

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint


def images(n_train=30, side=4, seed=0, **values):
    rng = np.random.default_rng(seed)
    train, valid, test = (
        rng.integers(0, 256, (n, side * side), np.uint8) for n in (n_train, 10, 8)
    )
    return Dataset("folder", train, valid, test, (side, side, 1), **{"scale": 255.0, **values})


def differences(then, now):
    return list(Fingerprint.of(then).differences(Fingerprint.of(now)))


def test_the_same_examples_have_one_fingerprint_also_by_way_of_a_file():
    stored = json.loads(json.dumps(Fingerprint.of(images()).to_dict()))
    assert Fingerprint.from_dict(stored) == Fingerprint.of(images())
    assert differences(images(), images()) == []


def test_the_difference_is_named_by_split_number_and_size():
    assert (
        differences(images(), images(n_train=32))[0] == "train: 30 examples of 4x4x1 then, 32 now"
    )
    assert differences(images(), images(side=5)) == [
        "train: 30 examples of 4x4x1 then, 30 of 5x5x1 now",
        "valid: 10 examples of 4x4x1 then, 10 of 5x5x1 now",
        "test: 8 examples of 4x4x1 then, 8 of 5x5x1 now",
    ]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_one_other_pixel_and_another_order_are_told_by_their_split(split):
    examples = getattr(images(), split)
    other_pixel = examples.copy()
    other_pixel[-1, -1] ^= 1
    for changed in (other_pixel, examples[::-1]):
        now = dataclasses.replace(images(), **{split: changed})
        assert differences(images(), now) == [
            f"{split}: {len(examples)} examples as then, but others, or in another order"
        ]


def test_another_type_or_scaling_of_the_same_values_is_told():
    floats = dataclasses.replace(images(), test=images().test.astype(np.float32))
    assert differences(images(), floats) == ["test: values of type |u1 then, <f4 now"]
    assert differences(images(), images(scale=128.0, contrast=55.0, n_valid_for_sigma=5)) == [
        "the divisor of stored values: 255.0 then, 128.0 now",
        "the norm of normalized images: None then, 55.0 now",
        "the number of validation examples that choose sigma: 1000 then, 5 now",
    ]


@pytest.mark.parametrize(
    "damage", [{"train": None}, {"shape": 4}, {"shape": ["a"]}, {"valid": {"n": 1}}]
)
def test_a_damaged_fingerprint_is_refused_by_name(damage):
    with pytest.raises(ValueError, match="data: "):
        Fingerprint.from_dict(Fingerprint.of(images()).to_dict() | damage)
