"""What the page of a report draws from: its trials, curves, scores and pictures as JSON values.

A page of a large run shows some of its trials, and says so: all that were trained on fresh seeds,
the best of the search, and a random sample of all.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gansearch.data.own_names import GIVEN
from gansearch.own_measures import Objective, OwnMeasure
from gansearch.report.export import json_value
from gansearch.report.own_section import better
from gansearch.report.page_pictures import Pictures, trial_pictures
from gansearch.report.page_trials import (
    by_interest,
    chosen_trials,
    curves_of,
    evaluations_of,
    measures_of,
    parameters_of,
    plain,
    trial_columns,
)
from gansearch.report.report import Report, seeds_of, winning_replica
from gansearch.rules import Config
from gansearch.runs.commands import command
from gansearch.runs.generators import read_outputs
from gansearch.runs.schemas import STATUSES
from gansearch.runs.tables import rows_of
from gansearch.scheduled import schedule_in_words
from gansearch.scoring.lines import line_title
from gansearch.space.builtin import builtin_spaces

MOST_TRIALS = 2000  # of which a page has rows
_N_BINS = 40  # of D's outputs


def page_data(report: Report, pictures: Pictures, trial_id: str | None = None) -> dict[str, Any]:
    """Return what the page of a report needs, without NaN and NumPy types.

    Args:
        report: of the run.
        pictures: how the page gets at pictures.
        trial_id: of the only trial that the page has; None for all.
    """
    trials = chosen_trials(report, MOST_TRIALS if trial_id is None else len(report.trials))
    if trial_id is not None:
        trials = trials[trials["trial_id"] == trial_id]
    history = evaluations_of(report, trials["trial_id"])
    in_order = by_interest(report, trials)
    content = {
        "run": _run(report),
        "statuses": list(STATUSES),
        "n_trials": len(report.trials),
        "measures": measures_of(report, trials, history),
        "parameters": parameters_of(report, trials),
        "trials": trial_columns(report, trials, history),
        "curves": curves_of(report, in_order, history),
        "ranking": _ranking(report),
        "scales": _scales(report),
        "importances": _importances(report),
        "score_curve": rows_of(report.curve),
        "outputs": _outputs(report),
        "pictures": trial_pictures(report.folder, in_order, pictures),
    }
    return dict(json_value(content))


def _run(report: Report) -> dict[str, Any]:
    """Return what the page says of the run itself."""
    run, objective = report.run, report.run.objective
    winner = winning_replica(report)
    return {
        "name": run.name,
        "updates_title": run.family.updates_title,
        "max_updates": report.budget.max_updates,
        "objective": objective.column,
        "minimize": bool(objective.measure and objective.measure.direction == "minimize"),
        "objectives": _objectives(objective),
        "baseline": None if report.baseline is None else run.baseline_title,
        "baseline_config": None if report.baseline is None else _applying(report.baseline),
        "training": report.training,
        "winner": winner,
        "keeps_best": run.keeps_best,
        "commands": _commands(report),
    }


def _objectives(objective: Objective) -> list[dict[str, Any]]:
    """Return what several objectives are drawn by; none where there is one."""
    if not objective.is_several:
        return []
    return [
        {
            "key": each.column,
            "test": each.measure.test_column if each.measure else "test_ll",
            "minimize": bool(each.as_score(1.0) < 0),
        }
        for each in objective.all
    ]


def _commands(report: Report) -> dict[str, str | None]:
    """Return lines to type for a trial, each up to the trial's id, which ends it.

    Data that a Python program gave, and runs in an object store, can't be named for `again`.
    """
    path = report.folder.path
    again = None
    if isinstance(path, Path) and report.run.space["dataset"] != GIVEN:
        line = shlex.join(["gansearch", "run", "--space", _space_source(report), "--only"])
        again = f"{line} {shlex.quote(str(path.resolve()))}/"
    return {"sample": f"{command('sample', path, '--trial')} ", "again": again}


def _space_source(report: Report) -> str:
    """Return what `--space` takes for the run's space: a name, or else the run's description."""
    from gansearch.space.load import load_space  # which imports Optuna

    space = report.run.full_space
    name = str(space["name"])
    builtin = builtin_spaces().get(name)
    is_same = builtin is not None and load_space(name).to_dict() == space
    return name if is_same else str((report.folder.path / "run.json").resolve())


def _applying(config: Config) -> dict[str, Any]:
    """Return the parameters that apply, a schedule in words."""
    values = config.to_dict()
    if (schedule := schedule_in_words(config)) is not None:
        values["schedule"] = schedule
    return {name: value for name, value in values.items() if value is not None}


def _ranking(report: Report) -> list[dict[str, Any]]:
    """Return the ranked configurations with their means, intervals and seeds by measure."""
    measures = (*report.run.measures, *report.run.objective.built_in)
    columns = ["test_ll", *(each.test_column for each in measures)]
    return [
        {
            "config_id": row["config_id"],
            "label": report.label(row["config_id"]),
            "rank": plain(row["rank"]),
            "front": plain(row["pareto_rank"]),
            "p_front": plain(row["p_front"]),
            "tied": sorted(
                report.ranks[config_id]
                for config_id in row["tied_with"]
                if config_id in report.ranks
            ),
            "n_works": row["n_seeds"],
            "n": row["n_seeds"] + row["n_failed"],
            "scores": {
                column: {
                    "mean": plain(row[column]),
                    "low": plain(row[f"{column}_low"]),
                    "high": plain(row[f"{column}_high"]),
                    "seeds": [plain(seed) for seed in _seeds(report, row, column)],
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
    scales = [_scale(report, each.measure) for each in report.run.objective.all]
    has_log_likelihood = any(each.measure is None for each in report.run.objective.all)
    return scales if has_log_likelihood else [*scales, _scale(report, None)]


def _scale(report: Report, measure: OwnMeasure | None) -> dict[str, Any]:
    """Return what the ranking is drawn by: a measure, or None for the log-likelihood."""
    if measure is None:
        column, title, unit = "test_ll", "test log-likelihood", "nats"
    else:
        column, unit = measure.test_column, measure.unit
        title = measure.name if column == measure.column else f"test {measure.name}"
    return {
        "key": column,
        "title": title,
        "unit": unit,
        "better": better(measure) if measure else "higher is better",
        "lines": _lines(report.references, column),
    }


def _lines(references: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    if column not in references:
        return []
    return [
        {
            "name": line_title(row),
            "value": plain(row[column]),
            "n_samples": plain(row["n_samples"]),
            "published": isinstance(row["source"], str),
        }
        for row in rows_of(references[references[column].notna()])
    ]


def _importances(report: Report) -> list[dict[str, Any]]:
    if report.stability is None:
        return []
    known = report.stability.importances.dropna(subset=["importance"])
    names = ["target", "parameter", "importance"]
    return [{name: plain(row[name]) for name in names} for row in rows_of(known)]


def _outputs(report: Report) -> dict[str, Any] | None:
    """Return histograms of D of the winner's first replica on real and generated examples."""
    winner = winning_replica(report)
    outputs = read_outputs(report.folder.model_dir(winner)) if winner else None
    if outputs is None:
        return None
    edges = np.linspace(0, 1, _N_BINS + 1)
    counts = [np.histogram(values, edges)[0].tolist() for values in outputs]
    return {"edges": [plain(edge) for edge in edges], "real": counts[0], "generated": counts[1]}
