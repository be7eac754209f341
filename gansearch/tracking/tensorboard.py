"""TensorBoard: event files in the run's folder, which need no server."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrialEnd,
)


class TensorBoard(Tracker):
    """Writes `tracking/tensorboard/<trial>/`: curves, samples, and a row of the tab HParams.

    A trial that continues is written again as a whole from the history, in place of its old files.
    """

    def __init__(self, run: TrackedRun) -> None:
        from tensorboardX import SummaryWriter

        self._make_writer = SummaryWriter
        self._folder = run.folder("tensorboard")
        self._trials: dict[str, TrackedTrial] = {}
        self._writers: dict[str, Any] = {}

    def begin(self, trial: TrackedTrial) -> None:
        """Begin a trial's file."""
        folder = self._folder / trial.trial_id
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._trials[trial.trial_id] = trial
        self._writers[trial.trial_id] = self._make_writer(str(folder), flush_secs=10)
        self.report(trial.trial_id, trial.earlier)

    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Add points to its curves."""
        writer = self._writers[trial_id]
        for report in reports:
            for name, value in report.values.items():
                writer.add_scalar(name, value, report.updates, walltime=report.at.timestamp())

    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Add final scores, samples, the end in words, and the row of HParams; close the file."""
        writer, trial = self._writers.pop(trial_id), self._trials.pop(trial_id)
        for name, value in end.scores.items():
            writer.add_scalar(f"final/{name}", value, end.updates)
        for picture in end.pictures:
            with Image.open(picture) as image:
                pixels = np.asarray(image.convert("RGB"))
            writer.add_image(f"samples/{picture.stem}", pixels, end.updates, dataformats="HWC")
        text = f"{end.status} {end.reason}"
        writer.add_text("end", f"<pre>{html.escape(text)}</pre>", end.updates)
        _add_hparams(writer, {**trial.tags, "status": end.status, **trial.config}, end)
        writer.close()

    def close(self) -> None:
        """Write what is pending; a resume writes these trials again."""
        for writer in self._writers.values():
            writer.close()


def _add_hparams(writer: Any, parameters: dict[str, Any], end: TrialEnd) -> None:
    """Add the row of HParams.

    Not by `add_hparams`, which makes a folder of its own for it and says which columns the table
    has: TensorBoard takes those of one trial for all, and finds all itself where none says so.
    """
    from tensorboardX.summary import hparams

    _, start, finish = hparams(parameters, dict(end.scores))
    writer.file_writer.add_summary(start)
    writer.file_writer.add_summary(finish)


make = TensorBoard
