"""Squared distances, a block of training examples at a time: what finds the nearest example."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gansearch.data.dataset import Dataset

# Up to here coordinates are subtracted: points lie too close for a product, which is no cheaper.
DIRECT_DIMS = 4
_BLOCK_BYTES = 32 * 2**20


def comparable_distances(
    points: torch.Tensor, others: torch.Tensor, squared_norms: torch.Tensor | None = None
) -> torch.Tensor:
    """Return squared distances `[n, m]`, less what is the same for all of a point's.

    That is the point's own squared norm, beyond 4 dimensions; up to there it is nothing.

    Args:
        points: `[n, d]`.
        others: `[m, d]`.
        squared_norms: of `others`, `[m]`, where the caller has them.
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
    """Yield the row of the first of a block of training examples, and the block `[b, d]`, float32.

    Blocks are so large that neither they nor their distances to n points are beyond 32 MB.
    """
    n_block = max(1, _BLOCK_BYTES // (4 * max(n, dataset.dim)))
    for start in range(0, len(dataset.train), n_block):
        yield start, torch.from_numpy(dataset.to_float(dataset.train[start : start + n_block]))
