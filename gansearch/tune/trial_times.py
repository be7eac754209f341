"""How long the trials of a session take, by the clock: all that a trial waits for counts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class _TrialTime:
    first_updates: int
    updates: int
    began: float
    reported: float
    is_running: bool = True


@dataclass
class TrialTimes:
    """Counts the seconds and the updates of each trial; the recorder tells it of all events.

    Attributes:
        start_seconds: how long the workers of the latest phase took to start; of the present one
            the time so far, until its first trial has begun.
    """

    _trials: dict[str, _TrialTime] = field(default_factory=dict)
    _phase_began: float = 0.0
    _start_seconds: float | None = None
    _is_starting: bool = False

    def phase_begins(self) -> None:
        """Record that workers are started for a phase."""
        self._phase_began, self._is_starting = time.monotonic(), True

    def started(self, trial_id: str, updates: int) -> None:
        """Record that a trial trains from `updates` on."""
        now = time.monotonic()
        if self._is_starting:
            self._start_seconds, self._is_starting = now - self._phase_began, False
        self._trials[trial_id] = _TrialTime(updates, updates, now, now)

    def reported(self, trial_id: str, updates: int) -> None:
        """Record that a trial is at `updates`."""
        if (trial := self._trials.get(trial_id)) is not None and updates > trial.updates:
            trial.updates, trial.reported = updates, time.monotonic()

    def ended(self, trial_id: str) -> None:
        """Record that a trial trains no more."""
        if (trial := self._trials.get(trial_id)) is not None and trial.is_running:
            trial.reported, trial.is_running = time.monotonic(), False

    @property
    def start_seconds(self) -> float:
        """How long the workers of a phase take to start, as far as it is known."""
        return self._start_seconds or 0.0

    @property
    def seconds_until_start(self) -> float:
        """How long the workers of the present phase will still need until the first trial."""
        if not self._is_starting:
            return 0.0
        return max(0.0, self.start_seconds - (time.monotonic() - self._phase_began))

    @property
    def running(self) -> list[str]:
        """The ids of the trials that train."""
        return [trial_id for trial_id, trial in self._trials.items() if trial.is_running]

    def whole_seconds(self, trial_id: str) -> float | None:
        """Return how long a trial took that this session has begun and ended; else None."""
        trial = self._trials.get(trial_id)
        if trial is None or trial.is_running or trial.first_updates:
            return None
        return trial.reported - trial.began

    def training(self, trial_id: str) -> tuple[float, int]:
        """Return the seconds in which this session has seen a trial train, and the updates."""
        if (trial := self._trials.get(trial_id)) is None:
            return 0.0, 0
        return trial.reported - trial.began, trial.updates - trial.first_updates

    def seconds_since_report(self, trial_id: str) -> float:
        """Return how long ago a running trial reported updates, or began."""
        return time.monotonic() - self._trials[trial_id].reported
