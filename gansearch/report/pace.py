"""How fast a run trains, and how long it will still take at that pace."""

from __future__ import annotations

import time

# Before this many trials have ended, their mean length says little.
MIN_ENDED = 3


class Pace:
    """The seconds that an update takes, all told: starts, evaluations and waiting count too.

    Until three trials have ended in this session, the pace of earlier sessions counts as well;
    afterwards it doesn't, since a run may be resumed on another machine.

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

    def trial_started(self) -> None:
        """Record that a trial trains: the time of the session's training begins with the first."""
        self._since = self._since or time.monotonic()

    def trained(self, updates: int) -> None:
        """Record that trials have made so many more updates."""
        self._updates += max(0, updates)

    def trial_ended(self) -> None:
        """Record that a trial has ended."""
        self._n_ended += 1

    def seconds_for(self, updates: float) -> float | None:
        """Return how long so many updates will take, None if nothing is known."""
        seconds = time.monotonic() - self._since if self._since is not None else 0.0
        trained = self._updates
        if self._n_ended < MIN_ENDED and self._earlier_seconds and self.earlier_updates:
            seconds += self._earlier_seconds
            trained += self.earlier_updates
        return updates * seconds / trained if trained else None
