"""Trackio: its database on this machine, or what its own environment variables name."""

from __future__ import annotations

import contextvars
import re
from collections.abc import Sequence
from typing import Any

from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrialEnd,
)

_LONGEST_PROJECT = 100


class Trackio(Tracker):
    """A project, whose runs are the trials; TRACKIO_DIR, TRACKIO_SPACE_ID and others count."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._trackio = trackio
        # The dashboard asks for a project by its name: runs of one name are told apart by it.
        project = re.sub(r"[^\w.-]", "-", run.name)[:_LONGEST_PROJECT]
        self._project, self._run = f"{project}-{run.identity}", run
        self._runs: dict[str, Any] = {}

    def begin(self, trial: TrackedTrial) -> None:
        """Begin a run, or continue that of the same name."""
        # In a context of its own: else this ends the run that began before it.
        run = contextvars.Context().run(
            self._trackio.init,
            project=self._project,
            name=trial.trial_id,
            group=trial.tags["phase"],
            config={**self._run.facts, **trial.tags, **trial.config},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._runs[trial.trial_id] = run
        # It asks its database for the last step of a run that it has; a new one has step 0 next.
        self.report(trial.trial_id, trial.since(getattr(run, "_next_step", 0) - 1))

    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Add points to its curves, whose steps are updates."""
        for report in reports:
            self._runs[trial_id].log({**report.values, "n_updates": report.updates}, report.updates)

    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Add final scores, samples and the end in words; close the run."""
        run = self._runs.pop(trial_id)
        values: dict[str, Any] = {f"final/{name}": value for name, value in end.scores.items()}
        values |= {f"samples/{p.stem}": self._trackio.Image(str(p)) for p in end.pictures}
        values |= {"status": end.status, "reason": end.reason}
        run.log(values, end.updates)
        run.finish()

    def close(self) -> None:
        """Write what is pending; a resume continues these trials."""
        for run in self._runs.values():
            run.finish()


make = Trackio
