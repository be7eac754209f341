"""The page that has several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gansearch.figures.style import evenly_spaced
from gansearch.report.compare import compare_reports
from gansearch.report.compare_sections import comparison_sections
from gansearch.report.page_parts import page_scripts, render_page
from gansearch.report.recovery import read_with_warnings
from gansearch.report.report import Report
from gansearch.report.section import PROSE_COLUMNS
from gansearch.runs.description import RunDescription
from gansearch.runs.schemas import is_sound_search, updates_of_their_own
from gansearch.runs.tables import rows_of

_SCRIPTS = ("values", "plots", "compare")
_MOST_CURVES = 60  # of one phase of a run
_MOST_BESTS = 300


def comparison_page(reports: Sequence[Report]) -> str:
    """Return the page of two or more runs side by side, given their reports."""
    comparison, first = compare_reports(reports), reports[0].run
    objective = first.objective
    data = {
        "updates_title": first.family.updates_title,
        "title": f"{objective.name}{f' ({objective.unit})' if objective.unit else ''}",
        "runs": []
        if comparison.search_obstacles  # or the scores would stand on one axis
        else [
            {"name": compared.name, **_drawn(report)}
            for compared, report in zip(comparison.runs, reports, strict=True)
        ],
    }
    values = {
        "is_live": any(report.run.is_going_on for report in reports),
        "names": [report.folder.path.name for report in reports],
        "sections": comparison_sections(comparison),
        "prose": PROSE_COLUMNS,
    }
    scripts = page_scripts(*_SCRIPTS)
    return render_page(
        "compare.html", values, scripts=scripts, data=data, package="gansearch.dashboard"
    )


def _drawn(report: Report) -> dict[str, Any]:
    """Return a run's bests so far and its curves, as `[updates, score]`."""
    trials, run = report.trials, report.run
    names = ["trial_id", "updates", run.objective.column]
    history, _ = read_with_warnings(lambda: report.folder.history(names))
    return {
        "bests": _bests(trials, run),
        "curves": [
            curve
            for phase in ("search", "replica")
            for curve in _curves(trials[trials["phase"] == phase], history, run)
        ],
    }


def _bests(trials: pd.DataFrame, run: RunDescription) -> list[list[float]]:
    """Return the best score of the search so far, by the updates that its trials have made."""
    searched = trials[trials["phase"] == "search"].sort_values("number")
    score = run.objective.as_score(searched[run.objective.column])
    best = score.where(is_sound_search(searched)).cummax()
    values = run.objective.as_score(best)
    points = [
        [int(spent), float(value)]
        for spent, value in zip(updates_of_their_own(searched).cumsum(), values, strict=True)
        if pd.notna(value)
    ]
    return [points[i] for i in evenly_spaced(len(points), _MOST_BESTS)]


def _curves(
    trials: pd.DataFrame, history: pd.DataFrame, run: RunDescription
) -> list[dict[str, Any]]:
    names, column = run.names, run.objective.column
    known = history[history["trial_id"].isin(trials["trial_id"]) & history[column].notna()]
    by_trial = {
        str(trial_id): [
            [int(x), float(y)] for x, y in zip(rows["updates"], rows[column], strict=True)
        ]
        for trial_id, rows in known.groupby("trial_id")
    }
    drawn = [row for row in rows_of(trials) if row["trial_id"] in by_trial]
    return [
        {
            "trial": row["trial_id"],
            "label": names.get(row["config_id"], row["config_id"]),
            "phase": row["phase"],
            "points": by_trial[row["trial_id"]],
        }
        for row in (drawn[i] for i in evenly_spaced(len(drawn), _MOST_CURVES))
    ]
