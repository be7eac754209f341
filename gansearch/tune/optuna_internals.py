"""Every private name of Optuna's that gansearch uses; no other module has one.

A release of Optuna may move or change any of them without notice.
`tests/tune/test_optuna_internals.py` then fails by the name that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import Trial, TrialState

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
