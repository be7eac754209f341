"""The trials of a page: which of them it has, and their parameters, measures and curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gansearch.errors import GansearchError
from gansearch.figures.style import evenly_spaced
from gansearch.measures import MEASURES, Measure
from gansearch.own_measures import OwnMeasure
from gansearch.report.recovery import read_with_warnings
from gansearch.report.report import Report, search_fronts, winning_replica
from gansearch.report.section import TABLE_MEASURES
from gansearch.runs.schemas import (
    config_values,
    history_schema,
    is_sound_search,
    updates_of_their_own,
)
from gansearch.runs.tables import rows_of
from gansearch.scheduled import schedule_in_words

_MOST_BEST = 400  # trials of the search that are in a page for their score
_MOST_CURVES = 300  # trials with curves
_MOST_POINTS = 60  # of one trial's curves
_DIGITS = 6
_TRIAL_COLUMNS = (
    *("trial_id", "number", "phase", "config_id", "seed", "status", "reason", "updates"),
    *("d_updates", "g_updates", "seconds", "overhead_seconds", "device", "kept_updates"),
    *("spent", "is_random"),
)


def chosen_trials(report: Report, most: int) -> pd.DataFrame:
    """Return at most about `most` trials, in their order.

    A column `is_random` says which of them were drawn at random, in which each status has its
    share; a column `spent` has the updates of all trials up to each.
    """
    trials = report.trials.copy()
    order = trials.sort_values(["phase", "number"], ascending=[False, True], kind="stable").index
    trials["spent"] = updates_of_their_own(trials).reindex(order).cumsum()
    trials["is_random"] = True
    if len(trials) <= most:
        return trials
    score = report.run.objective.as_score(trials[report.run.objective.column])
    is_replica = trials["phase"] == "replica"
    best = score[is_sound_search(trials)].nlargest(_MOST_BEST).index
    chosen = is_replica | (trials["status"] == "running") | trials.index.isin(best)
    n = max(0, most - int(chosen.sum()))
    searched = trials.index[~is_replica]
    drawn = np.random.default_rng(0).choice(searched, min(n, len(searched)), replace=False)
    trials["is_random"] = trials.index.isin(drawn)
    return trials[chosen | trials["is_random"]]


def by_interest(report: Report, trials: pd.DataFrame) -> list[str]:
    """Return ids of trials, those first that a reader looks at first."""
    winner = winning_replica(report)
    ranks = trials["config_id"].map(report.ranks).fillna(math.inf)
    is_search = trials["phase"] == "search"
    is_unsound = is_search & ~is_sound_search(trials)
    score = report.run.objective.as_score(trials[report.run.objective.column])
    order = pd.DataFrame(
        {
            "id": trials["trial_id"],
            "group": is_search.astype(int) + is_unsound.astype(int),
            "rank": ranks.where(~is_search, 0.0),
            "number": trials["number"].where(~is_search, 0),
            "score": -score.fillna(-math.inf),
        }
    ).sort_values(["group", "number", "rank", "score"], kind="stable")
    ids = [str(trial_id) for trial_id in order["id"]]
    # Collapsed trials are a reason to look: some stand before the last of the sound ones.
    died = [str(trial_id) for trial_id in trials.loc[is_unsound, "trial_id"]]
    first = [winner] if winner in ids else []
    return list(dict.fromkeys([*first, *ids[:30], *died[:10], *ids]))


def evaluations_of(report: Report, trial_ids: pd.Series[str]) -> pd.DataFrame:
    """Return the evaluations of these trials, oldest first; none if they can't be read."""
    names = history_schema(report.run.measures).names
    try:
        history, _ = read_with_warnings(lambda: report.folder.history(names))
    except GansearchError:  # the report itself warns of it
        return pd.DataFrame(columns=names)
    return history[history["trial_id"].isin(set(trial_ids))]


def _measure_columns(report: Report) -> list[str]:
    """Return the columns of measures, those that are numbers."""
    own = [name for each in report.run.measures for name in each.final_columns]
    known = [measure.column for measure in MEASURES if measure.kind == "float"]
    return [*known, *own, "p_recovers"]


def _with_values(names: Iterable[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in names if name in frame and frame[name].notna().any()]


def measures_of(
    report: Report, trials: pd.DataFrame, history: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return the measures that trials or their curves have, the objectives first."""
    known = {measure.column: measure for measure in MEASURES}
    own = {
        column: each for each in report.run.measures for column in (each.column, each.test_column)
    }
    columns = _measure_columns(report)
    of_trials, of_curves = _with_values(columns, trials), _with_values(columns, history)
    firsts = report.run.objective.columns
    beside = [m.column for m in TABLE_MEASURES]
    names = dict.fromkeys([*firsts, "test_ll", *own, *beside, *of_trials, *of_curves])
    found = []
    for name in names:
        if name not in of_trials and name not in of_curves:
            continue
        title, unit, goal, decimals = _words_of(name, known.get(name), own.get(name))
        found.append(
            {
                "key": name,
                "title": title,
                "unit": unit,
                "better": goal,
                "decimals": decimals,
                "of_trials": name in of_trials,
                "of_curves": name in of_curves,
                "beside": name in (*firsts, "test_ll", *beside),
            }
        )
    return found


def _words_of(
    name: str, measure: Measure | None, own: OwnMeasure | None
) -> tuple[str, str, str | None, int | None]:
    """Return the title of a measure, its unit, which way is better, and its decimals."""
    if measure is not None:
        return name, measure.unit, measure.better, measure.decimals
    if own is not None:
        goal = "lower" if own.direction == "minimize" else "higher"
        return name.removeprefix("measure."), own.unit, goal, None
    return name, "probability" if name == "p_recovers" else "", None, None


def parameters_of(report: Report, trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the parameters that apply to some trial, those that the search varies first."""
    rules = report.run.family.config_type.rules()
    searched = report.run.space["search"]
    found = []
    for name, rule in rules.items():
        column = f"config.{name}"
        if column not in trials or not trials[column].notna().any():
            continue
        values = trials[column].dropna().map(_hashable)
        entry = searched.get(name)
        found.append(
            {
                "key": name,
                "kind": rule.kind,
                "doc": rule.doc,
                "log": bool(isinstance(entry, Mapping) and entry.get("log")),
                "choice": isinstance(entry, Mapping) and "choice" in entry,
                # A schedule is drawn by itself, and no axis.
                "varies": rule.kind != "schedule" and len(set(values)) > 1,
                "searched": name in searched,
            }
        )
    return sorted(found, key=lambda each: (not each["varies"], not each["searched"]))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | np.ndarray) else value


def trial_columns(
    report: Report, trials: pd.DataFrame, history: pd.DataFrame
) -> dict[str, list[Any]]:
    """Return the trials by column, the values of their parameters among them.

    A schedule is there in words, and as `points` to draw.
    """
    times = _times(history)
    rows = rows_of(trials)
    table = report.run.family.config_type
    configs = [config_values(row, table) for row in rows]
    names = (*_TRIAL_COLUMNS, *_measure_columns(report))
    columns: dict[str, list[Any]] = {
        name: [plain(row[name]) for row in rows] for name in names if name in trials
    }
    columns["label"] = [report.label(row["config_id"]) for row in rows]
    columns["rank"] = [report.ranks.get(row["config_id"]) for row in rows]
    if report.run.objective.is_several:
        fronts = search_fronts(report.trials, report.run.objective)
        columns["front"] = [plain(front) for front in fronts.reindex(trials.index)]
    columns["started"] = [times.get(row["trial_id"], (None, None))[0] for row in rows]
    columns["ended"] = [times.get(row["trial_id"], (None, None))[1] for row in rows]
    for name, rule in table.rules().items():
        values = [config[name] for config in configs]
        if all(value is None for value in values):
            continue
        if rule.kind == "schedule":
            columns["points"] = values
            values = [schedule_in_words(table.from_dict(config)) for config in configs]
        columns[f"config.{name}"] = [plain(value) for value in values]
    return columns


def _times(history: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return when trials began and last reported, in seconds since 1970, by their ids.

    A trial began as long before its first report as it had trained and been evaluated.
    """
    if history.empty:
        return {}
    reported = history["reported_at"].astype("int64") / 1e6
    frame = pd.DataFrame(
        {"id": history["trial_id"], "began": reported - history["seconds"], "ended": reported}
    )
    found = frame.groupby("id").agg(began=("began", "first"), ended=("ended", "max"))
    return {
        str(trial_id): (round(began, 2), round(ended, 2))
        for trial_id, began, ended in found.itertuples()
    }


def curves_of(
    report: Report, trial_ids: Sequence[str], history: pd.DataFrame
) -> dict[str, dict[str, list[Any]]]:
    """Return the curves of the first of these trials: each measure's values, and `updates`."""
    chosen = set(trial_ids[:_MOST_CURVES])
    names = ["updates", *_with_values(_measure_columns(report), history)]
    found = {}
    for trial_id, rows in history[history["trial_id"].isin(chosen)].groupby("trial_id"):
        thinned = rows.iloc[evenly_spaced(len(rows), _MOST_POINTS)]
        found[str(trial_id)] = {
            name: [plain(value) for value in thinned[name]]
            for name in names
            if thinned[name].notna().any()
        }
    return found


def plain(value: Any) -> Any:
    """Return a value for JSON, numbers with six digits."""
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return (
            int(value)
            if value.is_integer() and abs(value) < 1e15
            else float(f"{value:.{_DIGITS}g}")
        )
    return None if value is pd.NA or value is pd.NaT else value
