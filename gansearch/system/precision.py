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
# torch keeps the choice for the whole process, and several threads may share it.
_MATMUL = threading.RLock()


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
        return _matmul_precision("tf32", device)
    return nullcontext()


def full_precision(device: torch.device | str) -> AbstractContextManager[object]:
    """Return a context in which matrix products on `device` are those of single precision.

    Of a score on MNIST TF32 costs .08 nats and bfloat16 2 nats.
    """
    return _matmul_precision("ieee", device)


@contextmanager
def _matmul_precision(precision: str, device: torch.device | str) -> Iterator[None]:
    is_gpu = torch.device(device).type == "cuda"
    backend = torch.backends.cuda.matmul if is_gpu else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _MATMUL:
        # Not `allow_tf32`, which torch refuses to read once anybody has set `fp32_precision`.
        before = backend.fp32_precision
        backend.fp32_precision = precision
        try:
            yield
        finally:
            backend.fp32_precision = before


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
