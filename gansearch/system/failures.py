"""What an attempt at a trial failed of, read from what its worker, torch, Ray or the kernel said.

Lack of memory is told apart from all else, with numbers: needed or used, the limit, and where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gansearch.errors import ShortOfMemoryError
from gansearch.system.machine import limit_bytes, peak_bytes

OUT_OF_MEMORY = "out of memory: "
Place = Literal["GPU", "host"]
_REMEDIES = {
    "GPU": "Give a trial more of a GPU (--gpus-per-trial), or lower the upper bounds of the "
    "networks' widths and of batch_size.",
    "host": "Run fewer trials at a time (--max-concurrent), or lower the upper bounds of the "
    "networks' widths and of batch_size.",
}
_GIB = 2**30
# What torch, NumPy, Python and CUDA say where they get no memory. Ray lists the kernel's OOM killer
# among the possible causes of any worker's end, so that the word alone says nothing.
_LACK = re.compile(
    r"OutOfMemoryError|\bMemoryError\b|_ArrayMemoryError|can't allocate memory"
    r"|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
)
_ON_GPU = re.compile(r"CUDA|CUBLAS|cuda")
_WANTED = re.compile(r"(?:tried|[Uu]nable) to allocate ([\d.]+ ?\w+)", re.IGNORECASE)
_OWN_REASON = re.compile(rf"{OUT_OF_MEMORY}(GPU|host): [^\n]*")
_BY_RAY = re.compile(
    r"low on memory\. Memory on the node \(IP: ([^,\s]+)[^)]*\) was (\S+) used / (\S+) limit"
)
_WORKER_LOST = re.compile(
    r"ActorDiedError|ActorUnavailableError|RayActorError|actor died|actor is dead|node has died"
)
_ENGINE_LOST = "EngineLostError"
_NEVER_BEGUN = "an error raised in its creation task"  # of a worker that works no more than it did
_NODE = re.compile(r"\bip: ([\w.:]+)|\(IP: ([^,\s]+)")


@dataclass(frozen=True)
class Failure:
    """What an attempt at a trial failed of.

    Attributes:
        kind: "memory"; "engine", the process that trained it and others was lost; "worker", its own
            was; or "error", which is anything else.
        reason: in words, one line.
        place: where memory was short, of "memory" only.
        node: address of the machine whose process was lost; empty if none was, or it isn't known.
    """

    kind: Literal["memory", "engine", "worker", "error"]
    reason: str
    place: Place | None = None
    node: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether a process was lost, rather than that it raised an error and lives on."""
        return self.kind in ("engine", "worker") or (self.kind == "memory" and bool(self.node))


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether torch, NumPy, Python or CUDA has had no memory."""
    return isinstance(error, MemoryError) or bool(_LACK.search(f"{type(error).__name__}: {error}"))


def lack_of_memory(error: BaseException, *, gpu: tuple[int, float] | None) -> ShortOfMemoryError:
    """Return the error that says in one line what this process has had no memory for.

    Args:
        error: what torch or NumPy has raised.
        gpu: the most bytes that this process has held there, and how many it may; None on a CPU.
    """
    told = f"{type(error).__name__}: {error}"
    place: Place = "GPU" if gpu is not None and _ON_GPU.search(told) else "host"
    peak, limit = gpu if gpu is not None and place == "GPU" else (peak_bytes(), limit_bytes())
    wanted = f"no room for {found[1]} more; " if (found := _WANTED.search(told)) else ""
    return ShortOfMemoryError(
        f"{OUT_OF_MEMORY}{place}: {wanted}this process held {peak / _GIB:.2f} GiB at most, the "
        f"limit is {limit / _GIB:.2f} GiB. {_REMEDIES[place]}"
    )


def failure_of(text: str, *, n_oom_kills: int = 0) -> Failure:
    """Return what an attempt failed of.

    Args:
        text: what Tune keeps of a trial's errors, the last one at its end.
        n_oom_kills: how many processes the kernel has killed here for want of memory meanwhile.
    """
    text = text.rpartition("Failure # ")[2].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "the worker was lost"
    node = next((a or b for a, b in _NODE.findall(text)), "")
    if found := _OWN_REASON.search(text):
        return Failure("memory", found[0], "GPU" if found[1] == "GPU" else "host")
    if found := _BY_RAY.search(text):
        reason = (
            f"{OUT_OF_MEMORY}host: Ray ended the worker, since node {found[1]} had {found[2]} of "
            f"its {found[3]} in use. {_REMEDIES['host']}"
        )
        return Failure("memory", reason, "host", node)
    if _LACK.search(last):
        place: Place = "GPU" if _ON_GPU.search(last) else "host"
        told = f"{OUT_OF_MEMORY}{place}: {last.rstrip('.')}. {_REMEDIES[place]}"
        return Failure("memory", told, place)
    if _NEVER_BEGUN in text:
        return Failure("error", last)
    is_engine = _ENGINE_LOST in text
    if is_engine or not lines or _WORKER_LOST.search(text):
        if n_oom_kills:
            reason = (
                f"{OUT_OF_MEMORY}host: the worker was lost while the kernel killed {n_oom_kills} "
                f"here for want of memory; the limit is {limit_bytes() / _GIB:.2f} GiB. "
                f"{_REMEDIES['host']}"
            )
            return Failure("memory", reason, "host", node)
        return Failure("engine" if is_engine else "worker", last, node=node)
    return Failure("error", last)
