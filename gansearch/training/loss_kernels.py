"""The losses of several networks with their gradients, as kernels of Triton: one for each loss.

The functions are those of `losses`, for tensors `[members, n]` on a GPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_SMOOTHING = ["smoothing", "scale"]  # where these lie must not make another kernel


@triton.jit
def _softplus(z):  # type: ignore[no-untyped-def]
    return tl.maximum(z, 0.0, propagate_nan=tl.PropagateNan.ALL) + tl.log(1 + tl.exp(-tl.abs(z)))


@triton.jit
def _sigmoid(z):  # type: ignore[no-untyped-def]
    return 1 / (1 + tl.exp(-z))


@triton.jit(do_not_specialize_on_alignment=_SMOOTHING)  # type: ignore[untyped-decorator]
def _discriminator(  # type: ignore[no-untyped-def]
    logits, smoothing, scale, loss, by_logits, m, stride, N: tl.constexpr
):
    member = tl.program_id(0)
    i = tl.arange(0, N)
    here, is_real = i < 2 * m, i < m
    z = tl.load(logits + member * stride + i, here, 0.0)
    s = tl.load(smoothing + member)
    towards = tl.where(is_real, -z, z)
    nats = _softplus(towards) + tl.where(is_real, s * z, 0.0)
    tl.store(loss + member, tl.sum(tl.where(here, nats, 0.0), 0) / m)
    gradient = tl.where(is_real, s - _sigmoid(towards), _sigmoid(towards))
    tl.store(by_logits + member * 2 * m + i, gradient * tl.load(scale + member) / m, here)


@triton.jit  # type: ignore[untyped-decorator]
def _generator(  # type: ignore[no-untyped-def]
    logits, loss, by_logits, m, stride, SATURATES: tl.constexpr, N: tl.constexpr
):
    member = tl.program_id(0)
    i = tl.arange(0, N)
    here = i < m
    z = tl.load(logits + member * stride + i, here, 0.0)
    towards = z if SATURATES else -z
    nats = -_softplus(towards) if SATURATES else _softplus(towards)
    tl.store(loss + member, tl.sum(tl.where(here, nats, 0.0), 0) / m)
    tl.store(by_logits + member * m + i, -_sigmoid(towards) / m, here)


def discriminator_loss_with_gradient(
    logits: Tensor, label_smoothing: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return D's losses `[members]` and their gradients `[members, 2 m]`."""
    loss, by_logits = _results(logits)
    m = logits.shape[1] // 2
    _discriminator[len(loss),](
        logits, label_smoothing, scale, loss, by_logits, m, logits.stride(0),
        N=triton.next_power_of_2(2 * m),
    )  # fmt: skip
    return loss, by_logits


def generator_loss_with_gradient(logits: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return G's losses `[members]` and their gradients `[members, m]`."""
    loss, by_logits = _results(logits)
    m = logits.shape[1]
    _generator[len(loss),](
        logits, loss, by_logits, m, logits.stride(0),
        SATURATES=name == "minimax", N=triton.next_power_of_2(m),
    )  # fmt: skip
    return loss, by_logits


def try_out() -> None:
    """Run each kernel once."""
    one, logits = torch.ones(1, device="cuda"), torch.ones(1, 4, device="cuda")
    discriminator_loss_with_gradient(logits, one, one)
    for name in ("minimax", "non_saturating"):
        generator_loss_with_gradient(logits, name)


def _results(logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits.new_empty(len(logits)), logits.new_empty(logits.shape)
