"""Measures order generators of known divergence as the divergence does."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.studies import kl_agreement
from gansearch.data.registry import load_dataset
from gansearch.scoring.divergence import kl_divergence


@pytest.mark.parametrize(("name", "least"), [("ring", 0.85), ("grid", 0.75)])
def test_the_estimated_divergence_orders_twenty_generators_as_the_true_one(
    name: str, least: float
) -> None:
    dataset = load_dataset(name)
    known = list(kl_agreement.family_of(dataset, family=100))  # none of the study's
    true = [each.true_kl for each in known]
    assert len(true) == 20
    assert min(true) > 0
    found = [kl_divergence(dataset, each.samples) for each in known]
    assert kendalltau(true, found)[0] > least


def test_the_known_divergence_is_that_of_its_samples() -> None:
    ring = load_dataset("ring")
    law = kl_agreement.of_data(ring)
    points = law.draw(20000, np.random.default_rng(0))
    assert np.ptp(law.log_density(points)) > 3
    density_of_one = np.exp(kl_agreement.of_data(ring).log_density(ring.modes[:1]))
    assert density_of_one == pytest.approx(1 / (8 * 2 * np.pi * 0.01**2), rel=1e-6)
    law.sds *= 2
    wider = kl_agreement.of_data(ring).log_density(points) - law.log_density(points)
    assert wider.mean() == pytest.approx(2 * np.log(2) - 0.75, abs=0.02)
