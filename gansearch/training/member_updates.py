"""The updates of several networks, `[members, values]`, each with a step size of its own.

By elementary operations of torch; `member_kernels` has the same functions as kernels of Triton.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gansearch.training.remedies import ADAM_EPSILON


def sgd_by_row(
    due: Tensor, columns: Sequence[Tensor], param: Tensor, grad: Tensor, b: Tensor
) -> None:
    """Update in place those rows that are due, `[members, 1]`."""
    lr, decay = columns
    moved = torch.addcmul(grad, b, decay)
    param.copy_(torch.where(due, param - lr * moved, param))
    b.copy_(torch.where(due, moved, b))


def adam_by_row(
    due: Tensor,
    columns: Sequence[Tensor],
    param: Tensor,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
) -> None:
    """The same for Adam."""
    rate, beta1, beta2, correction = columns
    m = torch.lerp(grad, first, beta1)
    v = torch.lerp(grad * grad, second, beta2)
    moved = param - rate * m / (torch.sqrt(v) * correction + ADAM_EPSILON)
    param.copy_(torch.where(due, moved, param))
    first.copy_(torch.where(due, m, first))
    second.copy_(torch.where(due, v, second))


def average_by_row(due: Tensor, share: Tensor, average: Tensor, param: Tensor) -> None:
    """The same for a moving average."""
    moved = torch.addcmul(average, param - average, share)
    average.copy_(torch.where(due, moved, average))
