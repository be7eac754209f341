"""What a report says of collapse: which samples are collapsed, and which trials were given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from gansearch.report.formatting import format_number
from gansearch.report.report import Report
from gansearch.report.section import Section, make_columns
from gansearch.report.warnings import given_up
from gansearch.runs.tables import rows_of

_N_LISTED = 10
_LEAST_P = 1e-15
_OF_CLASSES = (
    "classes: effective number of classes among the samples, the mean over completed replicas. "
    "missing classes: in some replica, less than a quarter of the class's share of the data.",
)


def collapse_sections(report: Report, mark: Callable[[Report, str], str]) -> Iterator[Section]:
    """Yield how varied the replicas' samples are, and which trials are collapsed or given up."""
    replicas = report.trials[report.trials["phase"] == "replica"]
    if replicas["collapsed_p"].notna().any() and not report.ranking.empty:
        yield _variety_section(report, replicas, mark)
    known = report.trials["p_recovers"].notna() | report.trials["collapsed_p"].notna()
    collapsed = report.trials[(report.trials["status"] == "collapsed") & known]
    if not collapsed.empty:
        yield _collapsed_section(report, collapsed)


def _variety_section(
    report: Report, replicas: pd.DataFrame, mark: Callable[[Report, str], str]
) -> Section:
    rows = []
    has_classes = replicas["n_classes_effective"].notna().any()
    for config_id in report.ranking["config_id"]:
        ours = replicas[replicas["config_id"] == config_id]
        completed = ours[ours["status"] == "completed"]
        is_given_up = given_up(ours)
        n_collapsed = int(((ours["status"] == "collapsed") & ~is_given_up).sum())
        rows.append(
            [
                mark(report, config_id),
                f"{n_collapsed} of {len(ours)}",
                f"{int(is_given_up.sum())} of {len(ours)}",
                _format_p(ours["collapsed_p"].min()),
                *(_classes(completed) if has_classes else ()),
            ]
        )
    return Section(
        "variety",
        "Are the samples of the replicas collapsed?",
        (),
        make_columns(
            *("config", "collapsed", "given up", "collapsed p"),
            *(("classes", "missing classes") if has_classes else ()),
        ),
        rows,
        [
            "collapsed: replicas that ended with collapsed samples. given up: replicas that were "
            "stopped before, because they were unlikely to recover. collapsed p: the smallest "
            "p-value, over replicas, of the hypothesis that the samples are as varied as the same "
            "number of real examples. It tells whether a difference is there, not how large it is: "
            "samples are called collapsed only if they lie off the data, show at most half of its "
            "classes, or are copies of few examples.",
            *(_OF_CLASSES if has_classes else ()),
        ],
    )


def _collapsed_section(report: Report, collapsed: pd.DataFrame) -> Section:
    rows = [
        [
            row["trial_id"],
            "is collapsed" if pd.isna(row["p_recovers"]) else "given up",
            f"{row['updates']:,}",
            _format_p(row["p_recovers"]),
            _format_p(row["collapsed_p"]),
            format_number(row["coverage"], 2),
            format_number(_number(row["n_classes_effective"]), 1),
        ]
        for row in rows_of(collapsed[:_N_LISTED])
    ]
    n_more = len(collapsed) - _N_LISTED
    return Section(
        "collapsed",
        "Trials that are collapsed, and trials that were given up",
        (),
        make_columns(
            "trial", "verdict", "updates", "p recovers", "collapsed p", "coverage", "classes"
        ),
        rows,
        [
            *([f"and {n_more} more in trials.parquet"] if n_more > 0 else []),
            "is collapsed: a statement about the last samples of a training that was not stopped. "
            "given up: a forecast. The samples looked collapsed, and the probability that they "
            "recover within this budget, p recovers, was below give_up "
            f"({report.budget.give_up:g}) twice in a row; with a longer budget it may be higher. "
            "reason in trials.parquet has the words.",
        ],
    )


def _classes(completed: pd.DataFrame) -> tuple[str, str]:
    """Return the effective number of classes, and those that are missing."""
    return format_number(completed["n_classes_effective"].mean(), 1), _missing(completed)


def _missing(completed: pd.DataFrame) -> str:
    """Return the missing classes of some replicas, each with the number of replicas."""
    counts = Counter(
        name
        for names in completed["missing_classes"]
        if isinstance(names, list | np.ndarray)
        for name in names
    )
    return ", ".join(f"{name} ({n} of {len(completed)})" for name, n in counts.most_common()) or "-"


def _format_p(p: float | None) -> str:
    """Return a probability with up to two significant digits."""
    p = _number(p)
    if np.isnan(p):
        return "-"
    return f"{p:.2g}" if p >= _LEAST_P else f"<{_LEAST_P:g}"


def _number(value: Any) -> float:
    """Return a value that may be None as a float."""
    return float("nan") if pd.isna(value) else float(value)
