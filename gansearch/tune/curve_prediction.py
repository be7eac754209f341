"""Predicts the score that a training ends with from its scores so far, with an interval.

The scale of the scores, their noise and how they grow differ between data sets and objectives, so
nothing is carried over from other searches: the interval is as wide as the search's own earlier
predictions were wrong (split conformal prediction, Papadopoulos et al. 2002, with the errors of all
pairs of reports as calibration set).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The gain over a doubling of the updates, as a share of the gain over the doubling before, and how
# the errors grow with the number of doublings: chosen on kept curves
# (benchmarks/studies/search_efficiency.py --intervals).
_PERSISTENCE, _GROWTH = 0.5, 0.75
# Reports closer than this, in doublings, say little about those far apart.
_LEAST_DOUBLINGS = 0.3
_LEAST_ERRORS = 5
_MOST_ERRORS = 4000


@dataclass(frozen=True)
class Prediction:
    """A score at the end of a training: what is expected, and the limits of the interval."""

    expected: float
    low: float
    high: float


class CurvePrediction:
    """Learns from all curves of a search how wrong predictions of later scores are.

    Args:
        max_updates: of a complete training.
        from_updates: reports before it calibrate nothing, since young trainings behave otherwise.
    """

    def __init__(self, max_updates: int, from_updates: float = 0.0) -> None:
        self._max_updates = max_updates
        self._from_updates = from_updates
        self._errors: deque[float] = deque(maxlen=_MOST_ERRORS)

    def learn(self, updates: Sequence[int], scores: Sequence[float]) -> None:
        """Learn from the last report of a curve how wrong predictions by the earlier ones were."""
        for i in range(len(updates) - 1):
            doublings = math.log2(updates[-1] / updates[i])
            if updates[i] < self._from_updates or doublings < _LEAST_DOUBLINGS:
                continue
            expected = _extrapolate(updates[: i + 1], scores[: i + 1], doublings)
            self._errors.append(abs(scores[-1] - expected) / doublings**_GROWTH)

    def predict(
        self, updates: Sequence[int], scores: Sequence[float], *, confidence: float = 0.9
    ) -> Prediction:
        """Predict the score at `max_updates`.

        Args:
            updates: of the reports so far, ascending.
            scores: of these reports.
            confidence: with which the interval holds the score. It is infinite before there are
                enough errors.
        """
        doublings = max(0.0, math.log2(self._max_updates / updates[-1]))
        expected = _extrapolate(updates, scores, doublings)
        half = self._error(confidence) * doublings**_GROWTH if doublings else 0.0
        return Prediction(expected, expected - half, expected + half)

    def _error(self, confidence: float) -> float:
        if len(self._errors) < _LEAST_ERRORS:
            return math.inf
        return float(np.quantile(self._errors, confidence))


def _extrapolate(updates: Sequence[int], scores: Sequence[float], doublings: float) -> float:
    """Return the score after so many doublings more: each gains a share of the one before it."""
    before = float(np.interp(updates[-1] / 2, updates, scores))
    share: float = _PERSISTENCE * (1 - _PERSISTENCE**doublings) / (1 - _PERSISTENCE)
    return scores[-1] + (scores[-1] - before) * share
