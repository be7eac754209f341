"""Number formats of matrix products, and elementwise results that are reproducible to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import pad

# A multiple of the SIMD block of any CPU: two vectors of up to 16 values.
_BLOCK = 64
# The setting is global to the process, and several threads may use it.
_MATMUL = threading.RLock()


def arithmetic(
    precision: str, device: str, *, backward: bool = False
) -> AbstractContextManager[object]:
    """Return a context in which networks are applied in `precision`.

    fp32: single precision. tf32: matrix products on a GPU round their inputs to 10 bits of
    mantissa; elsewhere as fp32. bf16: they and the activations are bfloat16; parameters, moments
    and losses stay fp32 (Micikevicius et al. 2018, "Mixed precision training"). A `backward` pass
    uses the types of the forward pass by itself, but needs TF32 to be allowed too.
    """
    if precision == "bf16" and not backward:
        # Without a cache: a recorded CUDA graph would keep the weights of its recording.
        return torch.autocast(device, torch.bfloat16, cache_enabled=False)
    if precision == "tf32" and device == "cuda":
        return _matmul_precision("tf32", device)
    return nullcontext()


def full_precision(device: torch.device | str) -> AbstractContextManager[object]:
    """Return a context in which matrix products on `device` have single precision.

    A score on MNIST would be off by .08 nats in TF32, and by 2 nats in bfloat16.
    """
    return _matmul_precision("ieee", device)


@contextmanager
def _matmul_precision(precision: str, device: torch.device | str) -> Iterator[None]:
    is_gpu = torch.device(device).type == "cuda"
    backend = torch.backends.cuda.matmul if is_gpu else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _MATMUL:
        # Not `allow_tf32`: torch refuses to read it once `fp32_precision` has been set.
        before = backend.fp32_precision
        backend.fp32_precision = precision
        try:
            yield
        finally:
            backend.fp32_precision = before


def apply_elementwise(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Apply an elementwise function so that no result depends on the position of its value in `z`.

    A CPU computes many values at a time, and the remainder at the end one by one, where an
    exponential can differ in its last bit. Then a member at the end of a group of trainings would
    train differently from the same one at its beginning.
    """
    n_padding = -z.numel() % _BLOCK
    if n_padding == 0 or z.device.type != "cpu":
        return function(z)
    return function(pad(z.flatten(), (0, n_padding)))[: z.numel()].view_as(z)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core within the context.

    Sums of several threads differ in their last digits from run to run; and for small sums other
    threads only make the first one wait, a second on a busy machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
