"""What a run does beside training, and how long that takes: one model for all who ask.

A dry run estimates by it, and a time budget plans by it. What differs between the two is only how
the speed of trainings is known: a dry run measures some, a run has seen its trials.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import final_score
from gansearch.scoring.references import are_cached

# The winner's pictures, the sheet of all finalists, the report and the end of Ray.
CONCLUSION_SECONDS = 7.0
# A final score is measured with few samples, of which a quarter to a half of the time depends; so
# that the first measurement stays, if it took so many seconds: loading is little of it.
_N_MEASURED, _FULL_SCORE_FACTOR, _LONG_SECONDS = 500, 2.5, 2.0
# What takes as long as so many measured final scores: the winner's curve, and the reference lines
# where they aren't cached.
_CURVES, _LINES, _LINES_OF_IMAGES = 3.0, 10.0, 25.0


@dataclass(frozen=True)
class Costs:
    """What a run does beside training, in seconds.

    Attributes:
        final_score: of a replica: its samples at the end are scored against the test set.
        conclusion: reference lines, ranking, pictures and the report.
    """

    final_score: float
    conclusion: float

    def replica_seconds(self, update_seconds: float, max_updates: int) -> float:
        """Return how long a replica takes, whose updates take `update_seconds` each."""
        return update_seconds * max_updates + self.final_score


def measured_costs(dataset: Dataset, test: CollapseTest) -> Costs:
    """Return what a run on `dataset` does beside training, from a final score measured now."""
    samples = dataset.to_float(dataset.train[:_N_MEASURED])
    seconds = _final_score_seconds(dataset, samples, test)
    if seconds < _LONG_SECONDS:  # the first one loads what the others find
        seconds = _final_score_seconds(dataset, samples, test)
    lines = 0.0 if are_cached(dataset) else _LINES_OF_IMAGES if dataset.is_image else _LINES
    return Costs(_FULL_SCORE_FACTOR * seconds, CONCLUSION_SECONDS + (_CURVES + lines) * seconds)


def _final_score_seconds(dataset: Dataset, samples: np.ndarray, test: CollapseTest) -> float:
    start = time.monotonic()
    final_score(dataset, samples, collapse_test=test)
    return time.monotonic() - start
