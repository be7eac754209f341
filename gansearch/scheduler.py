"""ASHA, guarded by the health verdict, with the reason a trial was stopped for.

A collapsed or diverged trial stops at once and leaves no mark on ASHA's rungs, so that it never
decides over a sound one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from gansearch.config import Budget
from gansearch.results import UNSOUND

_ENDED = (Trial.TERMINATED, Trial.ERROR)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its status in the results, and why in words."""

    status: str
    reason: str = ""


class GuardedScheduler(FIFOScheduler):
    """Stops a trial for its health first, then for its score as successive halving does.

    With `halving=False` no trial is stopped for its score: so replicas run.

    `outcomes` maps Tune's trial ids to outcomes; the searcher and the recorder read it.
    """

    def __init__(self, budget: Budget, *, halving: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outcomes: dict[str, Outcome] = {}
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
            self._halving.recall(trial.config["trial"]["trial_id"])

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
        verdict = result.get("verdict")
        if verdict in UNSOUND:
            self._bury(trial, Outcome(verdict, result["reason"]))
            return str(TrialScheduler.STOP)
        if not result["is_report"] or self._halving is None:
            return str(TrialScheduler.CONTINUE)
        name, updates, valid_ll = (
            trial.config["trial"]["trial_id"],
            result["updates"],
            result["valid_ll"],
        )
        if (reason := self._halving.admit(name, updates, valid_ll)) is None:
            return str(TrialScheduler.CONTINUE)
        self.outcomes[trial.trial_id] = Outcome("pruned", reason)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Keep the outcome of a trial that ended by itself."""
        if trial.trial_id in self.outcomes or not result.get("done"):
            return
        verdict = result.get("verdict")
        if verdict in UNSOUND:
            self._bury(trial, Outcome(verdict, result["reason"]))
            return
        if self._halving is not None:
            self._halving.admit(
                trial.config["trial"]["trial_id"], result["updates"], result["valid_ll"]
            )
        self.outcomes[trial.trial_id] = Outcome("completed")

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep the outcome of a trial whose worker failed for good."""
        self._bury(trial, Outcome("failed", _last_line(trial)))

    def _bury(self, trial: Trial, outcome: Outcome) -> None:
        self.outcomes[trial.trial_id] = outcome
        if self._halving is not None:
            self._halving.forget(trial.config["trial"]["trial_id"])


class _Halving:
    """Asynchronous successive halving (Li et al. 2020) over parameter updates, on Ray's rungs."""

    def __init__(self, budget: Budget) -> None:
        scheduler = AsyncHyperBandScheduler(
            time_attr="updates",
            metric="valid_ll",
            mode="max",
            max_t=budget.max_updates,
            grace_period=min(budget.grace_updates, budget.max_updates),
            reduction_factor=budget.reduction_factor,
        )
        (self._bracket,) = scheduler._brackets
        self._reduction_factor = budget.reduction_factor
        self._forgotten: dict[str, list[tuple[dict[str, float], float]]] = {}

    def admit(self, name: str, updates: int, valid_ll: float) -> str | None:
        """Enter a report at its rung; return why the trial stops there, or None to go on."""
        entered = [(m, r) for m, r in self._bracket._rungs if updates >= m and name not in r]
        trial = cast("Trial", _Named(name))
        stop = self._bracket.on_result(trial, updates, valid_ll) == TrialScheduler.STOP
        if not stop:
            return None
        rung, scores = entered[0]
        earlier = {key: score for key, score in scores.items() if key != name}
        if len(earlier) < self._reduction_factor:
            # Of so few the best 1/reduction_factor is nobody; Ray would stop a trial for being
            # second of two.
            return None
        cutoff = self._bracket.cutoff(earlier)
        return (
            f"valid_ll {valid_ll:.4g} at rung {rung:,.0f}, below {cutoff:.4g}: not in the best "
            f"1/{self._reduction_factor:g} of {len(earlier)} earlier trials"
        )

    def forget(self, name: str) -> None:
        """Take a trial's scores off all rungs."""
        rungs = [scores for _, scores in self._bracket._rungs if name in scores]
        self._forgotten[name] = [(scores, scores.pop(name)) for scores in rungs]

    def recall(self, name: str) -> None:
        """Put a trial's scores back on the rungs that they were taken from."""
        for scores, valid_ll in self._forgotten.pop(name, ()):
            scores[name] = valid_ll


@dataclass(frozen=True)
class _Named:
    """All that a bracket wants of a trial."""

    trial_id: str


def _last_line(trial: Trial) -> str:
    lines = str(trial.get_error() or trial.get_pickled_error() or "").strip().splitlines()
    return lines[-1] if lines else "the worker was lost"
