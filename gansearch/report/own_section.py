"""The measures of a model family and of the user's own, from what the run has stored of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from gansearch.measures import N_FINAL_SAMPLES
from gansearch.own_measures import OwnMeasure
from gansearch.report.report import Report
from gansearch.report.section import Column, Section
from gansearch.runs.tables import rows_of
from gansearch.scoring.lines import line_title


def own_sections(report: Report, mark: Callable[[Report, str], str]) -> Iterator[Section]:
    """Yield the measures of the family, and the user's own, of the ranked configurations.

    None where there are none.
    """
    for title, measures in _by_origin(report):
        yield from _section(report, mark, title, measures)


def _by_origin(report: Report) -> list[tuple[str, list[OwnMeasure]]]:
    """Return the measures of the family, and the user's own, with titles."""
    own = [each for each in report.run.measures if not each.is_of_family]
    of_family = [each for each in report.run.measures if each.is_of_family]
    return [("Measures of the model family", of_family), ("Your own measures", own)]


def key_of(measure: OwnMeasure) -> str:
    """Return the key of the section that a measure is in."""
    return "family_measures" if measure.is_of_family else "own_measures"


def _section(
    report: Report,
    mark: Callable[[Report, str], str],
    title: str,
    candidates: Sequence[OwnMeasure],
) -> Iterator[Section]:
    computed = report.references[report.references["source"].isna()]
    titled = [
        *((mark(report, row["config_id"]), row) for row in rows_of(report.ranking)),
        *((line_title(row), row) for row in rows_of(computed)),
    ]
    measures = [
        each for each in candidates if _is_there((row for _, row in titled), each.final_columns)
    ]
    if not measures:
        return
    rows = [
        [each.name, title, *(own_interval(row, name) for name in each.final_columns)]
        for each in measures
        for title, row in titled
        if _is_there([row], each.final_columns)
    ]
    columns: list[Column] = [
        *(("measure", "left"), ("samples", "left")),
        *(("validation set", "right"), ("test set", "right")),
    ]
    of = "" if measures[0].is_of_family else f"Of {N_FINAL_SAMPLES:,} samples against all examples "
    means = "of the set: means over the replicas" if of else "Means over the replicas"
    notes = [
        f"{of}{means} that work. [low, high]: 95 % interval over training seeds, as if one more "
        "seed had ended badly.",
        f"{'; '.join(map(_described, measures))}.",
    ]
    yield Section(key_of(measures[0]), title, (), columns, rows, notes)


def own_search_sections(report: Report, mark: Callable[[Report, str], str]) -> Iterator[Section]:
    """Yield the same of the search's best; none where there are none."""
    rows = rows_of(report.leaderboard)
    for title, candidates in _by_origin(report):
        measures = [each for each in candidates if _is_there(rows, [each.column])]
        if not measures:
            continue
        of_best = ", for a completed one at that of its best state" * report.run.keeps_best
        yield Section(
            "family_search" if measures[0].is_of_family else "own_search",
            f"{title} of the search's best",
            (),
            [("trial", "left"), ("config", "left"), *((each.name, "right") for each in measures)],
            [
                [
                    row["trial_id"],
                    mark(report, row["config_id"]),
                    *(own_number(row[each.column]) for each in measures),
                ]
                for row in rows
            ],
            [f"Against validation examples, at the last evaluation of each trial{of_best}."],
        )


def _is_there(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bool:
    """Return whether a row has a value in one of the columns; an older file may lack them."""
    return any(pd.notna(row.get(name)) for row in rows for name in columns)


def own_interval(row: Mapping[str, Any], column: str) -> str:
    """Return a measure's mean over seeds with its interval, if it has one."""
    return with_ends(row.get(column), row.get(f"{column}_low"), row.get(f"{column}_high"))


def with_ends(value: Any, low: Any, high: Any, unit: str = "") -> str:
    """Return a value of a measure with its interval, if it has one, as `23.84 px [17.03, 41.8]`."""
    ends = "" if pd.isna(low) else f" [{own_number(low)}, {own_number(high)}]"
    return f"{own_number(value)}{unit and ' '}{unit}{ends}"


def _described(measure: OwnMeasure) -> str:
    unit = f", in {measure.unit}" if measure.unit else ""
    return f"{measure.name}{unit}: {better(measure)}"


def better(measure: OwnMeasure) -> str:
    """Return in words which way a measure is better."""
    return f"{'lower' if measure.direction == 'minimize' else 'higher'} is better"


def own_number(value: Any) -> str:
    """Return a value of any magnitude in four digits; a dash for none."""
    return "-" if pd.isna(value) else f"{value:.4g}"
