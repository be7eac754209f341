"""How many samples an evaluation uses, so that it takes a small share of a trial's time.

The number follows from the data, the budget and the configurations by arithmetic, not by a clock:
it is the same for all trials of a run, wherever they train, since scores of different numbers of
samples don't compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.family import Operations
from gansearch.measures import N_EVALUATION_SAMPLES

MAX_SHARE = 0.1  # of a trial's time between two evaluations
# Below a hundred samples, coverage and recall are too coarse for the verdict's thresholds.
_NUMBERS = (N_EVALUATION_SAMPLES, 700, 500, 300, 200, 100)
# With examples of fewer values an evaluation takes some hundredths of a second: not worth a change.
_SMALL_DIM = 500
# What costs time beside matrix products, in operations that take as long: the exponentials of a
# pair of points at all sigmas; a value that is checked, centred and copied; an update's overhead.
_PAIR, _VALUE, _UPDATE = 1000, 60, 2e7
_N_REFERENCE = 500


@dataclass(frozen=True)
class EvaluationSize:
    """How many samples an evaluation uses, and what share of the time it takes.

    Attributes:
        n_samples: of each evaluation of the run.
        share: of a trial's time, estimated for the configuration that trains fastest; None where
            its family doesn't know, or where examples are small and evaluations cheap.
    """

    n_samples: int
    share: float | None = None


def evaluation_size(
    dataset: Dataset, budget: Budget, operations: Iterable[Operations | None]
) -> EvaluationSize:
    """Choose the largest number of samples that takes a tenth of the time at most, 100 at least.

    Args:
        dataset: that is learned.
        budget: how many updates lie between two evaluations.
        operations: of the configurations that may be trained, None where unknown; only read where
            the examples are large.
    """
    if dataset.dim < _SMALL_DIM:
        return EvaluationSize(N_EVALUATION_SAMPLES)
    known = [each for each in operations if each is not None]
    if not known:
        return EvaluationSize(N_EVALUATION_SAMPLES)
    n_updates = budget.max_updates / len(budget.report_updates())

    def share(n: int) -> float:
        return max(
            scoring / (scoring + n_updates * (each.update + _UPDATE))
            for each in known
            for scoring in [each.n_scored * (_operations(dataset, n) + each.samples)]
        )

    n_samples = next((n for n in _NUMBERS if share(n) <= MAX_SHARE), _NUMBERS[-1])
    return EvaluationSize(n_samples, share(n_samples))


def _operations(dataset: Dataset, n: int) -> float:
    """Return the operations that it takes to evaluate n samples."""
    n_valid = min(n, dataset.n_valid_for_sigma, len(dataset.valid))
    n_reference = min(n, _N_REFERENCE, len(dataset.train) // 2)
    parzen = n * n_valid * (2 * dataset.dim + _PAIR) + _VALUE * dataset.dim * (n + n_valid)
    # Distances within the samples, and to the reference; in float64, which takes twice as long.
    indicators = 2 * 2 * n_reference**2 * 2 * dataset.dim
    return parzen + indicators
