"""Which device torch has for training, and why it has no GPU."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def gpu_device() -> str | None:
    """Return torch's name of this machine's GPUs: "cuda", or "mps" on Apple silicon; None: none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old, which `why_no_gpu` tells
        if torch.cuda.is_available():
            return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def exact_device(device: str) -> str:
    """Return where to compute in double precision and to draw random bits for a device.

    It is the device itself, but for MPS, which has no float64 and whose generator has no 64 random
    bits: there it is the CPU.
    """
    return "cpu" if device == "mps" else device


def why_no_gpu() -> str:
    """Return why torch can use no GPU here, in words."""
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{build} is built for CPUs only"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        return f"{build}, built for CUDA {torch.version.cuda}, says: {reason}"
    return f"{build} finds none, such as because CUDA_VISIBLE_DEVICES hides them"


def gpu_bytes() -> float | None:
    """Return the memory of the smallest CUDA GPU here; None if there is none."""
    if gpu_device() != "cuda":
        return None
    n = range(torch.cuda.device_count())
    return float(min(torch.cuda.get_device_properties(i).total_memory for i in n))


def use_here(tensor: Tensor) -> Tensor:
    """Return a tensor that another CUDA stream may have made, to be used on the current one.

    When it is dropped, its memory then waits for what this stream has queued.
    """
    if tensor.is_cuda:
        tensor.record_stream(torch.cuda.current_stream())
    return tensor
