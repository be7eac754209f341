"""What the page of a report draws from: its trials, curves, scores and pictures as JSON values.

A page of a large run shows a sample of its trials, and says so: all that were trained on fresh
seeds, the best of the search, and of the others as many of each status as their share.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gansearch.errors import GansearchError
from gansearch.figures.style import evenly_spaced
from gansearch.measures import MEASURES, Measure
from gansearch.own_measures import OwnMeasure
from gansearch.ranking.stability import DIED
from gansearch.report.export import json_value
from gansearch.report.own_section import better
from gansearch.report.page_pictures import Pictures, trial_pictures
from gansearch.report.recovery import read_with_warnings
from gansearch.report.report import Report, seeds_of, winning_replica
from gansearch.report.section import TABLE_MEASURES
from gansearch.rules import Config
from gansearch.runs.commands import command
from gansearch.runs.generators import read_outputs
from gansearch.runs.schemas import STATUSES, config_values, history_schema
from gansearch.runs.tables import rows_of
from gansearch.scoring.lines import line_title
from gansearch.space.builtin import builtin_spaces

MOST_TRIALS = 2000  # of which a page has rows
_MOST_BEST = 400  # trials of the search among them that are there for their score
_MOST_CURVES = 300  # trials with curves
_MOST_POINTS = 60  # of one trial's curves
_DIGITS = 6
_N_BINS = 40  # of D's outputs
_NO_MEASURE = ("trial_id", "number", "phase", "verdict", "reported_at", "sigma_at_edge")
_TRIAL_COLUMNS = (
    *("trial_id", "number", "phase", "config_id", "seed", "status", "reason", "updates"),
    *("d_updates", "g_updates", "seconds", "overhead_seconds", "device", "kept_updates"),
)


def page_data(report: Report, pictures: Pictures, trial_id: str | None = None) -> dict[str, Any]:
    """Return what the page of a report needs, without NaN and NumPy types.

    Args:
        report: of the run.
        pictures: how the page gets at pictures.
        trial_id: of the only trial that the page has; None for all.
    """
    trials = _chosen(report, MOST_TRIALS)
    if trial_id is not None:
        trials = report.trials[report.trials["trial_id"] == trial_id]
    history = _history(report, trials["trial_id"])
    curves = _curves(report, trials, history)
    content = {
        "run": _run(report),
        "statuses": list(STATUSES),
        "counts": report.counts,
        "n_trials": len(report.trials),
        "measures": _measures(report, trials, history),
        "parameters": _parameters(report, trials),
        "trials": _trials(report, trials, history),
        "curves": curves,
        "ranking": _ranking(report),
        "scales": _scales(report),
        "importances": _importances(report),
        "score_curve": rows_of(report.curve),
        "outputs": _outputs(report),
        "pictures": trial_pictures(report.folder, _by_interest(report, trials), pictures),
    }
    return dict(json_value(content))


def _run(report: Report) -> dict[str, Any]:
    """Return what the page says of the run itself."""
    run, objective = report.run, report.run.objective
    winner = winning_replica(report)
    return {
        "name": run.name,
        "state": run.state,
        "space": run.space["name"],
        "updates_title": run.family.updates_title,
        "max_updates": report.budget.max_updates,
        "objective": objective.column,
        "minimize": bool(objective.measure and objective.measure.direction == "minimize"),
        "baseline": report.run.baseline_title if report.baseline is not None else None,
        "baseline_config": _applying(report.baseline) if report.baseline is not None else None,
        "training": report.training,
        "winner": winner,
        "keeps_best": run.keeps_best,
        "commands": _commands(report),
    }


def _commands(report: Report) -> dict[str, str]:
    """Return lines to type for a trial, each up to the trial's id, which ends it."""
    path = report.folder.path
    again = shlex.join(["gansearch", "run", "--space", _space_source(report), "--only"])
    return {
        "sample": f"{command('sample', path, '--trial')} ",
        "again": f"{again} {shlex.quote(str(path.resolve()))}/",
    }


def _space_source(report: Report) -> str:
    """Return what `--space` takes for the run's space: a name, or else the run's description."""
    from gansearch.space.load import load_space  # which imports Optuna

    space = report.run.full_space
    name = str(space["name"])
    builtin = builtin_spaces().get(name)
    is_same = builtin is not None and load_space(name).to_dict() == space
    return name if is_same else str((report.folder.path / "run.json").resolve())


def _applying(config: Config) -> dict[str, Any]:
    """Return the parameters that apply."""
    return {name: value for name, value in config.to_dict().items() if value is not None}


def _chosen(report: Report, most: int) -> pd.DataFrame:
    """Return at most about `most` trials, in their order."""
    trials = report.trials
    if len(trials) <= most:
        return trials
    score = report.run.objective.as_score(trials[report.run.objective.column])
    is_replica = (trials["phase"] == "replica").to_numpy()
    is_running = (trials["status"] == "running").to_numpy()
    searched = ~is_replica & ~trials["status"].isin((*DIED, "failed")).to_numpy()
    best = score[searched].nlargest(_MOST_BEST).index
    chosen = is_replica | is_running | trials.index.isin(best)
    rest = trials[~chosen]
    n = max(0, most - int(chosen.sum()))
    sampled = rest.sample(min(n, len(rest)), random_state=0).index  # so each status has its share
    return trials[chosen | trials.index.isin(sampled)]


def _by_interest(report: Report, trials: pd.DataFrame) -> list[str]:
    """Return ids of trials, those first that a reader looks at first."""
    winner = winning_replica(report)
    ranks = trials["config_id"].map(report.ranks).fillna(math.inf)
    is_search = trials["phase"] == "search"
    # As they are, the scores of collapsed trials mean nothing.
    is_sound = ~trials["status"].isin((*DIED, "failed"))
    score = report.run.objective.as_score(trials[report.run.objective.column])
    order = pd.DataFrame(
        {
            "id": trials["trial_id"],
            "group": is_search.astype(int) + (is_search & ~is_sound).astype(int),
            "rank": ranks.where(~is_search, 0.0),
            "number": trials["number"].where(~is_search, 0),
            "score": -score.fillna(-math.inf),
        }
    ).sort_values(["group", "number", "rank", "score"], kind="stable")
    ids = [str(trial_id) for trial_id in order["id"]]
    # Collapsed trials are a reason to look: some stand before the last of the sound ones.
    died = [str(trial_id) for trial_id in trials.loc[is_search & ~is_sound, "trial_id"]]
    first = [winner] if winner else []
    return list(dict.fromkeys([*first, *ids[:30], *died[:10], *ids]))


def _history(report: Report, trial_ids: pd.Series[str]) -> pd.DataFrame:
    """Return the evaluations of these trials, oldest first; none if they can't be read."""
    names = history_schema(report.run.measures).names
    try:
        history, _ = read_with_warnings(lambda: report.folder.history(names))
    except GansearchError:  # the report itself warns of it
        return pd.DataFrame(columns=names)
    return history[history["trial_id"].isin(set(trial_ids))]


def _measured(history: pd.DataFrame) -> list[str]:
    """Return the columns of the history that are measures and have a value."""
    return [
        name
        for name in history.columns
        if name not in _NO_MEASURE
        and name not in ("updates", "d_updates", "g_updates", "seconds")
        and pd.to_numeric(history[name], errors="coerce").notna().any()
    ]


def _measures(report: Report, trials: pd.DataFrame, history: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the measures that trials or their curves have, the objective first."""
    known = {measure.column: measure for measure in MEASURES}
    own = {
        column: each for each in report.run.measures for column in (each.column, each.test_column)
    }
    of_trials = [
        name
        for name in (*known, *own)
        if name in trials and name != "sigma_at_edge" and trials[name].notna().any()
    ]
    of_curves = _measured(history)
    first = report.run.objective.column
    beside = [m.column for m in TABLE_MEASURES]
    names = dict.fromkeys([first, "test_ll", *own, *beside, *of_trials, *of_curves])
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
                "beside": name in (first, "test_ll", *beside),
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


def _parameters(report: Report, trials: pd.DataFrame) -> list[dict[str, Any]]:
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
                "varies": len(set(values)) > 1,
                "searched": name in searched,
            }
        )
    return sorted(found, key=lambda each: (not each["varies"], not each["searched"]))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | np.ndarray) else value


def _trials(report: Report, trials: pd.DataFrame, history: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the trials by column, the values of their parameters among them."""
    times = _times(history)
    rows = rows_of(trials)
    table = report.run.family.config_type
    configs = [config_values(row, table) for row in rows]
    columns: dict[str, list[Any]] = {
        name: [_plain(row.get(name)) for row in rows]
        for name in (*_TRIAL_COLUMNS, *_numbers_of(report, trials))
    }
    columns["label"] = [report.label(row["config_id"]) for row in rows]
    columns["rank"] = [report.ranks.get(row["config_id"]) for row in rows]
    columns["started"] = [times.get(row["trial_id"], (None, None))[0] for row in rows]
    columns["ended"] = [times.get(row["trial_id"], (None, None))[1] for row in rows]
    for name in table.rules():
        values = [config[name] for config in configs]
        if any(value is not None for value in values):
            columns[f"config.{name}"] = [_plain(value) for value in values]
    return columns


def _numbers_of(report: Report, trials: pd.DataFrame) -> list[str]:
    """Return the columns of trials that are measures."""
    own = [name for each in report.run.measures for name in each.final_columns]
    names = [*(measure.column for measure in MEASURES), *own, "p_recovers"]
    return [name for name in names if name in trials]


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


def _curves(
    report: Report, trials: pd.DataFrame, history: pd.DataFrame
) -> dict[str, dict[str, list[Any]]]:
    """Return the curves of trials by their ids: each measure's values, and `updates`."""
    chosen = set(_by_interest(report, trials)[:_MOST_CURVES])
    names = ["updates", *_measured(history)]
    found = {}
    for trial_id, rows in history[history["trial_id"].isin(chosen)].groupby("trial_id"):
        thinned = rows.iloc[evenly_spaced(len(rows), _MOST_POINTS)]
        found[str(trial_id)] = {
            name: [_plain(value) for value in thinned[name]]
            for name in names
            if thinned[name].notna().any()
        }
    return found


def _ranking(report: Report) -> list[dict[str, Any]]:
    """Return the ranked configurations with their means, intervals and seeds by measure."""
    columns = ["test_ll", *(each.test_column for each in report.run.measures)]
    return [
        {
            "config_id": row["config_id"],
            "label": report.label(row["config_id"]),
            "rank": _plain(row["rank"]),
            "tied": sorted(
                report.ranks[config_id]
                for config_id in row["tied_with"]
                if config_id in report.ranks
            ),
            "n_works": row["n_seeds"],
            "n": row["n_seeds"] + row["n_failed"],
            "scores": {
                column: {
                    "mean": _plain(row[column]),
                    "low": _plain(row[f"{column}_low"]),
                    "high": _plain(row[f"{column}_high"]),
                    "seeds": [_plain(seed) for seed in _seeds(report, row, column)],
                }
                for column in columns
                if column in row and pd.notna(row[column])
            },
        }
        for row in rows_of(report.ranking)
    ]


def _seeds(report: Report, row: Mapping[str, Any], column: str) -> Sequence[float]:
    """Return a score of each replica that works; an older ranking lacks log-likelihoods."""
    if column != "test_ll":
        return seeds_of(report.trials, row["config_id"], column)
    seeds = row["test_ll_seeds"]
    return [] if seeds is None else list(seeds)


def _scales(report: Report) -> list[dict[str, Any]]:
    """Return what the ranking is drawn by, the objective first, with the lines of real data."""
    measures = [report.run.objective.measure] if report.run.objective.measure else []
    scales = [
        {
            "key": each.test_column,
            "title": f"test {each.name}",
            "unit": each.unit,
            "better": better(each),
            "lines": _lines(report.references, each.test_column),
        }
        for each in measures
    ]
    log_likelihood = {
        "key": "test_ll",
        "title": "test log-likelihood",
        "unit": "nats",
        "better": "higher is better",
        "lines": _lines(report.references, "test_ll"),
    }
    return [*scales, log_likelihood]


def _lines(references: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    if column not in references:
        return []
    return [
        {
            "name": line_title(row),
            "value": _plain(row[column]),
            "n_samples": _plain(row["n_samples"]),
            "published": isinstance(row["source"], str),
        }
        for row in rows_of(references[references[column].notna()])
    ]


def _importances(report: Report) -> list[dict[str, Any]]:
    if report.stability is None:
        return []
    known = report.stability.importances.dropna(subset=["importance"])
    names = ["target", "parameter", "importance"]
    return [{name: _plain(row[name]) for name in names} for row in rows_of(known)]


def _outputs(report: Report) -> dict[str, Any] | None:
    """Return histograms of D of the winner's first replica on real and generated examples."""
    winner = winning_replica(report)
    outputs = read_outputs(report.folder.model_dir(winner)) if winner else None
    if outputs is None:
        return None
    edges = np.linspace(0, 1, _N_BINS + 1)
    counts = [np.histogram(values, edges)[0].tolist() for values in outputs]
    return {"edges": [_plain(edge) for edge in edges], "real": counts[0], "generated": counts[1]}


def _plain(value: Any) -> Any:
    """Return a value for JSON, numbers with six digits."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
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
