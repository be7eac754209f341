"""The run's Optuna study: its journal, and telling it how trials ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.trial import Trial, TrialState

from gansearch.errors import ResultsError, StorageError, escape_unprintable
from gansearch.own_measures import VALID_LL, Objective
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune.journal import Journal, drop_torn_line
from gansearch.tune.optuna_internals import running_trial_ids
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import UNHEALTHY

# Attribute of a study that tells the two of a run apart, and its value for the replicas'.
PHASE, REPLICAS = "phase", "replicas"
STATES = {
    "running": TrialState.RUNNING,
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "collapsed": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def open_study(
    journal: Path,
    sampler: BaseSampler,
    faults: list[StorageError] | None = None,
    name: str | None = None,
) -> optuna.Study:
    """Open or create the study of a run's search in its journal, which `optuna-dashboard` reads.

    Args:
        journal: the file.
        sampler: of the search.
        faults: list to which a failed write is added, since Tune would attribute the exception to
            a trial.
        name: of the run; None for that of the journal's folder. A study that is there keeps its
            name, which in older versions was `gansearch`, and before a move the run's former one.
    """
    drop_torn_line(journal)
    storage = JournalStorage(Journal(str(journal), [] if faults is None else faults))
    if (there := _study_of_search(storage)) is not None:
        return optuna.load_study(study_name=there, storage=storage, sampler=sampler)
    return optuna.create_study(
        storage=storage,
        sampler=sampler,
        study_name=escape_unprintable(name or journal.absolute().parent.name),
        direction="maximize",
    )


def open_replica_study(
    journal: Path, faults: list[StorageError], name: str, *, minimize: bool
) -> optuna.Study:
    """Open or create the study of a run's replicas, `NAME-replicas` in the same journal."""
    drop_torn_line(journal)
    storage = JournalStorage(Journal(str(journal), faults))
    for there in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=there, storage=storage)
        if study.user_attrs.get(PHASE) == REPLICAS:
            return study
    study = optuna.create_study(
        storage=storage,
        sampler=RandomSampler(seed=0),
        study_name=f"{escape_unprintable(name)}-{REPLICAS}",
        direction="minimize" if minimize else "maximize",
        load_if_exists=True,  # a kill has left it without the attribute
    )
    study.set_user_attr(PHASE, REPLICAS)
    return study


def _study_of_search(storage: JournalStorage) -> str | None:
    """Return the name of the first study that is not the replicas'; None if there is none."""
    for name in optuna.get_all_study_names(storage):
        if optuna.load_study(study_name=name, storage=storage).user_attrs.get(PHASE) != REPLICAS:
            return name
    return None


def load_study(journal: Path) -> optuna.Study | None:
    """Open the study of a search for reading; None if the journal has none, as after `--only`.

    Raises:
        ResultsError: Optuna can't read it.
    """
    try:
        drop_torn_line(journal)
        storage = JournalStorage(Journal(str(journal), []))
        name = _study_of_search(storage)
        return None if name is None else optuna.load_study(study_name=name, storage=storage)
    except Exception as error:  # Optuna raises anything on damaged lines
        raise ResultsError(
            f"{journal}: can't be read: {type(error).__name__}: {error}. It is damaged. Restore "
            "it from a copy, or start a new run."
        ) from error


def is_unhealthy(status: str) -> bool:
    """Return whether a trial ended by a fault of its training."""
    return status in ("collapsed", "diverged")


def search_id(number: int) -> str:
    """Return the id of trial `number` of a search."""
    return f"t{number:05d}"


def search_spec(number: int, run_seed: int, config: Config) -> TrialSpec:
    """Return the specification of trial `number` of a search."""
    seed = trial_seed(run_seed, "search", number)
    return TrialSpec(search_id(number), number, "search", seed, config.to_dict())


def enqueue_starts(study: optuna.Study, space: SearchSpace) -> None:
    """Enqueue the presets that the space starts from, so that they are tried first."""
    for preset in space.start_from:
        study.enqueue_trial(space.encode(space.preset(preset)))


def tell(study: optuna.Study, trial: Trial, outcome: Outcome, score: float | None = None) -> None:
    """Tell the study how a trial ended.

    A completed trial has its score; a pruned one is pruned; a collapsed or diverged one is pruned
    and infeasible, from which TPE learns where training dies; a failed one teaches nothing.
    """
    trial.set_user_attr("status", outcome.status)
    trial.set_user_attr("reason", outcome.reason)
    if outcome.status == "failed":
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_constraint(UNHEALTHY, 1.0 if is_unhealthy(outcome.status) else -1.0)
    if outcome.status == "completed":
        study.tell(trial, score)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def tell_known_ends(
    study: optuna.Study,
    rows: Iterable[Mapping[str, Any]],
    objective: Objective = VALID_LL,
    attach: Callable[[Trial, str], None] = lambda *_: None,
) -> None:
    """Tell the study how trials ended that run in the journal and have ended in the results.

    A driver that is killed between writing the two leaves such trials.

    Args:
        study: the run's study, just opened.
        rows: of the search's trials, as in `trials.parquet`.
        objective: what the search goes by.
        attach: called with a trial that is about to end, and the run's id of it.
    """
    running = running_trial_ids(study)
    for row in rows:
        if row["status"] != "running" and row["number"] in running:
            trial = Trial(study, running[row["number"]])
            attach(trial, row["trial_id"])
            tell(study, trial, Outcome(row["status"], row["reason"]), objective.score_of(row))
