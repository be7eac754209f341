"""The recorder: a Tune callback that writes every report to disk and to the display.

`resume` and `report` read nothing but the run's folder. Writes are paced so that they take a small
share of the driver's time. Appending reports always costs the same, but `trials.parquet` is
rewritten as a whole each time. Therefore each has its own pace, and reports don't wait for the
longer of the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from gansearch.errors import StorageError
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.own_measures import VALID_LL, Objective
from gansearch.report.progress import Progress
from gansearch.runs.folder import RunFolder
from gansearch.system.failures import Failure
from gansearch.system.files import unwritable
from gansearch.system.pacing import Pacing
from gansearch.tracking.exporter import Exporter
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.node_losses import NodeLosses
from gansearch.tune.rows import (
    Outcome,
    TrialsTable,
    history_row,
    is_out_of_time,
    is_over,
    new_row,
    results,
    score_of_row,
    summary_of,
)
from gansearch.tune.trial_times import TrialTimes

# The pause between two writes of a kind, as a multiple of the last write.
_PACE_FACTOR = 200
# The multiple while the row of a new trial is not on disk yet.
_HURRY_FACTOR = 100
# The least pause, and the longest, after a slow write to a busy disk: a kill loses what waits.
_PAUSE_SECONDS = (1.0, 30.0)
# The parts of the history are merged into one when there are this many.
_COMPACT_AT = 1000


class Recorder(Callback):
    """Keeps `trials.parquet` and `history/` up to date, and feeds the live display.

    Attributes:
        rows: of all trials, as in `trials.parquet`, by our trial id.
        seconds: spent on writing so far.
        faults: failed writes to the run's folder, here or in a worker. They end the run by this
            list, since Tune would attribute an exception to one trial.
        outcomes: the scheduler's, by Tune's trial ids.
        failures: the scheduler's, by Tune's trial ids.
        times: how long the trials of this session take.
        before_history: called before reports are written, which another record must have by then.
    """

    def __init__(
        self,
        folder: RunFolder,
        progress: Progress,
        *,
        searched: Sequence[str] = (),
        n_evaluation_samples: int = N_EVALUATION_SAMPLES,
        objective: Objective = VALID_LL,
        exporter: Exporter | None = None,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.rows: dict[str, dict[str, Any]] = {
            row["trial_id"]: {str(name): value for name, value in row.items()}
            for row in folder.trials().to_dict("records")
        }
        self.seconds = 0.0
        self.faults: list[StorageError] = []
        self.outcomes: Mapping[str, Outcome] = {}
        self.failures: Mapping[str, Failure] = {}
        self.times = TrialTimes()
        self.before_history: Callable[[], None] = lambda: None
        self._nodes: dict[str, str] = {}
        self._node_losses = NodeLosses()
        self._folder = folder
        self._progress = progress
        self._searched = searched
        self._names = names
        self._n_evaluation_samples = n_evaluation_samples
        self._objective = objective
        self._exporter = exporter
        self._start_times: dict[str, float] = {}
        self._overhead_seconds: dict[str, float] = {}  # of paused trials
        self._busy_seconds: dict[str, float] = {}
        self._pending_evaluations: list[dict[str, Any]] = []
        self._ended_trials: list[str] = []
        self._trials_changed = False
        self._has_new_trial = False
        self._table = TrialsTable(folder)
        self._history_pace, self._trials_pace = Pacing(), Pacing()
        self._n_parts = 0
        self._recorded_updates = _recorded_updates(folder, self.rows)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Add a new trial's row, or show that a trial continues."""
        spec = TrialSpec.from_tune(trial.config)
        self._start_times[spec.trial_id] = time.monotonic()
        if spec.trial_id not in self.rows:
            self.rows[spec.trial_id] = new_row(spec, self._folder.table)
            self._trials_changed = self._has_new_trial = True
        self.times.started(spec.trial_id, self.rows[spec.trial_id]["updates"])
        if self._exporter is not None:
            self._exporter.begin(self.rows[spec.trial_id])
        self._progress.trial_started(
            spec.trial_id,
            summary_of(
                spec,
                self._searched,
                self._names.get(self.rows[spec.trial_id]["config_id"]),
            ),
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
        """Record a report; a step between two reports only updates the display.

        A trial that continues from its checkpoint may repeat reports; each is recorded once.
        """
        row = self.rows[TrialSpec.from_tune(trial.config).trial_id]
        step = StepResult.from_tune(result)
        if step.note is not None:
            self._progress.note(step.note)
        if step.unwritable is not None:
            self.faults.append(StorageError(step.unwritable))
        recorded = self._recorded_updates.setdefault(row["trial_id"], set())
        is_new = step.is_evaluation and step.updates not in recorded
        if step.is_evaluation and not is_new and step.updates < row["updates"]:
            return  # a trial that goes on repeats all earlier reports
        row.update(results(step))
        if is_new:
            recorded.add(step.updates)
            self._pending_evaluations.append(history_row(row, step))
            if self._exporter is not None:
                self._exporter.report(self._pending_evaluations[-1])
        score = score_of_row(row, self._n_evaluation_samples, self._objective)
        row.update(step.final or {})
        self._busy_seconds[row["trial_id"]] = result["time_total_s"]
        self._nodes[row["trial_id"]] = result.get("node_ip", "")
        self._trials_changed = True
        self.times.reported(row["trial_id"], step.updates)
        self._progress.trial_reported(
            row["trial_id"],
            step.updates,
            score,
            row["coverage"],
            is_evaluation=step.is_evaluation,
        )
        self._write_if_due()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Record how a trial ended; without an outcome, that it is paused."""
        trial_id = TrialSpec.from_tune(trial.config).trial_id
        if (outcome := self.outcomes.get(trial.trial_id)) is not None:
            self.end(trial_id, outcome)
        else:
            self.times.ended(trial_id)
            self._overhead_seconds[trial_id] = self._overhead(trial_id)
            self._progress.trial_paused(trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Show why a trial has failed, and that it continues in another worker."""
        trial_id = TrialSpec.from_tune(trial.config).trial_id
        failure = self.failures.get(trial.trial_id)
        message = "lost its worker and continues from its checkpoint"
        if failure is not None and failure.kind == "memory":
            message = f"continues alone from its checkpoint, {failure.reason}"
        elif failure is not None and failure.kind == "error":
            message = f"continues from its checkpoint after an error, {failure.reason}"
        self._progress.note(f"{trial_id} {message}")
        self._count_loss(trial, failure)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record a trial that failed and is not retried."""
        spec = TrialSpec.from_tune(trial.config)
        # The worker may fail before the trial has begun.
        self.rows.setdefault(spec.trial_id, new_row(spec, self._folder.table))
        if (outcome := self.outcomes.get(trial.trial_id)) is not None:
            self.end(spec.trial_id, outcome)
        self._count_loss(trial, self.failures.get(trial.trial_id))

    def _count_loss(self, trial: Trial, failure: Failure | None) -> None:
        """Count a lost worker for its node, and warn of a node that loses too many."""
        if failure is None or not failure.is_loss:
            return
        node = failure.node or self._nodes.get(TrialSpec.from_tune(trial.config).trial_id, "")
        if node and (warning := self._node_losses.count(node)):
            self._progress.note(warning)

    def end(self, trial_id: str, outcome: Outcome) -> None:
        """Record that a trial is over."""
        row = self.rows[trial_id]
        if row["status"] != "running":
            self._table = TrialsTable(self._folder)  # the old one has the earlier outcome
        row.update(status=outcome.status, reason=outcome.reason)
        self._recorded_updates.pop(trial_id, None)
        self.times.ended(trial_id)
        if trial_id in self._start_times or trial_id in self._overhead_seconds:
            row["overhead_seconds"] = self._overhead(trial_id)
        self._trials_changed = True
        self._ended_trials.append(trial_id)
        if self._exporter is not None:
            self._exporter.end(row)
        score = score_of_row(row, self._n_evaluation_samples, self._objective)
        self._progress.trial_ended(trial_id, outcome.status, outcome.reason, score)
        self._write_if_due()

    def reopen(self, phase: str) -> list[dict[str, Any]]:
        """Let the trials of a phase go on that the time budget cut short; return its open rows."""
        rows = [row for row in self.rows.values() if row["phase"] == phase]
        for row in filter(is_out_of_time, rows):
            row.update(status="running", reason="")
            self._table = TrialsTable(self._folder)  # the old one has the earlier outcome
        return [row for row in rows if row["status"] == "running"]

    def _overhead(self, trial_id: str) -> float:
        """Return the time beside training and evaluation: starts, reports, recording."""
        seconds = self._overhead_seconds.pop(trial_id, 0.0)
        if (started := self._start_times.pop(trial_id, None)) is not None:
            seconds += time.monotonic() - started - self._busy_seconds.pop(trial_id, 0.0)
        return seconds

    def flush(self) -> None:
        """Write all that is pending, also where another record can't be written."""
        try:
            self.before_history()
        finally:
            self._append_history()
            self._write_trials()

    def _write_if_due(self) -> None:
        factor = _HURRY_FACTOR if self._has_new_trial else _PACE_FACTOR
        trials_are_due = self._trials_pace.is_due(factor, *_PAUSE_SECONDS)
        # Reports wait for the rows of new trials: a trial whose row a kill has lost can't continue,
        # however much of it was reported.
        history_is_due = (
            self._history_pace.is_due(_PACE_FACTOR, *_PAUSE_SECONDS) and not self._has_new_trial
        )
        if self.faults:
            return
        try:
            # Never write an outcome before the reports that led to it.
            if trials_are_due or history_is_due:
                self._write_history()
            if trials_are_due:
                self._write_trials()
        except StorageError as error:
            self.faults.append(error)
        except OSError as error:  # a checkpoint can't be deleted
            self.faults.append(unwritable(self._folder.path, error))

    def _write_history(self) -> None:
        self.before_history()
        self._append_history()

    def _append_history(self) -> None:
        if not self._pending_evaluations:
            return
        start = time.monotonic()
        self._folder.append_history(self._pending_evaluations)
        self._pending_evaluations = []
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
        # Only after the outcome is on disk: a kill in between would lose the whole trial.
        for trial_id in filter(lambda trial_id: is_over(self.rows[trial_id]), self._ended_trials):
            self._folder.checkpoint_path(trial_id).unlink(missing_ok=True)
        self._ended_trials = []
        self.seconds += self._trials_pace.note(start)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore, which gansearch never uses.
        return {}


def _recorded_updates(
    folder: RunFolder, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, set[int]]:
    """Return the updates of the reports in the history, by trial, of trials that may continue."""
    recorded: dict[str, set[int]] = {
        trial_id: set() for trial_id, row in rows.items() if not is_over(row)
    }
    history = folder.history(["trial_id", "updates"])
    for trial_id, updates in zip(history["trial_id"], history["updates"], strict=True):
        if trial_id in recorded or trial_id not in rows:  # a fork, if `trials` was rebuilt
            recorded.setdefault(trial_id, set()).add(int(updates))
    return recorded
