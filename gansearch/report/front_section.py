"""A ranking by several objectives: its table, and in words what is on the front and what isn't."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from gansearch.own_measures import Objective, listed
from gansearch.report.formatting import (
    format_interval,
    format_number,
    format_ranks,
    label_of,
    score_decimals,
)
from gansearch.report.own_section import own_interval
from gansearch.report.report import Report
from gansearch.report.section import Column, Section
from gansearch.runs.tables import rows_of

_MOST_NAMED = 5


def front_section(
    report: Report, mark: Callable[[Report, str], str], notes: Sequence[str]
) -> Section:
    """Return the ranking by several objectives; `notes` follow what is said of its columns."""
    objective, decimals = report.run.objective, score_decimals(report.ranking["test_ll"])
    rows = [
        [
            format_number(row["rank"], 0),
            format_number(row["pareto_rank"], 0),
            format_number(row["p_front"], 2),
            mark(report, row["config_id"]),
            f"{row['n_seeds']}/{row['n_seeds'] + row['n_failed']}",
            *(_interval(row, each, decimals) for each in objective.all),
            format_ranks(
                sorted(map(report.ranks.__getitem__, report.ranks.keys() & row["tied_with"]))
            ),
        ]
        for row in rows_of(report.ranking)
    ]
    columns: list[Column] = [
        *(("rank", "right"), ("front", "right"), ("p front", "right")),
        *(("config", "left"), ("work", "left")),
        *((_heading(each), "left") for each in objective.all),
        ("ties", "left"),
    ]
    title = f"Ranking by how many work, then by the Pareto fronts of {objective.names}"
    return Section("ranking", title, (), columns, rows, [*_legend(report), *notes])


def front_said(report: Report, ranked: Sequence[Mapping[str, Any]]) -> str:
    """Return which are in front, as `2 of 5 configurations are on the front of a and b: ...`."""
    front = [label_of(row) for row in ranked if row["pareto_rank"] == 1]
    is_over = report.run.state == "finished"
    noun = "configuration" if len(ranked) == 1 else "configurations"
    return (
        f"{len(front)} of {len(ranked)} {noun} {'is' if len(front) == 1 else 'are'} on the front "
        f"of {report.run.objective.names}{'' if is_over else ' so far'}: "
        f"{_named(front)}"
    )


def front_lead(report: Report, ranked: Sequence[Mapping[str, Any]]) -> str:
    """Return which of the front is best by each objective, and what is shown of the others."""
    return " ".join([_bests(report, ranked), *_behind(ranked)])


def _bests(report: Report, ranked: Sequence[Mapping[str, Any]]) -> str:
    decimals = score_decimals(report.ranking["test_ll"])
    front = [row for row in ranked if row["pareto_rank"] == 1]
    said = []
    for each in report.run.objective.all:
        column = each.measure.test_column if each.measure else "test_ll"
        best = max(front, key=lambda row: _score(row, column, each))
        value = _interval(best, each, decimals)
        said.append(f"{_heading(each)} is best with {label_of(best)}, {value}")
    return f"{'; '.join(said)}."


def _score(row: Mapping[str, Any], column: str, objective: Objective) -> float:
    value = row[column]
    return float("-inf") if pd.isna(value) else float(objective.as_score(value))


def _behind(ranked: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield which configurations behind the front are shown to be dominated, and which not."""
    shown: list[str] = []
    open_: list[str] = []
    for i, row in enumerate(ranked):
        if row["pareto_rank"] > 1:
            earlier = [each for each in ranked[:i] if each["pareto_rank"] < row["pareto_rank"]]
            tied = set(row["tied_with"])
            is_shown = any(each["config_id"] not in tied for each in earlier)
            (shown if is_shown else open_).append(label_of(row))
    if shown:
        yield f"Shown to be behind it: {_named(shown)}."
    if open_:
        yield f"Not shown to be behind it: {_named(open_)}; more seeds may tell."


def _named(labels: Sequence[str]) -> str:
    more = [f"{len(labels) - _MOST_NAMED} more"] if len(labels) > _MOST_NAMED else []
    return listed([*labels[:_MOST_NAMED], *more])


def _heading(objective: Objective) -> str:
    if (measure := objective.measure) is None:
        return "test LL"
    return measure.name if measure.column == measure.test_column else f"test {measure.name}"


def _interval(row: Mapping[str, Any], objective: Objective, decimals: int) -> str:
    if (measure := objective.measure) in objective.built_in:
        mean, low, high = (row[f"{objective.column}{end}"] for end in ("", "_low", "_high"))
        return format_interval(mean, low, high, 2)
    if measure is not None:
        return own_interval(row, measure.test_column)
    return format_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], decimals)


def front_scores(row: Mapping[str, Any], objective: Objective) -> str:
    """Return what a configuration scores on the test set by each objective, with intervals."""
    decimals = score_decimals(pd.Series([row["test_ll"]]))
    return ", ".join(f"{_heading(each)} {_interval(row, each, decimals)}" for each in objective.all)


def _legend(report: Report) -> list[str]:
    objective = report.run.objective
    once = [each.name for each in objective.built_in]
    same = f"; those of {listed(once)} are against training examples" if once else ""
    lines = [
        "work: replicas with a score, of all. The rank is by whether more than half work, then by "
        f"the front, then by {objective.name}. front: 1 where no other is at least as good in all "
        f"of {objective.names} and better in one, by means on validation examples; 2 where only "
        "those of front 1 are, and so on; configurations of which at most half work come after all "
        "others. p front: the probability of the first front by the values against the test set, "
        "by resampling seeds.",
        f"The values are against the test set{same}. [low, high]: 95 % interval over training "
        "seeds, as if one more seed had ended badly. ties: ranks from which this one isn't told "
        "apart: neither of the two is shown to be better in all objectives (Holm, 5 %).",
    ]
    if report.paper_config_id in set(report.ranking["config_id"]):
        lines.append(f"* {report.run.baseline_title}")
    return lines
