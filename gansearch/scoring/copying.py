"""Are samples closer to training examples than new real examples are? A ratio, and a p-value.

The likelihood can't tell copies from the best of models (Theis et al. 2016, "A note on the
evaluation of generative models"). Meehan et al. (2020), "A non-parametric test to detect
data-copying in generative models", compare the distances to the nearest training example of samples
and of new real examples by rank, within cells of similar examples: a generator that prefers a dense
region lies nearer to training examples there, as new examples of that region do, and copies none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.scoring.neighbours import (
    N_COPY_SAMPLES,
    comparable_distances,
    distances_to_training,
)
from gansearch.scoring.samples import Array, as_samples

# Where a few samples are copies and the others far off, ranks on the whole don't show it. So these
# shares of the smallest distances of each cell are looked at as well.
_TAILS = (0.01, 0.05, 0.2)
_N_CELLS = 20
_PER_CELL = 25  # new examples at least, on average
_N_FOR_CELLS = 2000
_N_LLOYD_STEPS = 10


@dataclass(frozen=True)
class Copying:
    """How close samples are to training examples, compared with new real examples.

    Attributes:
        train_nn_ratio: the median distance to the nearest training example, over that of new real
            examples: near 0 for copies, 1 for samples as far away as new real ones. If over half of
            the new ones are themselves copies, the ratio says nothing and is 1.
        copy_p: p-value of the hypothesis that the samples are not closer than new real ones.
    """

    train_nn_ratio: float
    copy_p: float


def copying(dataset: Dataset, samples: Array) -> Copying:
    """Compare the first 1,000 of `samples` `[n, d]` with the first 1,000 validation examples.

    These usually come from the same source as the training examples. Test examples may not: other
    people wrote MNIST's, which lie farther off than new images by the writers that G learns from.
    All training examples are searched.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    new = dataset.to_float(dataset.valid[:N_COPY_SAMPLES])
    samples = samples[:N_COPY_SAMPLES]
    far, far_new = distances_to_training(dataset, samples), distances_to_training(dataset, new)
    ratio = float(np.median(far) / np.median(far_new)) if np.median(far_new) > 0 else 1.0
    centres = _cell_centres(dataset, max(1, min(_N_CELLS, len(new) // _PER_CELL)))
    cells, cells_new = (_cells(each, centres) for each in (samples, new))
    return Copying(ratio, copy_p_value(far, far_new, cells, cells_new))


def copy_p_value(
    distances: np.ndarray, of_new: np.ndarray, cells: np.ndarray, cells_of_new: np.ndarray
) -> float:
    """Return the p-value of the hypothesis that samples are as far away as new real examples.

    Within each cell distances of samples `[n]` and of new examples `[m]` are exchangeable by the
    hypothesis. Four statistics are tested, corrected for their number (Bonferroni): the rank sum
    over all cells (the Z_U of Meehan et al., weighted as by van Elteren), and how many of the
    smallest 1, 5 and 20 % of each cell's distances are of samples (exact, given the cells).

    Args:
        distances: of the samples, to their nearest training examples.
        of_new: the same of new real examples.
        cells: the cell of each sample.
        cells_of_new: the cell of each new example.

    Returns:
        From 0 to 1; 1 if no cell has both samples and new examples.
    """
    both = sorted(set(cells.tolist()) & set(cells_of_new.tolist()))
    pooled = [(distances[cells == cell], of_new[cells_of_new == cell]) for cell in both]
    p_values = [_rank_sum_p(pooled), *(_tail_p(pooled, share) for share in _TAILS)]
    return min(1.0, len(p_values) * min(p_values))


def _rank_sum_p(pooled: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the one-sided p-value of van Elteren's sum of ranks, with ties."""
    excess = variance = 0.0
    for ours, new in pooled:
        n, m = len(ours), len(new)
        ranks = _midranks(np.concatenate([ours, new]))
        weight = 1 / (n + m + 1)
        excess += weight * float(ranks[:n].sum() - n * ranks.mean())
        variance += weight**2 * n * m / (n + m) * float(ranks.var(ddof=1))
    return 0.5 * math.erfc(-excess / math.sqrt(2 * variance)) if variance > 0 else 1.0


def _midranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, from 1; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray = (ends - (counts - 1) / 2)[inverse]
    return ranks


def _tail_p(pooled: list[tuple[np.ndarray, np.ndarray]], share: float) -> float:
    """Return the probability that as many of the smallest distances are of samples, or more."""
    found, laws = 0, [np.ones(1)]
    for ours, new in pooled:
        both = np.concatenate([ours, new])
        largest = np.sort(both)[math.ceil(share * len(both)) - 1]
        found += int((ours <= largest).sum())
        laws.append(_hypergeometric(len(ours), len(new), int((both <= largest).sum())))
    law = reduce(np.convolve, laws)
    return float(law[found:].sum())


def _hypergeometric(n: int, m: int, drawn: int) -> np.ndarray:
    """Return the probabilities of 0 .. drawn of n among `drawn` of n + m, `[drawn + 1]`."""
    found = range(drawn + 1)
    total = _log_choose(n + m, drawn)
    logs = [_log_choose(n, i) + _log_choose(m, drawn - i) - total for i in found]
    return np.exp(logs)


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _cell_centres(dataset: Dataset, n_cells: int) -> torch.Tensor:
    """Return the means of cells of training examples, `[n_cells, d]`, by Lloyd's algorithm."""
    training = torch.from_numpy(dataset.to_float(dataset.train[:_N_FOR_CELLS]))
    centres = training[:n_cells].clone()
    for _ in range(_N_LLOYD_STEPS):
        cells = comparable_distances(training, centres).argmin(dim=1)
        counts = torch.bincount(cells, minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, cells, training)
        centres = torch.where(counts > 0, sums / counts, centres)  # an empty cell stays
    return centres


def _cells(examples: Array, centres: torch.Tensor) -> np.ndarray:
    on_cpu = as_samples(examples, "cpu").float()
    found: np.ndarray = comparable_distances(on_cpu, centres).argmin(dim=1).numpy()
    return found
