"""A pass through dense layers by explicit products, forward and backward.

Algorithm 1 needs a few gradients of known form, so that dense networks can do without autograd: it
is the chain rule, layer by layer, in far fewer calls. Layers that normalise are left to autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gansearch.networks import dense_layer
from gansearch.networks.dropout import Mask, Masks
from gansearch.networks.layers import Layer
from gansearch.system.features import functions_for


@dataclass(frozen=True)
class _Trace:
    """What a layer's pass leaves for the way back.

    Attributes:
        x: its input, `[..., n, n_in]`.
        mask: that dropout has multiplied its output by, or None.
        activated: what `backward` of `dense_layer` takes.
    """

    x: Tensor
    mask: Mask | None
    activated: Tensor


class DensePass:
    """One pass through the layers of a network, `[n, n_in]` or `[members, n, n_in]`.

    Args:
        layers: dense ones without normalisation, from the lowest to the output.
        dtype: of the products and activations, as in `system.precision.arithmetic`.
    """

    def __init__(self, layers: Sequence[Layer], dtype: torch.dtype = torch.float32) -> None:
        self._layers = layers
        self._weights = [layer.weight.to(dtype) for layer in layers]
        self._dtype = dtype
        self._traces: list[_Trace] = []
        self._mask: Mask | None = None  # of the input

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Return the outputs; `masks` as `Discriminator.forward` takes them."""
        self._mask, *others = [*(masks or [None] * len(self._layers)), None]
        functions = _functions(x)
        if self._mask is None:
            x = x.to(self._dtype)
        else:
            x = functions.dropped(x, self._mask, self._dtype)
        for layer, weight, mask in zip(self._layers, self._weights, others, strict=True):
            y, activated = functions.forward(layer, weight, x, mask)
            self._traces.append(_Trace(x, mask, activated))
            x = y
        return x

    def by_params(self, d: Tensor) -> list[Tensor]:
        """Return the gradients by the layers' parameters, float32, in their order.

        Args:
            d: the gradient by the outputs.
        """
        functions, d, grads = _functions(d), d.to(self._dtype), list[Tensor]()
        for i in reversed(range(len(self._layers))):
            layer, trace = self._layers[i], self._traces[i]
            d_affine, d_bias = functions.backward(layer, d, trace.activated, trace.mask)
            grads = [(trace.x.mT @ d_affine).float(), d_bias, *grads]
            if i > 0:
                d = d_affine @ self._weights[i].mT
        return grads

    def by_input(self, d: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the gradient by the input of some rows, given that by their outputs."""
        functions, d = _functions(d), d.to(self._dtype)
        for i in reversed(range(len(self._layers))):
            layer, trace = self._layers[i], self._traces[i]
            activated = trace.activated[..., rows, :]
            mask = None if trace.mask is None else trace.mask.rows(rows)
            d_affine, _ = functions.backward(layer, d, activated, mask, with_bias=False)
            d = d_affine @ self._weights[i].mT
        return d if self._mask is None else functions.dropped(d, self._mask.rows(rows), d.dtype)


def _functions(x: Tensor) -> Any:
    """Return the module whose functions apply a layer to `x`."""
    return functions_for(x, 3, dense_layer, "gansearch.networks.dense_kernels")
