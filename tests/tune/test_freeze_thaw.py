"""Which trial goes on, decision by decision, and whole searches without Ray."""

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.own_measures import Objective, OwnMeasure
from gansearch.tune.freeze_thaw import FreezeThaw, Next

# A trial may pause at 200, 300, 450, 675 and 1012.5 updates.
BUDGET = Budget(max_updates=1200, reports=12, grace=1 / 6, top=1)


def order_of(n_new=0, budget=BUDGET, **curves):
    """Return an order in which the named trials have reported, and wait."""
    order = FreezeThaw(budget)
    for name, scores in curves.items():
        order.begin(name)
        for i, score in enumerate(scores, 1):
            order.add_score(name, 100 * i, score)
        order.wait(name)
    order.n_new = n_new
    return order


def train(order, name, *scores, begin=100):
    """Let a trial report, and return whether it pauses at the last."""
    for i, score in enumerate(scores):
        order.add_score(name, begin + 100 * i, score)
    return order.pauses(name)


def test_new_trials_come_first_until_four_have_begun():
    order = order_of(n_new=9)
    for name in "abc":
        assert order.choose() is Next.NEW
        order.begin(name)
        assert train(order, name, 0.0, 1.0)
    assert order.choose() is Next.NEW
    order.begin("d")
    assert train(order, "d", 0.0, 0.0)
    assert order.choose() in ("a", "b", "c")


def test_the_trial_with_the_best_prediction_goes_on():
    order = order_of(a=[0.0, 1.0], b=[0.0, 3.0], c=[2.0, 2.0])
    assert order.choose() == "b"


def test_half_of_the_updates_go_to_new_trials():
    order, n_young = order_of(n_new=1000), 0
    for i in range(200):
        name = order.choose()
        if name is Next.NEW:
            name, n_young = f"t{i:03d}", n_young + 1
            order.n_new -= 1
        order.begin(name)
        reached = order._curves[name].reached
        level = order._curves[name].level
        marks = [u for u in range(100, 1300, 100) if reached < u and u - 100 < level]
        for updates in marks:
            order.add_score(name, updates, float(updates))
        if marks[-1] == 1200:
            order.end(name, 1200.0)
        else:
            order.wait(name)
    spent = sum(curve.reached for curve in order._curves.values())
    assert 200 * n_young / spent == pytest.approx(0.5, abs=0.05)


def test_a_trial_pauses_only_at_the_levels_and_only_for_a_better_one():
    order = order_of(a=[0.0, 1.0])
    order.begin("b")
    assert not train(order, "b", 0.5)  # before the grace
    assert not train(order, "b", 9.0, begin=200)  # better than a, so it goes on
    assert not train(order, "b", 9.0, begin=300)
    assert not train(order, "b", -9.0, begin=400)  # the next level is at 450
    assert train(order, "b", -9.0, begin=500)
    assert order.choose() == "a"


def test_a_trial_that_continues_may_repeat_reports():
    order = order_of(a=[0.0, 1.0], b=[5.0, 6.0])
    order.begin("a")
    assert not train(order, "a", 0.0, 1.0)
    assert order._curves["a"].updates == [100, 200]


def test_an_interrupted_trial_without_a_report_comes_first():
    order = order_of(a=[0.0, 1.0])
    order.wait("b")
    assert order.choose() == "b"


def test_a_worker_waits_while_others_train_and_then_there_is_nothing_left():
    order = order_of(n_new=1)
    order.begin("a")
    order.n_new = 0
    assert order.choose() is Next.WAIT
    order.end("a", 1.0)
    assert order.choose() is Next.NOTHING


def calibrated(**curves):
    """Return an order with enough flat curves to know that scores hardly change."""
    rng = np.random.default_rng(0)
    flat = {f"flat{i}": (rng.normal(0, 0.01, 4) - 50).tolist() for i in range(5)}
    return order_of(**flat, **curves)


def test_a_trial_is_given_up_when_it_can_hardly_reach_the_best():
    order = calibrated(good=[0.0, 1.0], bad=[0.0, -9.0])
    assert order.give_up() == {}  # none is complete
    order.begin("good")
    order.end("good", 2.0)
    reasons = order.give_up()
    assert "bad" in reasons
    assert "is predicted from 200 updates as -16.5, at most " in reasons["bad"]
    assert reasons["bad"].endswith("below the best, 2")


def test_none_is_given_up_before_as_many_are_complete_as_are_trained_again():
    order = FreezeThaw(Budget(max_updates=1200, reports=12, grace=1 / 6, top=2))
    for i in range(6):
        order.begin(str(i))
        train(order, str(i), -50.0, -50.0, -50.0)
        order.wait(str(i))
    order.end("0", 1.0)
    assert order.give_up() == {}
    order.end("1", 0.0)
    assert set(order.give_up()) == {"2", "3", "4", "5"}


def test_reasons_of_a_measure_that_is_minimised_say_at_least():
    objective = Objective(OwnMeasure("distance", "m:f", "minimize"))
    order = FreezeThaw(BUDGET, objective)
    for i in range(6):
        order.begin(str(i))
        train(order, str(i), -50.0, -50.0, -50.0)
        order.wait(str(i))
    order.end("0", -1.0)
    reason = order.give_up()["1"]
    assert "distance at the end is predicted from 300 updates as 50, at least 50" in reason
    assert reason.endswith("above the best, 1")


def test_a_trial_that_died_decides_about_no_other():
    order = calibrated(good=[0.0, 1.0])
    order.end("good", 2.0)
    order.withdraw("good")
    assert order.give_up() == {}
