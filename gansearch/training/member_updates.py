"""The updates of several networks, whose tensors are `[members, ...]`, each with its own step size.

By elementary operations of torch; `member_kernels` has the same functions as kernels of Triton.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gansearch.networks.layers import per_member
from gansearch.training.remedies import ADAM_EPSILON


def update_sgd(
    due: Tensor,
    columns: Sequence[Tensor],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    sums: Sequence[Tensor],
) -> None:
    """Update in place the members that are due.

    Args:
        due: which are, `[members]`.
        columns: their `step_columns`, each `[members]`.
        params, grads, sums: tensors alike in their shapes, as in `optimizers.descend`.
    """
    for param, grad, b in zip(params, grads, sums, strict=True):
        is_due, lr, decay = (per_member(column, param) for column in (due, *columns))
        moved = torch.addcmul(grad, b, decay)
        param.copy_(torch.where(is_due, param - lr * moved, param))
        b.copy_(torch.where(is_due, moved, b))


def update_adam(
    due: Tensor,
    columns: Sequence[Tensor],
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    firsts: Sequence[Tensor],
    seconds: Sequence[Tensor],
) -> None:
    """The same for Adam."""
    for param, grad, first, second in zip(params, grads, firsts, seconds, strict=True):
        is_due, rate, beta1, beta2, correction = (per_member(c, param) for c in (due, *columns))
        m = torch.lerp(grad, first, beta1)
        v = torch.lerp(grad * grad, second, beta2)
        moved = param - rate * m / (torch.sqrt(v) * correction + ADAM_EPSILON)
        param.copy_(torch.where(is_due, moved, param))
        first.copy_(torch.where(is_due, m, first))
        second.copy_(torch.where(is_due, v, second))


def update_average(
    due: Tensor, share: Tensor, averages: Sequence[Tensor], params: Sequence[Tensor]
) -> None:
    """The same for a moving average, `share` of the way to the parameters, `[members]`."""
    for average, param in zip(averages, params, strict=True):
        moved = torch.addcmul(average, param - average, per_member(share, param))
        average.copy_(torch.where(per_member(due, param), moved, average))
