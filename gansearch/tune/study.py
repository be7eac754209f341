"""The run's Optuna study: its samplers, its journal, and telling it how trials ended."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.trial import Trial, TrialState

from gansearch.errors import BadInputError, ResultsError, StorageError, did_you_mean
from gansearch.own_measures import VALID_LL, Objective
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune.journal import Journal, drop_torn_line
from gansearch.tune.optuna_internals import running_trial_ids
from gansearch.tune.rows import Outcome

# Name of the Optuna constraint that marks collapsed and diverged trials: 1 for these, else -1.
UNHEALTHY = "unhealthy"
_STUDY = "gansearch"

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # Grouped: conditional parameters are modelled jointly with those that they appear with.
    "tpe": lambda seed: TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: GPSampler(seed=seed),
}


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return the Optuna sampler of that name, seeded.

    Raises:
        BadInputError: no such sampler.
    """
    if name not in SAMPLERS:
        raise BadInputError(f"--sampler {name}: no such sampler. {did_you_mean(name, SAMPLERS)}")
    with warnings.catch_warnings():
        # `group` is marked experimental since Optuna 2.8; the pinned version is tested.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name](seed)


def open_study(
    journal: Path, sampler: BaseSampler, faults: list[StorageError] | None = None
) -> optuna.Study:
    """Open or create the run's study in its journal file, which `optuna-dashboard` reads.

    Args:
        journal: the file.
        sampler: of the search.
        faults: list to which a failed write is added, since Tune would attribute the exception to
            a trial.
    """
    drop_torn_line(journal)
    return optuna.create_study(
        storage=JournalStorage(Journal(str(journal), [] if faults is None else faults)),
        sampler=sampler,
        study_name=_STUDY,
        direction="maximize",
        load_if_exists=True,
    )


def load_study(journal: Path) -> optuna.Study:
    """Open the study of a journal for reading.

    Raises:
        ResultsError: Optuna can't read it.
    """
    try:
        drop_torn_line(journal)
        return optuna.load_study(
            study_name=_STUDY, storage=JournalStorage(Journal(str(journal), []))
        )
    except Exception as error:  # Optuna raises anything on damaged lines
        raise ResultsError(
            f"{journal}: can't be read: {type(error).__name__}: {error}. It is damaged. Restore "
            "it from a copy, or start a new run."
        ) from error


def search_spec(number: int, run_seed: int, config: Config) -> TrialSpec:
    """Return the specification of trial `number` of a search."""
    seed = trial_seed(run_seed, "search", number)
    return TrialSpec(f"t{number:05d}", number, "search", seed, config.to_dict())


def enqueue_starts(study: optuna.Study, space: SearchSpace) -> None:
    """Enqueue the presets that the space starts from, so that they are tried first."""
    for preset in space.start_from:
        study.enqueue_trial(space.encode(space.preset(preset)))


def tell(study: optuna.Study, trial: Trial, outcome: Outcome, score: float | None = None) -> None:
    """Tell the study how a trial ended.

    A completed trial has its score; a pruned one is pruned; a collapsed or diverged one is pruned
    and infeasible, from which TPE learns where training dies; a failed one teaches nothing.
    """
    if outcome.status == "failed":
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr("status", outcome.status)
    trial.set_user_attr("reason", outcome.reason)
    trial.set_constraint(UNHEALTHY, 1.0 if outcome.status in ("collapsed", "diverged") else -1.0)
    if outcome.status == "completed":
        study.tell(trial, score)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def tell_known_ends(
    study: optuna.Study, rows: Iterable[Mapping[str, Any]], objective: Objective = VALID_LL
) -> None:
    """Tell the study how trials ended that run in the journal and have ended in the results.

    A driver that is killed between writing the two leaves such trials.

    Args:
        study: the run's study, just opened.
        rows: of the search's trials, as in `trials.parquet`.
        objective: what the search goes by.
    """
    running = running_trial_ids(study)
    for row in rows:
        if row["status"] != "running" and row["number"] in running:
            trial = Trial(study, running[row["number"]])
            tell(study, trial, Outcome(row["status"], row["reason"]), objective.score_of(row))
