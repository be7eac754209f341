"""Activations: functions of rows, maxout among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansearch.system.precision import apply_elementwise

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": partial(apply_elementwise, F.elu),
    "tanh": torch.tanh,
    "sigmoid": partial(apply_elementwise, torch.sigmoid),
}


@dataclass(frozen=True)
class Activation:
    """A function of rows. Under maxout `[n, pieces * units]` becomes `[n, units]`.

    A maxout unit (Goodfellow et al. 2013) is the largest of its `pieces` affine maps; for all other
    activations `pieces` is 1.
    """

    name: str
    pieces: int = 1
    slope: float = 0.0  # of leaky_relu below zero

    def __call__(self, z: Tensor) -> Tensor:
        """Apply the function to `[..., pieces * units]`."""
        if self.name == "linear":
            return z
        if self.name == "maxout":
            # Piece by piece, not unit by unit: the maximum then runs over contiguous rows.
            pieces = torch.unflatten(z, -1, (self.pieces, -1))
            if z.device.type == "cpu" and z.dtype == torch.float32:
                return _maximum(pieces)
            return pieces.amax(-2)
        if self.name == "leaky_relu":
            return F.leaky_relu(z, self.slope)
        return _FUNCTIONS[self.name](z)


LINEAR = Activation("linear")


class _Maximum(torch.autograd.Function):
    """The maximum over pieces, `[..., pieces, units]` to `[..., units]`, on a CPU.

    It is what `amax` is, its gradient included (equal shares where pieces tie), in less than half
    of the time: there torch makes booleans and converts them, one by one.
    """

    @staticmethod
    def forward(ctx: Any, pieces: Tensor) -> Tensor:
        """Return the maxima, and keep each piece's share of the gradient."""
        maxima = pieces.amax(-2)
        shares = torch.eq(pieces, maxima.unsqueeze(-2), out=torch.empty_like(pieces))
        if shares.sum() != maxima.numel():
            shares /= shares.sum(-2, keepdim=True)
        ctx.save_for_backward(shares)
        return maxima

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient by the pieces; it can be differentiated again."""
        (shares,) = ctx.saved_tensors
        by_piece: Tensor = shares * gradient.unsqueeze(-2)
        return by_piece


def _maximum(pieces: Tensor) -> Tensor:
    maxima: Tensor = _Maximum.apply(pieces)
    return maxima
