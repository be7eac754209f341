"""A tracker in a thread of its own.

What waits for it is merged by trial and bounded; what doesn't fit is dropped and counted. After
each call the thread pauses for a multiple of the processor time that the call took, so that
trackers take a small share of the driver's time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gansearch.errors import GansearchError, escape_unprintable
from gansearch.rules import count_of
from gansearch.system.files import write_atomically
from gansearch.system.object_store import AnyPath
from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedTrial,
    Tracker,
    TrackerError,
    TrialEnd,
    UnusableError,
)

_LONGEST_PAUSE_SECONDS = 60.0
_MAX_FAILURES = 10  # in a row, after which a tracker is given up
_LONGEST_ERROR = 300  # of a warning
_NOTE_SECONDS = 10.0  # between two writes of which trials a tracker has


@dataclass
class _Waiting:
    """What a tracker has not received yet of a trial."""

    begin: Callable[[], TrackedTrial] | None = None
    reports: list[TrackedEvaluation] = field(default_factory=list)
    end: Callable[[], TrialEnd] | None = None

    def __len__(self) -> int:
        return (self.begin is not None) + len(self.reports) + (self.end is not None)


class Worker:
    """A tracker in its thread, and what waits for it.

    Args:
        name: of the tracker.
        make: makes it, in the thread.
        listing: file with the ids of the trials that the tracker has, a line each.
        pause_factor: the pause after a call, as a multiple of the processor time that it took.
        hang_seconds: after which a call is given up.
        max_waiting: how many things may wait.

    Attributes:
        exported: the trials whose end the tracker has, over all sessions.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Tracker],
        listing: AnyPath,
        *,
        pause_factor: float,
        hang_seconds: float,
        max_waiting: int,
    ) -> None:
        self._name, self._make = name, make
        self._tracker: Tracker | None = None
        self._list = listing
        self.exported = _read_list(self._list)
        self._noted_at = time.monotonic()
        self._n_noted = len(self.exported)
        self._pause_factor = pause_factor
        self._hang_seconds = hang_seconds
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._waiting: dict[str, _Waiting] = {}
        self._n_waiting = self._n_dropped = self._n_failures = 0
        self._begun: set[str] = set()
        self._call_began: float | None = None
        self._is_given_up = False
        self._closing = threading.Event()
        self._warnings: list[str] = []
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def begin(self, trial_id: str, trial: Callable[[], TrackedTrial]) -> None:
        """Let a trial begin or continue; a repetition has no effect."""
        with self._changed:
            if trial_id in self._begun:
                return
            if self._has_room():
                self._begun.add(trial_id)
                if trial_id in self.exported:  # it had ended, and goes on
                    self.exported.discard(trial_id)
                    self._n_noted = -1
                waiting = self._of(trial_id)
                self._n_waiting -= len(waiting)
                waiting.begin, waiting.end = trial, None
                self._added(len(waiting))

    def report(self, trial_id: str, report: TrackedEvaluation) -> None:
        """Add a report of a trial that has begun."""
        with self._changed:
            if self._has_begun(trial_id) and self._has_room():
                self._of(trial_id).reports.append(report)
                self._added()

    def end(self, trial_id: str, end: Callable[[], TrialEnd]) -> None:
        """End a trial that has begun."""
        with self._changed:
            if self._has_begun(trial_id) and not self._is_given_up:
                self._begun.discard(trial_id)
                waiting = self._of(trial_id)
                self._n_waiting -= len(waiting)
                waiting.end = end
                self._added(len(waiting))

    def close(self) -> None:
        """Let the thread end once it has handed over what waits."""
        with self._changed:
            self._closing.set()
            self._changed.notify()

    def wait(self, seconds: float, limit: float) -> None:
        """Wait for the end of the thread, and warn of what the tracker lacks."""
        self._thread.join(seconds)
        with self._changed:
            lacking = self._n_dropped + self._n_waiting
            if self._thread.is_alive() and not self._is_given_up:
                self._give_up(f"it took longer than the {limit:g} s that the end of a run waits")
            if lacking:
                self._warn(
                    f"it lacks {count_of(lacking, 'message')} about trials. gansearch resume sends "
                    "again what it can"
                )

    def give_up_if_it_hangs(self) -> None:
        """Give the tracker up if a call has not returned for too long."""
        with self._changed:
            began = self._call_began
            if began is None or self._is_given_up:
                return
            if time.monotonic() - began > self._hang_seconds:
                self._give_up(f"a call has not returned for {self._hang_seconds:g} s")

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call."""
        with self._changed:
            warnings, self._warnings = self._warnings, []
            return warnings

    def _has_begun(self, trial_id: str) -> bool:
        self._n_dropped += trial_id not in self._begun
        return trial_id in self._begun

    def _has_room(self) -> bool:
        has_room = not self._is_given_up and self._n_waiting < self._max_waiting
        self._n_dropped += not has_room
        return has_room

    def _of(self, trial_id: str) -> _Waiting:
        return self._waiting.setdefault(trial_id, _Waiting())

    def _added(self, n: int = 1) -> None:
        self._n_waiting += n
        self._changed.notify()

    def _warn(self, why: str) -> None:
        self._warnings.append(f"tracker {self._name}: {why}. The search goes on without it")

    def _give_up(self, why: str) -> None:
        self._is_given_up = True
        self._warn(why)
        if self._tracker is not None:
            self._tracker.abandon()
        self._changed.notify()

    def _work(self) -> None:
        """Make the tracker, and hand it what waits, until the run ends or it is given up."""
        if not self._call(self._begin_work):
            with self._changed:
                self._is_given_up = True
        if (tracker := self._tracker) is None:
            return
        while (found := self._next()) is not None:
            started = time.thread_time() + tracker.seconds
            self._hand_over(tracker, *found)
            self._note_exported()
            pause = self._pause_factor * (time.thread_time() + tracker.seconds - started)
            self._closing.wait(min(pause, _LONGEST_PAUSE_SECONDS))
        if not self._is_given_up:
            self._call(tracker.close)
            self._note_exported(at_once=True)

    def _begin_work(self) -> None:
        self._tracker = self._make()

    def _next(self) -> tuple[str, _Waiting] | None:
        """Return what has waited longest; None when nothing follows."""
        with self._changed:
            while not self._waiting and not self._closing.is_set() and not self._is_given_up:
                self._changed.wait()
            if not self._waiting or self._is_given_up:
                return None
            trial_id = next(iter(self._waiting))
            waiting = self._waiting.pop(trial_id)
            self._n_waiting -= len(waiting)
            return trial_id, waiting

    def _hand_over(self, tracker: Tracker, trial_id: str, waiting: _Waiting) -> None:
        begin, reports, end = waiting.begin, waiting.reports, waiting.end
        if begin is not None and not self._call(lambda: tracker.begin(begin())):
            with self._changed:
                self._begun.discard(trial_id)
                self._n_dropped += len(waiting)
            return
        n_lost = 0
        if reports and not self._call(lambda: tracker.report(trial_id, reports)):
            n_lost += len(reports)
        if end is not None:
            if self._call(lambda: tracker.end(trial_id, end())):
                self.exported.add(trial_id)
            else:
                n_lost += 1
        with self._changed:
            self._n_dropped += n_lost

    def _call(self, function: Callable[[], object]) -> bool:
        """Return whether a call of the tracker succeeded; the first that fails costs a warning."""
        self._call_began = time.monotonic()
        try:
            function()
        except BaseException as error:  # some end the process where they can't go on
            with self._changed:
                self._note_failure(error)
            return False
        finally:
            self._call_began = None
        self._n_failures = 0
        return True

    def _note_failure(self, error: BaseException) -> None:
        self._n_failures += 1
        is_ours = isinstance(error, TrackerError | GansearchError)
        text = str(error) if is_ours else f"{type(error).__name__}: {error}"
        if self._n_failures == 1:
            shown = escape_unprintable(" ".join(text.split()))[:_LONGEST_ERROR]
            self._warn(shown.rstrip("."))
        if isinstance(error, UnusableError):
            self._is_given_up = True
        elif self._n_failures == _MAX_FAILURES:
            self._give_up(f"it failed {_MAX_FAILURES} times in a row")

    def _note_exported(self, *, at_once: bool = False) -> None:
        """Write which trials the tracker has, now and then."""
        is_due = at_once or time.monotonic() - self._noted_at > _NOTE_SECONDS
        if not is_due or len(self.exported) == self._n_noted:
            return
        self._noted_at = time.monotonic()
        content = "".join(f"{trial_id}\n" for trial_id in sorted(self.exported))
        if self._call(lambda: write_atomically(self._list, content.encode())):
            self._n_noted = len(self.exported)


def _read_list(path: AnyPath) -> set[str]:
    try:
        return set(path.read_bytes().decode(errors="replace").split())
    except OSError:  # the tracker has none yet, or sends again what it has
        return set()
