"""The sampler, the searcher and the scheduler of a search in a fixed order (`fixed_order.py`)."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from gansearch.seeds import trial_seed
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.fixed_order import FixedOrder
from gansearch.tune.optuna_internals import ShownSampler, without_constraints
from gansearch.tune.own_sampler import AUTO, is_named_by_place
from gansearch.tune.ray_internals import free_worker, train_on
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import EnumeratingSampler, make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher

# After so long without a training, a trial that waits makes room for one that has no worker.
_IDLE_SECONDS = 30.0
_ENDED = (Trial.TERMINATED, Trial.ERROR)


def make_ordered_sampler(name: str, run_seed: int, order: FixedOrder) -> BaseSampler:
    """Return a sampler whose proposals depend on the run's seed and on what `order` shows alone.

    It is made anew for each proposal, so that a resumed search proposes the same. Samplers that lie
    elsewhere, which may need what they keep in memory, are made once, and so is `qmc`, which counts
    its points by its seed.
    """
    seed = partial(trial_seed, run_seed, "sampler")
    sampler = make_sampler(name, seed(0))
    if isinstance(sampler, EnumeratingSampler):  # which `Proposals` knows by its class
        return sampler
    is_kept = is_named_by_place(name) or name in (AUTO, "qmc")
    return _OrderedSampler(name, sampler, None if is_kept else seed, order)


class _OrderedSampler(ShownSampler):
    """A sampler that is shown the study as it stands in a fixed order."""

    def __init__(self, name: str, sampler: BaseSampler, seed: Any, order: FixedOrder) -> None:
        super().__init__(sampler, partial(_as_running, order))
        self._name, self._seed = name, seed

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As `BaseSampler` says."""
        if self._seed is not None:
            self._sampler = make_sampler(self._name, self._seed(trial.number))
        super().before_trial(study, trial)


def _as_running(order: FixedOrder, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials with those that the next proposal may not know as running, without values."""
    hidden = order.hidden
    return [_running(trial) if trial.number in hidden else trial for trial in trials]


def _running(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.values, shown.intermediate_values = TrialState.RUNNING, None, {}
    shown.datetime_complete = None
    shown.system_attrs = without_constraints(trial.system_attrs)
    return shown


class OrderedSearcher(OptunaSearcher):
    """Proposes when `order` allows it, and tells it which trials begin and end."""

    def __init__(self, *arguments: Any, order: FixedOrder, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._order = order
        self._numbers: dict[str, int] = {}  # by Tune's trial ids
        self._failed: list[int] = []

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next trial's `config`, that there is none, or None while it must wait."""
        if not self._interrupted and self._n_new:
            if not self._order.may_propose:
                return None
            self._note_failures()
        found = super().suggest(trial_id)
        if found != Searcher.FINISHED:
            number = TrialSpec.from_tune(found).number  # type: ignore[arg-type]
            self._numbers[trial_id] = number
            self._order.begin(number)
        return found

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna and the order how a trial ended, unless it was interrupted."""
        super().on_trial_complete(trial_id, result, error)
        outcome = self._outcomes.get(trial_id)
        if outcome is not None and (number := self._numbers.pop(trial_id, None)) is not None:
            self._order.end(number, status=outcome.status)

    def note_failure(self, number: int) -> None:
        """Let the configuration be proposed again, once the next proposal may know of it."""
        self._failed.append(number)

    def _note_failures(self) -> None:
        hidden = self._order.hidden
        for number in sorted(set(self._failed) - hidden):
            self._failed.remove(number)
            super().note_failure(number)


class OrderedScheduler(GuardedScheduler):
    """Stops a trial for its health at once, and for its score when `order` can decide."""

    def __init__(self, *arguments: Any, order: FixedOrder, **others: Any) -> None:
        super().__init__(*arguments, halving=False, **others)
        self._order = order
        self._waiting: dict[int, Trial] = {}
        self._settled = 0  # the order's changes at the last look at those that wait
        self._trained_at = time.monotonic()
        self._open_trials: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """As the base class says."""
        super().on_trial_add(tune_controller, trial)
        if trial not in self._open_trials:
            self._open_trials.append(trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on a report: to stop, to go on, or to wait in its worker."""
        self._trained_at = time.monotonic()
        step = StepResult.from_tune(result)
        if self._stops_by_verdict(trial, step):
            return str(TrialScheduler.STOP)
        number = self._note(trial, step)
        if not step.is_evaluation or self._order.is_behind(number, step.updates):
            return str(TrialScheduler.CONTINUE)
        if self._order.must_wait(number):
            self._waiting[number] = trial
            return str(TrialScheduler.NOOP)
        return self._decide(number, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """As the base class says; a trial that has lost its worker waits no more."""
        self._waiting.pop(TrialSpec.from_tune(trial.config).number, None)
        super().on_trial_error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Let trials that wait go on or stop, if now it can be decided; then as the base class."""
        if self._waiting and self._settled != self._order.n_changes:
            self._settled = self._order.n_changes
            for number, trial in sorted(self._waiting.items(), key=lambda pair: pair[0]):
                self._settle(tune_controller, number, trial)
        chosen = super().choose_trial_to_run(tune_controller)
        if chosen is not None and self._waiting:
            self._make_room(tune_controller)
        return chosen

    def _settle(self, tune_controller: Any, number: int, trial: Trial) -> None:
        if trial.status != Trial.RUNNING:  # interrupted, or its worker was lost
            del self._waiting[number]
        elif not self._order.must_wait(number):
            del self._waiting[number]
            if self._decide(number, trial) == TrialScheduler.STOP:
                tune_controller.stop_trial(trial)
            else:
                train_on(tune_controller, trial)

    def _make_room(self, tune_controller: Any) -> None:
        """End the worker of a trial that waits, where all do that have one.

        A trial that has lost its worker may find no room, as when a node is lost, and others wait
        for it. The trial begins again from its checkpoint, and to the same numbers.
        """
        if time.monotonic() - self._trained_at < _IDLE_SECONDS:
            return
        self._open_trials = [trial for trial in self._open_trials if trial.status not in _ENDED]
        running = [trial for trial in self._open_trials if trial.status == Trial.RUNNING]
        if all(trial in self._waiting.values() for trial in running):
            self._trained_at = time.monotonic()
            freed = self._waiting.pop(max(self._waiting))
            free_worker(tune_controller, freed)
            self._await_start(freed)

    def _decide(self, number: int, trial: Trial) -> str:
        if (reason := self._order.decide(number)) is None:
            return str(TrialScheduler.CONTINUE)
        self.outcomes[trial.trial_id] = Outcome("pruned", reason)
        return str(TrialScheduler.STOP)

    def _note(self, trial: Trial, step: StepResult) -> int:
        number = TrialSpec.from_tune(trial.config).number
        if step.is_evaluation:
            self._order.report(number, step.updates, step.score(self._objective))
        return number

    def _add_score(self, trial: Trial, step: StepResult) -> None:
        self._note(trial, step)
