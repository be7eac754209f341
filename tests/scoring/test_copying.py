import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.scoring.copying import copy_p_value, copying


def train_nn_ratio(dataset: Dataset, samples: np.ndarray) -> float:
    return copying(dataset, samples).train_nn_ratio


def test_copies_of_training_images_have_no_distance_to_them(digits: Dataset) -> None:
    assert train_nn_ratio(digits, digits.to_float(digits.train[:1000])) == 0


def test_new_real_images_are_as_far_from_training_images_as_others(digits: Dataset) -> None:
    ratio = train_nn_ratio(digits, digits.to_float(digits.test))
    assert ratio == pytest.approx(1, abs=0.1)
    assert train_nn_ratio(digits, digits.to_float(digits.valid)) == 1


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
    train, valid = digits.to_float(digits.train), digits.to_float(digits.valid)

    def median_distance(examples: np.ndarray) -> float:
        return float(np.median(cdist(examples.astype(float), train.astype(float)).min(axis=1)))

    expected = median_distance(fakes) / median_distance(valid)
    assert train_nn_ratio(digits, fakes) == pytest.approx(expected, rel=1e-6)


def test_where_new_examples_are_copies_themselves_the_ratio_says_nothing(digits: Dataset) -> None:
    doubled = Dataset(**{**digits.__dict__, "valid": digits.train[:300]})
    assert train_nn_ratio(doubled, doubled.to_float(doubled.train[:100])) == 1


def p_value(ours: np.ndarray, new: np.ndarray) -> float:
    """The p-value of distances within one cell."""
    return copy_p_value(ours, new, np.zeros(len(ours), int), np.zeros(len(new), int))


def test_the_p_value_is_four_times_the_least_of_rank_sum_and_tails() -> None:
    rng = np.random.default_rng(0)
    new = rng.gamma(5, size=300)
    shifted = rng.gamma(5, size=400) * 0.9  # the rank sum sees this best
    expected = stats.mannwhitneyu(
        shifted, new, alternative="less", method="asymptotic", use_continuity=False
    ).pvalue
    assert p_value(shifted, new) == pytest.approx(4 * expected, rel=1e-6)
    few = np.concatenate([np.zeros(12), rng.gamma(5, size=388) + 3])  # and this is in the tail
    tail = stats.hypergeom(700, 400, 12).sf(11)
    assert p_value(few, new) == pytest.approx(4 * tail, rel=1e-6)


def test_the_p_value_is_uniform_or_larger_where_nothing_is_copied() -> None:
    rng = np.random.default_rng(0)
    found = np.array(
        [
            copy_p_value(
                *np.split(rng.gamma(5, size=350), [200]),
                *np.split(rng.integers(0, 5, size=350), [200]),
            )
            for _ in range(300)
        ]
    )
    assert (found < 0.05).mean() < 0.08
    assert (found < 0.01).mean() < 0.03
    assert found.max() == 1


def test_a_tenth_of_copies_is_found_even_where_the_rest_is_far_off(digits: Dataset) -> None:
    new = digits.to_float(digits.test)
    copies = digits.to_float(digits.train[:30])
    far = np.clip(new + 0.3, 0, 1)
    for others in (new, far):
        samples = np.concatenate([copies, others[:270]])
        found = copying(digits, samples)
        assert found.train_nn_ratio > 0.9  # the median sees nothing
        assert found.copy_p < 1e-4


def test_new_real_images_are_no_copies_even_of_one_kind(digits: Dataset) -> None:
    new = digits.to_float(digits.test)
    # The nearest to one of them: a generator of one class, in a region that is dense.
    alike = new[np.linalg.norm(new - new[0], axis=1).argsort()[:60]]
    for samples in (new, alike):
        assert copying(digits, samples).copy_p > 0.05


def test_cells_without_samples_or_new_examples_say_nothing() -> None:
    one = np.ones(10)
    assert copy_p_value(0 * one, one, np.zeros(10, int), np.ones(10, int)) == 1


def test_duplicates_everywhere_have_a_p_value_of_one(digits: Dataset) -> None:
    doubled = Dataset(**{**digits.__dict__, "valid": digits.train[:300]})
    assert copying(doubled, doubled.to_float(doubled.train[300:400])).copy_p == 1
    assert p_value(np.zeros(50), np.zeros(70)) == 1


def test_samples_of_another_shape_or_nan_are_refused(digits: Dataset) -> None:
    samples = digits.to_float(digits.train[:50])
    samples[3, 3] = np.nan
    with pytest.raises(SamplesError, match=r"sample 3 \(from 0\) first"):
        copying(digits, samples)
