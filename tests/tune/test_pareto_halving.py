"""Successive halving by several objectives."""

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.own_measures import BUILT_IN_OBJECTIVES, VALID_LL, Objective, OwnMeasure, several
from gansearch.tune.halving import SuccessiveHalving
from gansearch.tune.pareto_halving import ParetoHalving, make_halving

COVERAGE = Objective(BUILT_IN_OBJECTIVES["coverage"])
BOTH = several([VALID_LL, COVERAGE])
BUDGET = Budget(trials=10, max_updates=1000, grace=0.1, reduction_factor=3)


def halving_with(*scores, objective=BOTH):
    halving = ParetoHalving(BUDGET, objective)
    for i, score in enumerate(scores):
        halving.add_score(f"earlier{i}", 100, score)
    return halving


def test_the_objective_decides_what_stops_trials():
    assert isinstance(make_halving(BUDGET, VALID_LL), SuccessiveHalving)
    assert isinstance(make_halving(BUDGET, BOTH), ParetoHalving)


def test_a_dominated_trial_stops_and_one_with_another_strength_goes_on():
    earlier = [(float(i), 0.1 * i) for i in range(6)]
    assert halving_with(*earlier).add_score("dull", 100, (1.5, 0.05)) == (
        "valid_ll 1.5 and coverage 0.05 at rung 100, dominated by others: not in the best 1/3 of 6 "
        "earlier trials"
    )
    assert halving_with(*earlier).add_score("varied", 100, (0.0, 0.9)) is None
    alone = SuccessiveHalving(BUDGET)
    for i, (score, _) in enumerate(earlier):
        alone.add_score(f"earlier{i}", 100, score)
    assert alone.add_score("varied", 100, 0.0) is not None


def test_of_too_large_a_front_those_go_on_that_add_variety():
    front = [(0.0, 1.0), (0.1, 0.9), (0.11, 0.89), (0.9, 0.1), (1.0, 0.0)]
    why = halving_with(*front).add_score("neighbour", 100, (0.105, 0.895))
    assert why == (
        "valid_ll 0.105 and coverage 0.895 at rung 100, dominated by none, but adding less variety "
        "than others: not in the best 1/3 of 5 earlier trials"
    )
    assert halving_with(*front[1:4]).add_score("end", 100, (1.0, 0.05)) is None


def test_a_measure_of_which_less_is_better_is_named_by_its_own_value():
    fid = Objective(OwnMeasure("fid", "mine.py:fid"))
    earlier = [(float(i), -float(10 - i)) for i in range(6)]
    halving = halving_with(*earlier, objective=several([VALID_LL, fid]))
    assert halving.add_score("dull", 100, (0.0, -50.0)).startswith("valid_ll 0 and fid 50 at rung")


def test_two_objectives_that_agree_decide_as_one_does():
    rng = np.random.default_rng(0)
    one, two = SuccessiveHalving(BUDGET), ParetoHalving(BUDGET, BOTH)
    decisions = []
    for i in range(400):
        score = float(rng.normal())
        decisions.append(
            [
                one.add_score(str(i), 100, score) is None,
                two.add_score(str(i), 100, (score, score)) is None,
            ]
        )
    alone, both = np.array(decisions).T
    # One objective's cut-off lies between two scores, so that a trial between them may differ.
    assert (alone == both).mean() > 0.99
    assert both.mean() == pytest.approx(1 / 3, abs=0.05)


def test_too_few_earlier_trials_stop_none_and_a_rung_takes_a_trial_once():
    halving = halving_with((5.0, 0.5), (6.0, 0.6))
    assert halving.add_score("third", 100, (0.0, 0.0)) is None
    assert halving.add_score("third", 120, (-9.0, 0.0)) is None
    assert halving.add_score("fourth", 100, (1.0, 0.1)) is not None


def test_what_is_withdrawn_decides_no_more_and_comes_back_at_a_retry():
    halving = halving_with((5.0, 0.5), (6.0, 0.6), (7.0, 0.7))
    halving.withdraw("earlier2")
    halving.withdraw("earlier2")
    assert halving.add_score("worse", 100, (1.0, 0.1)) is None  # of two earlier ones
    halving.restore("earlier2")
    assert halving.add_score("worst", 100, (0.0, 0.0)) is not None
