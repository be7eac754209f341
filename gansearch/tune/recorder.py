"""The recorder: a Tune callback that puts every report on disk and on the screen.

The run's folder is the only memory of a search: resuming and reporting read nothing else. What the
recorder writes is paced so that it takes a small share of the driver's time. Reports are appended,
which costs as much however many there are; `trials.parquet` is written anew each time. Therefore
each has its own pace, and reports don't wait for the longer of the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from gansearch.errors import StorageError
from gansearch.report.progress import Progress
from gansearch.runs.folder import RunFolder
from gansearch.system.failures import Failure
from gansearch.system.files import unwritable
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.node_losses import NodeLosses
from gansearch.tune.rows import (
    RESULT_COLUMNS,
    Outcome,
    TrialsTable,
    history_row,
    is_over,
    new_row,
    summary,
)

# At least so many seconds between two writes of a kind, and so many times what the last one took.
_PACE_SECONDS = 1.0
_PACE_FACTOR = 200
# The same where the row of a trial that has begun is not on disk yet.
_HURRY_FACTOR = 100
# However slow a write was, as on a disk that others keep busy: a kill costs what it waits for.
_LONGEST_PAUSE_SECONDS = 30.0
# Small files are gathered into one when there are this many.
_COMPACT_AT = 1000


@dataclass
class _Pace:
    """When something was written last, and what it took."""

    last: float = -math.inf
    cost: float = 0.0

    def is_due(self, factor: float = _PACE_FACTOR) -> bool:
        pause = min(_LONGEST_PAUSE_SECONDS, max(_PACE_SECONDS, factor * self.cost))
        return time.monotonic() - self.last >= pause

    def note(self, start: float) -> float:
        """Take note of a write that began at `start`; return what it took."""
        self.last = time.monotonic()
        self.cost = self.last - start
        return self.cost


class Recorder(Callback):
    """Keeps `trials.parquet` and `history/` up to date, and feeds the live display.

    Attributes:
        rows: one a trial, as `trials.parquet` holds them, by our trial id.
        seconds: spent in writing so far.
        faults: what the run's folder has not taken, here or in a worker: the run must end, since
            Tune would take an exception for the fault of one trial.
    """

    def __init__(
        self, folder: RunFolder, progress: Progress, *, searched: Sequence[str] = ()
    ) -> None:
        self.rows: dict[str, dict[str, Any]] = {
            row["trial_id"]: {str(name): value for name, value in row.items()}
            for row in folder.trials().to_dict("records")
        }
        self.seconds = 0.0
        self.faults: list[StorageError] = []
        self.outcomes: Mapping[str, Outcome] = {}
        self.failures: Mapping[str, Failure] = {}
        self._nodes: dict[str, str] = {}
        self._node_losses = NodeLosses()
        self._folder = folder
        self._progress = progress
        self._searched = searched
        self._started: dict[str, float] = {}
        self._busy: dict[str, float] = {}
        self._waiting: list[dict[str, Any]] = []
        self._ended: list[str] = []
        self._trials_changed = False
        self._has_new_trial = False
        self._table = TrialsTable(folder)
        self._history_pace, self._trials_pace = _Pace(), _Pace()
        self._n_parts = 0
        self._recorded = _recorded(folder, self.rows)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Enter a trial, or take note that it goes on."""
        spec = TrialSpec.from_tune(trial.config)
        self._started[spec.trial_id] = time.monotonic()
        if spec.trial_id not in self.rows:
            self.rows[spec.trial_id] = new_row(spec, self._folder.table)
            self._trials_changed = self._has_new_trial = True
        self._progress.trial_started(
            spec.trial_id,
            summary(spec.config, self._searched),
            self.rows[spec.trial_id]["updates"],
        )
        self._write_if_due()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **_: Any,
    ) -> None:
        """Record a report; a slice between two reports only moves the display.

        A trial that goes on from its checkpoint tells again what it has reported: what was recorded
        is recorded once.
        """
        row = self.rows[TrialSpec.from_tune(trial.config).trial_id]
        step = StepResult.from_tune(result)
        if step.note is not None:
            self._progress.note(step.note)
        if step.unwritable is not None:
            self.faults.append(StorageError(step.unwritable))
        row.update({name: value for name, value in step.measured.items() if name in RESULT_COLUMNS})
        recorded = self._recorded.setdefault(row["trial_id"], set())
        if step.is_report and step.updates not in recorded:
            recorded.add(step.updates)
            self._waiting.append(history_row(row, step))
        row.update(step.final or {})
        self._busy[row["trial_id"]] = result["time_total_s"]
        self._nodes[row["trial_id"]] = result.get("node_ip", "")
        self._trials_changed = True
        self._progress.trial_reported(
            row["trial_id"], step.updates, row["valid_ll"], row["coverage"]
        )
        self._write_if_due()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Record how a trial ended."""
        if (outcome := self.outcomes.get(trial.trial_id)) is not None:
            self.end(TrialSpec.from_tune(trial.config).trial_id, outcome)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say what a trial has failed of, and that it goes on in another worker."""
        trial_id = TrialSpec.from_tune(trial.config).trial_id
        failure = self.failures.get(trial.trial_id)
        told = "has lost its worker and goes on from its checkpoint"
        if failure is not None and failure.kind == "memory":
            told = f"goes on alone from its checkpoint, {failure.reason}"
        elif failure is not None and failure.kind == "error":
            told = f"goes on from its checkpoint after an error, {failure.reason}"
        self._progress.note(f"{trial_id} {told}")
        self._count_loss(trial, failure)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record a trial whose worker failed for good."""
        spec = TrialSpec.from_tune(trial.config)
        # A worker may fail before the trial has begun in it.
        self.rows.setdefault(spec.trial_id, new_row(spec, self._folder.table))
        self.end(spec.trial_id, self.outcomes[trial.trial_id])
        self._count_loss(trial, self.failures.get(trial.trial_id))

    def _count_loss(self, trial: Trial, failure: Failure | None) -> None:
        """Count a lost worker for its node, and name one that loses too many."""
        if failure is None or not failure.is_loss:
            return
        node = failure.node or self._nodes.get(TrialSpec.from_tune(trial.config).trial_id, "")
        if node and (warning := self._node_losses.count(node)):
            self._progress.note(warning)

    def end(self, trial_id: str, outcome: Outcome) -> None:
        """Record that a trial is over."""
        row = self.rows[trial_id]
        if row["status"] != "running":
            self._table = TrialsTable(self._folder)  # it holds an end that was not the last
        row.update(status=outcome.status, reason=outcome.reason)
        self._recorded.pop(trial_id, None)
        if (started := self._started.pop(trial_id, None)) is not None:
            # What the trial cost beside training and evaluation: start, reports, recording.
            wall = time.monotonic() - started
            row["overhead_seconds"] = wall - self._busy.pop(trial_id, 0.0)
        self._trials_changed = True
        self._ended.append(trial_id)
        self._progress.trial_ended(trial_id, outcome.status, outcome.reason, row["valid_ll"])
        self._write_if_due()

    def flush(self) -> None:
        """Write all that waits."""
        self._write_history()
        self._write_trials()

    def _write_if_due(self) -> None:
        factor = _HURRY_FACTOR if self._has_new_trial else _PACE_FACTOR
        trials_are_due = self._trials_pace.is_due(factor)
        # A trial whose row a kill has taken can't go on, however much of it was reported: reports
        # wait for the rows of new trials.
        history_is_due = self._history_pace.is_due() and not self._has_new_trial
        if self.faults:
            return
        try:
            # An end is never known before the reports that led to it.
            if trials_are_due or history_is_due:
                self._write_history()
            if trials_are_due:
                self._write_trials()
        except StorageError as error:
            self.faults.append(error)
        except OSError as error:  # a checkpoint can't be removed
            self.faults.append(unwritable(self._folder.path, error))

    def _write_history(self) -> None:
        if not self._waiting:
            return
        start = time.monotonic()
        self._folder.append_history(self._waiting)
        self._waiting = []
        self._n_parts += 1
        self.seconds += self._history_pace.note(start)
        if self._n_parts >= _COMPACT_AT:
            start = time.monotonic()
            self._folder.compact_history(self._n_parts)
            self._n_parts = 0
            self.seconds += time.monotonic() - start

    def _write_trials(self) -> None:
        if not self._trials_changed:
            return
        start = time.monotonic()
        self._folder.write_trials(self._table.of(list(self.rows.values())))
        self._folder.save_journal()
        self._trials_changed = self._has_new_trial = False
        # Not before the trial's end is on disk, or a kill in between would cost the whole trial.
        for trial_id in filter(lambda trial_id: is_over(self.rows[trial_id]), self._ended):
            self._folder.checkpoint_path(trial_id).unlink(missing_ok=True)
        self._ended = []
        self.seconds += self._trials_pace.note(start)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore that gansearch never asks for.
        return {}


def _recorded(folder: RunFolder, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, set[int]]:
    """Return at which updates the trials that go on have reported, as the history has it."""
    recorded: dict[str, set[int]] = {
        trial_id: set() for trial_id, row in rows.items() if not is_over(row)
    }
    if recorded:
        history = folder.history(["trial_id", "updates"])
        for trial_id, updates in zip(history["trial_id"], history["updates"], strict=True):
            if trial_id in recorded:
                recorded[trial_id].add(int(updates))
    return recorded
