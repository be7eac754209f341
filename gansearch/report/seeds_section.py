"""What a ranking says of the seeds: how many work, what each scored, and the winner's lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from gansearch.own_measures import Objective
from gansearch.ranking.intervals import Difference
from gansearch.ranking.ranking import SELECTION_MEASURES
from gansearch.report.formatting import (
    format_count,
    format_interval,
    format_number,
    format_share,
    score_decimals,
)
from gansearch.report.own_section import own_number, with_ends
from gansearch.report.report import Report, seeds_of
from gansearch.report.section import Section, make_columns
from gansearch.runs.tables import rows_of

# Of more seeds only the best and the worst are listed.
_MOST_LISTED, _N_BEST, _N_WORST = 12, 3, 8


def selection_measure(ranking: pd.DataFrame) -> str:
    """Return the measure that the ranking's order goes by, among configurations that mostly work.

    It is `valid_ll_all`, or `valid_ll` where a replica lacks that.
    """
    ranked = ranking[ranking["rank"].notna()]
    complete = [name for name in SELECTION_MEASURES if ranked[name].notna().all()]
    return complete[0] if complete else SELECTION_MEASURES[-1]


def seeds_section(report: Report, mark: Callable[[Report, str], str]) -> Section:
    """Return how many replicas of each configuration work, and what each of them scored."""
    measure = report.run.objective.measure
    decimals = score_decimals(report.ranking["test_ll"])
    rows = []
    for row in rows_of(report.ranking):
        if measure:
            values = seeds_of(report.trials, row["config_id"], measure.test_column)
            seeds = list(map(own_number, sorted(values, key=measure.as_score, reverse=True)))
        else:
            seeds = [format_number(score, decimals) for score in _test_lls(row)]
        rows.append(
            [
                mark(report, row["config_id"]),
                share_that_works(row),
                format_count(row["updates_per_success"]),
                seeds[-1] if seeds else "-",
                _every_seed(seeds, row["n_seeds"] + row["n_failed"]),
            ]
        )
    scored = f" by {measure.name} against the test set" if measure else ""
    every = "test of every seed" if measure else "test LL of every seed"
    return Section(
        "seeds",
        f"Every seed: which replicas work, and what they scored{scored}",
        (),
        make_columns("config", "work", "updates/success", "worst", every),
        rows,
        [
            "work: replicas that have a score, with the 95 % interval of their share. A dash: a "
            "replica without a score. updates/success: updates of all replicas, for each that "
            "works.",
            *_what_few_seeds_hide(report.ranking),
        ],
    )


def share_that_works(row: Mapping[str, Any]) -> str:
    """Return how many replicas of a configuration work, as `3 of 4 [28 %, 97 %]`."""
    count = f"{row['n_seeds']} of {row['n_seeds'] + row['n_failed']}"
    if pd.isna(row["p_works"]):
        return count
    return f"{count} [{format_share(row['p_works_low'])}, {format_share(row['p_works_high'])}]"


def lead(report: Report, decimals: int) -> list[str]:
    """Return by how much the winner beats the baseline, if it does, and how often both work."""
    found = report.winner_minus_paper
    if found is None:
        return []
    title = report.run.baseline_title
    winner = rows_of(report.ranking.iloc[:1])[0]
    is_tied = report.paper_config_id in list(winner["tied_with"])
    said = lead_in_words(report, found, title, decimals, is_tied=is_tied)
    if report.baseline_row is None:
        return [said]
    works, of_baseline = share_that_works(winner), share_that_works(report.baseline_row)
    return [f"{said} Of the winner's replicas {works} work, of those of {title} {of_baseline}."]


def lead_in_words(
    report: Report, found: Difference, title: str, decimals: int, *, is_tied: bool
) -> str:
    """Return the winner's lead over a configuration that is called `title`."""
    size = _size(found, decimals, report.run.objective)
    if is_tied:
        return f"The winner's lead over {title}, {size}, may be chance."
    if found.low > 0:
        return f"The winner beats {title} by {size}."
    return f"The winner works more often than {title}. Where both work, its lead is {size}."


def _size(found: Difference, decimals: int, objective: Objective) -> str:
    """Return a lead with its interval, as `23.8 nats [17.0, 41.8]`."""
    measure = objective.measure
    if measure is None:
        return format_interval(found.mean, found.low, found.high, decimals, " nats")
    return f"{with_ends(found.mean, found.low, found.high, measure.unit)} in {measure.name}"


def _test_lls(row: Mapping[str, Any]) -> list[float]:
    """Return the scores of a configuration's seeds, the best first; an older ranking has none."""
    seeds = row["test_ll_seeds"]
    return [] if seeds is None else sorted(seeds, reverse=True)


def _every_seed(seeds: Sequence[str], n_ended: int) -> str:
    """Return the scores of a configuration's seeds, and a dash for each other of its replicas."""
    listed = [*seeds, *["-"] * (n_ended - len(seeds))]
    if len(listed) > _MOST_LISTED:
        listed = [*listed[:_N_BEST], "...", *listed[-_N_WORST:]]
    return " ".join(listed)


def _what_few_seeds_hide(ranking: pd.DataFrame) -> list[str]:
    n = int((ranking["n_seeds"] + ranking["n_failed"]).max())
    if n < 2:
        return []
    return [
        f"Few seeds cannot show rare outcomes: what one training in {n} does is absent from {n} "
        f"seeds in {format_share((1 - 1 / n) ** n)} of studies."
    ]
