"""Successive halving and its rungs."""

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.tune.halving import Rung, SuccessiveHalving


def test_the_cutoff_of_a_rung_is_the_percentile_of_its_scores():
    rng = np.random.default_rng(0)
    rung, scores = Rung(100.0), {}
    for i in range(300):
        scores[str(i)] = round(rng.normal(), 1)  # many are equal
        rung.add(str(i), scores[str(i)])
        if i % 3 == 2:
            gone = str(rng.choice(list(scores)))
            assert rung.remove(gone) == scores.pop(gone)
        for factor in (1.5, 3, 4):
            expected = np.percentile(list(scores.values()), 100 * (1 - 1 / factor))
            assert rung.cutoff(factor) == pytest.approx(expected, abs=1e-12)


def test_rungs_stand_at_powers_of_the_reduction_factor_up_to_the_end():
    halving = SuccessiveHalving(Budget(max_updates=1000, grace=0.001, reduction_factor=10))
    assert [rung.updates for rung in halving._rungs] == [1, 10, 100, 1000]
    halving = SuccessiveHalving(Budget(max_updates=1000, grace=0.15, reduction_factor=3))
    assert [rung.updates for rung in halving._rungs] == [150, 450]


def test_a_trial_that_fails_twice_without_a_report_between_keeps_its_rungs():
    halving = SuccessiveHalving(Budget(max_updates=1000, grace=0.1))
    halving.add_score("a", 100, 1.0)
    halving.withdraw("a")
    halving.withdraw("a")
    halving.restore("a")
    assert halving._rungs[0].scores == {"a": 1.0}
