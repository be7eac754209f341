"""Distances to real examples, and the nearest training example of each sample.

Distances are computed a block of training examples at a time, so that memory stays below a bound.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.scoring.samples import Array, as_samples

# Up to this dimension coordinates are subtracted: a matrix product is no cheaper there, and loses
# the small distances between points that lie close together.
DIRECT_DIMS = 4
_BLOCK_BYTES = 32 * 2**20
N_COPY_SAMPLES = 1000  # that are compared with training examples, to find copies


def comparable_distances(
    points: torch.Tensor, others: torch.Tensor, squared_norms: torch.Tensor | None = None
) -> torch.Tensor:
    """Return squared distances `[n, m]` up to a constant for each point, enough to compare them.

    The constant is the point's own squared norm beyond 4 dimensions, and 0 otherwise.

    Args:
        points: `[n, d]`.
        others: `[m, d]`.
        squared_norms: of `others`, `[m]`, if the caller has them.
    """
    if points.shape[1] <= DIRECT_DIMS:
        squared = points.new_zeros(len(points), len(others))
        for x, y in zip(points.T, others.T, strict=True):
            squared += (x[:, None] - y).square_()
        return squared
    if squared_norms is None:
        squared_norms = others.square().sum(dim=1)
    return torch.addmm(squared_norms, points, others.T, alpha=-2)


def training_blocks(dataset: Dataset, n: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield blocks of training examples: the row of the first, and the block `[b, d]`, float32.

    Neither a block nor its distances to n points exceed 32 MB.
    """
    n_block = max(1, _BLOCK_BYTES // (4 * max(n, dataset.dim)))
    for start in range(0, len(dataset.train), n_block):
        yield start, torch.from_numpy(dataset.to_float(dataset.train[start : start + n_block]))


def nearest_training(dataset: Dataset, samples: Array, n: int) -> np.ndarray:
    """Return the row in `dataset.train` nearest (L2) to each of the first n samples, `[n]`.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    device = samples.device if isinstance(samples, torch.Tensor) else "cpu"
    wanted = as_samples(samples[:n], device).float()
    best = torch.full((len(wanted),), torch.inf, device=wanted.device)
    rows = torch.zeros(len(wanted), dtype=torch.int64, device=wanted.device)
    for start, block in training_blocks(dataset, len(wanted)):
        smallest, row = comparable_distances(wanted, block.to(wanted.device)).min(dim=1)
        closer = smallest < best
        best = torch.where(closer, smallest, best)
        rows = torch.where(closer, row + start, rows)
    return rows.cpu().numpy()


def distances_to_training(dataset: Dataset, examples: Array) -> np.ndarray:
    """Return the L2 distance from each example to its nearest training one, `[n]`, in float64."""
    nearest = dataset.to_float(dataset.train[nearest_training(dataset, examples, len(examples))])
    found = as_samples(examples, "cpu").double().numpy()
    distances: np.ndarray = np.linalg.norm(found - nearest, axis=1)
    return distances
