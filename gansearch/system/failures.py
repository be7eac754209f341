"""Classifies why an attempt at a trial failed, from what torch, NumPy, Ray and the kernel report.

Lack of memory is reported with numbers: how much was needed or used, the limit, GPU or host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gansearch.errors import BadInputError, ConfigError, OutsideError, ShortOfMemoryError
from gansearch.system.machine import limit_bytes, peak_bytes

OUT_OF_MEMORY = "out of memory: "
GPU_LOST = "GPU lost: "
MemoryKind = Literal["GPU", "host"]
_REMEDIES = {
    "GPU": "Give a trial more of a GPU (--gpus-per-trial), or lower the upper bounds of the "
    "networks' widths and of batch_size.",
    "host": "Run fewer trials at a time (--max-concurrent), or lower the upper bounds of the "
    "networks' widths and of batch_size.",
}
_PROCESS_LOST = (
    "the process that trained it ended without a Python error: it was killed, crashed in compiled "
    "code, or its code called sys.exit or os._exit"
)
_GIB = 2**30
# How torch, NumPy, Python and CUDA report that an allocation failed. Ray lists the OOM killer among
# the possible causes whenever a worker dies, so that "OOM" alone proves nothing.
_LACK = re.compile(
    r"OutOfMemoryError|\bMemoryError\b|_ArrayMemoryError|can't allocate memory"
    r"|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|MPS backend out of memory|Triton Error \[CUDA\]: out of memory"
)
# What a torch error says that isn't its caller's: of a GPU, of a DataLoader's lost process (errors
# of a data set in it are "in DataLoader worker process 0"), and of files that processes share.
_OUTSIDE = re.compile(
    r"AcceleratorError|CUDA error|CUBLAS_STATUS|CUDNN_STATUS|cuDNN error|CUSOLVER_STATUS"
    r"|cusolver error|CUSPARSE_STATUS|cuFFT error|CUFFT_|NCCL error|Triton Error"
    r"|No CUDA GPUs are available|DataLoader worker \(pid|Too many open files"
    r"|received 0 items of ancdata"
)
_ON_GPU = re.compile(r"CUDA|CUBLAS|cuda")
_REQUESTED = re.compile(r"(?:tried|[Uu]nable) to allocate ([\d.]+ ?\w+)", re.IGNORECASE)
_OUR_MESSAGE = re.compile(rf"{OUT_OF_MEMORY}(GPU|host): [^\n]*")
_OUR_GPU_MESSAGE = re.compile(rf"{GPU_LOST}[^\n]*")
_KILLED_BY_RAY = re.compile(
    r"low on memory\. Memory on the node \(IP: ([^,\s]+)[^)]*\) was (\S+) used / (\S+) limit"
)
_WORKER_LOST = re.compile(
    r"ActorDiedError|ActorUnavailableError|RayActorError|actor died|actor is dead|node has died"
)
_OUR_CLASS = re.compile(r"^gansearch\.errors\.(\w+): ")
_ENGINE_LOST = "EngineLostError"
# What Ray says of a process that ended by itself, before causes that it lists without knowing.
_DIED = re.compile(r"worker process has died")
# Of a worker whose constructor failed: it will fail again.
_CREATION_FAILED = "an error raised in its creation task"
_NODE = re.compile(r"\bip: ([\w.:]+)|\(IP: ([^,\s]+)")


@dataclass(frozen=True)
class Failure:
    """Why an attempt at a trial failed.

    Attributes:
        kind: "memory": no memory; "gpu": a worker can't use its GPU; "engine": the process that
            trains a group was lost; "worker": the trial's own process was lost; "code": the user's
            own code failed, and would again; "error": anything else.
        reason: one line of text.
        memory_kind: which memory was short, for the kind "memory" only.
        node: address of the machine that lost the process; empty if none was lost or it is unknown.
    """

    kind: Literal["memory", "gpu", "engine", "worker", "code", "error"]
    reason: str
    memory_kind: MemoryKind | None = None
    node: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether a process was lost; False if it raised an error and still runs."""
        return self.kind in ("engine", "worker") or (self.kind == "memory" and bool(self.node))


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether torch, NumPy, Python or CUDA failed to allocate memory."""
    return isinstance(error, MemoryError) or bool(_LACK.search(f"{type(error).__name__}: {error}"))


def own_code_error(message: str, error: BaseException) -> ConfigError:
    """Return the error that says in one line how code of the user's own has failed.

    It is an OutsideError where the code may not be at fault, so that the trial is retried: if the
    error or a cause of it is of a file, a connection, a GPU, a lost process or a lack of memory.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__
    line = " ".join(part.strip() for part in message.splitlines())
    return (OutsideError if any(map(_is_outside, chain)) else ConfigError)(line)


def _is_outside(error: BaseException) -> bool:
    """Return whether an error that the user's code has raised may not be the fault of that code."""
    if isinstance(error, OSError | OutsideError) or is_lack_of_memory(error):
        return True
    return bool(_OUTSIDE.search(f"{type(error).__name__}: {error}"))


def lack_of_memory(error: BaseException, *, gpu: tuple[int, float] | None) -> ShortOfMemoryError:
    """Return the error that describes a failed allocation in one line.

    Args:
        error: what torch or NumPy raised.
        gpu: peak and limit of this process's GPU memory, in bytes; None on a CPU.
    """
    message = f"{type(error).__name__}: {error}"
    kind: MemoryKind = "GPU" if gpu is not None and _ON_GPU.search(message) else "host"
    peak, limit = gpu if gpu is not None and kind == "GPU" else (peak_bytes(), limit_bytes())
    requested = f"no room for {found[1]} more; " if (found := _REQUESTED.search(message)) else ""
    return ShortOfMemoryError(
        f"{OUT_OF_MEMORY}{kind}: {requested}this process held {peak / _GIB:.2f} GiB at most, the "
        f"limit is {limit / _GIB:.2f} GiB. {_REMEDIES[kind]}"
    )


def failure_of(text: str, *, n_oom_kills: int = 0) -> Failure:
    """Classify the last failure of a trial.

    Args:
        text: the error text that Tune keeps of a trial, the last error at its end.
        n_oom_kills: how many processes the kernel's OOM killer ended on this machine meanwhile.
    """
    text = text.rpartition("Failure # ")[2].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Messages of ours are whole sentences, whose class says nothing to their reader.
    ours = _OUR_CLASS.match(lines[-1]) if lines else None
    last = lines[-1][ours.end() if ours else 0 :] if lines else "the worker was lost"
    node = next((a or b for a, b in _NODE.findall(text)), "")
    if found := _OUR_MESSAGE.search(text):
        return Failure("memory", found[0], "GPU" if found[1] == "GPU" else "host")
    if found := _OUR_GPU_MESSAGE.search(text):
        return Failure("gpu", found[0], node=node)
    if found := _KILLED_BY_RAY.search(text):
        reason = (
            f"{OUT_OF_MEMORY}host: Ray killed the worker, since node {found[1]} had {found[2]} of "
            f"its {found[3]} in use. {_REMEDIES['host']}"
        )
        return Failure("memory", reason, "host", node)
    if ours and ours[1] in (ConfigError.__name__, BadInputError.__name__):
        return Failure("code", last)
    if _LACK.search(last):
        kind: MemoryKind = "GPU" if _ON_GPU.search(last) else "host"
        reason = f"{OUT_OF_MEMORY}{kind}: {last.rstrip('.')}. {_REMEDIES[kind]}"
        return Failure("memory", reason, kind)
    if _CREATION_FAILED in text:
        return Failure("error", last)
    is_engine = _ENGINE_LOST in text
    if is_engine or not lines or _WORKER_LOST.search(text):
        if n_oom_kills:
            reason = (
                f"{OUT_OF_MEMORY}host: the worker was lost while the kernel's OOM killer was "
                f"active here (processes killed: {n_oom_kills}); the limit is "
                f"{limit_bytes() / _GIB:.2f} GiB. {_REMEDIES['host']}"
            )
            return Failure("memory", reason, "host", node)
        reason = _PROCESS_LOST if _DIED.search(last) else last
        return Failure("engine" if is_engine else "worker", reason, node=node)
    return Failure("error", last)
