"""The training examples of a data set on a device, as the networks see them."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from gansearch.data.dataset import NO_CONTRAST, Dataset


class Examples:
    """The training examples of a data set on a device, as networks see them.

    Attributes:
        n: how many there are.
        device: where they lie.
    """

    def __init__(self, dataset: Dataset, device: str) -> None:
        self.n = len(dataset.train)
        self.device = device
        self.mean = torch.from_numpy(dataset.mean()).to(device)
        self._values = _as_tensor(dataset.train).to(device)
        self._scale = dataset.scale
        self._contrast = dataset.contrast

    def at(self, rows: Tensor) -> Tensor:
        """Return the examples `[..., dim]` at `rows`, as `Dataset.to_float` does."""
        # Three times as fast as by advanced indexing.
        found = torch.index_select(self._values, 0, rows.flatten())
        values = found.view(*rows.shape, -1).float().div_(self._scale)
        return values if self._contrast is None else _normalised(values, self._contrast)


def _normalised(images: Tensor, norm: float) -> Tensor:
    """Return images `[..., dim]` with their means subtracted, scaled to `norm`."""
    centred = images - images.mean(-1, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    # A constant image leaves rounding error; nothing may be made of it.
    return torch.where(norms > NO_CONTRAST, centred * (norm / norms), 0)


def _as_tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # Arrays in Ray's object store are read-only; nothing here writes to the data.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
