"""Decisions of a search in a fixed order: the same with any number of workers (`--deterministic`).

With several workers, which trial reports first depends on their speed. Here nothing does:

- A proposal goes by the trials before it but the last WINDOW - 1, and waits until these have ended.
  The last are shown to the sampler as running, whether they have ended or not.
- At a rung, a trial is compared with the trials before it that reach this rung, and waits until
  each of them has come there or has ended.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL, Objective
from gansearch.tune.halving import SuccessiveHalving

# Trials that are under way at a time, at most. It is part of what decides a search, so that it does
# not depend on the machine: with more, workers wait less, and the sampler learns later.
WINDOW = 8

_SOUND = ("completed", "pruned")  # ends of trials whose scores count for others


@dataclass
class _Trial:
    """What is known of a trial: its scores by the rungs that it has reached, None for none.

    A trial that is over counts for all decisions of a trial that was proposed later, unless its end
    says that its scores mean nothing (`is_sound`).
    """

    updates: int = 0
    scores: dict[float, float | None] = field(default_factory=dict)
    decided: set[float] = field(default_factory=set)
    is_over: bool = False
    is_sound: bool = True


class FixedOrder:
    """The trials of a search by their numbers, and what may be decided of them.

    Args:
        budget: with the rungs.
        objective: of the scores.
        window: trials that are under way at a time, at most.

    Attributes:
        n_changes: how often anything has become known.
    """

    def __init__(
        self, budget: Budget, objective: Objective = VALID_LL, *, window: int = WINDOW
    ) -> None:
        self.n_changes = 0
        self._rungs = budget.rung_updates
        self._budget, self._objective = budget, objective
        self._window = window
        self._numbers: list[int] = []  # ascending
        self._trials: dict[int, _Trial] = {}
        self._n_over = 0  # of the first trials, all of which are over

    @property
    def may_propose(self) -> bool:
        """Whether all trials have ended that the next proposal goes by."""
        return self._n_over >= self._n_known

    @property
    def hidden(self) -> set[int]:
        """The numbers of the trials that are shown as running to the next proposal."""
        return set(self._numbers[self._n_known :])

    def begin(self, number: int) -> None:
        """Add a trial, which was just proposed."""
        if number not in self._trials:
            self._numbers.append(number)
            self._trials[number] = _Trial()

    def recall(
        self, rows: Iterable[Mapping[str, Any]], reports: Iterable[tuple[int, int, float | None]]
    ) -> None:
        """Take over the trials of earlier sessions.

        Args:
            rows: of all trials of the search, as in `trials.parquet`.
            reports: number, updates and score of each report, in the order of each trial's updates.
        """
        known = sorted(rows, key=lambda row: int(row["number"]))
        for row in known:
            self.begin(int(row["number"]))
        for number, updates, score in reports:
            self.report(number, updates, score)
        for row in known:
            if row["status"] != "running":
                self.end(int(row["number"]), status=row["status"])

    def report(self, number: int, updates: int, score: float | None) -> None:
        """Note an evaluation of a trial; one that repeats changes nothing."""
        trial = self._trials[number]
        if updates <= trial.updates:
            return
        trial.updates = updates
        # The first evaluation at or after a rung counts there, and for the rungs that it skips none
        # does.
        for rung in self._rungs:
            if rung <= updates and rung not in trial.scores:
                is_last = rung == self._highest(updates)
                trial.scores[rung] = score if is_last else None
        self.n_changes += 1

    def end(self, number: int, status: str) -> None:
        """Note how a trial ended."""
        self._trials[number].is_over = True
        self._trials[number].is_sound = status in _SOUND
        while (
            self._n_over < len(self._numbers) and self._trials[self._numbers[self._n_over]].is_over
        ):
            self._n_over += 1
        self.n_changes += 1

    def is_behind(self, number: int, updates: int) -> bool:
        """Return whether more of a trial is known than `updates`, which a new worker repeats."""
        return updates < self._trials[number].updates

    def must_wait(self, number: int) -> bool:
        """Return whether a trial stands at a rung that others before it have still to reach."""
        rung = self._undecided(number)
        return rung is not None and not all(
            self._trials[other].is_over or self._trials[other].updates >= rung
            for other in self._before(number)
        )

    def decide(self, number: int) -> str | None:
        """Return why a trial that need not wait stops where it stands, or None."""
        if (rung := self._undecided(number)) is None:
            return None
        trial = self._trials[number]
        trial.decided.add(rung)
        if (score := trial.scores[rung]) is None:
            return None
        halving = SuccessiveHalving(self._budget, self._objective)
        place = bisect.bisect_left(self._numbers, number)
        for rank, other in enumerate(self._numbers[:place]):
            earlier = self._trials[other]
            # A fault that is found later than the proposal may come before or after this decision.
            counts = earlier.is_sound or rank > place - self._window
            if counts and (other_score := earlier.scores.get(rung)) is not None:
                halving.add_score(str(other), math.ceil(rung), other_score)
        return halving.add_score(str(number), math.ceil(rung), score)

    @property
    def _n_known(self) -> int:
        return max(0, len(self._numbers) - self._window + 1)

    def _before(self, number: int) -> list[int]:
        """Return the trials before one that may be under way while it is."""
        place = bisect.bisect_left(self._numbers, number)
        return self._numbers[max(0, place - self._window + 1) : place]

    def _highest(self, updates: int) -> float | None:
        return max((rung for rung in self._rungs if rung <= updates), default=None)

    def _undecided(self, number: int) -> float | None:
        """Return the rung at which a trial stands, if nothing has been decided there."""
        trial = self._trials[number]
        rung = self._highest(trial.updates)
        return None if rung is None or rung in trial.decided else rung
