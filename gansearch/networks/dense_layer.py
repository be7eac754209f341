"""A dense layer's pass, forward and backward, by operations of torch.

`dense_kernels` has the same functions, for several networks on a GPU, as kernels of Triton.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansearch.networks.dropout import Mask
from gansearch.networks.layers import Layer, affine


def dropped(x: Tensor, mask: Mask, dtype: torch.dtype) -> Tensor:
    """Return inputs `[..., n, n_in]` after dropout, as `dtype`."""
    return (x * mask.factors).to(dtype)


def forward(layer: Layer, weight: Tensor, x: Tensor, mask: Mask | None) -> tuple[Tensor, Tensor]:
    """Return f(x W + b) after dropout, `[..., n, units]`, and what `backward` takes.

    Args:
        layer: with the bias b and the activation f.
        weight: W, in the type in which products are taken.
        x: `[..., n, n_in]`, of the same type; the result is too.
        mask: of the dropout that follows, or None.
    """
    y, activated = layer.activation.apply(affine(x, weight, layer.bias.to(x.dtype)))
    return (y if mask is None else (y * mask.factors).to(x.dtype)), activated


def backward(
    layer: Layer,
    d: Tensor,
    activated: Tensor,
    mask: Mask | None,
    *,
    with_bias: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients by x W + b, `[..., n, pieces * units]`, and by b if it is wanted.

    `d` is that by the result of `forward`; it may be written to.
    """
    if mask is not None:
        d = d.mul_(mask.factors)
    d_affine = layer.activation.gradient(d, activated)
    return d_affine, d_affine.sum(-2, dtype=torch.float32) if with_bias else None
