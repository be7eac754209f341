"""What is decided of trials in a fixed order, from what is known of those before them."""

import pytest

from gansearch.budget import Budget
from gansearch.tune.fixed_order import FixedOrder

# Rungs at 100 and 300 of 900 updates.
BUDGET = Budget(trials=10, max_updates=900, reports=9, grace=1 / 9, reduction_factor=3)


def order_of(n, window=4):
    order = FixedOrder(BUDGET, window=window)
    for number in range(n):
        order.begin(number)
    return order


def test_a_proposal_waits_until_all_trials_but_the_last_of_the_window_have_ended():
    order = order_of(3)
    assert order.may_propose and order.hidden == {0, 1, 2}
    order.begin(3)
    assert not order.may_propose
    order.end(2, "completed")
    order.end(1, "failed")
    assert not order.may_propose and order.hidden == {1, 2, 3}
    order.end(0, "pruned")
    assert order.may_propose
    order.begin(7)  # numbers have gaps
    assert order.may_propose and order.hidden == {2, 3, 7}


def test_a_trial_waits_at_a_rung_for_those_before_it_and_for_none_after_it():
    order = order_of(3)
    for number in (0, 1, 2):
        assert not order.must_wait(number)
    order.report(1, 100, 5.0)
    assert order.must_wait(1)
    order.report(2, 100, 4.0)
    order.report(0, 100, 3.0)
    assert not any(map(order.must_wait, (0, 1, 2)))
    assert [order.decide(number) for number in (0, 1, 2)] == [None] * 3
    order.report(1, 300, 5.0)
    order.end(2, "pruned")
    assert order.must_wait(1)
    order.end(0, "completed")
    assert not order.must_wait(1)


def test_a_trial_stops_if_it_is_not_among_the_best_of_those_before_it():
    order = order_of(4)
    for number, score in enumerate((3.0, 9.0, 1.0, 2.0)):
        order.report(number, 100, score)
    assert [order.decide(number) for number in (0, 1, 2)] == [None] * 3
    assert order.decide(3).startswith("valid_ll 2 at rung 100, below 5")
    assert not order.must_wait(3)
    assert order.decide(3) is None  # a decision is made once


@pytest.mark.parametrize("at", [4, 5])
def test_scores_of_a_trial_that_died_count_only_for_proposals_that_came_before_its_end(at):
    order = order_of(4)
    for number in range(4):
        order.report(number, 100, 9.0 if number == 1 else float(number))
        order.decide(number)
    # Trial 1 dies: trial 4 was proposed without that knowledge, whenever it comes to its rung.
    for number in (0, 2, 3):
        order.end(number, "completed")
    order.begin(4)
    order.end(1, "collapsed")
    order.begin(5)
    order.report(4, 100, 2.5)
    order.report(5, 100, 2.5)
    reasons = {number: order.decide(number) for number in (4, 5)}
    assert (reasons[at] is None) == (at == 5)


def test_an_evaluation_without_a_score_or_beyond_the_next_rung_enters_nothing_at_a_rung():
    order = order_of(3)
    order.report(0, 100, None)
    order.report(0, 200, 99.0)  # too late for the first rung
    order.report(1, 350, 99.0)  # of the second rung
    order.report(2, 100, 1.0)
    assert not order.must_wait(2)
    assert [order.decide(number) for number in (0, 1, 2)] == [None] * 3
    assert order.is_behind(0, 100) and not order.is_behind(0, 200)


def test_the_order_of_earlier_sessions_is_taken_over():
    order = order_of(0)
    rows = [
        {"number": 2, "status": "running"},
        {"number": 0, "status": "completed"},
        {"number": 1, "status": "collapsed"},
    ]
    order.recall(rows, [(0, 100, 5.0), (2, 100, 3.0), (1, 100, 4.0), (0, 200, 6.0)])
    assert order.may_propose and order.hidden == {0, 1, 2}
    assert not order.must_wait(2) and order.is_behind(2, 50)
    assert not order.is_behind(0, 200)
