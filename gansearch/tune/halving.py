"""Asynchronous successive halving: which trials are stopped for their score, and at which rung."""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL, Objective, Rating, listed
from gansearch.rules import count_of

# With so many trials for each finalist, enough are completed although the second trial at a rung is
# already compared with the first. docs/search.md has what that is worth.
_TRIALS_A_FINALIST = 8

RatingT = TypeVar("RatingT", bound=Rating)
RungT = TypeVar("RungT", bound="AnyRung")  # type: ignore[type-arg]  # no variable in a bound


class AnyRung(Protocol[RatingT]):
    """What has been reported at a number of updates."""

    updates: float
    scores: dict[str, RatingT]

    def add(self, name: str, score: RatingT) -> None:
        """Enter a trial's score."""

    def remove(self, name: str) -> RatingT:
        """Remove a trial's score, and return it."""


class Halving(ABC, Generic[RatingT, RungT]):
    """Asynchronous successive halving over parameter updates: the rungs, and who is there.

    A subclass says by what a trial is not among the best of a rung. The first trial there goes on,
    and in a search of few trials as many as `reduction_factor`, so that finalists are left.
    """

    def __init__(self, budget: Budget, objective: Objective = VALID_LL) -> None:
        self._objective = objective
        self._reduction_factor = budget.reduction_factor
        has_many = budget.trials >= _TRIALS_A_FINALIST * budget.top
        self._n_first = 1 if has_many else budget.reduction_factor
        self._rungs = [self._make_rung(u) for u in budget.rung_updates]  # the lowest first
        self._withdrawn: dict[str, list[tuple[RungT, RatingT]]] = {}

    def add_score(self, name: str, updates: int, score: RatingT) -> str | None:
        """Enter a trial's score, by `Objective.rating_of`, at its rung.

        Returns:
            Why the trial stops there, or None.
        """
        reached = [rung for rung in self._rungs if updates >= rung.updates]
        if not reached or name in reached[-1].scores:
            return None
        rung, n_earlier = reached[-1], len(reached[-1].scores)
        why = self._why_not(rung, score) if n_earlier >= self._n_first else None
        rung.add(name, score)
        if why is None:
            return None
        ratings = score if isinstance(score, tuple) else (score,)
        values = [
            f"{each.name} {each.as_score(value):.4g}"
            for each, value in zip(self._objective.all, ratings, strict=True)
        ]
        earlier = count_of(n_earlier, "earlier trial")
        return (
            f"{listed(values)} at rung {rung.updates:,.0f}, {why}: "
            f"not in the best 1/{self._reduction_factor:g} of {earlier}"
        )

    def withdraw(self, name: str) -> None:
        """Remove a trial's scores from all rungs."""
        rungs = [rung for rung in self._rungs if name in rung.scores]
        withdrawn = self._withdrawn.setdefault(name, [])
        withdrawn += [(rung, rung.remove(name)) for rung in rungs]

    def restore(self, name: str) -> None:
        """Put a trial's withdrawn scores back on their rungs."""
        for rung, score in self._withdrawn.pop(name, ()):
            if name not in rung.scores:
                rung.add(name, score)

    @staticmethod
    @abstractmethod
    def _make_rung(updates: float) -> RungT:
        """Return an empty rung."""

    @abstractmethod
    def _why_not(self, rung: RungT, score: RatingT) -> str | None:
        """Return why a score is not among the best of a rung, which it isn't on yet, or None."""


class SuccessiveHalving(Halving[float, "Rung"]):
    """Asynchronous successive halving (Li et al. 2020) by one objective.

    A trial that reaches a rung continues if its score belongs to the best 1/reduction_factor of the
    trials that were there before.
    """

    @staticmethod
    def _make_rung(updates: float) -> Rung:
        return Rung(updates)

    def _why_not(self, rung: Rung, score: float) -> str | None:
        cutoff = rung.cutoff(self._reduction_factor)
        if score >= cutoff:
            return None
        value, limit = map(self._objective.as_score, (score, cutoff))
        return f"{'below' if value < limit else 'above'} {limit:.4g}"


class Rung:
    """The scores of all trials that have reached a number of updates, kept sorted.

    Attributes:
        updates: that a trial must have done to reach it.
        scores: by the trial's name.
    """

    def __init__(self, updates: float) -> None:
        self.updates = updates
        self.scores: dict[str, float] = {}
        self._sorted: list[float] = []

    def add(self, name: str, score: float) -> None:
        """Enter a trial's score."""
        self.scores[name] = score
        bisect.insort(self._sorted, score)

    def remove(self, name: str) -> float:
        """Remove a trial's score, and return it."""
        score = self.scores.pop(name)
        del self._sorted[bisect.bisect_left(self._sorted, score)]
        return score

    def cutoff(self, reduction_factor: float) -> float:
        """Return the lowest score that belongs to the best 1/reduction_factor of those here.

        It is NumPy's percentile, linear between two scores, found without reading all of them.
        """
        position = (1 - 1 / reduction_factor) * (len(self._sorted) - 1)
        below = math.floor(position)
        above = min(below + 1, len(self._sorted) - 1)
        low, high = self._sorted[below], self._sorted[above]
        return low + (position - below) * (high - low)
