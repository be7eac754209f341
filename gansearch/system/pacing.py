"""The pace of what is written again and again, so that writing takes a small share of the time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass
class Pacing:
    """When something was written last, and how long that took, in seconds."""

    last: float = -math.inf
    cost: float = 0.0

    def is_due(self, factor: float, least: float = 0.0, most: float = math.inf) -> bool:
        """Return whether the pause since the last write is long enough.

        Args:
            factor: the pause, as a multiple of what the last write took.
            least, most: the shortest and the longest pause, in seconds.
        """
        return time.monotonic() - self.last >= min(most, max(least, factor * self.cost))

    def note(self, start: float) -> float:
        """Record a write that began at `start`; return how long it took."""
        self.last = time.monotonic()
        self.cost = self.last - start
        return self.cost
