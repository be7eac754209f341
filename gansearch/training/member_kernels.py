"""The functions of `member_updates` as kernels of Triton: one for all tensors of a network.

Every value is read and written once, and those of members that are not due not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from gansearch.training.remedies import ADAM_EPSILON

_BLOCK = 1024  # values that a program updates
# By the sizes of a member's tensors: these, the first block of each, and the number of blocks.
_PLACES: dict[tuple[int, ...], tuple[Tensor, int]] = {}
# Where these lie must not make another kernel.
_NUMBERS = ["due", "lr", "decay", "rate", "beta1", "beta2", "correction", "share"]
_kernel = triton.jit(do_not_specialize_on_alignment=_NUMBERS)


@triton.jit  # type: ignore[untyped-decorator]
def _place(places, j, n_tensors, member, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return which values of tensor j this program updates, and where there are any."""
    n = tl.load(places + j)
    i = (tl.program_id(0) - tl.load(places + n_tensors + j)) * BLOCK + tl.arange(0, BLOCK)
    return member * n + i, (i >= 0) & (i < n)


# An argument of a kernel can't be called `params`: Triton's own code has one of that name.


@_kernel  # type: ignore[untyped-decorator]
def _sgd(due, lr, decay, weights, grads, sums, places, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    member = tl.program_id(1).to(tl.int64)
    if tl.load(due + member):
        for j in tl.static_range(len(weights)):
            i, here = _place(places, j, len(weights), member, BLOCK)
            moved = tl.load(grads[j] + i, here)
            moved += tl.load(decay + member) * tl.load(sums[j] + i, here)
            tl.store(sums[j] + i, moved, here)
            stepped = tl.load(weights[j] + i, here) - tl.load(lr + member) * moved
            tl.store(weights[j] + i, stepped, here)


@_kernel  # type: ignore[untyped-decorator]
def _adam(  # type: ignore[no-untyped-def]
    due, rate, beta1, beta2, correction, weights, grads, firsts, seconds, places, epsilon,
    BLOCK: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    if tl.load(due + member):
        for j in tl.static_range(len(weights)):
            i, here = _place(places, j, len(weights), member, BLOCK)
            g = tl.load(grads[j] + i, here)
            m = g + tl.load(beta1 + member) * (tl.load(firsts[j] + i, here) - g)
            v = g * g + tl.load(beta2 + member) * (tl.load(seconds[j] + i, here) - g * g)
            root = tl.sqrt_rn(v) * tl.load(correction + member) + epsilon
            tl.store(firsts[j] + i, m, here)
            tl.store(seconds[j] + i, v, here)
            stepped = tl.load(weights[j] + i, here) - tl.load(rate + member) * m / root
            tl.store(weights[j] + i, stepped, here)


@_kernel  # type: ignore[untyped-decorator]
def _average(due, share, averages, weights, places, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    member = tl.program_id(1).to(tl.int64)
    if tl.load(due + member):
        for j in tl.static_range(len(weights)):
            i, here = _place(places, j, len(weights), member, BLOCK)
            a = tl.load(averages[j] + i, here)
            moved = a + tl.load(share + member) * (tl.load(weights[j] + i, here) - a)
            tl.store(averages[j] + i, moved, here)


def update_sgd(
    due: Tensor,
    columns: Sequence[Tensor],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    sums: Sequence[Tensor],
) -> None:
    """Update in place the members that are due, as `member_updates.update_sgd`."""
    _launch(_sgd, (due, *columns), (params, [g.contiguous() for g in grads], sums))


def update_adam(
    due: Tensor,
    columns: Sequence[Tensor],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    firsts: Sequence[Tensor],
    seconds: Sequence[Tensor],
) -> None:
    """The same for Adam."""
    tensors = params, [g.contiguous() for g in grads], firsts, seconds
    _launch(_adam, (due, *columns), tensors, ADAM_EPSILON)


def update_average(
    due: Tensor, share: Tensor, averages: Sequence[Tensor], params: Sequence[Tensor]
) -> None:
    """The same for a moving average."""
    _launch(_average, (due, share), (averages, params))


def prepare(tensors: Sequence[Tensor]) -> None:
    """Note where each of some tensors `[members, ...]` begins, before they are updated.

    That stays on their device, so it must not be done while a CUDA graph is recorded, nor in memory
    that graphs use.
    """
    if (sizes := _sizes(tensors)) not in _PLACES:
        first, firsts = 0, list[int]()
        for size in sizes:
            firsts.append(first)
            first += triton.cdiv(size, _BLOCK)
        _PLACES[sizes] = torch.tensor([*sizes, *firsts], device=tensors[0].device), first


def try_out() -> None:
    """Run each kernel once."""
    ones = torch.ones(1, device="cuda")
    kinds = [[torch.ones(1, 2, device="cuda")] for _ in range(4)]
    prepare(kinds[0])
    update_sgd(ones > 0, [ones] * 2, *kinds[:3])
    update_adam(ones > 0, [ones] * 4, *kinds)
    update_average(ones > 0, ones, *kinds[:2])


def _launch(
    kernel: Any,
    by_member: Sequence[Tensor],
    kinds: Sequence[Sequence[Tensor]],
    *constants: float,
) -> None:
    """Launch a kernel on kinds of tensors `[members, ...]` that are alike in their shapes."""
    places, n_blocks = _PLACES[_sizes(kinds[0])]
    grid = n_blocks, len(kinds[0][0])
    kernel[grid](*by_member, *map(tuple, kinds), places, *constants, BLOCK=_BLOCK)


def _sizes(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(t[0].numel() for t in tensors)
