from math import comb

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import beta

from gansearch.data.registry import load_dataset
from gansearch.measures import Fidelity
from gansearch.scoring.fidelity import calibrated_coverage
from gansearch.scoring.indicators import HealthReference


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float]:
    """Precision, clipped density and the average before calibration, from their definitions."""
    radii = np.sort(cdist(real, real), axis=1)[:, k]
    between, within = cdist(real, fake), cdist(real, real)
    clipped = np.minimum(radii, np.median(radii))
    np.fill_diagonal(within, np.inf)

    def balls(distances: np.ndarray) -> float:
        return float(np.minimum((distances <= clipped[:, None]).sum(axis=0), k).mean() / k)

    in_ball = between <= radii[:, None]
    return (
        float(in_ball.any(axis=0).mean()),
        min(1, balls(between) / balls(within)),
        float(np.minimum(in_ball.sum(axis=1), k).mean() / k),
    )


def expected_average(n_real: int, n_good: int, k: int) -> float:
    """Equation 8 of Salvy et al. (2025), term by term."""
    return sum(
        min(j, k) / k * comb(n_good, j) * beta(k + j, n_real + n_good - k - j) / beta(k, n_real - k)
        for j in range(n_good + 1)
    )


def reference_of(real: np.ndarray, n: int, k: int = 5) -> tuple[HealthReference, np.ndarray]:
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0)).numpy()
    return HealthReference(real, n, k=k), real[order[:n]]


@pytest.mark.parametrize("dim", [1, 2, 20])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_precision_density_and_coverage_are_those_of_the_definitions(
    dim: int, shift: float
) -> None:
    rng = np.random.default_rng(dim)
    real, fake = rng.normal(size=(601, dim)), rng.normal(size=(299, dim)) * 0.7 + shift
    reference, drawn = reference_of(real, 299)
    precision, density, average = by_definition(drawn, fake, 5)
    found = reference.measure(fake)[1]
    assert found.precision == precision
    assert found.clipped_density == pytest.approx(density)
    assert found.clipped_coverage == pytest.approx(
        calibrated_coverage(average, n_real=299, n_samples=299, k=5)
    )


@pytest.mark.parametrize(("n_real", "n_samples", "k"), [(20, 20, 5), (40, 25, 3), (12, 60, 1)])
def test_coverage_is_the_share_of_good_samples_that_gives_the_average(
    n_real: int, n_samples: int, k: int
) -> None:
    for n_good in range(0, n_samples + 1, 5):
        average = expected_average(n_real, n_good, k)
        share = calibrated_coverage(average, n_real=n_real, n_samples=n_samples, k=k)
        assert share == pytest.approx(n_good / n_samples, abs=1e-9)
    assert calibrated_coverage(0.0, n_real=n_real, n_samples=n_samples, k=k) == 0
    assert calibrated_coverage(1.0, n_real=n_real, n_samples=n_samples, k=k) == 1


def test_both_clipped_measures_fall_linearly_with_the_share_of_bad_samples() -> None:
    rng = np.random.default_rng(0)
    reference = HealthReference(rng.normal(size=(2000, 8)), 1000)
    good, bad = rng.normal(size=(1000, 8)), 50 + rng.normal(size=(1000, 8))
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        n_bad = round(1000 * share)
        found = reference.measure(np.concatenate([bad[:n_bad], good[n_bad:]]))[1]
        assert found.clipped_density == pytest.approx(1 - share, abs=0.06)
        assert found.clipped_coverage == pytest.approx(1 - share, abs=0.06)


def test_a_missing_mode_lowers_coverage_and_not_fidelity() -> None:
    dataset = load_dataset("digits")
    reference = HealthReference(dataset.to_float(dataset.train), 500)
    # The nearest to one example: some of the classes only.
    from_first = np.linalg.norm(dataset.train.astype(float) - dataset.train[0], axis=1)
    found = reference.measure(dataset.to_float(dataset.train)[from_first.argsort()[:500]])[1]
    assert found.precision > 0.9
    assert found.clipped_density > 0.9
    assert found.clipped_coverage < 0.65


def test_one_outlier_among_real_points_does_not_let_bad_samples_pass() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 4))
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0)).numpy()
    real[order[3]] = 100.0
    around = 100 + 10 * rng.normal(size=(200, 4))  # within the outlier's ball
    found = HealthReference(real, 200).measure(around)[1]
    assert found.precision == 1  # which is why precision isn't shown alone
    assert found.clipped_density == 0


def test_real_points_that_are_all_the_same_have_defined_values() -> None:
    reference = HealthReference(np.full((40, 3), 0.5), 20)
    assert reference.null_fidelity == Fidelity(1.0, 1.0, 1.0)
    assert reference.measure(np.full((20, 3), 0.5))[1] == Fidelity(1.0, 1.0, 1.0)
    assert reference.measure(np.full((20, 3), 0.6))[1] == Fidelity(0.0, 0.0, 0.0)


def test_other_real_data_scores_nearly_one() -> None:
    dataset = load_dataset("digits")
    null = HealthReference(dataset.to_float(dataset.train), 500).null_fidelity
    assert null.precision == pytest.approx(0.96, abs=0.03)
    assert null.clipped_density > 0.97
    assert null.clipped_coverage == pytest.approx(0.97, abs=0.031)
