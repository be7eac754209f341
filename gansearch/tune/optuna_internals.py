"""Every private name of Optuna's that gansearch uses; no other module has one.

A release of Optuna may move or change any of them without notice.
`tests/tune/test_optuna_internals.py` then fails by the name that is missing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, Trial, TrialState

_BEGINS_OR_ENDS = (JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_STATE_VALUES)


def begins_or_ends_a_trial(log: Mapping[str, Any]) -> bool:
    """Return whether a line of the journal creates a trial, or changes its state."""
    return log["op_code"] in _BEGINS_OR_ENDS


def running_trial_ids(study: optuna.Study) -> dict[int, int]:
    """Return the storage's ids of the trials that run, by their numbers; a `Trial` takes such."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.number: trial._trial_id for trial in running}


def reported_values(trial: Trial) -> dict[int, float]:
    """Return the intermediate values of a trial, by step, as the storage has them."""
    return trial.storage.get_trial(trial._trial_id).intermediate_values


class StudyWithEarlierTrials:
    """A study as samplers see it, with trials before its own that are not in its storage."""

    def __init__(self, study: optuna.Study, earlier: Sequence[FrozenTrial]) -> None:
        self._study, self._earlier = study, earlier

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Return the earlier trials, then the study's own."""
        earlier = (trial for trial in self._earlier if states is None or trial.state in states)
        return [*earlier, *self._study._get_trials(deepcopy, states, use_cache)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)
