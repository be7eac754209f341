import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gansearch.data.dataset import Dataset
from gansearch.scoring.neighbours import nearest_training, train_nn_ratio


def test_copies_of_training_images_have_no_distance_to_them(digits: Dataset) -> None:
    assert train_nn_ratio(digits, digits.to_float(digits.train[:1000])) == 0


def test_new_real_images_are_as_far_from_training_images_as_others(digits: Dataset) -> None:
    ratio = train_nn_ratio(digits, digits.to_float(digits.valid))
    assert ratio == pytest.approx(1, abs=0.1)
    assert train_nn_ratio(digits, digits.to_float(digits.test)) == 1


def test_noise_on_copies_brings_them_away_step_by_step(digits: Dataset) -> None:
    rng = np.random.default_rng(0)
    copies = digits.to_float(digits.train[:1000])
    ratios = [
        train_nn_ratio(digits, np.clip(copies + sd * rng.normal(size=copies.shape), 0, 1))
        for sd in (0.01, 0.05, 0.2)
    ]
    assert ratios[0] < 0.1
    assert ratios[0] < ratios[1] < 0.5 < ratios[2]


def test_the_distance_to_training_examples_is_the_definition(
    digits: Dataset, fakes: np.ndarray
) -> None:
    train, test = digits.to_float(digits.train), digits.to_float(digits.test)

    def median_distance(examples: np.ndarray) -> float:
        return float(np.median(cdist(examples.astype(float), train.astype(float)).min(axis=1)))

    expected = median_distance(fakes) / median_distance(test)
    assert train_nn_ratio(digits, fakes) == pytest.approx(expected, rel=1e-6)


def test_points_that_lie_close_together_are_told_from_copies(ring: Dataset) -> None:
    # Training points of the ring lie some .0002 apart, where single-precision products see nothing.
    assert train_nn_ratio(ring, ring.valid) == pytest.approx(1, abs=0.1)
    assert train_nn_ratio(ring, ring.train[:500]) == 0
    distances = cdist(ring.valid[:50].astype(float), ring.train.astype(float))
    nearest = nearest_training(ring, ring.valid, 50)
    found = distances[np.arange(50), nearest]
    np.testing.assert_allclose(found, distances.min(axis=1), atol=1e-7)


def test_where_new_examples_are_copies_themselves_the_ratio_says_nothing(digits: Dataset) -> None:
    doubled = Dataset(**{**digits.__dict__, "test": digits.train[:300]})
    assert train_nn_ratio(doubled, doubled.to_float(doubled.train[:100])) == 1


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
