"""CUDA graphs of a group's chunks: recorded once for each pattern of ticks, then replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from subprocess import CalledProcessError

import torch
from torch import Tensor

from gansearch.system.failures import is_lack_of_memory
from gansearch.system.features import GRAPHS, TRITON

_MAX_GRAPHS = 4  # of a group: each takes some megabytes, and a tenth of a second to record

RunChunk = Callable[[Sequence[bool]], None]


class Lane:
    """A CUDA stream on which groups take turns, and the memory that their graphs share.

    Groups on different lanes run side by side. On one lane only one graph runs at a time, and it
    leaves nothing in its memory, so that all graphs of a lane use the same memory, with the
    workspace of cuBLAS in it. torch keeps such a workspace for each stream and frees it with any
    graph that was recorded there (pytorch issue 193402): here it goes back to the lane, where the
    other graphs still find it. So nothing else may multiply matrices on a lane's stream, and
    nothing that lasts may lie in its pool.

    Attributes:
        stream: of the lane.
        pool: its memory.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.MemPool()

    def give_back(self) -> None:
        """Release the memory of a lane that no group uses."""
        self.pool = torch.cuda.MemPool()


class RecordedChunks:
    """Replays the chunks of a group as CUDA graphs.

    Args:
        lane: whose stream is the current one whenever this is used.
        due: which members are due, the buffer that a chunk reads.
        loss_sums: the sums that a chunk adds to.
    """

    def __init__(self, lane: Lane, due: Tensor, loss_sums: Tensor) -> None:
        self._lane = lane
        self._due = due
        self._loss_sums = loss_sums
        self._recorded: dict[tuple[bool, ...], torch.cuda.CUDAGraph | None] = {}

    def run(self, run: RunChunk, with_g: tuple[bool, ...]) -> None:
        """Do a chunk by the graph recorded for such ticks, recording it first.

        `run` does the ticks of a chunk, given in which of them an iteration can end. It is not
        kept: a cycle with the group would keep the memory of both until Python looks for one.
        """
        if with_g not in self._recorded:
            self._make_room()
            self._recorded[with_g] = self._prepare(run, with_g)
        graph = self._recorded.pop(with_g)
        self._recorded[with_g] = graph  # the last one used comes last
        if graph is None:
            run(with_g)
        else:
            graph.replay()

    def _make_room(self) -> None:
        self._lane.stream.synchronize()  # before a graph is dropped that may still run
        while len(self._recorded) >= _MAX_GRAPHS:
            del self._recorded[next(iter(self._recorded))]

    def _prepare(self, run: RunChunk, with_g: tuple[bool, ...]) -> torch.cuda.CUDAGraph | None:
        """Run a chunk that updates nobody, and record it; return None where graphs are off."""
        due, sums = self._due.clone(), self._loss_sums.clone()
        self._due.zero_()
        try:
            # In this thread, so that the workspace of the backward pass's products is the lane's.
            with torch.autograd.set_multithreading_enabled(False):
                with torch.cuda.use_mem_pool(self._lane.pool):
                    _warm_up(run, with_g)
                return self._record_if_possible(run, with_g)
        finally:
            self._loss_sums.copy_(sums)
            self._due.copy_(due)

    def _record_if_possible(
        self, run: RunChunk, with_g: tuple[bool, ...]
    ) -> torch.cuda.CUDAGraph | None:
        if not GRAPHS.is_on:
            return None
        try:
            return self._record(run, with_g)
        except RuntimeError as error:
            if is_lack_of_memory(error):
                raise
            torch.cuda.synchronize()  # fails too where the GPU itself has failed
            GRAPHS.turn_off(error)
            return None

    def _record(self, run: RunChunk, with_g: tuple[bool, ...]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph,
            pool=self._lane.pool.id,  # type: ignore[arg-type]
            stream=self._lane.stream,
            capture_error_mode="thread_local",  # other threads may use the device meanwhile
        ):
            run(with_g)
        return graph


def _warm_up(run: RunChunk, with_g: tuple[bool, ...]) -> None:
    """Build and load every kernel of a chunk: those of Triton for shapes that it hasn't seen."""
    try:
        run(with_g)
    except Exception as error:
        if not _is_of_triton(error) or is_lack_of_memory(error):
            raise
        torch.cuda.synchronize()  # fails too where the GPU itself has failed
        TRITON.turn_off(error)
        run(with_g)


def _is_of_triton(error: Exception) -> bool:
    """Return whether Triton can't build or load a kernel; it calls a C compiler and the driver."""
    is_its_own = type(error).__module__.partition(".")[0] == "triton"
    is_of_others = isinstance(error, (OSError, CalledProcessError))
    return is_its_own or is_of_others or str(error).startswith("Triton Error")
