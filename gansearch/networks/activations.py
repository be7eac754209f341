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
from gansearch.system.torch_internals import (
    elu_backward,
    leaky_relu_backward,
    sigmoid_backward,
    tanh_backward,
    threshold_backward,
)

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": partial(apply_elementwise, F.elu),
    "softplus": partial(apply_elementwise, F.softplus),
    "tanh": torch.tanh,
    "sigmoid": partial(apply_elementwise, torch.sigmoid),
}
_IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "elu": partial(apply_elementwise, F.elu_),
    "softplus": partial(apply_elementwise, F.softplus),  # torch has none in place
    "tanh": torch.tanh_,
    "sigmoid": partial(apply_elementwise, torch.sigmoid_),
}
# By the result, not by the argument.
_GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda d, y: threshold_backward(d, y, 0),
    "elu": lambda d, y: elu_backward(d, 1, 1, 1, True, y),
    "softplus": lambda d, y: d * -torch.expm1(-y),
    "tanh": tanh_backward,
    "sigmoid": sigmoid_backward,
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

    def apply(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result, in the memory of `z` where it fits, and what `gradient` needs.

        That is the result itself or, of maxout, the share of each piece in its unit's gradient, in
        the shape of `z`: equal ones where pieces tie.
        """
        if self.name == "maxout":
            pieces = torch.unflatten(z, -1, (self.pieces, -1))
            maxima = pieces.amax(-2)
            return maxima, _shares(pieces, maxima).flatten(-2)
        y = z if self.name == "linear" else self._in_place(z)
        return y, y

    def gradient(self, d: Tensor, activated: Tensor) -> Tensor:
        """Return the gradient by `z`, given that by the result, `[..., units]`."""
        if self.name == "linear":
            return d
        if self.name == "maxout":
            by_piece = torch.unflatten(activated, -1, (self.pieces, -1)) * d.unsqueeze(-2)
            return by_piece.flatten(-2)
        if self.name == "leaky_relu":
            by_z: Tensor = leaky_relu_backward(d, activated, self.slope, True)
            return by_z
        return _GRADIENTS[self.name](d, activated)

    def _in_place(self, z: Tensor) -> Tensor:
        if self.name == "leaky_relu":
            return F.leaky_relu_(z, self.slope)
        return _IN_PLACE[self.name](z)


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
        ctx.save_for_backward(_shares(pieces, maxima))
        return maxima

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient by the pieces; it can be differentiated again."""
        (shares,) = ctx.saved_tensors
        by_piece: Tensor = shares * gradient.unsqueeze(-2)
        return by_piece


def _shares(pieces: Tensor, maxima: Tensor) -> Tensor:
    """Return each piece's share of its unit's gradient, in the shape of `pieces`."""
    shares = torch.eq(pieces, maxima.unsqueeze(-2), out=torch.empty_like(pieces))
    # A GPU would have to wait for the answer, whether any pieces tie.
    n_largest = shares.sum(dtype=torch.float32) if pieces.device.type == "cpu" else None
    if n_largest is None or n_largest != maxima.numel():
        shares /= shares.sum(-2, keepdim=True)
    return shares


def _maximum(pieces: Tensor) -> Tensor:
    maxima: Tensor = _Maximum.apply(pieces)
    return maxima
