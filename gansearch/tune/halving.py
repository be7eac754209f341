"""Asynchronous successive halving: which trials are stopped for their score, and at which rung."""

from __future__ import annotations

import bisect
import math

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL, Objective


class SuccessiveHalving:
    """Asynchronous successive halving (Li et al. 2020) over parameter updates.

    A trial that reaches a rung continues if its score belongs to the best 1/reduction_factor of the
    trials that were there before.
    """

    def __init__(self, budget: Budget, objective: Objective = VALID_LL) -> None:
        self._objective = objective
        self._reduction_factor = budget.reduction_factor
        self._rungs = [Rung(updates) for updates in budget.rung_updates]  # the lowest first
        self._withdrawn: dict[str, list[tuple[Rung, float]]] = {}

    def add_score(self, name: str, updates: int, score: float) -> str | None:
        """Enter a trial's score, by `Objective.as_score`, at its rung.

        Returns:
            Why the trial stops there, or None.
        """
        reached = [rung for rung in self._rungs if updates >= rung.updates]
        if not reached or name in reached[-1].scores:
            return None
        rung, n_earlier = reached[-1], len(reached[-1].scores)
        # Fewer earlier trials have no best 1/reduction_factor: the second of two would be stopped.
        can_prune = n_earlier >= self._reduction_factor
        cutoff = rung.cutoff(self._reduction_factor) if can_prune else -math.inf
        rung.add(name, score)
        if score >= cutoff:
            return None
        value, limit = map(self._objective.as_score, (score, cutoff))
        side = "below" if value < limit else "above"
        return (
            f"{self._objective.name} {value:.4g} at rung {rung.updates:,.0f}, {side} {limit:.4g}: "
            f"not in the best 1/{self._reduction_factor:g} of {n_earlier} earlier trials"
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
