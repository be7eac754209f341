"""The number formats that matrix products are computed in, as a configuration asks for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

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
