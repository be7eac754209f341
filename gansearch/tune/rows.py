"""The rows of `trials.parquet` and of `history/`: a trial's from its start to its outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from gansearch.measures import N_FINAL_SAMPLES
from gansearch.own_measures import VALID_LL, Objective
from gansearch.pareto import pareto_order
from gansearch.report.frame import KnownTrial, Score
from gansearch.rules import Config, short
from gansearch.runs.folder import RunFolder
from gansearch.runs.history import HISTORY_COLUMNS
from gansearch.runs.schemas import (
    EVALUATION_COLUMNS,
    RUN_TIME_SPENT,
    SEARCH_TIME_SPENT,
    config_columns,
    config_values,
)
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import Origin, StepResult, TrialSpec

RowT = TypeVar("RowT", bound=Mapping[str, Any])
# Columns of `trials.parquet` that a trial's results fill.
RESULT_COLUMNS = (*EVALUATION_COLUMNS, "device", "p_recovers", "kept_updates")


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its status in the results, and why in words."""

    status: str
    reason: str = ""


# The outcome of a trial that the time budget cut short. A resume with more time continues it.
OUT_OF_TIME = Outcome("pruned", SEARCH_TIME_SPENT)
REPLICA_OUT_OF_TIME = Outcome("pruned", RUN_TIME_SPENT)


def is_out_of_time(row: Mapping[str, Any]) -> bool:
    """Return whether the time budget cut a row's trial short."""
    return Outcome(row["status"], row["reason"]) in (OUT_OF_TIME, REPLICA_OUT_OF_TIME)


def is_over(row: Mapping[str, Any]) -> bool:
    """Return whether a row's trial has ended and will never continue."""
    return row["status"] != "running" and not is_out_of_time(row)


def new_row(spec: TrialSpec, table: type[Config]) -> dict[str, Any]:
    """Return the row of `trials.parquet` of a trial that has just begun."""
    config = table.from_dict(spec.config)
    row: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS)
    row |= {
        "trial_id": spec.trial_id,
        "number": spec.number,
        "phase": spec.phase,
        "config_id": config.config_id,
        "seed": spec.seed,
        "status": "running",
        "reason": "",
        "updates": spec.begins_at,
        "forked_from": None,
        "forked_at": None,
    }
    if spec.origin is not None:
        row |= {"forked_from": spec.origin.trial_id, "forked_at": spec.origin.updates}
    return row | config_columns(config)


def score_of_row(
    row: Mapping[str, Any], n_evaluation_samples: int, objective: Objective = VALID_LL
) -> Score | None:
    """Return the latest value of the objective of a row's trial, None before the first.

    A completed replica's comes from the samples of its final score, all others from those of an
    evaluation.
    """
    if (value := objective.value_of(row)) is None:
        return None
    values = [each.value_of(row) for each in objective.others]
    others = tuple(math.nan if each is None else each for each in values)
    if not pd.isna(row.get("test_ll")):
        return Score(value, N_FINAL_SAMPLES, is_final=True, others=others)
    return Score(value, objective.n_samples(n_evaluation_samples), others=others)


def best_first(rows: Iterable[RowT], objective: Objective) -> list[RowT]:
    """Return rows of trials, the best first; without a score they come last.

    By several objectives those of the first front, spread over it, then those of the second, ...;
    those without all scores are left out, unless all are.
    """
    rows = list(rows)
    if objective.is_several:
        scored = [(scores, row) for row in rows if (scores := objective.scores_of(row))]
        if not scored:
            return rows
        return [scored[i][1] for i in pareto_order(np.array([scores for scores, _ in scored]))]

    def score(row: Mapping[str, Any]) -> float:
        found = objective.score_of(row)
        return -math.inf if found is None else found

    return sorted(rows, key=score, reverse=True)


def known_trials(
    rows: Iterable[Mapping[str, Any]],
    n_evaluation_samples: int,
    space: SearchSpace,
    names: Mapping[str, str] = MappingProxyType({}),
    values: Mapping[str, Mapping[int, float]] = MappingProxyType({}),
) -> list[KnownTrial]:
    """Return what the display shows of trials that earlier sessions have begun.

    Args:
        rows: of `trials.parquet`.
        n_evaluation_samples: that an evaluation uses.
        space: of the run.
        names: of configurations, by id.
        values: of the objective at evaluations of trials that will continue, by trial and updates.
    """
    return [
        KnownTrial(
            row["trial_id"],
            row["status"],
            row["updates"],
            score_of_row(row, n_evaluation_samples, space.objective),
            row["phase"],
            _summary_of_row(row, space, names.get(row["config_id"])),
            values.get(row["trial_id"], {}),
        )
        for row in rows
    ]


def spec_of_row(row: Mapping[str, Any], table: type[Config]) -> TrialSpec:
    """Return the specification of a row's trial: the inverse of `new_row`."""
    names = ("trial_id", "number", "phase", "seed")
    origin = Origin(row["forked_from"], int(row["forked_at"])) if is_fork(row) else None
    values = {name: row[name] for name in names}
    return TrialSpec(**values, config=config_values(row, table), origin=origin)


def is_fork(row: Mapping[str, Any]) -> bool:
    """Return whether a row's trial began from the state of another."""
    return not pd.isna(row.get("forked_at"))


def _summary_of_row(row: Mapping[str, Any], space: SearchSpace, title: str | None) -> str:
    if is_fork(row):
        return summary_of(spec_of_row(row, space.table), tuple(space.search), title)
    return summary(config_values(row, space.table, space.search), tuple(space.search), title)


def summary_of(spec: TrialSpec, names: Sequence[str], title: str | None = None) -> str:
    """Return the summary of a trial's parameters: of a fork, those with which it goes on."""
    reached = [each for each in spec.config.get("schedule") or () if each["at"] <= spec.begins_at]
    changed = {name: value for point in reached for name, value in point.items()}
    return summary({**spec.config, **changed}, names, title)


def summary(config: Mapping[str, Any], names: Sequence[str], title: str | None = None) -> str:
    """Return the named parameters that apply to a configuration, as `k=2 noise=normal`.

    A configuration that has a name, its `title`, begins with it: `paper: k=1 noise=uniform`.
    """
    values = {name: config[name] for name in names}
    said = " ".join(f"{name}={short(v)}" for name, v in values.items() if v is not None)
    return f"{title}: {said}" if title else said


def results(step: StepResult) -> dict[str, Any]:
    """Return what a step fills of its trial's row."""
    measured = step.measured | ({} if step.best is None else step.best.measured)
    if step.kept_updates is not None:
        measured["kept_updates"] = step.kept_updates
    own = step.evaluation.own if step.evaluation is not None else {}
    names = (*RESULT_COLUMNS, *own)
    return {name: value for name, value in measured.items() if name in names}


def history_row(row: Mapping[str, Any], step: StepResult) -> dict[str, Any]:
    """Return the row of `history/` of a report, given its trial's row."""
    assert step.evaluation is not None
    assert step.verdict is not None  # a report has one
    judged = {
        "verdict": step.verdict.status,
        "reported_at": datetime.now(UTC),
    }
    merged = {**row, **step.measured, **judged}
    return {name: merged[name] for name in (*HISTORY_COLUMNS, *step.evaluation.own)}


class TrialsTable:
    """Converts the rows of trials into a table; the rows of ended trials once only."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._ended = folder.trials_table([])  # of trials that have ended
        # Where the rows of `_ended` stand among all rows, in the order of `_ended`.
        self._positions: dict[int, None] = {}

    def of(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Return the table of `rows`, in their order.

        Args:
            rows: those of the call before, and perhaps more after them.
        """
        running = [i for i, row in enumerate(rows) if row["status"] == "running"]
        is_running = set(running)
        ended = [i for i in range(len(rows)) if i not in is_running and i not in self._positions]
        new = self._folder.trials_table([rows[i] for i in ended])
        self._ended = pa.concat_tables([self._ended, new]).combine_chunks()
        self._positions |= dict.fromkeys(ended)
        new = self._folder.trials_table([rows[i] for i in running])
        whole = pa.concat_tables([self._ended, new])
        return whole.take(np.argsort([*self._positions, *running]))
