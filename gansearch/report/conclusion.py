"""A run in three sentences: what has won, by how much, and what to type next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gansearch.own_measures import Objective
from gansearch.report.formatting import label_of, score_decimals
from gansearch.report.report import Report
from gansearch.report.section import Section
from gansearch.report.sections import describe_config
from gansearch.report.seeds_section import lead, lead_in_words
from gansearch.report.warnings import failure_remedy, none_completed
from gansearch.runs.commands import command
from gansearch.runs.tables import rows_of

_N_TIED = 3  # that are named


def conclusion_section(report: Report) -> Section:
    """Return what a reader wants to know first of a run, in three lines."""
    ranked = rows_of(report.ranking[report.ranking["rank"].notna()])
    won, by_how_much, then = _of_ranking(report, ranked) if ranked else _without_ranking(report)
    return Section("conclusion", won, [by_how_much, then])


def _of_ranking(report: Report, ranked: list[dict[str, Any]]) -> tuple[str, str, str]:
    winner = ranked[0]
    is_over = report.run.state == "finished"
    if winner["config_id"] == report.paper_config_id:
        what = report.run.baseline_title
    else:
        what = describe_config(report, winner)
    name = label_of(winner)
    said = f"Winner{'' if is_over else ' so far'}: {name}{'' if what == name else f', {what}'}"
    return said, _lead(report, ranked), _next(report)


def _lead(report: Report, ranked: list[dict[str, Any]]) -> str:
    """Return the winner's lead over the baseline or, without one, over the second; and its ties."""
    winner, *others = ranked
    decimals = score_decimals(report.ranking["test_ll"])
    tied = [label_of(row) for row in others if row["config_id"] in list(winner["tied_with"])]
    if said := lead(report, decimals):
        # It says itself whether that lead may be chance.
        baseline = report.label(report.paper_config_id or "")
        return " ".join([*said, *_ties([name for name in tied if name != baseline])])
    if not others:
        unscored = report.ranking[report.ranking["rank"].isna()]
        names = ", ".join(map(label_of, rows_of(unscored)))
        return f"It alone has a score{names and f': no replica of {names} works'}."
    second, found = others[0], report.winner_minus_second
    name = label_of(second)
    if found is None or math.isnan(found.low):
        return f"Its lead over the second ({name}) is unknown: that takes more than one seed each."
    is_tied = second["config_id"] in list(winner["tied_with"])
    said_of_second = lead_in_words(report, found, f"the second ({name})", decimals, is_tied=is_tied)
    return " ".join([said_of_second, *_ties([each for each in tied if each != name])])


def _ties(tied: list[str]) -> list[str]:
    if not tied:
        return []
    more = f" and {len(tied) - _N_TIED} more" if len(tied) > _N_TIED else ""
    return [f"It is tied with {', '.join(tied[:_N_TIED])}{more}."]


def _next(report: Report) -> str:
    folder, run = report.folder.path, report.run
    if run.is_going_on:
        return f"Next: `{command('report', folder)}` again, when the run has ended."
    if run.state != "finished":
        return f"Next: `{command('resume', folder)}`"
    page = command("report", folder, "--out", "report.html")
    return f"Next: `{command('sample', folder)}` for its samples, `{page}` for a page."


def _without_ranking(report: Report) -> tuple[str, str, str]:
    run, folder = report.run, report.folder
    if run.state == "failed":
        phase = "replica" if any(report.counts["replica"].values()) else "search"
        counts = report.counts[phase]
        said = f"Nothing has won: {none_completed(phase, counts)}."
        remedy = failure_remedy(folder, run, phase, counts)
        return said, _best_of_search(report), f"Next: {remedy}"
    if run.is_going_on:
        return "Nothing has won yet: the run goes on.", _best_of_search(report), _next(report)
    if run.state == "interrupted":
        said = "Nothing has won yet: the run was interrupted."
        return said, _best_of_search(report), _next(report)
    said = "Nothing has won: no configuration was trained on fresh seeds."
    if not report.budget.top and report.baseline is None:
        return said, _best_of_search(report), "Next: a run with --top 3, to compare the best."
    seeds = command("resume", folder.path, "--replicas", str(report.budget.replicas or 5))
    return said, _best_of_search(report), f"Next: `{seeds}` trains the best on fresh seeds."


def _best_of_search(report: Report) -> str:
    if report.leaderboard.empty:
        return "No trial of the search has a score."
    best = rows_of(report.leaderboard.iloc[:1])[0]
    score = _score(best, report.run.objective, report.run.n_evaluation_samples)
    config = describe_config(report, best)
    return (
        f"The best of the search, a single training: {label_of(best)} ({best['trial_id']}), "
        f"{score}: {config}"
    )


def _score(row: Mapping[str, Any], objective: Objective, n_evaluation_samples: int) -> str:
    value = objective.format(float(row[objective.column]))
    n_samples = objective.n_samples(n_evaluation_samples)
    what = " ".join(filter(None, (objective.name, value, objective.unit)))
    return f"{what} from {n_samples:,} samples"
