"""How fast a run trains, and how long it will still take at that pace."""

from __future__ import annotations

import time
from collections import deque

# Before this many trials have ended, their mean length says little.
MIN_ENDED = 3
# Over which the present speed is taken.
_WINDOW_SECONDS = 30.0
# A shorter time since the first report says nothing of a speed.
_LEAST_SECONDS = 1.0


class Pace:
    """The seconds that an update takes, all told: starts, evaluations and waiting count too.

    Until three trials have ended in this session, the pace of earlier sessions counts as well;
    afterwards it doesn't, since a run may be resumed on another machine. Without earlier sessions
    the start of the first workers doesn't count until then: it would be most of the time.

    Args:
        earlier_seconds: the time that earlier sessions took.

    Attributes:
        earlier_updates: the updates that they trained.
    """

    def __init__(self, earlier_seconds: float) -> None:
        self.earlier_updates = 0
        self._earlier_seconds = earlier_seconds
        self._since: float | None = None
        self._updates = 0
        self._n_ended = 0
        # Times at which updates were reported, with all updates until then; the first of all, and
        # those of the last seconds, with the one before them.
        self._first: tuple[float, int] | None = None
        self._recent: deque[tuple[float, int]] = deque()

    def trial_started(self) -> None:
        """Record that a trial trains: the time of the session's training begins with the first."""
        self._since = self._since or time.monotonic()

    def trained(self, updates: int) -> None:
        """Record that trials have made so many more updates."""
        now = time.monotonic()
        self._updates += max(0, updates)
        if self._first is None:
            if not self._updates:
                return
            self._first = (now, self._updates)
        if self._recent and self._recent[-1][0] == now:
            self._recent.pop()
        self._recent.append((now, self._updates))
        self._forget(now)

    def trial_ended(self) -> None:
        """Record that a trial has ended."""
        self._n_ended += 1

    @property
    def updates_per_second(self) -> float | None:
        """The speed of all trials together in the last half minute; None before two reports."""
        now = time.monotonic()
        self._forget(now)
        if self._first is None or self._updates == self._first[1] or now == self._recent[0][0]:
            return None
        began, before = self._recent[0]
        return (self._updates - before) / (now - began)

    def seconds_for(self, updates: float) -> float | None:
        """Return how long so many updates will take, None if nothing is known."""
        now = time.monotonic()
        seconds = now - self._since if self._since is not None else 0.0
        trained = self._updates
        if self._n_ended < MIN_ENDED:
            if self._earlier_seconds and self.earlier_updates:
                seconds += self._earlier_seconds
                trained += self.earlier_updates
            elif self._first is not None and now - self._first[0] >= _LEAST_SECONDS:
                began, before = self._first
                if trained > before:
                    seconds, trained = now - began, trained - before
        return updates * seconds / trained if trained else None

    def _forget(self, now: float) -> None:
        """Drop what was reported before the window, but for the last of it, where it begins."""
        while len(self._recent) > 1 and self._recent[1][0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
