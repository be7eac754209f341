"""CUDA graphs of a group's chunks: recorded once for each pattern of ticks, then replayed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_MAX_GRAPHS = 4  # of a group: each takes some megabytes, and less than a second to record
# Graphs by the stream that each was recorded on.
_STREAMS: weakref.WeakKeyDictionary[torch.cuda.CUDAGraph, int] = weakref.WeakKeyDictionary()
_N_STREAMS = 32  # that torch has, and gives in turn


RunChunk = Callable[[Sequence[bool]], None]


class RecordedChunks:
    """Replays the chunks of a group as CUDA graphs.

    Args:
        due: which members are due, the buffer that a chunk reads.
        loss_sums: the sums that a chunk adds to.
    """

    def __init__(self, due: Tensor, loss_sums: Tensor) -> None:
        self._due = due
        self._loss_sums = loss_sums
        self._recorded: dict[tuple[bool, ...], torch.cuda.CUDAGraph] = {}

    def replay(self, run: RunChunk, with_g: tuple[bool, ...]) -> None:
        """Do a chunk by the graph recorded for such ticks, recording it first.

        `run` does all ticks of a chunk, given in which of them an iteration can end. It is not
        kept: a cycle with the group would keep the memory of both until Python looks for one.
        """
        graph = self._recorded.pop(with_g, None)
        if graph is None:
            if (stream := _unused_stream()) is None:
                run(with_g)
                return
            graph = self._record(run, with_g, stream)
        self._recorded[with_g] = graph  # the last one used comes last
        graph.replay()

    def _record(
        self, run: RunChunk, with_g: tuple[bool, ...], stream: torch.cuda.Stream
    ) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()  # before a graph is dropped that may still run
        while len(self._recorded) >= _MAX_GRAPHS:
            del self._recorded[next(iter(self._recorded))]
        due, sums = self._due.clone(), self._loss_sums.clone()
        self._due.zero_()  # so that warming up changes no weight
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                run(with_g)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # They run one at a time and leave nothing in their memory, so that they can share it.
        pool = next(iter(self._recorded.values())).pool() if self._recorded else None
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            run(with_g)
        _STREAMS[graph] = stream.cuda_stream
        self._loss_sums.copy_(sums)
        self._due.copy_(due)
        return graph


def _unused_stream() -> torch.cuda.Stream | None:
    """Return a stream that no living graph was recorded on, or None.

    A graph goes on with the workspace of cuBLAS that belongs to its stream, which another one that
    was recorded there takes along when it is dropped (pytorch issue 193402).
    """
    taken = set(_STREAMS.values())
    for _ in range(_N_STREAMS):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        if stream.cuda_stream not in taken:
            return stream
    return None
