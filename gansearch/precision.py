"""The number formats that matrix products are computed in, and results that are so to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import pad

# A multiple of what any CPU does: it takes two vectors of up to 16 values.
_VALUES_AT_A_TIME = 64
# torch keeps the choice of TF32 for the whole process, and several threads may share it.
_TF32 = threading.RLock()


def arithmetic(
    precision: str, device: str, *, backward: bool = False
) -> AbstractContextManager[object]:
    """Return a context in which networks are applied in `precision`.

    fp32: single precision. tf32: matrix products on a GPU round their inputs to 10 bits of
    mantissa; elsewhere as fp32. bf16: they and the activations are bfloat16; parameters, moments
    and losses stay fp32 (Micikevicius et al. 2018, "Mixed precision training"). A `backward` pass
    multiplies in the types of the forward pass by itself, but TF32 must be allowed for it too.
    """
    if precision == "bf16" and not backward:
        # Not cached: a recorded graph would go on with the weights of its recording.
        return torch.autocast(device, torch.bfloat16, cache_enabled=False)
    if precision == "tf32" and device == "cuda":
        return _tf32(allowed=True)
    return nullcontext()


def full_precision(device: str) -> AbstractContextManager[object]:
    """Return a context in which matrix products on `device` are those of single precision."""
    return _tf32(allowed=False) if device == "cuda" else nullcontext()


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    with _TF32:
        # Not `allow_tf32`, which torch refuses to read once anybody has set `fp32_precision`.
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32" if allowed else "ieee"
        try:
            yield
        finally:
            torch.backends.cuda.matmul.fp32_precision = before


def at_any_place(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Apply an elementwise function so that no value's result depends on where in `z` it lies.

    A CPU takes many values at a time, and the last few, too few for that, one by one. There an
    exponential differs in its last bit, so that a member at the end of a stack of trainings would
    go another way than one at its beginning.
    """
    n_short = -z.numel() % _VALUES_AT_A_TIME
    if n_short == 0 or z.device.type != "cpu":
        return function(z)
    return function(pad(z.flatten(), (0, n_short)))[: z.numel()].view_as(z)
