"""The Tune scheduler: stops trials by their health verdict, then by successive halving.

A collapsed or diverged trial stops at once, and its scores leave the rungs, so that they never
decide about a sound trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL, Objective
from gansearch.system.failures import Failure, failure_of
from gansearch.system.machine import n_oom_kills
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.pareto_halving import make_halving
from gansearch.tune.retries import Retries
from gansearch.tune.rows import Outcome

_UNSTARTED = (Trial.PENDING, Trial.PAUSED)


class GuardedScheduler(FIFOScheduler):
    """Stops a trial for its health first, then for its score as successive halving does.

    With `halving=False`, as for replicas, no trial is stopped for its score. `retries` decides how
    a failed attempt is repeated; by default with the same resources.

    `outcomes` maps Tune's trial ids to outcomes, and `failures` to the causes of the latest failed
    attempts; the searcher and the recorder read both. Scores are those of `objective`.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        halving: bool,
        retries: Retries | None = None,
        objective: Objective = VALID_LL,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, Failure] = {}
        self._retries = retries or Retries()
        self._n_oom_kills = n_oom_kills()
        self._unstarted: list[Trial] = []  # in the order in which they start
        self._objective = objective
        self._halving = make_halving(budget, objective) if halving else None

    def replay(self, reports: Iterable[tuple[str, int, Any]]) -> None:
        """Fill the rungs from the reports of earlier sessions, in their order.

        Ray does not restore a scheduler's state; the history has all that is needed.

        Args:
            reports: trial_id, updates and score of each, or scores by several objectives.
        """
        if self._halving is not None:
            for name, updates, score in reports:
                self._halving.add_score(name, updates, score)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add a new trial, or drop the failure of a retried one, whose scores count again."""
        self._await_start(trial)
        if self.outcomes.pop(trial.trial_id, None) and self._halving is not None:
            self._halving.restore(TrialSpec.from_tune(trial.config).trial_id)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the trial that has waited longest, if any.

        Ray's own method looks at every trial of the experiment, and is called at every report.
        """
        self._unstarted = [trial for trial in self._unstarted if trial.status in _UNSTARTED]
        for status in _UNSTARTED:
            for trial in self._unstarted:
                if trial.status == status:
                    return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on a report, and record the outcome of a trial that stops."""
        step = StepResult.from_tune(result)
        if self._stops_by_verdict(trial, step):
            return str(TrialScheduler.STOP)
        if (reason := self._add_score(trial, step)) is None:
            return str(TrialScheduler.CONTINUE)
        self.outcomes[trial.trial_id] = Outcome("pruned", reason)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Record the outcome of a trial that has done all its updates."""
        if trial.trial_id in self.outcomes or not result.get("done"):
            return
        step = StepResult.from_tune(result)
        if not step.done:  # stopped without an outcome, which Tune calls done too
            return
        if not self._stops_by_verdict(trial, step):
            self._add_score(trial, step)
            verdict = step.verdict
            reason = verdict.reason if verdict and verdict.status == "collapsed" else ""
            self.outcomes[trial.trial_id] = Outcome("completed", reason)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Record why an attempt failed: the trial's outcome, unless Tune retries it.

        At this call Tune has stopped a trial that it will retry, and not yet one that it gives up.
        """
        failure = self._failure(trial)
        self.failures[trial.trial_id] = failure
        if failure.kind == "gpu":
            return  # the run ends, and the trial goes on when it is resumed
        is_alone = TrialSpec.from_tune(trial.config).is_alone
        also = " Alone there, it ran out too." if is_alone else ""
        reason = failure.reason + (also if failure.kind == "memory" else "")
        self._withdraw(trial, Outcome("failed", reason))
        if trial.status == Trial.ERROR:
            self._retries.prepare(trial, failure)

    def may_retry(self, trial: Trial) -> bool:
        """Return whether a failed trial may be tried again: not if its code is at fault."""
        return failure_of(_error_text(trial)).kind != "code"

    def _await_start(self, trial: Trial) -> None:
        if trial not in self._unstarted:
            self._unstarted.append(trial)

    def _stops_by_verdict(self, trial: Trial, step: StepResult) -> bool:
        """Return whether the verdict ends a trial, and record its outcome if so."""
        if step.verdict is None or not step.is_unsound:
            return False
        self._withdraw(trial, Outcome(step.verdict.status, step.verdict.reason))
        return True

    def _add_score(self, trial: Trial, step: StepResult) -> str | None:
        """Enter a report's score at its rung; return why the trial stops there, or None."""
        if self._halving is None or (score := step.rating(self._objective)) is None:
            return None
        name = TrialSpec.from_tune(trial.config).trial_id
        return self._halving.add_score(name, step.updates, score)

    def _failure(self, trial: Trial) -> Failure:
        text = _error_text(trial)
        failure = failure_of(text)
        n_new = n_oom_kills() - self._n_oom_kills
        if not n_new or failure.kind not in ("engine", "worker"):
            return failure
        self._n_oom_kills += 1  # one process, one trial
        return failure_of(text, n_oom_kills=n_new)

    def _withdraw(self, trial: Trial, outcome: Outcome) -> None:
        """Record an outcome, and withdraw the trial's scores from the rungs."""
        self.outcomes[trial.trial_id] = outcome
        if self._halving is not None:
            self._halving.withdraw(TrialSpec.from_tune(trial.config).trial_id)


def _error_text(trial: Trial) -> str:
    """Return what Tune has written about a trial's failures, the latest at the end."""
    # Tune writes it on this machine; `get_error` reads the copy in the storage, which lags behind.
    path = trial.error_file
    return Path(path).read_text() if path and Path(path).exists() else ""
