"""The runs below a folder: the state of each, how far it is, and its best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from gansearch.data.own_names import short_name
from gansearch.errors import GansearchError
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.own_measures import Objective
from gansearch.report.formatting import format_number
from gansearch.report.recovery import read_with_warnings
from gansearch.report.section import Section, make_columns
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import runs_in
from gansearch.runs.schemas import is_sound_search
from gansearch.runs.tables import unreadable
from gansearch.system.object_store import AnyPath

DAMAGED = "damaged"


@dataclass(frozen=True)
class BestScore:
    """The best configuration of a run.

    Attributes:
        config_id: of the configuration.
        name: of the preset that it is; None for others.
        is_final: whether the score is the mean over the replicas against the test set, and not that
            of one training of the search.
        measure: `test_ll`, or else what the search goes by.
        unit: of the score; empty for none.
        value: the score.
        low, high: its 95 % interval; None where there is none.
        n_samples: that each score comes from.
    """

    config_id: str
    name: str | None
    is_final: bool
    measure: str
    unit: str
    value: float
    low: float | None
    high: float | None
    n_samples: int

    @property
    def label(self) -> str:
        """What tables call the configuration."""
        return self.name or self.config_id

    def in_words(self) -> str:
        """Return the score as `test_ll 22.6`."""
        return f"{self.measure} {format_number(self.value, 1 if abs(self.value) >= 10 else 2)}"


@dataclass(frozen=True)
class ListedRun:
    """A run in a list.

    Attributes:
        name: of its folder.
        path: of its folder.
        state: "running" if a process is at work on it, else "finished", "interrupted", also for one
            whose process has died, "failed" or "damaged".
        fault: what is damaged; None for nothing.
        space: the name of its space.
        dataset: that it learns.
        started_at: date and time in UTC, in ISO 8601; None if that can't be read.
        n_trials, n_trials_planned: trials of the search that have ended, and how many there are to
            be; None planned for a comparison of given configurations, which has no search.
        n_replicas: that have ended.
        best: the best configuration so far; None before a score.
    """

    name: str
    path: str
    state: str
    fault: str | None = None
    space: str = ""
    dataset: str = ""
    started_at: str | None = None
    n_trials: int = 0
    n_trials_planned: int | None = None
    n_replicas: int = 0
    best: BestScore | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)


def list_runs(results: AnyPath) -> list[ListedRun]:
    """Return the runs below a folder, the newest first, and those without a date at the end.

    Raises:
        ResultsError: the folder can't be read.
    """
    try:
        folders = runs_in(results)
    except OSError as error:
        raise unreadable(results, error) from error
    runs = [list_run(RunFolder(path)) for path in folders]
    return sorted(runs, key=lambda run: run.started_at or "", reverse=True)


def list_run(folder: RunFolder) -> ListedRun:
    """Return a run as a list shows it; a damaged one says what is damaged, and raises nothing."""
    listed = ListedRun(folder.path.name, str(folder.path), DAMAGED)
    try:
        run, _ = read_with_warnings(folder.read_run)
        began = datetime.fromisoformat(run.started_at)
        listed = dataclasses.replace(
            listed,
            space=run.space["name"],
            dataset=short_name(run.space["dataset"]),
            started_at=began.astimezone(UTC).isoformat(timespec="seconds"),
            n_trials_planned=None if run.only else run.budget.trials,
        )
        trials, ranking = folder.trials(), folder.ranking()
        has_ended = trials["status"] != "running"
        return dataclasses.replace(
            listed,
            state=dataclasses.replace(run, state=folder.state_of(run)).shown_state,
            n_trials=int((has_ended & (trials["phase"] == "search")).sum()),
            n_replicas=int((has_ended & (trials["phase"] == "replica")).sum()),
            best=best_of(run, trials, ranking),
        )
    except Exception as error:  # whatever a damaged file leads to, the other runs are listed
        known = isinstance(error, GansearchError | OSError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        return dataclasses.replace(listed, fault=why)


def listing_section(runs: Sequence[ListedRun]) -> Section:
    """Return the runs as a table, with the faults of damaged ones below."""
    names = ["run", "state", "space", "data set", "started (UTC)", "trials", "best", "score"]
    if all(run.dataset == run.space for run in runs):
        names.remove("data set")  # so that the table fits where names are long
    rows = [[cells[name] for name in names] for cells in map(_cells, runs)]
    notes = [f"{run.name}: {run.fault}" for run in runs if run.fault]
    if len({run.best.is_final for run in runs if run.best}) > 1:
        notes.append(
            "Test scores are means over replicas. The others come from single trainings of a "
            "search, and from fewer samples: they can't be compared with these."
        )
    return Section("runs", "Runs", (), make_columns(*names), rows, notes)


def _cells(run: ListedRun) -> dict[str, str]:
    searched = "" if run.n_trials_planned is None else f"{run.n_trials}/{run.n_trials_planned}"
    replicas = f"{run.n_replicas} replicas" if run.n_replicas else ""
    started = run.started_at and datetime.fromisoformat(run.started_at)
    return {
        "run": run.name,
        "state": run.state,
        "space": run.space or "-",
        "data set": run.dataset or "-",
        "started (UTC)": f"{started:%Y-%m-%d %H:%M}" if started else "-",
        "trials": "-" if run.fault else ", ".join(filter(None, (searched, replicas))) or "-",
        "best": run.best.label if run.best else "-",
        "score": run.best.in_words() if run.best else "-",
    }


def best_of(run: RunDescription, trials: pd.DataFrame, ranking: pd.DataFrame) -> BestScore | None:
    """Return the winner of the ranking or, before there is one, the best trial of the search."""
    objective, ranked = run.objective, ranking[ranking["rank"].notna()]
    if not ranked.empty:
        measure = objective.measure
        column = measure.test_column if measure else "test_ll"
        row = ranked.sort_values("rank").iloc[0]
        ends = [_number(row[f"{column}_{end}"]) for end in ("low", "high")]
        name = f"{measure.name} (test)" if measure else column
        return _score(run, row, objective, name, float(row[column]), *ends)
    sound = trials[is_sound_search(trials)]
    scores = objective.as_score(sound[objective.column]).dropna()
    if scores.empty:
        return None
    row = sound.loc[scores.idxmax()]
    return _score(run, row, objective, objective.name, float(row[objective.column]))


def _score(
    run: RunDescription,
    row: Any,
    objective: Objective,
    measure: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
) -> BestScore:
    is_final = "rank" in row.index
    return BestScore(
        row["config_id"],
        run.names.get(row["config_id"]),
        is_final,
        measure,
        objective.unit,
        value,
        low,
        high,
        N_FINAL_SAMPLES if is_final else objective.n_samples(run.n_evaluation_samples),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
