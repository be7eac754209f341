"""Which trial a worker trains next: a new one, or one that waits, by its predicted final score.

Freeze-thaw (Swersky, Snoek and Adams 2014): a trial is paused instead of stopped, and goes on when
it promises more than the others. A trial ends early only when it promises less than what others
have reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gansearch.budget import NEW_SHARE, Budget
from gansearch.own_measures import VALID_LL, Objective
from gansearch.tune.curve_prediction import CurvePrediction, Prediction

# Trials that begin before any goes on beyond the grace.
_LEAST_BEGUN = 4
# A waiting trial is given up when the interval of this confidence lies below the best score.
_CONFIDENCE = 0.7


class Next(Enum):
    """What a worker is to do, if it isn't to continue a trial that waits."""

    NEW = "begin a new trial"
    WAIT = "wait until another trial pauses or ends"
    NOTHING = "no trial is left"


class Pausing(Protocol):
    """What decides which trials of a search pause and continue, by the names of its trials.

    Attributes:
        n_new: trials that the search may still begin; the searcher keeps it up to date.
    """

    n_new: int

    def begin(self, name: str) -> None:
        """Note that a trial trains: a new one, one that has waited, or one that is tried again."""

    def wait(self, name: str) -> None:
        """Note that a trial waits to be continued."""

    def add_score(self, name: str, updates: int, score: float) -> None:
        """Note a report of a trial."""

    def pauses(self, name: str) -> bool:
        """Return whether a running trial makes room for another; it then waits."""

    def end(self, name: str, score: float | None = None) -> None:
        """Note that a trial is over, with its final score if it was completed."""

    def withdraw(self, name: str) -> None:
        """Forget a trial that has collapsed, diverged or failed."""

    def choose(self) -> str | Next:
        """Return the trial that goes on next, or what else a worker does."""

    def give_up(self) -> dict[str, str]:
        """Return the waiting trials that end now, with the reason in words."""


@dataclass
class _Curve:
    """What a trial has reported, and up to which updates it trains before it may pause."""

    updates: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    level: float = 0.0

    @property
    def reached(self) -> int:
        return self.updates[-1] if self.updates else 0


class FreezeThaw:
    """Decides which trials of a search pause, continue and are given up.

    Names are those of the run's trials; scores are by `Objective.as_score`, more is better.

    Attributes:
        n_new: trials that the search may still begin; the searcher keeps it up to date.
    """

    def __init__(self, budget: Budget, objective: Objective = VALID_LL) -> None:
        self.n_new = 0
        self._objective = objective
        self._max_updates = budget.max_updates
        self._top = max(1, budget.top)
        self._levels = budget.pause_updates
        self._prediction = CurvePrediction(budget.max_updates, self._levels[0] / 2)
        self._curves: dict[str, _Curve] = {}
        self._running: set[str] = set()
        self._waiting: set[str] = set()
        self._completed: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """Note that a trial trains: a new one, one that has waited, or one that is tried again."""
        self._waiting.discard(name)
        self._running.add(name)
        curve = self._curves.setdefault(name, _Curve())
        curve.level = next((u for u in self._levels if u > curve.reached), self._max_updates)

    def wait(self, name: str) -> None:
        """Note that a trial of an earlier session waits to be continued."""
        self._running.discard(name)
        self._curves.setdefault(name, _Curve())
        self._waiting.add(name)

    def add_score(self, name: str, updates: int, score: float) -> None:
        """Note a report of a trial; one that is known already changes nothing."""
        curve = self._curves.setdefault(name, _Curve())
        if updates <= curve.reached:
            return
        curve.updates.append(updates)
        curve.scores.append(score)
        self._prediction.learn(curve.updates, curve.scores)

    def pauses(self, name: str) -> bool:
        """Return whether a running trial makes room for another; it then waits."""
        curve = self._curves[name]
        if not curve.updates or curve.reached < curve.level:
            return False
        if self._wants_new() or self._best_waiting(better_than=self._expected(name)) is not None:
            self.wait(name)
            return True
        self.begin(name)
        return False

    def end(self, name: str, score: float | None = None) -> None:
        """Note that a trial is over, with its final score if it was completed."""
        self._running.discard(name)
        self._waiting.discard(name)
        if score is not None:
            self._completed[name] = score

    def withdraw(self, name: str) -> None:
        """Forget a trial that has collapsed, diverged or failed."""
        self.end(name)
        self._completed.pop(name, None)

    def choose(self) -> str | Next:
        """Return the trial that goes on next, or what else a worker does."""
        if self._wants_new():
            return Next.NEW
        if (name := self._best_waiting()) is not None:
            return name
        if self.n_new > 0:
            return Next.NEW
        return Next.WAIT if self._running else Next.NOTHING

    def give_up(self) -> dict[str, str]:
        """Return the waiting trials that end now, with the reason in words."""
        if len(self._completed) < self._top:
            return {}
        best = max(self._completed.values())
        predictions = {name: self._predict(name) for name in self._waiting if self._has_score(name)}
        return {
            name: self._reason(name, prediction, best)
            for name, prediction in predictions.items()
            if prediction.high < best
        }

    def _wants_new(self) -> bool:
        """Return whether the next trial is a new one: by the share of updates for such."""
        if self.n_new <= 0:
            return False
        if len(self._curves) < _LEAST_BEGUN:
            return True
        grace = self._levels[0]
        planned = [
            max(curve.reached, curve.level if name in self._running else 0)
            for name, curve in self._curves.items()
        ]
        return sum(min(each, grace) for each in planned) <= NEW_SHARE * sum(planned)

    def _best_waiting(self, better_than: float = -math.inf) -> str | None:
        """Return the waiting trial with the best expected score; one without any comes first."""
        names: Iterable[str] = self._waiting
        best = max(names, key=lambda name: (self._expected(name), name), default=None)
        return None if best is None or self._expected(best) <= better_than else best

    def _expected(self, name: str) -> float:
        return self._predict(name).expected if self._has_score(name) else math.inf

    def _has_score(self, name: str) -> bool:
        return bool(self._curves[name].updates)

    def _predict(self, name: str) -> Prediction:
        curve = self._curves[name]
        return self._prediction.predict(curve.updates, curve.scores, confidence=_CONFIDENCE)

    def _reason(self, name: str, prediction: Prediction, best: float) -> str:
        shown = self._objective.as_score
        expected, limit, best = (shown(x) for x in (prediction.expected, prediction.high, best))
        bound, side = ("most", "below") if shown(1.0) > 0 else ("least", "above")
        return (
            f"{self._objective.name} at the end is predicted from {self._curves[name].reached:,} "
            f"updates as {expected:.4g}, at {bound} {limit:.4g}: {side} the best, {best:.4g}"
        )
