"""The run's Optuna study: its journal, and telling it how trials ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.trial import Trial, TrialState

from gansearch.errors import ResultsError, StorageError, escape_unprintable
from gansearch.own_measures import VALID_LL, Objective, Rating
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune.journal import Journal, drop_stale_lock, drop_torn_line, journal_batch
from gansearch.tune.optuna_internals import QueuedTrialsStorage, running_trial_ids
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import UNHEALTHY

# With several objectives, that of trials that didn't end: the share of their budget that is left.
UNFINISHED = "unfinished"
# Attribute of a study that tells the two of a run apart, and its value for the replicas'.
PHASE, REPLICAS = "phase", "replicas"
# Attribute of the study of a search: how often the run's space had changed before.
N_CHANGES = "n_changes_of_space"
STATES = {
    "running": TrialState.RUNNING,
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "collapsed": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_TEACHING = ("completed", "pruned", "collapsed", "diverged")


def open_study(
    journal: Path,
    sampler: BaseSampler,
    faults: list[StorageError] | None = None,
    name: str | None = None,
    n_objectives: int = 1,
) -> optuna.Study:
    """Open or create the study of a run's search in its journal, which `optuna-dashboard` reads.

    Args:
        journal: the file.
        sampler: of the search.
        faults: list to which a failed write is added, since Tune would attribute the exception to
            a trial.
        name: of the run; None for that of the journal's folder. A study that is there keeps its
            name, which in older versions was `gansearch`, and before a move the run's former one.
        n_objectives: of a study that is created.
    """
    drop_stale_lock(journal)
    drop_torn_line(journal)
    storage = QueuedTrialsStorage(Journal(str(journal), [] if faults is None else faults))
    if (there := _study_of_search(storage)) is not None:
        return optuna.load_study(study_name=there, storage=storage, sampler=sampler)
    return optuna.create_study(
        storage=storage,
        sampler=sampler,
        study_name=escape_unprintable(name or journal.absolute().parent.name),
        directions=["maximize"] * n_objectives,
    )


def begin_study(
    former: optuna.Study,
    journal: Path,
    sampler: BaseSampler,
    faults: list[StorageError],
    n_changes: int,
) -> optuna.Study:
    """Create the study of a changed space beside the former one, whose open trials end there.

    Optuna allows no other choices of a parameter within one study. The new one must be given its
    attribute `N_CHANGES` once it is complete.
    """
    storage = QueuedTrialsStorage(Journal(str(journal), faults))
    first = former.study_name
    if former.user_attrs.get(N_CHANGES):
        first = first.rpartition("-space-")[0]
    name = f"{first}-space-{n_changes + 1}"
    if name in optuna.get_all_study_names(storage):  # a kill has left it incomplete
        optuna.delete_study(study_name=name, storage=storage)
    for trial in former.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        former.tell(trial.number, state=TrialState.FAIL)
    return optuna.create_study(
        storage=storage, sampler=sampler, study_name=name, directions=former.directions
    )


def open_replica_study(
    journal: Path, faults: list[StorageError], name: str, *, minimize: Sequence[bool]
) -> optuna.Study:
    """Open or create the study of a run's replicas, `NAME-replicas` in the same journal.

    `minimize` says of each objective whether less of it is better.
    """
    drop_stale_lock(journal)
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
        directions=["minimize" if each else "maximize" for each in minimize],
        load_if_exists=True,  # a kill has left it without the attribute
    )
    study.set_user_attr(PHASE, REPLICAS)
    return study


def _study_of_search(storage: JournalStorage) -> str | None:
    """Return the name of the study of the present space, not the replicas'; None if there is none.

    The first of those for which the space had changed most often: one that a kill has left
    unfinished does not say so yet.
    """
    found: dict[int, str] = {}
    for name in optuna.get_all_study_names(storage):
        attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
        if attributes.get(PHASE) != REPLICAS:
            found.setdefault(attributes.get(N_CHANGES, 0), name)
    return found[max(found)] if found else None


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


def enqueue_starts(
    study: optuna.Study,
    space: SearchSpace,
    more: Iterable[Config] = (),
    *,
    tried: Collection[str] = (),
) -> None:
    """Enqueue what is tried first: the space's `start_from`, then `more`; each once.

    Those whose `config_id` is among `tried` are left out.
    """
    presets = [space.preset(name) for name in space.start_from]
    known = {*tried, *(config.config_id for config in presets)}
    left = [config for config in presets if config.config_id not in tried]
    for config in (*left, *(config for config in more if config.config_id not in known)):
        study.enqueue_trial(space.encode(config))


def tell(
    study: optuna.Study,
    trial: Trial,
    outcome: Outcome,
    rating: Rating | None = None,
    *,
    share: float = 0.0,
) -> None:
    """Tell the study how a trial ended.

    A completed trial has its score; a pruned one is pruned; a collapsed or diverged one is pruned
    and infeasible, from which TPE learns where training dies; a failed one teaches nothing.

    With several objectives no sampler of Optuna's learns from what a pruned trial scored. So it is
    told as complete with its last scores, and as infeasible by the share of its budget that was
    left: any completed trial goes before it, then those that came further, then the dead.

    Args:
        study: of the search.
        trial: that has ended.
        outcome: how.
        rating: its score, or those of several objectives; None for none.
        share: of its budget that the trial has used, with several objectives.
    """
    is_several = len(study.directions) > 1
    state = state_of(outcome.status, has_scores=is_several and rating is not None)
    constraints = constraints_of(outcome.status, share if is_several else None)
    with journal_batch(study):
        trial.set_user_attr("status", outcome.status)
        trial.set_user_attr("reason", outcome.reason)
        if state != TrialState.FAIL:
            for name, value in constraints.items():
                trial.set_constraint(name, value)
        if state == TrialState.COMPLETE:
            study.tell(trial, rating)
        else:
            study.tell(trial, state=state)


def state_of(status: str, *, has_scores: bool = False) -> TrialState:
    """Return the state in a study of a trial that ended so.

    `has_scores`: it has scores by several objectives.
    """
    return TrialState.COMPLETE if has_scores and status in _TEACHING else STATES[status]


def constraints_of(status: str, share: float | None = None) -> dict[str, float]:
    """Return the constraints in a study of a trial that ended so, unless it failed.

    `share` of its budget was used; None with one objective.
    """
    found = {UNHEALTHY: 1.0 if is_unhealthy(status) else -1.0}
    if share is not None:
        found[UNFINISHED] = -1.0 if status == "completed" else 1.0 - share
    return found


def tell_known_ends(
    study: optuna.Study,
    rows: Iterable[Mapping[str, Any]],
    objective: Objective = VALID_LL,
    attach: Callable[[Trial, str], None] = lambda *_: None,
    max_updates: int = 1,
) -> None:
    """Tell the study how trials ended that run in the journal and have ended in the results.

    A driver that is killed between writing the two leaves such trials.

    Args:
        study: the run's study, just opened.
        rows: of the search's trials, as in `trials.parquet`.
        objective: what the search goes by.
        attach: called with a trial that is about to end, and the run's id of it.
        max_updates: of a full training.
    """
    running = running_trial_ids(study)
    for row in rows:
        if row["status"] != "running" and row["number"] in running:
            trial = Trial(study, running[row["number"]])
            attach(trial, row["trial_id"])
            outcome, share = Outcome(row["status"], row["reason"]), 0.0
            if objective.is_several:
                share = row["updates"] / max_updates
            tell(study, trial, outcome, objective.rating_of(row), share=share)
