"""Weights & Biases: its server or, with WANDB_MODE=offline, files in the run's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrackerError,
    TrialEnd,
)

_LONGEST_PROJECT, _LONGEST_TAG = 100, 64
_LONGEST_TEXT = 5000
_FINISH_SECONDS = 30  # that the end of a trial may wait for the server


class WandB(Tracker):
    """A project, whose runs are the trials; WANDB_PROJECT, WANDB_MODE and others count."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._wandb, self._run = wandb, run
        self._is_offline = wandb.setup().settings.mode in ("offline", "disabled")
        if not self._is_offline and not _has_key(wandb):
            raise TrackerError(  # in place of its question, which a search can't wait for
                "this machine is not logged in. Type wandb login, or set WANDB_API_KEY; or set "
                "WANDB_MODE=offline, and send the files later by wandb sync"
            )
        self._project = os.environ.get("WANDB_PROJECT") or project_name(run.name)
        self._folder = Path(os.environ.get("WANDB_DIR") or run.folder("wandb"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs: dict[str, Any] = {}

    def begin(self, trial: TrackedTrial) -> None:
        """Begin a run, or continue that of the same id."""
        run_id = f"{self._run.identity}-{trial.trial_id}"
        run = self._wandb.init(
            project=self._project,
            id=run_id,
            name=trial.trial_id,
            group=self._run.name[:_LONGEST_PROJECT],
            job_type=trial.tags["phase"],
            tags=[trial.tags["phase"]],
            config={**self._run.facts, **trial.tags, **trial.config},
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",  # several trials run at a time
            settings=self._wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                finish_timeout=_FINISH_SECONDS,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )
        self._runs[trial.trial_id] = run
        last = self._last_step(trial.trial_id) if self._is_offline else run.step - 1
        self.report(trial.trial_id, trial.since(last))

    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Add points to its curves, whose steps are updates."""
        for report in reports:
            values = {**report.values, "updates": report.updates}
            self._runs[trial_id].log(values, step=report.updates)
        if reports and self._is_offline:
            self._step_file(trial_id).write_text(str(reports[-1].updates))

    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Add final scores, samples and the end in words; close the run."""
        run = self._runs.pop(trial_id)
        # Of the last report's step, which else would be closed.
        pictures = {f"samples/{p.stem}": self._wandb.Image(str(p)) for p in end.pictures}
        if pictures:
            run.log(pictures, step=max(run.step, end.updates))
        scores = {f"final/{name}": value for name, value in end.scores.items()}
        run.summary.update({**scores, "status": end.status, "reason": end.reason[:_LONGEST_TEXT]})
        run.tags = (*(run.tags or ()), end.status[:_LONGEST_TAG])
        run.finish(exit_code=0 if end.is_sound else 1)

    def close(self) -> None:
        """Send what is pending; a resume continues these trials."""
        for run in self._runs.values():
            run.finish()

    def _step_file(self, trial_id: str) -> Path:
        return self._folder / f"{self._run.identity}-{trial_id}.step"

    def _last_step(self, trial_id: str) -> int:
        """Return the last step of a trial's offline files, which W&B can't be asked; else -1."""
        try:
            return int(self._step_file(trial_id).read_text())
        except (OSError, ValueError):
            return -1


def project_name(name: str) -> str:
    """Return a run's name in the characters that W&B takes, shortened."""
    return re.sub(r"[/\\#?%:]", "-", name)[:_LONGEST_PROJECT].strip() or "gansearch"


def _has_key(wandb: Any) -> bool:
    return bool(wandb.login(prompt=False))


make = WandB
