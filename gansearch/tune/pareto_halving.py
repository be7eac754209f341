"""Successive halving by several objectives: which trials are stopped, and at which rung."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gansearch.budget import Budget
from gansearch.own_measures import Objective
from gansearch.pareto import is_among_best, pareto_ranks
from gansearch.tune.halving import Halving, SuccessiveHalving


def make_halving(budget: Budget, objective: Objective) -> Halving[Any, Any]:
    """Return what stops trials for their score by one objective, or by several."""
    kind = ParetoHalving if objective.is_several else SuccessiveHalving
    return kind(budget, objective)


class ParetoHalving(Halving[tuple[float, ...], "ParetoRung"]):
    """Asynchronous successive halving by several objectives (Schmucker et al. 2021).

    A trial that reaches a rung continues if fewer than 1/reduction_factor of the trials that were
    there before go before it in `pareto_order`: those of earlier fronts, and those of its own front
    that add more variety.
    """

    @staticmethod
    def _make_rung(updates: float) -> ParetoRung:
        return ParetoRung(updates)

    def _why_not(self, rung: ParetoRung, score: tuple[float, ...]) -> str | None:
        # As by one objective, whose cut-off lies between the scores at these places.
        n_best = int((len(rung.scores) - 1) / self._reduction_factor) + 1
        return rung.why_not(score, n_best)


@dataclass
class ParetoRung:
    """The scores of all trials that have reached a number of updates.

    Attributes:
        updates: that a trial must have done to reach it.
        scores: by the trial's name.
    """

    updates: float
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def add(self, name: str, score: tuple[float, ...]) -> None:
        """Enter a trial's scores."""
        self.scores[name] = score

    def remove(self, name: str) -> tuple[float, ...]:
        """Remove a trial's scores, and return them."""
        return self.scores.pop(name)

    def why_not(self, score: tuple[float, ...], n_best: int) -> str | None:
        """Return why a newcomer is none of the best `n_best`; None if it is one of them."""
        place = len(self.scores)
        scores = np.array([*self.scores.values(), score])
        if is_among_best(scores, place, n_best):
            return None
        if pareto_ranks(scores, 1)[place] > 1:
            return "dominated by others"
        return "dominated by none, but adding less variety than others"
