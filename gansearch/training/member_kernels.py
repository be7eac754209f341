"""The functions of `member_updates` as kernels of Triton, which read and write every value once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from gansearch.training.remedies import ADAM_EPSILON

_BLOCK = 1024  # values that a program of a kernel updates


@triton.jit  # type: ignore[untyped-decorator]
def _sgd(due, lr, decay, param, grad, b, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    member = tl.program_id(1)
    if tl.load(due + member):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        here = i < n
        i = member.to(tl.int64) * n + i
        moved = tl.load(grad + i, here) + tl.load(decay + member) * tl.load(b + i, here)
        tl.store(b + i, moved, here)
        tl.store(param + i, tl.load(param + i, here) - tl.load(lr + member) * moved, here)


@triton.jit  # type: ignore[untyped-decorator]
def _adam(  # type: ignore[no-untyped-def]
    due, rate, beta1, beta2, correction, param, grad, first, second, n, epsilon, BLOCK: tl.constexpr
):
    member = tl.program_id(1)
    if tl.load(due + member):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        here = i < n
        i = member.to(tl.int64) * n + i
        g = tl.load(grad + i, here)
        m = g + tl.load(beta1 + member) * (tl.load(first + i, here) - g)
        v = g * g + tl.load(beta2 + member) * (tl.load(second + i, here) - g * g)
        root = tl.sqrt_rn(v) * tl.load(correction + member) + epsilon
        tl.store(first + i, m, here)
        tl.store(second + i, v, here)
        moved = tl.load(param + i, here) - tl.load(rate + member) * m / root
        tl.store(param + i, moved, here)


@triton.jit  # type: ignore[untyped-decorator]
def _average(due, share, average, param, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    member = tl.program_id(1)
    if tl.load(due + member):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        here = i < n
        i = member.to(tl.int64) * n + i
        a = tl.load(average + i, here)
        moved = a + tl.load(share + member) * (tl.load(param + i, here) - a)
        tl.store(average + i, moved, here)


def sgd_by_row(
    due: Tensor, columns: Sequence[Tensor], param: Tensor, grad: Tensor, b: Tensor
) -> None:
    """Update in place those rows that are due, `[members, 1]`."""
    _launch(_sgd, due, columns, (param, grad.contiguous(), b))


def adam_by_row(
    due: Tensor,
    columns: Sequence[Tensor],
    param: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
) -> None:
    """The same for Adam."""
    _launch(_adam, due, columns, (param, grad.contiguous(), first, second), ADAM_EPSILON)


def average_by_row(due: Tensor, share: Tensor, average: Tensor, param: Tensor) -> None:
    """The same for a moving average."""
    _launch(_average, due, [share], (average, param))


def _launch(
    kernel: Callable[..., Any],
    due: Tensor,
    columns: Sequence[Tensor],
    rows: Sequence[Tensor],
    *constants: float,
) -> None:
    """Launch a kernel on contiguous tensors `[members, values]`, the columns `[members, 1]`."""
    members, n = rows[0].shape
    grid = (triton.cdiv(n, _BLOCK), members)
    by_member = [t.reshape(-1) for t in (due, *columns)]
    kernel[grid](*by_member, *rows, n, *constants, BLOCK=_BLOCK)  # type: ignore[index]
