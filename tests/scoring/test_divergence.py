import dataclasses

import numpy as np
import pytest

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.scoring.divergence import kl_divergence


def normal(n: int, d: int, seed: int, sd: float = 1.0, mean: float = 0.0) -> np.ndarray:
    return (mean + sd * np.random.default_rng(seed).normal(size=(n, d))).astype(np.float32)


def points(test: np.ndarray) -> Dataset:
    return Dataset("points", test, test, test, shape=test.shape[1:], scale=1.0)


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize(("sd", "mean"), [(1.0, 0.0), (2.0, 0.0), (1.0, 0.7)])
def test_the_divergence_of_gaussians_is_found(d: int, sd: float, mean: float) -> None:
    true = d * (np.log(sd) + (1 + mean**2) / (2 * sd**2) - 0.5)
    dataset = points(normal(4000, d, 0))
    for n in (2000, 8000):  # numbers of samples don't bias it
        found = kl_divergence(dataset, normal(n, d, 1, sd, mean))
        assert found == pytest.approx(true, abs=0.1 + 0.12 * true)


def test_a_narrow_gaussian_diverges_though_its_tails_are_underestimated() -> None:
    true = 2 * (np.log(0.5) + 2 - 0.5)
    found = kl_divergence(points(normal(4000, 2, 0)), normal(4000, 2, 1, sd=0.5))
    assert 0.5 * true < (found or 0) < true


def test_images_have_none(digits: Dataset) -> None:
    assert kl_divergence(digits, digits.to_float(digits.valid)) is None


def test_missing_modes_narrow_and_wide_ones_all_diverge(ring: Dataset) -> None:
    real = ring.to_float(ring.train[:5000])
    assert ring.modes is not None
    modes = ring.modes[((real[:, None] - ring.modes) ** 2).sum(axis=2).argmin(axis=1)]
    found = {
        "real": real,
        "narrow": (modes + 0.5 * (real - modes)).astype(np.float32),
        "wide": (modes + 3 * (real - modes)).astype(np.float32),
        "half": real[real[:, 0] > -0.2],
        "one": real[real[:, 0] > 0.9],
    }
    kl = {name: kl_divergence(ring, samples) or 0 for name, samples in found.items()}
    assert kl["real"] == pytest.approx(0, abs=0.05)
    assert kl["narrow"] > 0.5
    assert kl["wide"] == pytest.approx(1.3, abs=0.1)  # log 9 - (1 - 1 / 9) is 1.31
    assert kl["one"] > kl["half"] > 2


def test_duplicates_and_one_point_have_a_defined_divergence() -> None:
    rounded = points(normal(500, 2, 0).round(1))
    assert kl_divergence(rounded, normal(500, 2, 1).round(1)) == pytest.approx(0, abs=1.5)
    constant = points(np.full((100, 2), 3.0, np.float32))
    assert kl_divergence(constant, constant.test) == pytest.approx(0, abs=0.02)
    assert (kl_divergence(constant, constant.test + 1) or 0) > 10
    zero = points(np.zeros((100, 2), np.float32))
    assert kl_divergence(zero, zero.test) == pytest.approx(0, abs=0.02)


def test_other_shapes_and_nan_are_refused(ring: Dataset) -> None:
    samples = ring.to_float(ring.train[:50])
    with pytest.raises(SamplesError, match="samples of 1 values, the data set ring has 2"):
        kl_divergence(ring, samples[:, :1])
    samples[3] = np.nan
    with pytest.raises(SamplesError, match="sample 3"):
        kl_divergence(dataclasses.replace(ring, test=ring.test[:100]), samples)
