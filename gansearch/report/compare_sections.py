"""A comparison of runs in words and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gansearch.report.compare import Comparison, Lead, RankedConfig, SharedConfig
from gansearch.report.formatting import (
    duration,
    format_count,
    format_interval,
    format_number,
)
from gansearch.report.section import Section, make_columns

_N_SHARED = 20  # configurations that are listed
_N_RANKED = 20


def comparison_sections(comparison: Comparison) -> list[Section]:
    """Return the runs, their rankings as one, what differs in them, and what they share."""
    parts = [_runs_section(comparison)]
    if any(run.ranking for run in comparison.runs):
        parts.append(_ranking_section(comparison))
    parts += [*_shared_section(comparison), _differences_section(comparison)]
    return parts


def _runs_section(comparison: Comparison) -> Section:
    rows = [
        [
            run.name,
            run.state,
            str(run.n_tried),
            format_count(run.updates),
            duration(run.wall_seconds),
            run.best.label if run.best else "-",
            run.best.in_words() if run.best else "-",
        ]
        for run in comparison.runs
    ]
    columns = make_columns("run", "state", "tried", "updates", "time", "best", "score")
    return Section(
        "runs",
        f"{len(comparison.runs)} runs: {', '.join(run.name for run in comparison.runs)}",
        (),
        columns,
        rows,
        [*_verdict(comparison), *map(_lead_in_words, comparison.leads)],
    )


def _verdict(comparison: Comparison) -> Iterator[str]:
    """Yield whether the scores can be compared, and if not, why."""
    unranked = [run.name for run in comparison.runs if not run.ranking]
    if comparison.obstacles:
        yield f"Their scores can't be compared: {' '.join(comparison.obstacles)}"
    elif unranked:
        yield f"{', '.join(unranked)}: no ranking yet, so there are no final scores to compare."
    more = comparison.search_obstacles[len(comparison.obstacles) :]
    yield from more
    if (
        not comparison.search_obstacles
        and len({r.best.is_final for r in comparison.runs if r.best}) > 1
    ):
        yield (
            "A test score is a mean over replicas, the others come from single trainings and "
            "fewer samples: these two kinds are never compared."
        )


def _lead_in_words(lead: Lead) -> str:
    found = lead.difference
    size = format_interval(found.mean, found.low, found.high, 1 if abs(found.mean) >= 10 else 2)
    what = f"The winner of {lead.run} is better than that of {lead.other} by {size} on the test set"
    if math.isnan(found.low):
        return f"{what}; with one seed each, that may be chance."
    return f"{what}." if found.low > 0 else f"{what}, which may be chance."


def _ranking_section(comparison: Comparison) -> Section:
    is_one = not comparison.obstacles
    ranking = comparison.ranking()
    rows = [
        [
            row.run,
            "-" if row.rank is None else str(row.rank),
            row.label,
            f"{row.n_seeds}/{row.n_seeds + row.n_failed}",
            format_number(row.valid, 1),
            _test(row),
            format_number(row.coverage, 2),
            format_number(row.recall, 2),
        ]
        for row in ranking[:_N_RANKED]
    ]
    how = "as one, by how many work, then by the validation score" if is_one else "run by run"
    notes = [
        "rank: within its run. work: replicas with a score. valid and test: means over these, with "
        "the 95 % interval. Ties between runs are not computed; overlapping intervals are no test."
    ]
    if len(ranking) > _N_RANKED:
        notes.insert(0, f"and {len(ranking) - _N_RANKED} more")
    return Section(
        "ranking",
        f"The rankings {how}",
        (),
        make_columns("run", "rank", "config", "work", "valid", "test", "coverage", "recall"),
        rows,
        notes,
    )


def _shared_section(comparison: Comparison) -> Iterator[Section]:
    if not comparison.shared:
        return
    rows = [
        [config.label, *(_score_in(config, i) for i in range(len(comparison.runs)))]
        for config in comparison.shared[:_N_SHARED]
    ]
    n_more = len(comparison.shared) - _N_SHARED
    yield Section(
        "shared",
        "Configurations that several runs have tried",
        (),
        make_columns("config", *(run.name for run in comparison.runs)),
        rows,
        [
            *([f"and {n_more} more"] if n_more > 0 else []),
            "With an interval: the final score of its replicas. (search): the best of single "
            "trainings, from fewer samples. A dash: tried, but without a score, or not tried.",
        ],
    )


def _score_in(config: SharedConfig, run: int) -> str:
    """Return a configuration's score in one of the runs: the final one, else the search's."""
    if (final := config.finals[run]) is not None and not math.isnan(final.test):
        return _test(final)
    score = config.searched[run]
    return "-" if score is None else f"{format_number(score, 2)} (search)"


def _test(row: RankedConfig) -> str:
    return format_interval(row.test, row.low, row.high, 1 if abs(row.test) >= 10 else 2)


def _differences_section(comparison: Comparison) -> Section:
    rows = [
        [difference.name, *("-" if value is None else value for value in difference.values)]
        for difference in comparison.differences
    ]
    return Section(
        "differences",
        "What differs in their spaces and budgets",
        () if rows else ["Nothing: the runs have the same space, budget and seed."],
        make_columns("setting", *(run.name for run in comparison.runs)),
        rows,
        ["A dash: the default, or no such setting."] if rows else [],
    )
