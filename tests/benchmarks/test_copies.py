"""What the study of copies makes of real images."""

import numpy as np

from gansearch.data.registry import load_dataset
from tests.benchmark_scripts import script


def test_an_image_is_moved_by_a_pixel():
    digits = load_dataset("digits")
    images = digits.to_float(digits.train[:50])
    moved = script("studies.copies").shifted(digits, images).reshape(50, 8, 8)
    assert np.array_equal(moved[:, :, 1:], images.reshape(50, 8, 8)[:, :, :-1])
    assert not moved[:, :, 0].any()
