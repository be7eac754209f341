"""The functions of `dense_layer` for several networks, as kernels of Triton around the products.

The bias, the activation and the dropout of a layer read and write every value once, in each
direction. What a layer keeps for the way back is its product, from which the rest is computed anew.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from gansearch.network_parameters import ACTIVATIONS
from gansearch.networks.activations import Activation
from gansearch.networks.dropout import Mask
from gansearch.networks.layers import Layer

_N_ROWS, _N_UNITS = 32, 64  # of the block that a program works on
_N_VALUES = 1024  # the same of `dropped`


@triton.jit
def _tanh(z):  # type: ignore[no-untyped-def]
    t = tl.exp(-2 * tl.abs(z))
    y = tl.where(z < 0, t - 1, 1 - t) / (1 + t)
    # Near 0 the difference would lose its digits.
    s = z * z
    series = z * (1 + s * (-1 / 3 + s * (2 / 15 - s * (17 / 315))))
    return tl.where(tl.abs(z) < 0.1, series, y)


@triton.jit  # type: ignore[untyped-decorator]
def _activated(z, slope, NAME: tl.constexpr):  # type: ignore[no-untyped-def]
    if NAME == "relu":
        y = tl.where(z < 0, 0.0, z)  # NaN stays
    elif NAME == "leaky_relu":
        y = tl.where(z < 0, z * slope, z)
    elif NAME == "elu":
        series = z * (1 + z / 2 * (1 + z / 3 * (1 + z / 4 * (1 + z / 5))))
        y = tl.where(z > 0, z, tl.where(z > -0.1, series, tl.exp(z) - 1))
    elif NAME == "softplus":
        t = tl.exp(-tl.abs(z))
        # The logarithm of 1 plus little would lose its digits.
        series = t * (1 - t * (1 / 2 - t / 3))
        y = tl.where(z > 0, z, 0.0) + tl.where(t < 0.01, series, tl.log(1 + t))
    elif NAME == "tanh":
        y = _tanh(z)
    elif NAME == "sigmoid":
        y = 1 / (1 + tl.exp(-z))
    else:
        y = z
    return y


@triton.jit  # type: ignore[untyped-decorator]
def _derivative(z, slope, NAME: tl.constexpr):  # type: ignore[no-untyped-def]
    if NAME == "relu":
        g = tl.where(z <= 0, 0.0, 1.0)
    elif NAME == "leaky_relu":
        g = tl.where(z > 0, 1.0, slope)
    elif NAME == "elu":
        g = tl.where(z > 0, 1.0, tl.exp(z))
    elif NAME == "softplus":
        g = 1 / (1 + tl.exp(-z))
    elif NAME == "tanh":
        y = _tanh(z)
        g = 1 - y * y
    elif NAME == "sigmoid":
        y = 1 / (1 + tl.exp(-z))
        g = y * (1 - y)
    else:
        g = tl.full(z.shape, 1.0, tl.float32)
    return g


@triton.jit  # type: ignore[untyped-decorator]
def _maximum(z, bias, row, unit, here, units, PIECES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the largest piece of each unit, NaN if any is, and how many of them are as large."""
    # The bias is float32, whatever z is, and so is the sum.
    largest = tl.load(z + row * PIECES * units + unit, here, 0.0)
    largest = largest + tl.load(bias + unit, unit < units, 0.0)
    n_largest = tl.full(largest.shape, 1.0, tl.float32)
    for p in tl.static_range(1, PIECES):
        piece = tl.load(z + (row * PIECES + p) * units + unit, here, 0.0)
        piece = piece + tl.load(bias + p * units + unit, unit < units, 0.0)
        is_new = (piece > largest) | (piece != piece)
        n_largest = tl.where(is_new, 1.0, tl.where(piece == largest, n_largest + 1, n_largest))
        largest = tl.where(is_new, piece, largest)
    return largest, n_largest


@triton.jit
def _factor(bits, threshold, scale, here):  # type: ignore[no-untyped-def]
    """Return by what dropout multiplies values, given where their random numbers are."""
    return tl.where(tl.load(bits, here, 0) >= threshold, scale, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _dropped(  # type: ignore[no-untyped-def]
    x, bits, thresholds, scales, y, n_values, stride, N_VALUES: tl.constexpr
):
    # `stride`: from one member's values to the next; the mask may have more rows than x.
    member = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * N_VALUES + tl.arange(0, N_VALUES)
    here = i < n_values
    threshold, scale = tl.load(thresholds + member), tl.load(scales + member)
    factor = _factor(bits + member * stride + i, threshold, scale, here)
    i += member * n_values
    tl.store(y + i, tl.load(x + i, here, 0.0) * factor, here)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    z, bias, bits, thresholds, scales, y, n, units, slope,
    NAME: tl.constexpr, PIECES: tl.constexpr, HAS_MASK: tl.constexpr,
    N_ROWS: tl.constexpr, N_UNITS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(2).to(tl.int64)
    z += member * n * PIECES * units
    bias += member * PIECES * units
    row = (tl.program_id(1) * N_ROWS + tl.arange(0, N_ROWS))[:, None]
    unit = (tl.program_id(0) * N_UNITS + tl.arange(0, N_UNITS))[None, :]
    here = (row < n) & (unit < units)
    if NAME == "maxout":
        value, _ = _maximum(z, bias, row, unit, here, units, PIECES)
    else:
        affine = tl.load(z + row * units + unit, here, 0.0)
        affine = affine + tl.load(bias + unit, unit < units, 0.0)
        value = _activated(affine, slope, NAME)
    i = member * n * units + row * units + unit
    if HAS_MASK:
        threshold, scale = tl.load(thresholds + member), tl.load(scales + member)
        value *= _factor(bits + i, threshold, scale, here)
    tl.store(y + i, value, here)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    d, z, bias, bits, thresholds, scales, d_affine, d_bias, n, n_all, units, slope,
    NAME: tl.constexpr, PIECES: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr,
    N_ROWS: tl.constexpr, N_UNITS: tl.constexpr,
):  # fmt: skip
    # These n rows are some of the n_all rows that z and the mask have of each member.
    member, p = tl.program_id(2).to(tl.int64), tl.program_id(1)
    d += member * n * units
    z += member * n_all * PIECES * units
    bits += member * n_all * units
    d_affine += member * n * PIECES * units
    bias += member * PIECES * units
    unit = (tl.program_id(0) * N_UNITS + tl.arange(0, N_UNITS))[None, :]
    total = tl.zeros((N_ROWS, N_UNITS), tl.float32)
    if HAS_MASK:
        threshold, scale = tl.load(thresholds + member), tl.load(scales + member)
    # All rows in one program, so that they are always added in the same order. In no `range`, which
    # the interpreter of Triton 3.6 can't count under NumPy 2.5.
    start = 0
    while start < n:
        row = (start + tl.arange(0, N_ROWS))[:, None]
        here = (row < n) & (unit < units)
        value = tl.load(d + row * units + unit, here, 0.0).to(tl.float32)
        if HAS_MASK:
            value *= _factor(bits + row * units + unit, threshold, scale, here)
        piece = tl.load(z + (row * PIECES + p) * units + unit, here, 0.0)
        piece = piece + tl.load(bias + p * units + unit, unit < units, 0.0)
        if NAME == "maxout":
            largest, n_largest = _maximum(z, bias, row, unit, here, units, PIECES)
            value *= tl.where(piece == largest, 1 / n_largest, 0.0 * largest)  # NaN stays
        else:
            value *= _derivative(piece, slope, NAME)
        tl.store(d_affine + (row * PIECES + p) * units + unit, value, here)
        total += tl.where(here, value, 0.0)
        start += N_ROWS
    if HAS_BIAS:
        at = (member * PIECES + p) * units + unit
        tl.store(d_bias + at, tl.sum(total, 0)[None, :], unit < units)


def dropped(x: Tensor, mask: Mask, dtype: torch.dtype) -> Tensor:
    """Return inputs `[members, n, n_in]` after dropout, as `dtype`."""
    y = torch.empty(x.shape, device=x.device, dtype=dtype)
    n_values = y[0].numel()
    # A slice of rows keeps the stride between members.
    _dropped[triton.cdiv(n_values, _N_VALUES), len(y)](
        x.contiguous(), mask.bits, mask.threshold, mask.scale, y, n_values, mask.bits.stride(0),
        N_VALUES=_N_VALUES,
    )  # fmt: skip
    return y


def forward(layer: Layer, weight: Tensor, x: Tensor, mask: Mask | None) -> tuple[Tensor, Tensor]:
    """Return f(x W + b) after dropout, `[members, n, units]`, and what `backward` takes."""
    activation, z = layer.activation, torch.bmm(x, weight)
    members, n, n_affine = z.shape
    units = n_affine // activation.pieces
    y = torch.empty(members, n, units, device=z.device, dtype=z.dtype)
    grid = (triton.cdiv(units, _N_UNITS), triton.cdiv(n, _N_ROWS), members)
    _forward[grid](
        z, layer.bias, *_mask_tensors(mask, y), y, n, units, activation.slope,
        **_constants(activation, mask),
    )  # fmt: skip
    return y, z


def backward(
    layer: Layer,
    d: Tensor,
    activated: Tensor,
    mask: Mask | None,
    *,
    with_bias: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients by x W + b and by b; the arguments are those of `dense_layer`."""
    activation = layer.activation
    members, n, n_affine = activated.shape
    units = n_affine // activation.pieces
    d_affine = torch.empty(members, n, n_affine, device=d.device, dtype=d.dtype)
    d_bias = torch.empty_like(layer.bias) if with_bias else None
    # A slice of rows keeps the stride between members.
    n_all = activated.stride(0) // n_affine
    _backward[triton.cdiv(units, _N_UNITS), activation.pieces, members](
        d.contiguous(), activated, layer.bias, *_mask_tensors(mask, d),
        d_affine, d_affine if d_bias is None else d_bias,
        n, n_all, units, activation.slope,
        HAS_BIAS=with_bias, **_constants(activation, mask),
    )  # fmt: skip
    return d_affine, d_bias


def _mask_tensors(mask: Mask | None, other: Tensor) -> tuple[Any, ...]:
    """Return the tensors of a mask; if there is none, others that the kernels don't read."""
    return (other,) * 3 if mask is None else (mask.bits, mask.threshold, mask.scale)


def _constants(activation: Activation, mask: Mask | None) -> dict[str, Any]:
    return {
        "NAME": activation.name,
        "PIECES": activation.pieces,
        "HAS_MASK": mask is not None,
        "N_ROWS": _N_ROWS,
        "N_UNITS": _N_UNITS,
    }


def try_out() -> None:
    """Run the kernels once for each activation."""
    with torch.device("cuda"):
        threshold, scale = torch.zeros(1, dtype=torch.int16), torch.ones(1)
        mask = Mask(torch.zeros(1, 2, 4, dtype=torch.int16), threshold, scale)
        for name in ("linear", *ACTIVATIONS):
            pieces = 2 if name == "maxout" else 1
            weight, bias = torch.ones(1, 3, 4 * pieces), torch.ones(1, 4 * pieces)
            layer: Any = SimpleNamespace(activation=Activation(name, pieces), bias=bias)
            y, z = forward(layer, weight, torch.ones(1, 2, 3), mask)
            backward(layer, dropped(y, mask, y.dtype), z, mask)
