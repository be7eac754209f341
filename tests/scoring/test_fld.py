import math

import numpy as np
import pytest
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import SamplesError
from gansearch.scoring.fld import (
    _log_density_of_all,
    _Mixture,
    dataset_fld,
    feature_likelihood_divergence,
)
from gansearch.scoring.samples import as_samples


def gaussian(n: int, d: int, seed: int, mean: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return mean + sd * np.random.default_rng(seed).normal(size=(n, d))


TRAIN, TEST = gaussian(800, 4, 0), gaussian(800, 4, 1)


def fld(generated: np.ndarray) -> float:
    return feature_likelihood_divergence(TRAIN, TEST, generated)


def raw_fld(generated: np.ndarray) -> float:
    return feature_likelihood_divergence(TRAIN, TEST, generated, standardise=False)


def as_tensor(values: np.ndarray) -> torch.Tensor:
    return as_samples(values).float()


def test_samples_of_the_data_s_law_score_about_nothing() -> None:
    assert fld(gaussian(400, 4, 2)) == pytest.approx(0, abs=3)


def test_too_much_width_shift_copies_and_few_points_all_score_higher() -> None:
    bad = {
        "twice as wide": gaussian(400, 4, 2, sd=2.0),
        "shifted": gaussian(400, 4, 2, mean=1.0),
        "copies": TRAIN[:400],
        "ten points": np.repeat(gaussian(10, 4, 2), 40, axis=0),
    }
    scores = {name: fld(samples) for name, samples in bad.items()}
    assert min(scores.values()) > fld(gaussian(400, 4, 3)) + 3, scores


def test_the_worst_score_is_that_of_knowing_the_mean_and_the_variance_alone() -> None:
    n = 400
    standard = _Mixture.fit(*map(as_tensor, (TRAIN[:n], TRAIN[n:])))
    background = _log_density_of_all(*map(as_tensor, (TRAIN, TEST)))
    with_background = standard.mean_log_density(as_tensor(TEST), background)
    worst = 100 / 4 * (with_background - float(background.mean()) + math.log(n + 1))
    bad = [TRAIN[:n], gaussian(n, 4, 2) + 1000, gaussian(n, 4, 2) * 1e6, TRAIN[:n] + 1e-9]
    for samples in bad:
        assert raw_fld(samples) == pytest.approx(worst, rel=1e-3)
    others = [gaussian(n, 4, 2), gaussian(n, 4, 2, sd=30), np.repeat(TRAIN[:20], 20, axis=0)]
    assert max(raw_fld(samples) for samples in others) < worst + 1e-3


def test_a_narrow_generator_of_a_wide_gaussian_is_forgiven() -> None:
    # What the page says of it: the fitted variances grow to the data's width.
    assert fld(gaussian(400, 4, 2, sd=0.2)) < 5


def test_copies_score_the_worse_the_more_there_are() -> None:
    good = gaussian(400, 4, 2)
    scores = [fld(np.concatenate([TRAIN[: 4 * n], good[4 * n :]])) for n in (0, 30, 60, 90)]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 20
    assert scores[-1] < fld(TRAIN[:400])


def test_the_density_of_one_component_is_the_gaussian_s() -> None:
    centre, test = as_samples(np.zeros((1, 3), np.float32)), gaussian(500, 3, 1)
    mixture = _Mixture(centre, as_samples(np.zeros((1, 1)))[0])
    expected = -0.5 * (test**2).sum(axis=1).mean() - 1.5 * math.log(2 * math.pi)
    nothing = torch.full((len(test),), -torch.inf)
    found = mixture.mean_log_density(as_samples(test).float(), nothing) + math.log(2)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_fitted_variances_are_those_of_separate_clusters() -> None:
    centres = np.array([[0.0, 0, 0], [100, 0, 0]], np.float32)
    sds = np.array([0.5, 2.0])
    data = np.concatenate(
        [c + sd * gaussian(2000, 3, i) for i, (c, sd) in enumerate(zip(centres, sds, strict=True))]
    )
    mixture = _Mixture.fit(as_samples(centres), as_samples(data).float())
    np.testing.assert_allclose(mixture.log_variances.exp().sqrt().numpy(), sds, rtol=0.03)


def test_the_scale_of_the_features_changes_nothing() -> None:
    generated = gaussian(400, 4, 2, sd=1.3)
    scales = np.array([1e-3, 1.0, 1.0, 50.0])
    # Far smaller features than the others are left small, as noise.
    even = [
        feature_likelihood_divergence(7 * x, 7 * y, 7 * z)
        for x, y, z in ((TRAIN, TEST, generated),)
    ]
    assert even[0] == pytest.approx(fld(generated), abs=0.05)
    scaled = feature_likelihood_divergence(TRAIN * scales, TEST * scales, generated * scales)
    assert math.isfinite(scaled)


def test_constant_features_have_a_defined_score(digits: Dataset) -> None:
    constant = np.array([1, 0, 0, 0])
    mask = np.array([0, 1, 1, 1])
    for standardise in (True, False):
        found = feature_likelihood_divergence(
            TRAIN * mask + constant,
            TEST * mask + constant,
            gaussian(400, 4, 2) * mask + constant,
            standardise=standardise,
        )
        assert abs(found) < 5


def test_new_images_score_far_better_than_copies_blends_or_noise(digits: Dataset) -> None:
    new = digits.to_float(digits.valid)
    rng = np.random.default_rng(0)
    bad = [
        digits.to_float(digits.train[:300]),
        0.5 * (new + new[::-1]),
        new + 0.1 * rng.normal(size=new.shape),
        new[rng.integers(0, 30, len(new))],
    ]
    best = dataset_fld(digits, new)
    assert best == pytest.approx(0, abs=5)
    assert min(dataset_fld(digits, samples) for samples in bad) > best + 8


@pytest.mark.parametrize("name", ["ring", "gaussian"])
def test_points_score_the_worse_the_more_is_wrong(name: str) -> None:
    dataset = load_dataset(name)
    real = dataset.to_float(dataset.valid[:300])
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=float(real.std()), size=real.shape)
    scores = []
    for share in (0.0, 0.5, 1.0):
        n_bad = round(300 * share)
        bad = real[:n_bad] + 3 * noise[:n_bad]
        scores.append(dataset_fld(dataset, np.concatenate([bad, real[n_bad:]])))
    assert scores[0] == pytest.approx(0, abs=6)
    assert scores == sorted(scores)
    assert scores[-1] > 10


def test_forty_examples_are_enough_and_duplicates_change_little() -> None:
    train, test, generated = (gaussian(n, 3, seed) for seed, n in enumerate((40, 20, 20)))
    few = feature_likelihood_divergence(train, test, generated)
    assert -150 < few < 150
    doubled = np.repeat(TRAIN[:400], 2, axis=0)
    found = feature_likelihood_divergence(doubled, TEST, gaussian(400, 4, 2))
    assert math.isfinite(found)
    worse = feature_likelihood_divergence(doubled, TEST, doubled[:400])
    assert worse > found + 20


def test_fewer_samples_than_the_standard_are_compared_with_as_many_examples() -> None:
    scores = [fld(gaussian(n, 4, 2)) for n in (50, 100, 400)]
    assert scores == pytest.approx([0, 0, 0], abs=6)


@pytest.mark.parametrize(
    ("train", "test", "generated", "message"),
    [
        (TRAIN, TEST, TEST[:, :3], "4, 4 and 3 features"),
        (TRAIN[:39], TEST, TEST, "39 training examples"),
        (TRAIN, TEST, TEST[:19], "19 generated examples"),
        (0 * TRAIN, TEST, TEST, "all training examples are the same"),
        (TRAIN, TEST, np.where(TEST > 3, np.nan, TEST), "hold a NaN"),
        (TRAIN, TEST, np.where(TEST > 3, np.inf, TEST), "hold a NaN, an infinite value"),
        (TRAIN, np.where(TEST > 3, np.nan, TEST), TRAIN, "hold a NaN"),
        (TRAIN, TEST[:0], TRAIN, "shape"),
        (TRAIN, TEST, TEST[:, 0], "shape"),
    ],
)
def test_what_has_no_score_is_refused(
    train: np.ndarray, test: np.ndarray, generated: np.ndarray, message: str
) -> None:
    with pytest.raises(SamplesError, match=message):
        feature_likelihood_divergence(train, test, generated)
