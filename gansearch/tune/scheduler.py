"""ASHA, guarded by the health verdict, with the reason a trial was stopped for.

A collapsed or diverged trial stops at once and leaves no mark on ASHA's rungs, so that it never
decides over a sound one.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from gansearch.budget import Budget
from gansearch.system.failures import Failure, failure_of
from gansearch.system.machine import n_oom_kills
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.retries import Retries

_ENDED = (Trial.TERMINATED, Trial.ERROR)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its status in the results, and why in words."""

    status: str
    reason: str = ""


class GuardedScheduler(FIFOScheduler):
    """Stops a trial for its health first, then for its score as successive halving does.

    With `halving=False` no trial is stopped for its score: so replicas run. `retries` decides on
    attempts that failed; by default they are made again where they were.

    `outcomes` maps Tune's trial ids to outcomes, and `failures` to what the latest attempt failed
    of; the searcher and the recorder read them.
    """

    def __init__(self, budget: Budget, *, halving: bool, retries: Retries | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, Failure] = {}
        self._retries = retries or Retries()
        self._n_oom_kills = n_oom_kills()
        self._open: list[Trial] = []
        self._halving = _Halving(budget) if halving else None

    def replay(self, reports: Iterable[tuple[str, int, float]]) -> None:
        """Fill the rungs from earlier (trial_id, updates, valid_ll), in their order.

        Ray does not restore a scheduler's state; the history has all that is needed.
        """
        if self._halving is not None:
            for name, updates, valid_ll in reports:
                self._halving.admit(name, updates, valid_ll)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take in a trial, or forget the failure of one tried again: its scores count as before."""
        if trial not in self._open:
            self._open.append(trial)
        if self.outcomes.pop(trial.trial_id, None) and self._halving is not None:
            self._halving.recall(TrialSpec.from_tune(trial.config).trial_id)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the trial that has waited longest, if one waits.

        Ray's own looks at every trial that ever was, and is asked at every report.
        """
        self._open = [trial for trial in self._open if trial.status not in _ENDED]
        for status in (Trial.PENDING, Trial.PAUSED):
            for trial in self._open:
                if trial.status == status:
                    return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on a report, and keep the outcome of a trial that stops."""
        step = StepResult.from_tune(result)
        if self._is_dead(trial, step):
            return str(TrialScheduler.STOP)
        if (reason := self._admit(trial, step)) is None:
            return str(TrialScheduler.CONTINUE)
        self.outcomes[trial.trial_id] = Outcome("pruned", reason)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Keep the outcome of a trial that ended by itself."""
        if trial.trial_id in self.outcomes or not result.get("done"):
            return
        step = StepResult.from_tune(result)
        if not self._is_dead(trial, step):
            self._admit(trial, step)
            self.outcomes[trial.trial_id] = Outcome("completed")

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep what an attempt failed of: the trial's outcome, unless Tune makes another.

        Tune has stopped a trial that it will try again, and not yet one that it gives up.
        """
        failure = self._failure(trial)
        self.failures[trial.trial_id] = failure
        is_alone = TrialSpec.from_tune(trial.config).is_alone
        also = " Alone there, it ran out too." if is_alone else ""
        reason = failure.reason + (also if failure.kind == "memory" else "")
        self._bury(trial, Outcome("failed", reason))
        if trial.status == Trial.ERROR:
            self._retries.prepare(trial, failure)

    def _is_dead(self, trial: Trial, step: StepResult) -> bool:
        """Return whether the verdict ends a trial, and keep its outcome if so."""
        if step.verdict is None or not step.is_unsound:
            return False
        self._bury(trial, Outcome(step.verdict.status, step.verdict.reason))
        return True

    def _admit(self, trial: Trial, step: StepResult) -> str | None:
        """Enter a report at its rung; return why the trial stops there, or None to go on."""
        if self._halving is None or step.valid_ll is None:
            return None
        name = TrialSpec.from_tune(trial.config).trial_id
        return self._halving.admit(name, step.updates, step.valid_ll)

    def _failure(self, trial: Trial) -> Failure:
        told = _told(trial)
        failure = failure_of(told)
        n_new = n_oom_kills() - self._n_oom_kills
        if not n_new or failure.kind not in ("engine", "worker"):
            return failure
        self._n_oom_kills += 1  # one process, one trial
        return failure_of(told, n_oom_kills=n_new)

    def _bury(self, trial: Trial, outcome: Outcome) -> None:
        self.outcomes[trial.trial_id] = outcome
        if self._halving is not None:
            self._halving.forget(TrialSpec.from_tune(trial.config).trial_id)


class _Halving:
    """Asynchronous successive halving (Li et al. 2020) over parameter updates."""

    def __init__(self, budget: Budget) -> None:
        self._reduction_factor = budget.reduction_factor
        self._rungs: list[_Rung] = []  # the lowest first
        updates = float(min(budget.grace_updates, budget.max_updates))
        while updates <= budget.max_updates:
            self._rungs.append(_Rung(updates))
            updates *= budget.reduction_factor
        self._forgotten: dict[str, list[tuple[_Rung, float]]] = {}

    def admit(self, name: str, updates: int, valid_ll: float) -> str | None:
        """Enter a report at its rung; return why the trial stops there, or None to go on."""
        reached = [rung for rung in self._rungs if updates >= rung.updates]
        if not reached or name in reached[-1].scores:
            return None
        rung, n_earlier = reached[-1], len(reached[-1].scores)
        # Of too few the best 1/reduction_factor is nobody: the second of two would be stopped.
        is_judged = n_earlier >= self._reduction_factor
        cutoff = rung.cutoff(self._reduction_factor) if is_judged else -math.inf
        rung.add(name, valid_ll)
        if valid_ll >= cutoff:
            return None
        return (
            f"valid_ll {valid_ll:.4g} at rung {rung.updates:,.0f}, below {cutoff:.4g}: not in the "
            f"best 1/{self._reduction_factor:g} of {n_earlier} earlier trials"
        )

    def forget(self, name: str) -> None:
        """Take a trial's scores off all rungs."""
        rungs = [rung for rung in self._rungs if name in rung.scores]
        kept = self._forgotten.setdefault(name, [])
        kept += [(rung, rung.remove(name)) for rung in rungs]

    def recall(self, name: str) -> None:
        """Put a trial's scores back on the rungs that they were taken from."""
        for rung, valid_ll in self._forgotten.pop(name, ()):
            if name not in rung.scores:
                rung.add(name, valid_ll)


class _Rung:
    """The scores of all trials that have come to so many updates, which it keeps sorted.

    Attributes:
        updates: where it stands.
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
        """Take a trial's score off, and return it."""
        score = self.scores.pop(name)
        del self._sorted[bisect.bisect_left(self._sorted, score)]
        return score

    def cutoff(self, reduction_factor: float) -> float:
        """Return the score from which one belongs to the best 1/reduction_factor of those here.

        It is NumPy's percentile, linear between two scores, without a look at all of them.
        """
        position = (1 - 1 / reduction_factor) * (len(self._sorted) - 1)
        below = math.floor(position)
        above = min(below + 1, len(self._sorted) - 1)
        low, high = self._sorted[below], self._sorted[above]
        return low + (position - below) * (high - low)


def _told(trial: Trial) -> str:
    """Return what Tune has written of a trial's failures, the last one at the end."""
    # It writes on this machine; what `get_error` reads in the storage lags behind.
    path = trial.error_file
    return Path(path).read_text() if path and Path(path).exists() else ""
