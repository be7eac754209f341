"""Several runs side by side, as data: what differs in them, their bests, and what they share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd

from gansearch.data.fingerprint import Fingerprint
from gansearch.data.own_names import short_name
from gansearch.errors import BadInputError
from gansearch.ranking.intervals import Difference
from gansearch.report.export import json_value
from gansearch.report.listing import BestScore, best_of
from gansearch.report.recovery import read_with_warnings
from gansearch.report.report import Report, build_report, lead_between, seed_scores
from gansearch.report.seeds_section import selection_measure
from gansearch.rules import short
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import is_sound_search
from gansearch.runs.tables import rows_of


@dataclass(frozen=True)
class RankedConfig:
    """A row of a run's ranking; the scores are NaN where the row has none.

    `test`, `low` and `high` are log-likelihoods of the test set, or values of the objective.
    """

    run: str
    config_id: str
    label: str
    rank: int | None
    n_seeds: int
    n_failed: int
    valid: float
    test: float
    low: float
    high: float
    coverage: float
    recall: float

    @property
    def mostly_works(self) -> bool:
        """Whether more than half of the replicas have a score, by which a ranking goes first."""
        return self.n_seeds > self.n_failed


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs; its name is unlike those of the others."""

    name: str
    path: str
    state: str
    dataset: str
    measure: str
    unit: str
    n_tried: int
    updates: int
    wall_seconds: float
    best: BestScore | None
    ranking: tuple[RankedConfig, ...]


@dataclass(frozen=True)
class SettingDifference:
    """A setting of which not all runs have the same: a text a run, None where one lacks it."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class SharedConfig:
    """A configuration that several runs have tried.

    Attributes:
        config_id: of it.
        label: its name or id.
        finals: its score in the ranking of each run, None where it isn't ranked.
        searched: its best score in the search of each run, None where it was not tried.
    """

    config_id: str
    label: str
    finals: tuple[RankedConfig | None, ...]
    searched: tuple[float | None, ...]


@dataclass(frozen=True)
class Lead:
    """By how much the winner of one run is better than that of another on the test set."""

    run: str
    other: str
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        runs: in the order in which they were named.
        obstacles: why final scores can't be compared; none where they can.
        search_obstacles: the same of the scores of trials of the search.
        differences: settings that differ.
        shared: configurations that several runs have tried.
        leads: of the best winner over those of the other runs; none with an obstacle.
        is_less_better: whether a lower value of the first run's objective is better.
    """

    runs: tuple[ComparedRun, ...]
    obstacles: tuple[str, ...]
    search_obstacles: tuple[str, ...]
    differences: tuple[SettingDifference, ...]
    shared: tuple[SharedConfig, ...]
    leads: tuple[Lead, ...]
    is_less_better: bool = False

    def ranking(self) -> list[RankedConfig]:
        """Return all rankings as one, the best first, or run by run if they can't be compared."""
        rows = [row for run in self.runs for row in run.ranking]
        if self.obstacles:
            return rows
        return sorted(rows, key=lambda row: _order(row, is_less_better=self.is_less_better))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, null for a number that does not exist."""
        values: dict[str, Any] = json_value(dataclasses.asdict(self))
        return values


def compare_runs(folders: Sequence[RunFolder]) -> Comparison:
    """Return two or more runs side by side.

    Raises:
        BadInputError: as `require_several`.
        ResultsError: a run can't be read.
    """
    require_several(folders)
    return compare_reports([build_report(folder) for folder in folders])


def require_several(folders: Sequence[RunFolder]) -> None:
    """Raise BadInputError if there is one run alone, or one of them twice."""
    paths = [folder.path.resolve() for folder in folders]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise BadInputError(f"{twice}: given twice. A run is compared with others. Name another.")
    if len(folders) < 2:
        raise BadInputError("One run alone can't be compared. Name two or more.")


def compare_reports(reports: Sequence[Report]) -> Comparison:
    """Return two or more runs side by side, given their reports."""
    names = [report.folder.path.name for report in reports]
    if len(set(names)) < len(names):
        names = [str(report.folder.path) for report in reports]
    runs = tuple(map(_compared, names, reports))
    obstacles = tuple(_obstacles(names, reports))
    return Comparison(
        runs=runs,
        obstacles=obstacles,
        search_obstacles=obstacles + tuple(_sample_obstacles(names, reports)),
        differences=tuple(_differences([_settings(report) for report in reports])),
        shared=tuple(_shared(runs, reports)),
        leads=() if obstacles else tuple(_leads(runs, reports)),
        is_less_better=bool(reports[0].run.objective.as_score(1.0) < 0),
    )


def _compared(name: str, report: Report) -> ComparedRun:
    run, objective = report.run, report.run.objective
    return ComparedRun(
        name=name,
        path=str(report.folder.path),
        state=run.state,
        dataset=short_name(run.space["dataset"]),
        measure=objective.name,
        unit=objective.unit,
        n_tried=report.n_tried,
        updates=report.updates,
        wall_seconds=run.wall_seconds,
        best=best_of(run, report.trials, report.ranking),
        ranking=tuple(_ranked(name, report, row) for row in rows_of(report.ranking)),
    )


def _ranked(name: str, report: Report, row: Mapping[str, Any]) -> RankedConfig:
    measure = report.run.objective.measure
    valid, test = (selection_measure(report.ranking), "test_ll")
    if measure is not None:
        valid, test = measure.column, measure.test_column
    return RankedConfig(
        run=name,
        config_id=row["config_id"],
        label=report.label(row["config_id"]),
        rank=None if pd.isna(row["rank"]) else int(row["rank"]),
        n_seeds=int(row["n_seeds"]),
        n_failed=int(row["n_failed"]),
        valid=float(row[valid]),
        test=float(row[test]),
        low=float(row[f"{test}_low"]),
        high=float(row[f"{test}_high"]),
        coverage=float(row["coverage"]),
        recall=float(row["recall"]),
    )


def _obstacles(names: Sequence[str], reports: Sequence[Report]) -> Iterator[str]:
    """Yield why final scores of the runs can't be compared: other data, or another measure."""
    first, first_name = reports[0].run, names[0]
    for name, report in zip(names[1:], reports[1:], strict=True):
        run = report.run
        if why := _other_data(first.data, run.data):
            yield f"{first_name} and {name} have not learned the same data ({why})."
        elif first.space["dataset"] != run.space["dataset"] and not (first.data and run.data):
            sets = f"{short_name(first.space['dataset'])}, {short_name(run.space['dataset'])}"
            yield f"{first_name} and {name} have learned different data sets ({sets})."
        if first.objective != run.objective:
            ours, theirs = first.objective.names, run.objective.names
            yield (
                f"{first_name} goes by {ours}, {name} by {theirs}"
                + ("." if ours != theirs else ", another of this name.")
            )


def _other_data(first: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """Return in what the data of two runs differs; nothing if it doesn't, or isn't recorded."""
    if first is None or other is None or first == other:
        return ""
    differences = Fingerprint.from_dict(first).differences(Fingerprint.from_dict(other))
    return "; ".join(
        each.replace("as then, but others", "each, but others")
        .replace(" then", " in the first")
        .replace(" now", " in the other")
        for each in differences
    )


def _sample_obstacles(names: Sequence[str], reports: Sequence[Report]) -> Iterator[str]:
    counts = [r.run.objective.n_samples(r.run.n_evaluation_samples) for r in reports]
    if len(set(counts)) > 1:
        said = ", ".join(f"{name}: {n:,}" for name, n in zip(names, counts, strict=True))
        yield f"The scores of the searches come from different numbers of samples ({said})."


def _settings(report: Report) -> dict[str, str]:
    """Return what decides the results of a run, each as a text."""
    run, space = report.run, report.run.space
    values = {
        "data set": short_name(space["dataset"]),
        "family": str(space.get("family", run.family.name)),
        "objective": run.objective.names,
        "baseline": run.baseline_name or "none",
        "keep": str(space.get("keep", "last")),
        **{f"data.{name}": short(value) for name, value in space.get("data", {}).items()},
        **{name: short(value) for name, value in space["fixed"].items()},
        **{name: _range(entry) for name, entry in space["search"].items()},
        **{f"budget.{name}": short(value) for name, value in report.budget.to_dict().items()},
        **{f"preset {name}": _words(preset) for name, preset in space["presets"].items()},
        "start from": ", ".join(space.get("start_from", ())) or "none",
        "own measures": ", ".join(
            f"{each.name} ({each.direction}, {each.function or 'of the family'})"
            for each in run.measures
        ),
        "given configurations": str(len(run.only)) if run.only else "none",
        "seed": str(run.seed),
        "sampler": str(run.settings.get("sampler", "-")),
        "samples of an evaluation": f"{run.n_evaluation_samples:,}",
        "gansearch": str(run.facts.get("versions", {}).get("gansearch", "-")),
    }
    return {name: value for name, value in values.items() if value}


def _words(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={short(value)}" for name, value in sorted(values.items())) or "nothing"


def _range(entry: Mapping[str, Any]) -> str:
    """Return a searched range in words: `float 0.0001 to 0.3 log`, `choice relu, tanh`."""
    kind = next(kind for kind in ("int", "float", "choice") if kind in entry)
    values = list(map(short, entry[kind]))
    words = f"{kind} {', '.join(values) if kind == 'choice' else ' to '.join(values)}"
    when = " ".join(
        f"{name}={'|'.join(map(short, wanted))}" for name, wanted in entry.get("when", {}).items()
    )
    return f"{words}{' log' if entry.get('log') else ''}{when and f' when {when}'}"


def _differences(settings: Sequence[Mapping[str, str]]) -> Iterator[SettingDifference]:
    for name in dict.fromkeys(name for of_run in settings for name in of_run):
        values = tuple(of_run.get(name) for of_run in settings)
        if len(set(values)) > 1:
            yield SettingDifference(name, values)


def _shared(runs: Sequence[ComparedRun], reports: Sequence[Report]) -> Iterator[SharedConfig]:
    """Yield the configurations that several runs have tried, those that are ranked first."""
    finals: list[Mapping[str, RankedConfig]] = [
        {row.config_id: row for row in run.ranking} for run in runs
    ]
    searched = [_best_searched(report) for report in reports]
    tried = [set(report.trials["config_id"]) for report in reports]
    ids = dict.fromkeys(chain(*finals, *searched, *tried))
    for config_id in ids:
        if sum(config_id in of_run for of_run in tried) > 1:
            labels = (report.label(config_id) for report in reports)
            yield SharedConfig(
                config_id,
                next((label for label in labels if label != config_id), config_id),
                tuple(of_run.get(config_id) for of_run in finals),
                tuple(of_run.get(config_id) for of_run in searched),
            )


def _best_searched(report: Report) -> dict[str, float]:
    """Return the best sound score of each configuration in the search of a run."""
    trials, objective = report.trials, report.run.objective
    sound = trials[is_sound_search(trials)]
    scores = objective.as_score(sound[objective.column])
    best = scores.groupby(sound["config_id"]).max().dropna().sort_values(ascending=False)
    return {str(name): float(objective.as_score(value)) for name, value in best.items()}


def _leads(runs: Sequence[ComparedRun], reports: Sequence[Report]) -> Iterator[Lead]:
    """Yield the lead of the best winner over the other winners, example by example."""
    objective = reports[0].run.objective
    winners = {run.name: run.ranking[0] for run in runs if run.ranking[:1] and run.ranking[0].rank}
    if len(winners) < 2:
        return
    is_less_better = objective.as_score(1.0) < 0
    best, *others = sorted(
        winners.values(), key=lambda row: _order(row, is_less_better=is_less_better)
    )
    by_name = {run.name: report for run, report in zip(runs, reports, strict=True)}
    scores = {
        name: seed_scores(
            read_with_warnings(by_name[name].folder.test_lls)[0],
            by_name[name].trials,
            row.config_id,
            objective,
        )
        for name, row in winners.items()
    }
    for other in others:
        found = lead_between(
            scores[best.run],
            scores[other.run],
            objective,
            n_failed=(best.n_failed, other.n_failed),
        )
        if found is not None:
            yield Lead(best.run, other.run, found)


def _order(row: RankedConfig, *, is_less_better: bool) -> tuple[bool, float]:
    """Return what a ranking goes by: whether more than half work, then the validation score."""
    score = row.valid if is_less_better else -row.valid
    return not row.mostly_works, math.inf if math.isnan(score) else score
