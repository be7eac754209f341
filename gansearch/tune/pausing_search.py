"""The searcher and the scheduler of a search whose trials pause and go on (`freeze_thaw.py`).

To Tune a paused trial has ended, without an outcome; when it goes on, it is another of Tune's
trials with the same specification, which begins from the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from optuna.trial import Trial as OptunaTrial
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.freeze_thaw import Next, Pausing
from gansearch.tune.rows import Outcome
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import tell


class PausingSearcher(OptunaSearcher):
    """Proposes a new trial, or one that waits, as `pausing` chooses.

    Interrupted trials wait like paused ones.

    Args:
        pausing: what decides, which the scheduler informs.
        end: called with the run's id of a waiting trial that is given up, and its outcome.
    """

    def __init__(
        self,
        *arguments: Any,
        pausing: Pausing,
        end: Callable[[str, Outcome], None] = lambda *_: None,
        **others: Any,
    ) -> None:
        super().__init__(*arguments, **others)
        self._pausing = pausing
        self._end = end
        self._specs: dict[str, TrialSpec] = {}  # of those that train, by Tune's trial ids
        self._waiting: dict[str, tuple[TrialSpec, OptunaTrial | None]] = {}  # by the run's ids
        pausing.n_new = self._n_new
        for spec in self._interrupted:
            pausing.wait(spec.trial_id)
            self._waiting[spec.trial_id] = spec, self._running_trial(spec)
        self._interrupted = []

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next trial's `config`, that there is none, or None while none can go on."""
        chosen = self._choose()
        if chosen is Next.NEW:
            found = super().suggest(trial_id)
            if found == Searcher.FINISHED:  # none is left although there should be
                self._n_new = 0
            self._pausing.n_new = self._n_new
            if isinstance(found, dict):
                self._specs[trial_id] = TrialSpec.from_tune(found)
                return found
            chosen = self._choose()
        if isinstance(chosen, Next):
            return None if chosen is Next.WAIT else Searcher.FINISHED
        return self._continue(trial_id, chosen)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; one without an outcome is paused, and waits."""
        super().on_trial_complete(trial_id, result, error)
        if trial_id in self._outcomes:
            self._specs.pop(trial_id)
        if trial_id in self._outcomes or result is None:  # ended, or interrupted
            return
        spec = self._specs.pop(trial_id)
        trial = self._trials.pop(trial_id, None)
        if trial is not None:
            self._report_value(trial, StepResult.from_tune(result))
        self._waiting[spec.trial_id] = spec, trial

    def _choose(self) -> str | Next:
        """Return the trial that goes on next, or what else a worker does."""
        for name, reason in self._pausing.give_up().items():
            self._give_up(name, Outcome("pruned", reason))
        return self._pausing.choose()

    def _continue(self, trial_id: str, name: str) -> dict[str, Any]:
        spec, trial = self._waiting.pop(name)
        self._specs[trial_id] = spec
        if trial is not None:
            self._trials[trial_id] = trial
        return spec.to_tune()

    def _give_up(self, name: str, outcome: Outcome) -> None:
        _, trial = self._waiting.pop(name)
        self._pausing.end(name)
        if trial is not None:
            self.write_reports()
            self._attach(trial, name)
            tell(self._study, trial, outcome)
        self._end(name, outcome)


class PausingScheduler(GuardedScheduler):
    """Stops a trial for its health, and pauses it when `pausing` says so."""

    def __init__(self, *arguments: Any, pausing: Pausing, **others: Any) -> None:
        super().__init__(*arguments, halving=False, **others)
        self._pausing = pausing

    def replay(self, reports: Iterable[tuple[str, int, float]]) -> None:
        """Learn the reports of earlier sessions."""
        for name, updates, score in reports:
            self._pausing.add_score(name, updates, score)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Note that a trial trains: a new one, or one that goes on."""
        super().on_trial_add(tune_controller, trial)
        self._pausing.begin(name_of(trial))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on a report."""
        decision = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.CONTINUE and self._pausing.pauses(name_of(trial)):
            return str(TrialScheduler.STOP)  # without an outcome
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Record the outcome of a trial that has done all its updates."""
        super().on_trial_complete(tune_controller, trial, result)
        outcome = self.outcomes.get(trial.trial_id)
        if outcome is not None and outcome.status == "completed":
            score = StepResult.from_tune(result).stored_score(self._objective)
            self._pausing.end(name_of(trial), score)

    def _add_score(self, trial: Trial, step: StepResult) -> str | None:
        if (score := step.score(self._objective)) is not None:
            self._pausing.add_score(name_of(trial), step.updates, score)
        return None

    def _withdraw(self, trial: Trial, outcome: Outcome) -> None:
        super()._withdraw(trial, outcome)
        self._pausing.withdraw(name_of(trial))


def name_of(trial: Trial) -> str:
    """Return the run's id of a trial of Tune's."""
    return TrialSpec.from_tune(trial.config).trial_id
