import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gansearch.data.dataset import Dataset
from gansearch.scoring.neighbours import distances_to_training, nearest_training


def test_points_that_lie_close_together_are_told_from_copies(ring: Dataset) -> None:
    # Training points of the ring lie some .0002 apart, where single-precision products see nothing.
    assert distances_to_training(ring, ring.valid[:500]).min() > 0
    assert distances_to_training(ring, ring.train[:500]).max() == 0
    distances = cdist(ring.valid[:50].astype(float), ring.train.astype(float))
    nearest = nearest_training(ring, ring.valid, 50)
    found = distances[np.arange(50), nearest]
    np.testing.assert_allclose(found, distances.min(axis=1), atol=1e-7)


def test_a_training_image_is_its_own_nearest(digits: Dataset) -> None:
    samples = digits.to_float(digits.train[[5, 77, 1100]])
    nearest = nearest_training(digits, samples, 3)
    np.testing.assert_array_equal(digits.train[nearest], digits.train[[5, 77, 1100]])


def test_the_nearest_are_those_of_every_pair(
    digits: Dataset, fakes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = digits.to_float(digits.train)
    every = ((fakes[:40, None] - train[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest_training(digits, fakes, 40), every.argmin(axis=1))
    monkeypatch.setattr("gansearch.scoring.neighbours._BLOCK_BYTES", 4 * 64 * 100)
    np.testing.assert_array_equal(nearest_training(digits, fakes, 40), every.argmin(axis=1))
