"""Non-dominated sorting, against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.pareto import is_among_best, pareto_order, pareto_ranks


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def ranks_by_definition(scores):
    left, ranks, rank = set(range(len(scores))), {}, 1
    while left:
        front = {i for i in left if not any(dominates(scores[j], scores[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    return [ranks[i] for i in range(len(scores))]


def scores(n_objectives):
    values = st.one_of(st.integers(-3, 3), st.just(-np.inf)).map(float)
    return st.lists(st.tuples(*[values] * n_objectives), min_size=1, max_size=25)


several = st.integers(1, 4).flatmap(scores)


@settings(max_examples=200, deadline=None)
@given(several)
def test_the_fronts_are_those_of_the_definition(found):
    assert pareto_ranks(np.array(found)).tolist() == ranks_by_definition(found)


@settings(max_examples=200, deadline=None)
@given(several, st.integers(1, 30))
def test_fewer_fronts_place_the_first_scores_alike(found, n):
    whole, first = pareto_ranks(np.array(found)), pareto_ranks(np.array(found), n)
    placed = first < first.max()
    assert (first[placed] == whole[placed]).all()
    assert (first <= whole).all()
    assert placed.sum() >= min(n, len(found)) or first.max() == whole.max()


@settings(max_examples=200, deadline=None)
@given(several, st.integers(1, 30))
def test_the_order_has_every_score_once_and_earlier_fronts_first(found, n):
    order, ranks = pareto_order(np.array(found)), pareto_ranks(np.array(found))
    assert sorted(order) == list(range(len(found)))
    assert (np.diff(ranks[order]) >= 0).all()
    assert pareto_order(np.array(found), n).tolist() == order[:n].tolist()
    among = [i for i in range(len(found)) if is_among_best(np.array(found), i, n)]
    assert among == sorted(order[:n])


def test_three_of_a_front_are_its_ends_and_what_lies_between():
    x = np.array([0.0, 0.01, 0.02, 0.5, 0.98, 0.99, 1.0])
    order = pareto_order(np.stack([x, 1 - x], axis=1), 3)
    assert x[order].tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_the_unit_of_an_objective_does_not_change_the_order(unit):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(40, 3))
    assert (pareto_order(drawn) == pareto_order(drawn * [unit, 1, 1])).all()


def test_nothing_has_no_front():
    assert pareto_ranks(np.empty((0, 2))).tolist() == []
    assert pareto_order(np.empty((0, 2))).tolist() == []
