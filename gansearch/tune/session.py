"""The state of a run in progress, its signals, and how it ends in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError, InterruptedRunError, StorageError
from gansearch.report.progress import Progress
from gansearch.runs.commands import command
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import is_run
from gansearch.scoring.collapse import CollapseTest
from gansearch.space.search_space import SearchSpace
from gansearch.system.signals import deferred, handled_by
from gansearch.tune.costs import Costs
from gansearch.tune.recorder import Recorder
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share


@dataclass
class Stop:
    """Why the trials must end now: None, "interrupted" or "time".

    With `at_once` a signal ends the run immediately: there are no trials to wait for.
    """

    reason: str | None = None
    at_once: bool = False


@dataclass
class Session:
    """A run in progress, from a `search` or a `resume` to its end.

    Attributes:
        folder: of the run.
        description: the content of `run.json`; `describe` changes it.
        space: the searched space.
        dataset: that trials learn.
        settings: how the machine is used.
        share: the resources of each trial.
        progress: the live display.
        recorder: writes the results.
        initial_description: the content of `run.json` when the session began.
        stop: why the trials must end.
        started: when the session began, on the monotonic clock.
        costs: what the run does beside training; None without a time budget.
    """

    folder: RunFolder
    description: RunDescription
    space: SearchSpace
    dataset: Dataset
    settings: Settings
    share: Share
    progress: Progress
    recorder: Recorder
    initial_description: RunDescription
    stop: Stop = field(default_factory=Stop)
    started: float = field(default_factory=time.monotonic)
    costs: Costs | None = None

    @property
    def seconds(self) -> float:
        """The time used so far, over all sessions of the run."""
        return self.initial_description.wall_seconds + time.monotonic() - self.started

    @cached_property
    def collapse_test(self) -> CollapseTest:
        """Of the data set: the driver prepares it for all trials."""
        return CollapseTest(self.dataset)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.description.seed

    @property
    def budget(self) -> Budget:
        """The budget of the run."""
        return self.space.budget

    @property
    def resume_command(self) -> str:
        """The command that continues the run, to be typed in any folder."""
        return command("resume", self.folder.path)

    def rows(self, phase: str) -> list[dict[str, Any]]:
        """Return the rows of a phase's trials, as `trials.parquet` holds them."""
        return [row for row in self.recorder.rows.values() if row["phase"] == phase]

    def describe(self, **changes: Any) -> None:
        """Change the description, and write `run.json`."""
        self.description = replace(self.description, **changes)
        self.folder.write_run(self.description)

    def note_time(self) -> None:
        """Write the time used so far, and the recorder's share of it, to `run.json`."""
        self.describe(
            wall_seconds=self.seconds,
            recorder_seconds=self.initial_description.recorder_seconds + self.recorder.seconds,
        )

    def raise_if_interrupted(self) -> None:
        """Raise InterruptedRunError if the user has stopped the run."""
        if self.stop.reason == "interrupted":
            raise self.interrupted()

    def interrupted(self) -> InterruptedRunError:
        """Record the interruption in `run.json`; return the error that says how to continue."""
        self.describe(state="interrupted")
        return stopped(self.folder)


def stopped(folder: RunFolder | None) -> InterruptedRunError:
    """Return the error that says how to continue a run, or that it has not begun."""
    if folder is None or not is_run(folder.path):
        return InterruptedRunError("Stopped before the run began; nothing of it is kept.")
    return InterruptedRunError(
        f"Stopped; everything reported is kept. To go on: {command('resume', folder.path)}"
    )


@contextmanager
def explaining_stops(*folders: RunFolder) -> Iterator[list[RunFolder]]:
    """Let a stop before or after the trials say how to continue, as one between them does.

    Yields a list, which takes the run's folder once there is one.

    Raises:
        InterruptedRunError: instead of KeyboardInterrupt.
    """
    known = list(folders)
    try:
        yield known
    except KeyboardInterrupt:
        raise stopped(known[0] if known else None) from None


@contextmanager
def saving_at_the_end(session: Session) -> Iterator[None]:
    """Write all pending results, and the time used, however the run ends."""
    try:
        yield
    except StorageError as error:
        # Now that all else has stopped, there may be room for these few bytes. If not, the user
        # must see the first error, not this one. A run that another process has taken over is not
        # ours to write.
        with deferred(), suppress(GansearchError, OSError):
            if session.folder.fault() is None:
                session.describe(state="interrupted")
                _save(session)
        raise StorageError(f"{error} To go on: {session.resume_command}") from error
    except BaseException:
        with deferred():
            _save(session)
        raise
    with deferred():
        _save(session)


def _save(session: Session) -> None:
    session.recorder.flush()
    session.note_time()


@contextmanager
def stopping_on_signals(stop: Stop) -> Iterator[None]:
    """Let the first signal to stop end the run in order, and a second one at once."""

    def handle(_signum: int, _frame: Any) -> None:
        is_second = stop.reason == "interrupted"
        stop.reason = "interrupted"  # which the display shows, also while the run unwinds
        if stop.at_once or is_second:
            raise KeyboardInterrupt

    with handled_by(handle):
        yield
