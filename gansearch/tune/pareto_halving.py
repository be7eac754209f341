"""Successive halving by several objectives: which trials are stopped, and at which rung."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gansearch.budget import Budget
from gansearch.own_measures import Objective, listed
from gansearch.pareto import is_among_best, pareto_ranks
from gansearch.tune.halving import SuccessiveHalving


class Halving(Protocol):
    """Decides which trials are stopped for their score."""

    def add_score(self, name: str, updates: int, score: Any) -> str | None:
        """Enter a trial's rating at its rung; return why it stops there, or None."""

    def withdraw(self, name: str) -> None:
        """Remove a trial's ratings from all rungs."""

    def restore(self, name: str) -> None:
        """Put a trial's withdrawn ratings back on their rungs."""


def make_halving(budget: Budget, objective: Objective) -> Halving:
    """Return what stops trials for their score by one objective, or by several."""
    kind = ParetoHalving if objective.is_several else SuccessiveHalving
    return kind(budget, objective)


class ParetoHalving:
    """Asynchronous successive halving by several objectives (Schmucker et al. 2021).

    A trial that reaches a rung continues if fewer than 1/reduction_factor of the trials that were
    there before go before it in `pareto_order`: those of earlier fronts, and those of its own front
    that add more variety.
    """

    def __init__(self, budget: Budget, objective: Objective) -> None:
        self._objective = objective
        self._reduction_factor = budget.reduction_factor
        self._rungs = [ParetoRung(updates) for updates in budget.rung_updates]  # the lowest first
        self._withdrawn: dict[str, list[tuple[ParetoRung, tuple[float, ...]]]] = {}

    def add_score(self, name: str, updates: int, score: tuple[float, ...]) -> str | None:
        """Enter a trial's scores, by `Objective.scores_of`, at its rung.

        Returns:
            Why the trial stops there, or None.
        """
        reached = [rung for rung in self._rungs if updates >= rung.updates]
        if not reached or name in reached[-1].scores:
            return None
        rung, n_earlier = reached[-1], len(reached[-1].scores)
        # As by one objective, whose cut-off lies between the scores at these places.
        n_best = int((n_earlier - 1) / self._reduction_factor) + 1
        rung.scores[name] = score
        # Fewer earlier trials have no best 1/reduction_factor: the second of two would be stopped.
        if n_earlier < self._reduction_factor or (why := rung.why_not(name, n_best)) is None:
            return None
        values = [
            f"{each.name} {each.as_score(value):.4g}"
            for each, value in zip(self._objective.all, score, strict=True)
        ]
        return (
            f"{listed(values)} at rung {rung.updates:,.0f}, {why}: "
            f"not in the best 1/{self._reduction_factor:g} of {n_earlier} earlier trials"
        )

    def withdraw(self, name: str) -> None:
        """Remove a trial's scores from all rungs."""
        withdrawn = self._withdrawn.setdefault(name, [])
        withdrawn += [(rung, rung.scores.pop(name)) for rung in self._rungs if name in rung.scores]

    def restore(self, name: str) -> None:
        """Put a trial's withdrawn scores back on their rungs."""
        for rung, score in self._withdrawn.pop(name, ()):
            rung.scores.setdefault(name, score)


@dataclass
class ParetoRung:
    """The scores of all trials that have reached a number of updates.

    Attributes:
        updates: that a trial must have done to reach it.
        scores: by the trial's name.
    """

    updates: float
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def why_not(self, name: str, n_best: int) -> str | None:
        """Return why a trial is none of the best `n_best`; None if it is one of them."""
        place = list(self.scores).index(name)
        scores = np.array(list(self.scores.values()))
        if is_among_best(scores, place, n_best):
            return None
        if pareto_ranks(scores, 1)[place] > 1:
            return "dominated by others"
        return "which none dominates, but others add more variety"
