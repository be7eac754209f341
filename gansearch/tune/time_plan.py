"""How much fits into a time budget: arithmetic on measured times.

A run's time goes to the start of its workers, the search, the replicas and the conclusion. The
search ends when the replicas and the conclusion need the rest. Where not all replicas fit, each
finalist gets fewer seeds, but two if that can be helped; then there are fewer finalists.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

MEASURED_SECONDS = 2.5  # that trainings are measured in a dry run
LEAST_SEEDS = 2  # of which an interval can be made
# Of the budget that the search may use although not all replicas fit into the rest.
_SEARCH_SHARE = 0.5
_TOLERANCE, _TOLERANCE_SECONDS = 0.1, 30.0


@dataclass(frozen=True)
class Finalist:
    """The replicas of a configuration.

    Attributes:
        seconds: of a whole replica, with its final score; 0 if nothing is known.
        waiting: the numbers of its seeds, from 0, that have not begun.
    """

    seconds: float
    waiting: Collection[int]


@dataclass(frozen=True)
class Extent:
    """How many replicas fit: `n_seeds` of each of the first `n_finalists`."""

    n_finalists: int
    n_seeds: int


def tolerance_seconds(limit: float) -> float:
    """Return by how much a run may miss its time budget: a tenth, or half a minute."""
    return max(_TOLERANCE * limit, _TOLERANCE_SECONDS)


def makespan(running: Sequence[float], waiting: Sequence[float], n_at_a_time: int) -> float:
    """Return when all trials have ended, if those that wait begin in their order.

    Args:
        running: the seconds that each running trial still takes.
        waiting: those that each of the others takes.
        n_at_a_time: how many train at a time.

    >>> makespan([3.0], [10.0, 10.0, 10.0], 2)
    20.0
    """
    ends = sorted(running)
    last = max(ends, default=0.0)
    for seconds in waiting:
        start = heapq.heappop(ends) if len(ends) >= n_at_a_time else 0.0
        heapq.heappush(ends, start + seconds)
        last = max(last, start + seconds)
    return last


def rounds_of(finalists: Sequence[Finalist], extent: Extent) -> list[float]:
    """Return the seconds of the replicas of an extent that have not begun: seed after seed."""
    return [
        finalist.seconds
        for seed in range(extent.n_seeds)
        for finalist in finalists[: extent.n_finalists]
        if seed in finalist.waiting
    ]


def replicas_seconds(finalists: Sequence[Finalist], extent: Extent, n_at_a_time: int) -> float:
    """Return how long the replicas of an extent take that have not begun, if no other runs."""
    return makespan((), rounds_of(finalists, extent), n_at_a_time)


def widest_extent(
    finalists: Sequence[Finalist],
    n_seeds: int,
    running: Sequence[float],
    n_at_a_time: int,
    available: float,
) -> Extent:
    """Return the replicas that fit into the time that is left for them, or have begun already.

    Args:
        finalists: those that are given up last first.
        n_seeds: that each should have.
        running: the seconds that each running replica still takes.
        n_at_a_time: how many train at a time.
        available: seconds.
    """
    for extent in _extents(len(finalists), n_seeds):
        waiting = rounds_of(finalists, extent)
        if not waiting or makespan(running, waiting, n_at_a_time) <= available:
            return extent
    return Extent(0, 0)


def search_end(limit: float, full: float, least: float) -> float:
    """Return after how many seconds of a run its search ends.

    Args:
        limit: the run's time budget, in seconds.
        full: seconds that all replicas and the conclusion take.
        least: the same with the fewest replicas that give intervals.
    """
    return max(limit - full, min(_SEARCH_SHARE * limit, limit - least))


def _extents(n_finalists: int, n_seeds: int) -> Iterator[Extent]:
    """Yield what may be trained, from all to a single replica."""
    for n in range(n_finalists, 0, -1):
        for seeds in range(n_seeds, min(LEAST_SEEDS, n_seeds) - 1, -1):
            yield Extent(n, seeds)
    if n_finalists and n_seeds > 1:
        yield Extent(1, 1)
