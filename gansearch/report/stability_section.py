"""The section on where trainings collapse or diverge: survival, importances, and the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gansearch.ranking.stability import DIED, MOST_IN_FOREST, Stability
from gansearch.report.formatting import format_share
from gansearch.report.report import Report
from gansearch.report.section import Column, Section
from gansearch.runs.tables import rows_of

# How many cells and how many parameters are listed, the latter from this importance on.
_N_WORST, _N_PARAMETERS, _MIN_IMPORTANCE = 3, 4, 0.1
_TITLE = "Where trainings collapse or diverge"


def stability_section(report: Report, found: Stability) -> Section:
    """Return where in the space trials of the search collapsed or diverged; a line if none did."""
    quality = _describe_importances(found, "quality", _quality_in_words(report))
    with_importances = found.importances.dropna(subset=["importance"])["target"].unique()
    legend = (
        "Importance: the share of a random forest's skill on held-out trials that is lost when the "
        "parameter is permuted."
    )
    if (found.importances["n_trials"] == MOST_IN_FOREST).any():
        legend += f" The forest uses {MOST_IN_FOREST:,} trials, drawn at random."
    notes = [legend] if len(with_importances) else []
    if found.n_survived == found.n_trials:
        lines = [f"No trial of the search collapsed or diverged; {found.n_survived} survived."]
        lines += [quality] if "quality" in with_importances else []
        return Section("stability", _TITLE, lines, notes=notes)
    lines = [
        _describe_survival(report, found),
        *(
            f"Below the average survival rate: {_describe_cell(report, cell)}."
            for cell in rows_of(found.worst[:_N_WORST])
        ),
        _describe_importances(found, "survival", "survival"),
        quality,
    ]
    balance = report.run.family.balance
    columns, rows = _map_table(found)
    if rows and balance is not None:
        lines.append(f"Survivors/trials by {balance.rows} and by ratio ({balance.ratio}):")
    notes.append(
        "Pruned trials count as survivors; whether they would have collapsed later is unknown. The "
        "sampler tries some cells more often than others, and trials of different cells also "
        "differ in other parameters."
    )
    return Section("stability", _TITLE, lines, columns, rows, notes)


def _describe_survival(report: Report, found: Stability) -> str:
    counts = report.counts["search"]
    others = ", ".join(f"{counts[status]} {status}" for status in DIED if counts[status])
    completed, pruned = counts["completed"], found.n_survived - counts["completed"]
    return (
        f"{found.n_survived} of {found.n_trials} trials of the search survived ({completed} "
        f"completed, {pruned} pruned); the others did not ({others})."
    )


def _quality_in_words(report: Report) -> str:
    budget = report.budget
    rung = next(mark for mark in budget.report_updates() if mark >= budget.grace_updates)
    measure = report.run.objective.measure
    return f"quality (the survivors' {measure.name if measure else 'valid LL'} at update {rung:,})"


def _describe_cell(report: Report, cell: Mapping[str, Any]) -> str:
    """Return a cell as `k=5 with discriminator_lr/generator_lr >=10: 1 of 12 survived`."""
    is_value = cell["low"] == cell["high"] or (pd.isna(cell["low"]) and pd.isna(cell["high"]))
    name = f"{cell['parameter']}{'=' if is_value else ' '}{cell['value']}"
    balance = report.run.family.balance
    if cell["kind"] == "map" and balance is not None:
        name += f" with {balance.ratio} {cell['ratio']}"
    return (
        f"{name}: {cell['n_survived']} of {cell['n_trials']} survived "
        f"[{format_share(cell['p_low'])}, {format_share(cell['p_high'])}]"
    )


def _describe_importances(found: Stability, target: str, name: str) -> str:
    """Return the most important parameters for survival or quality, or why they are unknown."""
    rows = found.importances[found.importances["target"] == target]
    if rows.empty:
        return f"Importances for {name} are unknown (no parameter varies among the trials)."
    if isinstance(reason := rows["reason"].iloc[0], str):
        return f"Importances for {name} are unknown ({reason})."
    ordered = rows.sort_values("importance", ascending=False, kind="stable")
    important = ordered[ordered["importance"] >= _MIN_IMPORTANCE].head(_N_PARAMETERS)
    parameters = ", ".join(
        f"{row['parameter']} ({format_share(row['importance'])})" for row in rows_of(important)
    )
    return (
        f"Most important for {name}: {parameters or 'several parameters, each below 10 %'}. A "
        f"random forest orders {format_share(rows['concordance'].iloc[0])} of held-out pairs of "
        "trials correctly; chance is 50 %."
    )


def _map_table(found: Stability) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and rows of the map, k down and the ratio across; no rows without one."""
    columns: list[Column] = [(name, "right") for name in found.map["parameter"].iloc[:1]]
    rows = []
    for value, cells in found.map.groupby("value", sort=False):
        columns[1:] = [(f"ratio {ratio}", "right") for ratio in cells["ratio"]]
        counts = zip(cells["n_survived"], cells["n_trials"], strict=True)
        rows.append([str(value), *(f"{alive}/{n}" if n else "" for alive, n in counts)])
    return columns, rows
