"""Rebuilds damaged files of a run from the others.

Optuna's journal has the proposed configurations and the outcomes, `trials.parquet` has these and
the scores, and `history/` has every report. Each of the first two can be rebuilt from the other and
the history. A damaged file is kept under another name, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.samplers import BaseSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from gansearch.errors import GansearchError, ResultsError, StorageError
from gansearch.measures import Evaluation
from gansearch.own_measures import Objective, own_columns
from gansearch.rules import Config
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import EVALUATION_COLUMNS
from gansearch.runs.tables import TEST_LL_FOLDER, WARM_START_FILE, is_damage
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import set_aside
from gansearch.system.object_store import AnyPath
from gansearch.tune.rows import new_row, spec_of_row
from gansearch.tune.space_change import is_inside
from gansearch.tune.study import (
    N_CHANGES,
    STATES,
    begin_study,
    constraints_of,
    enqueue_starts,
    load_study,
    open_study,
    search_spec,
    state_of,
)

Rows = Sequence[Mapping[str, Any]]

# Attribute of a trial that lies outside the space of its study, since a resume has changed that.
OUTSIDE = "outside"
_SCORES = [field.name for field in fields(Evaluation) if field.name != "own"]


def repair_run(folder: RunFolder) -> list[str]:
    """Repair the files that a run needs to continue; return a sentence for each repair.

    Only the process that holds the run's lock may call it.

    Raises:
        ResultsError: the run's description or its trials can't be rebuilt.
    """
    repairs = folder.restore_description()
    repairs += [
        f"{path}: damaged; set aside as {aside.name}" for path, aside in folder.repair_history()
    ]
    try:
        lost = folder.trials().empty and not folder.history().empty
        why = "absent, though there are reports"
    except ResultsError as error:
        if not is_damage(error.__cause__):  # unreadable now, but perhaps undamaged
            raise
        lost, why = True, str(error)
    repairs += _rebuild_trials(folder, why) if lost else []
    return [*repairs, *_set_warm_start_aside(folder), *_set_results_aside(folder)]


def _set_warm_start_aside(folder: RunFolder) -> Iterator[str]:
    """Set what the run took of earlier ones aside if it is damaged; yield a sentence."""
    try:
        folder.warm_start()
    except ResultsError as error:
        if not is_damage(error.__cause__):
            raise
        path = folder.path / WARM_START_FILE
        aside = set_aside(path)
        yield f"{path}: damaged; set aside as {aside.name}. The search goes on without earlier runs"


def _set_results_aside(folder: RunFolder) -> Iterator[str]:
    """Set damaged files aside that the end of the run makes again; yield a sentence for each."""
    files: dict[AnyPath, Callable[[], object]] = {
        folder.path / "ranking.parquet": folder.ranking,
        folder.path / "references.parquet": folder.references,
        folder.path / "curve.parquet": folder.curve,
        folder.path / "stability.parquet": folder.stability,
        folder.path / "importances.parquet": folder.importances,
    }
    for path in (folder.path / TEST_LL_FOLDER).glob("[!._]*.parquet"):
        files[path] = partial(folder.test_ll, path.stem)
    for path, read in files.items():
        try:
            read()
        except ResultsError as error:
            if is_damage(error.__cause__):
                aside = set_aside(path)
                yield f"{path}: damaged; set aside as {aside.name}. It is made again at the end"


def open_or_rebuild_study(
    folder: RunFolder,
    space: SearchSpace,
    sampler: BaseSampler,
    rows: Rows,
    *,
    faults: list[StorageError],
    first: Sequence[Config] = (),
    n_changes: int = 0,
) -> tuple[optuna.Study, list[str]]:
    """Open the run's study, rebuilt if it contradicts the results; return a sentence for a repair.

    A study of a former space stays as it is, beside a new one of the trials that lie in the space.

    Args:
        folder: of the run.
        space: the searched space.
        sampler: of the search.
        rows: of the search's trials, as in `trials.parquet`.
        faults: as `open_study` takes them.
        first: what is tried first, after the space's presets.
        n_changes: how often the space of the run has changed.
    """
    path, name = folder.journal(), folder.path.name
    n_objectives = len(space.objective.all)
    if not rows and not (n_changes and path.exists()):
        study = open_study(path, sampler, faults, name, n_objectives)
        if n_changes:
            study.set_user_attr(N_CHANGES, n_changes)
        return study, []
    outside = [row["number"] for row in rows if n_changes and not is_inside(space, row)]
    objective = space.objective
    reports = (
        {} if objective.is_several else _reports(folder, objective)
    )  # of which a study has none
    why = "absent"
    if path.exists():
        try:
            study = open_study(path, sampler, faults, name)
            if study.user_attrs.get(N_CHANGES, 0) < n_changes:
                study = begin_study(study, path, sampler, faults, n_changes)
                _rebuild_study(study, space, rows, reports, first, outside)
                study.set_user_attr(N_CHANGES, n_changes)
                return study, []
            mismatches = _mismatches(study, space, rows, reports, outside)
            if (why := next(mismatches, "")) == "":
                return study, []
        except StorageError:
            raise
        except Exception as error:  # Optuna raises anything on damaged lines
            why = f"damaged ({type(error).__name__}: {error})"
        aside = set_aside(path)
        why += f"; set aside as {aside.name}"
    study = open_study(path, sampler, faults, name, n_objectives)
    _rebuild_study(study, space, rows, reports, first, outside)
    if n_changes:
        study.set_user_attr(N_CHANGES, n_changes)
    repair = f"{folder.path / path.name}: {why}. It was rebuilt from trials.parquet and the history"
    return study, [repair]


def _reports(folder: RunFolder, objective: Objective) -> dict[str, dict[int, float]]:
    """Return the scores that trials have reported, by their ids and updates."""
    history = folder.history(["trial_id", "updates", objective.column])
    return {
        str(name): dict(zip(of["updates"], objective.as_score(of[objective.column]), strict=True))
        for name, of in history.groupby("trial_id", sort=False)
    }


def _mismatches(
    study: optuna.Study,
    space: SearchSpace,
    rows: Rows,
    reports: Mapping[str, Mapping[int, float]],
    outside: Collection[int],
) -> Iterator[str]:
    """Yield how the study contradicts the results; it knows nothing of trials `outside` it."""
    trials = study.get_trials(deepcopy=False)
    for row in rows:
        number = row["number"]
        if number >= len(trials):
            yield f"older than the run: it has no trial {number}"
            return
        if number in outside and trials[number].state == TrialState.FAIL:
            continue
        what = _mismatch(trials[number], row, space, reports.get(row["trial_id"], {}))
        if what is not None:
            yield f"damaged: trial {number} has another {what} than in the results"


def _mismatch(
    trial: FrozenTrial, row: Mapping[str, Any], space: SearchSpace, reports: Mapping[int, float]
) -> str | None:
    """Return in what a trial of the study differs from the results, or None."""
    fixed = FixedTrial(trial.params)
    if _config_id(fixed, space) != row["config_id"] or fixed.distributions != trial.distributions:
        return "configuration"
    values, status = trial.intermediate_values, row["status"]
    # After a kill, either may know an end that the other doesn't know. The study lacks the last
    # report of a trial that collapses or diverges.
    is_over = TrialState.RUNNING not in (trial.state, STATES[status])
    is_sound = is_over and status not in ("collapsed", "diverged")
    needed = reports.keys() - (set() if is_sound else {max(reports, default=0)})
    if any(_differ(reports.get(updates, ll), ll) for updates, ll in values.items()):
        return "score"
    if not needed <= values.keys():
        return "score"
    if not is_over:
        return "end" if trial.state == TrialState.WAITING else None
    expected = _trial_of(row, space, reports)
    if trial.state != expected.state or trial.constraints != expected.constraints:
        return "end"
    is_old = status == "failed" and "status" not in trial.user_attrs  # which said nothing of it
    attrs = {} if is_old else expected.user_attrs
    if any(trial.user_attrs.get(name) != value for name, value in attrs.items()):
        return "end"
    ours, theirs = _values_of(expected), _values_of(trial)
    differ = len(ours) != len(theirs) or any(map(_differ, ours, theirs))
    return "score" if (is_sound or space.objective.is_several) and differ else None


def _values_of(trial: FrozenTrial) -> Sequence[float | None]:
    """Return the values of a trial by each objective, [None] for none."""
    return trial.values or [None]  # noqa: PD011  # not of pandas


def _differ(one: float | None, other: float | None) -> bool:
    return one != other and not (pd.isna(one) and pd.isna(other))


def _config_id(trial: FixedTrial, space: SearchSpace) -> str | None:
    try:
        return space.suggest(trial).config_id
    except (ValueError, GansearchError):
        return None  # it lacks a parameter, or has one that the space lacks


def _rebuild_study(
    study: optuna.Study,
    space: SearchSpace,
    rows: Rows,
    reports: Mapping[str, Mapping[int, float]],
    first: Sequence[Config],
    outside: Collection[int],
) -> None:
    """Add all trials of the results to an empty study, with their numbers.

    Those `outside` the space are there as failed ones, from which no sampler learns.
    """
    known = {row["number"]: row for row in rows}
    for number in range(max(known, default=-1) + 1):
        if (row := known.get(number)) is None:  # it was not continued
            study.add_trial(create_trial(state=TrialState.FAIL))
        elif number in outside:
            study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=_attributes(row, space)))
        else:
            study.add_trial(_trial_of(row, space, reports.get(row["trial_id"], {})))
    if rows:  # or else all of them are still to be enqueued
        enqueue_starts(study, space, first, tried={row["config_id"] for row in rows})


def _attributes(row: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """Return what a study says of a trial that lies outside its space."""
    config = spec_of_row(row, space.table).config
    return {OUTSIDE: True, "status": row["status"], "reason": row["reason"], "config": config}


def _trial_of(
    row: Mapping[str, Any], space: SearchSpace, reports: Mapping[int, float]
) -> FrozenTrial:
    fixed = FixedTrial(space.encode(space.table.from_dict(spec_of_row(row, space.table).config)))
    space.suggest(fixed)  # which adds the distributions
    status, several = row["status"], space.objective.is_several
    scores = space.objective.scores_of(row) if several else None
    state = state_of(status, has_scores=scores is not None)
    attrs, constraints = {}, {}
    if status != "running":
        attrs = {"status": status, "reason": row["reason"]}
    if status not in ("running", "failed"):
        share = row["updates"] / space.budget.max_updates if several else None
        constraints = constraints_of(status, share)
    # Optuna takes the last report of a pruned trial as its value.
    value = reports[max(reports)] if reports and state == TrialState.PRUNED else None
    if status == "completed" and not several:
        value = space.objective.score_of(row)
    return create_trial(
        state=state,
        **{"values": scores} if several and state == TrialState.COMPLETE else {"value": value},
        params=fixed.params,
        distributions=fixed.distributions,
        user_attrs=attrs,
        constraints=constraints,
        intermediate_values={int(updates): float(ll) for updates, ll in reports.items()},
    )


def _rebuild_trials(folder: RunFolder, why: str) -> list[str]:
    """Rebuild `trials.parquet` from Optuna's journal and the history."""
    path, journal = folder.path / "trials.parquet", folder.journal()
    run = folder.read_run()
    rows = list(_rows_of_search(folder, journal, SearchSpace.from_dict(run.full_space), run.seed))
    if not rows and not run.only:
        raise ResultsError(
            f"{path}: {why} It can't be rebuilt: {journal.name} has no trial. "
            "Restore one of the two from a copy, or start a new run."
        )
    if path.exists():
        why = f"damaged; set aside as {set_aside(path).name}"
    folder.write_trials(rows)
    which = "forks of the population and replicas" if run.budget.scheduler == "pbt" else "replicas"
    return [
        f"{path}: {why}. {len(rows)} trials of the search were read from {journal.name} and the "
        f"history; {which} are trained again, to the same scores"
    ]


def _rows_of_search(
    folder: RunFolder, journal: Path, space: SearchSpace, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the journal's trials, with the values of their last reports."""
    reports = {name: of.to_dict("records") for name, of in folder.history().groupby("trial_id")}
    study = load_study(journal) if journal.exists() else None
    for trial in study.get_trials(deepcopy=False) if study is not None else ():
        status = _status_of(trial)
        if (config := _config_of(trial, space)) is None:
            continue
        spec = search_spec(trial.number, seed, config)
        has_reported = spec.trial_id in reports
        # It never began, or was not continued.
        if status == "failed" and not has_reported:
            continue
        ended = {"status": status, "reason": trial.user_attrs.get("reason", "")}
        row = new_row(spec, space.table) | ended
        if has_reported:
            last = reports[spec.trial_id][-1]
            measured = (*EVALUATION_COLUMNS, *own_columns(space.measures))
            row |= {column: _value(last[column]) for column in measured}
        if has_reported and status == "completed":
            stored = _report_of(_values_of(trial), reports[spec.trial_id], space.objective)
            scores = (*_SCORES, *own_columns(space.measures))
            row |= {column: _value(stored[column]) for column in scores}
            row["kept_updates"] = stored["updates"]
        yield row


def _report_of(
    scores: Sequence[float | None], reports: Sequence[dict[Hashable, Any]], objective: Objective
) -> dict[Hashable, Any]:
    """Return the report of the state that was stored: the latest with its scores, or the last."""
    latest_first, scores = reversed(reports), tuple(scores)
    found = (each for each in latest_first if objective.scores_of(each) == scores)
    return next(found, reports[-1])


def _config_of(trial: FrozenTrial, space: SearchSpace) -> Config | None:
    """Return the configuration of a trial of a study; None if it never had one."""
    if OUTSIDE in trial.user_attrs:
        return space.table.from_dict(trial.user_attrs["config"])
    fixed = FixedTrial(trial.params)
    return None if _config_id(fixed, space) is None else space.suggest(fixed)


def _status_of(trial: FrozenTrial) -> str:
    if trial.state == TrialState.FAIL and OUTSIDE not in trial.user_attrs:
        return "failed"
    return str(trial.user_attrs.get("status", "running"))


def _value(value: Any) -> Any:
    return None if pd.isna(value) else value
