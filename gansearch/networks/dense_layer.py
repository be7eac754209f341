"""A dense layer's pass, forward and backward, by operations of torch.

`dense_kernels` has the same functions, for several networks on a GPU, as kernels of Triton.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansearch.networks.layers import Layer, affine


def forward(layer: Layer, weight: Tensor, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return f(x W + b) * mask, `[..., n, units]`, and what `backward` takes.

    Args:
        layer: with the bias b and the activation f.
        weight: W, in the type in which products are taken.
        x: `[..., n, n_in]`, of the same type; the result is too.
        mask: of the dropout that follows, `[..., n, units]`, or None.
    """
    y, activated = layer.activation.apply(affine(x, weight, layer.bias.to(x.dtype)))
    return (y if mask is None else (y * mask).to(x.dtype)), activated


def backward(
    layer: Layer,
    d: Tensor,
    activated: Tensor,
    mask: Tensor | None,
    *,
    with_bias: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients by x W + b, `[..., n, pieces * units]`, and by b if it is wanted.

    `d` is that by the result of `forward`; it may be written to.
    """
    if mask is not None:
        d = d.mul_(mask)
    d_affine = layer.activation.gradient(d, activated)
    return d_affine, d_affine.sum(-2, dtype=torch.float32) if with_bias else None
