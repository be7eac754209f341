"""A run in three sentences: what has won, by how much, and what to type next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gansearch.own_measures import Objective
from gansearch.report.formatting import label_of, score_decimals
from gansearch.report.front_section import front_lead, front_said
from gansearch.report.report import Report, search_fronts
from gansearch.report.section import Section
from gansearch.report.sections import describe_config
from gansearch.report.seeds_section import lead, lead_in_words
from gansearch.report.warnings import failure_remedy, none_completed
from gansearch.runs.commands import command
from gansearch.runs.tables import rows_of

_N_TIED = 3  # that are named
_BEST = "The best of the search, a single training"


# Commands to type next, each with what it is for: "" where that is plain.
Commands = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Conclusion:
    """What a reader wants to know first of a run.

    Attributes:
        said: what has won.
        lead: by how much.
        commands: to type next.
        advice: what to do next where no command alone does it.
    """

    said: str
    lead: str
    commands: Commands = ()
    advice: str = ""

    def section(self) -> Section:
        """Return it in three lines."""
        said = [f"`{line}`{f' {purpose}' if purpose else ''}" for line, purpose in self.commands]
        end = "." if any(purpose for _, purpose in self.commands) else ""
        return Section(
            "conclusion", self.said, [self.lead, f"Next: {self.advice or ', '.join(said) + end}"]
        )


def conclusion(report: Report) -> Conclusion:
    """Return what has won, by how much, and what to type next."""
    ranked = rows_of(report.ranking[report.ranking["rank"].notna()])
    return _of_ranking(report, ranked) if ranked else _without_ranking(report)


def _of_ranking(report: Report, ranked: list[dict[str, Any]]) -> Conclusion:
    winner = ranked[0]
    if report.run.objective.is_several:
        shown = f"for samples of {label_of(winner)}"
        said, lead_said = front_said(report, ranked), front_lead(report, ranked)
        return Conclusion(said, lead_said, _next(report, shown))
    is_over = report.run.state == "finished"
    what = _described(report, winner)
    name = label_of(winner)
    said = f"Winner{'' if is_over else ' so far'}: {name}{'' if what == name else f', {what}'}"
    return Conclusion(said, _lead(report, ranked), _next(report))


def _described(report: Report, row: Mapping[str, Any]) -> str:
    is_baseline = row["config_id"] == report.paper_config_id
    return report.run.baseline_title if is_baseline else describe_config(report, row)


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


def _next(report: Report, shown: str = "for its samples") -> Commands:
    folder, run = report.folder.path, report.run
    if run.is_going_on:
        return ((command("report", folder), "again, when the run has ended"),)
    if run.state != "finished":
        return ((command("resume", folder), ""),)
    page = command("report", folder, "--out", "report.html")
    return (command("sample", folder), shown), (page, "for a page")


def _without_ranking(report: Report) -> Conclusion:
    run, folder = report.run, report.folder
    best = _best_of_search(report)
    if run.state == "failed":
        phase = "replica" if any(report.counts["replica"].values()) else "search"
        counts = report.counts[phase]
        said = f"Nothing has won: {none_completed(phase, counts)}."
        return Conclusion(said, best, advice=failure_remedy(folder, run, phase, counts))
    if run.is_going_on:
        return Conclusion("Nothing has won yet: the run goes on.", best, _next(report))
    if run.state == "interrupted":
        return Conclusion("Nothing has won yet: the run was interrupted.", best, _next(report))
    said = "Nothing has won: no configuration was trained on fresh seeds."
    if not report.budget.top and report.baseline is None:
        return Conclusion(said, best, advice="a run with --top 3, to compare the best.")
    seeds = command("resume", folder.path, "--replicas", str(report.budget.replicas or 5))
    return Conclusion(said, best, ((seeds, "trains the best on fresh seeds"),))


def _best_of_search(report: Report) -> str:
    if report.leaderboard.empty:
        return "No trial of the search has a score."
    best = rows_of(report.leaderboard.iloc[:1])[0]
    score = _score(best, report.run.objective, report.run.n_evaluation_samples)
    config = _described(report, best)
    n_first = _n_on_front(report)
    which = f"First of {n_first} trainings on the search's front" if n_first > 1 else _BEST
    return f"{which}: {label_of(best)} ({best['trial_id']}), {score}: {config}"


def _n_on_front(report: Report) -> int:
    """Return how many trials of the search are on the first front; 0 with one objective."""
    if not report.run.objective.is_several:
        return 0
    return int((search_fronts(report.trials, report.run.objective) == 1).sum())


def _score(row: Mapping[str, Any], objective: Objective, n_evaluation_samples: int) -> str:
    value = objective.format(float(row[objective.column]))
    n_samples = objective.n_samples(n_evaluation_samples)
    what = " ".join(filter(None, (objective.name, value, objective.unit)))
    others = [f", {o.name} {o.format(float(row[o.column]))}" for o in objective.others]
    return f"{what} from {n_samples:,} samples{''.join(others)}"
