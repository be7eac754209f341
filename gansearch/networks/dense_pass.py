"""A pass through dense layers by explicit products, forward and backward.

Algorithm 1 needs a few gradients of known form, so that dense networks can do without autograd: it
is the chain rule, layer by layer, in far fewer calls. Layers that normalise are left to autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.networks.layers import Layer

Masks = Sequence[Tensor | None]


@dataclass(frozen=True)
class _Trace:
    """What a layer's pass leaves for the way back.

    Attributes:
        x: the input that the weight was applied to, `[..., n, n_in]`.
        mask: that dropout had multiplied it by, or None.
        activated: as `Activation.apply` returns it.
    """

    x: Tensor
    mask: Tensor | None
    activated: Tensor


class DensePass:
    """One pass through the layers of a network, `[n, n_in]` or `[members, n, n_in]`.

    Args:
        layers: dense ones without normalisation, from the lowest to the output.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._traces: list[_Trace] = []

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Return the outputs; `masks` as `Discriminator.forward` takes them."""
        for i, layer in enumerate(self._layers):
            mask = None if masks is None else masks[i]
            if mask is not None:
                x = x * mask
            y, activated = layer.activation.apply(_affine(layer, x))
            self._traces.append(_Trace(x, mask, activated))
            x = y
        return x

    def by_params(self, d: Tensor) -> list[Tensor]:
        """Return the gradients by the layers' parameters, in their order.

        Args:
            d: the gradient by the outputs.
        """
        grads: list[Tensor] = []
        for i in reversed(range(len(self._layers))):
            trace = self._traces[i]
            d_affine = self._layers[i].activation.gradient(d, trace.activated)
            grads = [trace.x.mT @ d_affine, d_affine.sum(-2), *grads]
            if i > 0:
                d = self._by_input(i, d_affine, trace.mask)
        return grads

    def by_input(self, d: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the gradient by the input of some rows, given that by their outputs."""
        for i in reversed(range(len(self._layers))):
            trace = self._traces[i]
            mask = None if trace.mask is None else trace.mask[..., rows, :]
            activated = trace.activated[..., rows, :]
            d = self._by_input(i, self._layers[i].activation.gradient(d, activated), mask)
        return d

    def _by_input(self, i: int, d_affine: Tensor, mask: Tensor | None) -> Tensor:
        d = d_affine @ self._layers[i].weight.mT
        return d if mask is None else d.mul_(mask)


def _affine(layer: Layer, x: Tensor) -> Tensor:
    if x.dim() == 2:
        return torch.addmm(layer.bias, x, layer.weight)
    return torch.baddbmm(layer.bias.unsqueeze(-2), x, layer.weight)
