"""What stands under the pictures of a trial: its configuration, rank, score and updates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gansearch.own_measures import Objective
from gansearch.report.formatting import (
    format_interval,
    format_number,
    label_of,
    printable,
    score_decimals,
)
from gansearch.report.front_section import front_scores
from gansearch.report.own_section import with_ends
from gansearch.report.recovery import read_or_rank, read_with_warnings
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import rows_of


def trial_label(folder: RunFolder, trial_id: str) -> str:
    """Return a line on a trial: what it trained, its rank if it has one, its score, its updates.

    Of a replica that is ranked these are the rank and the score of its configuration. Empty where
    the run has no row of the trial, as after a crash.
    """
    trials, run = folder.trials(), folder.read_run()
    found = rows_of(trials[trials["trial_id"] == trial_id])
    if not found:
        return ""
    row = found[0]
    after = f"after {_kept_updates(row):,.0f} updates"
    if row["phase"] == "replica":
        ranking, _ = read_or_rank(folder, run, trials, partial(_test_lls, folder))
        ranked = rows_of(ranking[ranking["config_id"] == row["config_id"]])
        if ranked:
            label = ranking_label(ranked[0], len(ranking), run.objective)
            return printable(f"{label}; here replica {trial_id} {after}")
    config = _named(run.names.get(row["config_id"], row["config_id"]), row["config_id"])
    value = run.objective.value_of(row)
    score = "" if value is None else f", {_value(value, run.objective)}"
    for each in run.objective.others:
        if (value := each.value_of(row)) is not None:
            score += f", {_value(value, each)}"
    return printable(f"{trial_id}: {config}{score}, {row['status']} {after}")


def ranking_label(row: Mapping[str, Any], n_ranked: int, objective: Objective) -> str:
    """Return a line on a row of the ranking: its rank, name, score with interval, replicas."""
    config = _named(label_of(row), row["config_id"])
    work = f"{row['n_seeds']:.0f}/{row['n_seeds'] + row['n_failed']:.0f} work"
    if pd.isna(row["rank"]):  # none of its replicas works
        return printable(f"without a rank: {config}, {work}")
    rank = f"rank {row['rank']:.0f} of {n_ranked:,}"
    if objective.is_several:
        rank += f", front {row['pareto_rank']:.0f}"
    return printable(f"{rank}: {config}, {_score(row, objective)}, {work}")


def _test_lls(folder: RunFolder) -> dict[str, np.ndarray]:
    return read_with_warnings(folder.test_lls)[0]


def _named(name: str, config_id: str) -> str:
    return name if name == config_id else f"{name} ({config_id})"


def _kept_updates(row: Mapping[str, Any]) -> float:
    """Return the updates after which a trial's generator had the state that is kept."""
    kept = row.get("kept_updates")
    return float(row["updates"] if kept is None or pd.isna(kept) else kept)


def _score(row: Mapping[str, Any], objective: Objective) -> str:
    """Return what a configuration scores on the test set, with its interval."""
    if objective.is_several:
        return front_scores(row, objective)
    if measure := objective.measure:
        column = measure.test_column
        ends = (row.get(column), row.get(f"{column}_low"), row.get(f"{column}_high"))
        return f"{measure.name} {with_ends(*ends, measure.unit)}"
    decimals = score_decimals(pd.Series([row["test_ll"]]))
    interval = format_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], decimals)
    return f"test LL {interval} nats"


def _value(value: float, objective: Objective) -> str:
    """Return the value of an evaluation, from fewer samples than a score on the test set."""
    if objective.measure:
        return f"{objective.name} {with_ends(value, None, None, objective.unit)}"
    return f"valid LL {format_number(value, 2)} nats"
