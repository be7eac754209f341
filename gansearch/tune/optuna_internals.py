"""Every private name of Optuna's that gansearch uses; no other module has one.

A release of Optuna may move or change any of them without notice.
`tests/tune/test_optuna_internals.py` then fails by the name that is missing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.study import Study
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, Trial, TrialState

_BEGINS_OR_ENDS = (JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_STATE_VALUES)


def begins_or_ends_a_trial(log: Mapping[str, Any]) -> bool:
    """Return whether a line of the journal creates a trial, or changes its state."""
    return log["op_code"] in _BEGINS_OR_ENDS


class QueuedTrialsStorage(JournalStorage):
    """Optuna's storage of a journal, which finds waiting trials without looking at all others.

    Every proposal asks for them; a trial that waits no more never waits again.
    """

    def __init__(self, backend: BaseJournalBackend) -> None:
        super().__init__(backend)
        # How many trials of a study were looked at, and which of them waited then.
        self._looked_at: dict[int, tuple[int, list[int]]] = {}

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """As `JournalStorage` says."""
        if states != (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        with self._thread_lock:
            self._sync_with_backend()
            known = self._replay_result
            ids = known._study_id_to_trial_ids.get(study_id, [])
            n, waited = self._looked_at.get(study_id, (0, []))
            trials = [known._trials[each] for each in (*waited, *ids[n:])]
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            self._looked_at[study_id] = len(ids), [trial._trial_id for trial in waiting]
            return copy.deepcopy(waiting) if deepcopy else waiting


def backend_of(study: optuna.Study) -> Any:
    """Return the backend of a study's journal; None for a study that has no journal."""
    return getattr(study._storage, "_backend", None)


def forget_where_lines_begin(backend: JournalFileBackend) -> None:
    """Let a journal forget where its lines begin, which would fill the memory, but for the last.

    The next read begins there.
    """
    last = max(backend._log_number_offset)
    backend._log_number_offset = {0: 0, last: backend._log_number_offset[last]}


def running_trial_ids(study: optuna.Study) -> dict[int, int]:
    """Return the storage's ids of the trials that run, by their numbers; a `Trial` takes such."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.number: trial._trial_id for trial in running}


def report_all(study: optuna.Study, reports: Sequence[tuple[Trial, int, float]]) -> None:
    """Report values of trials, as `Trial.report` does, with one write to a journal for all.

    Args:
        study: of the trials.
        reports: trial, step and value of each, none of them reported before.
    """
    storage = study._storage
    if not isinstance(storage, JournalStorage):
        for trial, step, value in reports:
            trial.report(value, step)
        return
    with storage._thread_lock:
        storage._backend.append_logs(
            [
                {
                    "op_code": JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
                    "worker_id": storage._replay_result.worker_id,
                    "trial_id": trial._trial_id,
                    "step": step,
                    "intermediate_value": value,
                }
                for trial, step, value in reports
            ]
        )
        storage._sync_with_backend()


def reported_values(trial: Trial) -> dict[int, float]:
    """Return the intermediate values of a trial, by step, as the storage has them."""
    return trial.storage.get_trial(trial._trial_id).intermediate_values


def without_constraints(system_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's system attributes without those that hold its constraints."""
    return {
        key: value
        for key, value in system_attrs.items()
        if key.partition(":")[0] != _CONSTRAINTS_KEY
    }


# What a sampler is shown of a study's trials.
Show = Callable[[Sequence[FrozenTrial]], list[FrozenTrial]]


class _ShownStudy(Study):
    """A study as a sampler is shown it: with other trials, and one that no sampler can stop.

    One of several objectives has its own trials: it is told of all that ended as complete.
    """

    def __init__(self, study: Study, show: Show) -> None:
        vars(self).update(vars(study))
        self._study, self._show = study, show

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        del use_cache  # of this very thread's last call, as it was stored
        trials = self._study._get_trials(deepcopy=deepcopy)
        if not self._study._is_multi_objective():
            trials = self._show(trials)
        return [trial for trial in trials if states is None or trial.state in states]

    def stop(self) -> None:
        """Do nothing: the search ends when `Proposals` has no other configuration."""


class ShownSampler(BaseSampler):
    """A sampler that is shown a study's trials as `show` returns them."""

    def __init__(self, sampler: BaseSampler, show: Show) -> None:
        self._sampler, self._show = sampler, show

    def reseed_rng(self) -> None:
        """As `BaseSampler` says."""
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As `BaseSampler` says."""
        self._sampler.before_trial(_ShownStudy(study, self._show), trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As `BaseSampler` says."""
        shown = _ShownStudy(study, self._show)
        return self._sampler.infer_relative_search_space(shown, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As `BaseSampler` says."""
        shown = _ShownStudy(study, self._show)
        return self._sampler.sample_relative(shown, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As `BaseSampler` says."""
        shown = _ShownStudy(study, self._show)
        return self._sampler.sample_independent(shown, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As `BaseSampler` says."""
        self._sampler.after_trial(_ShownStudy(study, self._show), trial, state, values)


class CmaEsWithoutPickles(CmaEsSampler):
    """Optuna's CMA-ES, which computes its state from the trials whenever it needs it.

    Optuna stores that state in the study as a pickle. gansearch reads no pickle back: whoever sends
    a run would send code.
    """

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> None:
        self._known_trials = completed_trials

    def _init_optimizer(self, trans: Any, direction: optuna.study.StudyDirection) -> Any:
        optimizer = super()._init_optimizer(trans, direction)
        sign = 1 if direction == optuna.study.StudyDirection.MINIMIZE else -1
        n = optimizer.population_size
        while len(found := self._solutions(optimizer.generation)) >= n:
            optimizer.tell([(trans.transform(t.params), sign * t.values[0]) for t in found[:n]])
        return optimizer

    def _solutions(self, generation: int) -> list[FrozenTrial]:
        return self._get_solution_trials(self._known_trials, generation)

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        del optimizer_str  # which would be stored
        return {}

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Do what Optuna's does, without its warning that it doesn't use constraints."""
        self._independent_sampler.after_trial(study, trial, state, values)
