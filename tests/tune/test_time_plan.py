"""What fits into a time budget: pure arithmetic."""

import pytest

from gansearch.tune.time_plan import (
    Extent,
    Finalist,
    makespan,
    rounds_of,
    search_end,
    tolerance_seconds,
    widest_extent,
)


def finalists(*seconds, n_seeds=5):
    return [Finalist(each, range(n_seeds)) for each in seconds]


def room(found, available, n_seeds=5, running=(), n_at_a_time=2):
    extent = widest_extent(found, n_seeds, running, n_at_a_time, available)
    return extent.n_finalists, extent.n_seeds


@pytest.mark.parametrize(
    ("running", "waiting", "n_at_a_time", "seconds"),
    [
        ([], [], 2, 0.0),
        ([5.0], [], 2, 5.0),
        ([], [10.0] * 5, 2, 30.0),
        ([4.0, 8.0], [10.0, 10.0], 2, 18.0),
        ([1.0, 1.0, 30.0], [2.0], 3, 30.0),
        ([], [3.0], 8, 3.0),
    ],
)
def test_trials_that_wait_begin_where_others_end(running, waiting, n_at_a_time, seconds):
    assert makespan(running, waiting, n_at_a_time) == seconds


def test_with_time_enough_all_replicas_are_trained():
    assert room(finalists(10, 10, 10), 80) == (3, 5)


def test_less_time_takes_seeds_from_all_alike_before_it_takes_a_finalist():
    found = finalists(10, 10, 10)
    # Two train at a time: n replicas take 10 seconds for each two of them.
    extents = [room(found, seconds) for seconds in (79, 60, 59, 50, 30, 29, 20, 19, 10, 9)]
    equal = [(3, 4), (3, 4), (3, 3), (3, 3), (3, 2)]
    assert extents == [*equal, (2, 2), (2, 2), (1, 2), (1, 2), (0, 0)]


def test_a_single_seed_of_the_first_is_the_last_to_go():
    assert room(finalists(10, 10), 19, n_at_a_time=1) == (1, 1)
    assert room(finalists(10, 10), 9.9, n_at_a_time=1) == (0, 0)
    assert room(finalists(10, n_seeds=1), 10, n_seeds=1, n_at_a_time=1) == (1, 1)
    assert room([], 10) == (0, 0)


def test_a_finalist_that_trains_slowly_counts_with_its_own_seconds():
    assert room(finalists(1, 1, 30), 33) == (3, 2)
    assert room(finalists(1, 1, 30), 32) == (2, 5)


def test_what_has_begun_is_not_counted_again_and_what_runs_goes_on():
    found = [Finalist(10.0, {2, 3, 4}), Finalist(10.0, {2, 3, 4})]
    assert rounds_of(found, Extent(2, 3)) == [10.0, 10.0]
    assert room(found, 5, running=[5.0, 5.0]) == (2, 2)
    assert room(found, 15, running=[5.0, 5.0]) == (2, 3)
    assert room(found, 1, running=[5.0, 5.0]) == (2, 2)  # late, but nothing new begins


def test_the_search_leaves_the_replicas_their_time_but_has_half_of_the_budget_if_it_must():
    assert search_end(600, full=100, least=50) == 500
    assert search_end(100, full=90, least=40) == 50
    assert search_end(100, full=90, least=70) == 30
    assert search_end(100, full=500, least=300) < 0


def test_a_budget_is_held_to_a_tenth_or_half_a_minute():
    assert [tolerance_seconds(limit) for limit in (60, 300, 3600)] == [30, 30, 360]
