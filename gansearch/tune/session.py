"""A run at work: what the phases hand on, its signals, and how it ends in order."""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError, InterruptedRunError, StorageError
from gansearch.report.progress import Progress
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.space.search_space import SearchSpace
from gansearch.tune.cluster import Share
from gansearch.tune.recorder import Recorder
from gansearch.tune.settings import Settings


@dataclass
class Stop:
    """Why the trials shall end now: None, "interrupted" or "time".

    A run that has no trials to wait for ends `at_once`.
    """

    reason: str | None = None
    at_once: bool = False


@dataclass
class Session:
    """A run at work, from a `search` or a `resume` to its end: what its steps hand on.

    Attributes:
        folder: of the run.
        description: what `run.json` says now; `describe` changes it.
        space: that is searched.
        dataset: that trials learn.
        settings: how the machine is used.
        share: what each trial gets of it.
        progress: the live display.
        recorder: writes the results.
        before: what `run.json` said when the session began.
        stop: why the trials shall end.
        started: on the monotonic clock.
    """

    folder: RunFolder
    description: RunDescription
    space: SearchSpace
    dataset: Dataset
    settings: Settings
    share: Share
    progress: Progress
    recorder: Recorder
    before: RunDescription
    stop: Stop = field(default_factory=Stop)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """What the run has taken so far, over all its sessions."""
        return self.before.wall_seconds + time.monotonic() - self.started

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.description.seed

    @property
    def budget(self) -> Budget:
        """What the run may spend."""
        return self.space.budget

    @property
    def quoted_path(self) -> str:
        """The path of the run's folder, as a shell takes it."""
        return shlex.quote(str(self.folder.path))

    def rows(self, phase: str) -> list[dict[str, Any]]:
        """Return the rows of a phase's trials, as `trials.parquet` holds them."""
        return [row for row in self.recorder.rows.values() if row["phase"] == phase]

    def describe(self, **changes: Any) -> None:
        """Write `run.json` anew with these changes."""
        self.description = replace(self.description, **changes)
        self.folder.write_run(self.description)

    def note_time(self) -> None:
        """Write the time that the run has taken so far, and the recorder's share of it."""
        self.describe(
            wall_seconds=self.seconds,
            recorder_seconds=self.before.recorder_seconds + self.recorder.seconds,
        )

    def raise_if_interrupted(self) -> None:
        """Raise InterruptedRunError if the user has stopped the run."""
        if self.stop.reason == "interrupted":
            raise self.interrupted()

    def interrupted(self) -> InterruptedRunError:
        """Return the error that says how to go on; `run.json` says that the run was stopped."""
        self.describe(state="interrupted")
        return InterruptedRunError(
            f"Stopped; everything reported is kept. To go on: gansearch resume {self.quoted_path}"
        )


@contextmanager
def saving_at_the_end(session: Session) -> Iterator[None]:
    """Write all that waits, and the time taken, however the run ends."""
    try:
        yield
    except StorageError as error:
        # What little there is to say may find room now that all else has stopped. If not, the
        # first thing that found none is what the user must know. A run that another process has
        # taken over is the other's to write.
        with suppress(GansearchError, OSError):
            if session.folder.fault() is None:
                session.describe(state="interrupted")
                session.recorder.flush()
                session.note_time()
        raise StorageError(f"{error} To go on: gansearch resume {session.quoted_path}") from error
    except BaseException:
        session.recorder.flush()
        session.note_time()
        raise
    session.recorder.flush()
    session.note_time()


@contextmanager
def stopping_on_signals(stop: Stop) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run in order, and a second one at once."""

    def handle(_signum: int, _frame: Any) -> None:
        if stop.at_once or stop.reason == "interrupted":
            raise KeyboardInterrupt
        stop.reason = "interrupted"

    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread, whose handlers are its caller's
        return
    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
