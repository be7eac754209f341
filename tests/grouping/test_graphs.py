"""A chunk is replayed where a GPU can record it, and else it is run."""

import re
from contextlib import nullcontext
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest
import torch

from gansearch.grouping import graphs
from gansearch.grouping.graphs import RecordedChunks
from gansearch.system.features import Feature

WITH_G = (True, False)


class Chunk:
    """Counts how often it is run, and for which ticks; adds to the sums."""

    def __init__(self):
        self.due = torch.tensor([True, False])
        self.sums = torch.tensor([1.0, 2.0])
        self.calls = []
        stream = SimpleNamespace(synchronize=lambda: None)
        lane = SimpleNamespace(stream=stream, pool=None)
        self.recorded = RecordedChunks(lane, self.due, self.sums)

    def run(self, with_g):
        self.calls.append((with_g, self.due.tolist()))
        self.sums += 1

    def advance(self):
        self.recorded.run(self.run, WITH_G)


@pytest.fixture
def feature(monkeypatch):
    feature = Feature("Graphs", "GANSEARCH_GRAPHS", "slower")
    monkeypatch.setattr(graphs, "GRAPHS", feature)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "use_mem_pool", nullcontext)
    return feature


def failing_with(error):
    def record(self, run, with_g):
        run(with_g)  # as far as it gets
        raise error

    return record


def test_a_chunk_that_cannot_be_recorded_is_run_from_its_unchanged_state(feature, monkeypatch):
    monkeypatch.setattr(RecordedChunks, "_record", failing_with(RuntimeError("not permitted")))
    chunk = Chunk()
    for _ in range(2):
        chunk.advance()
    # Warming up and recording update nobody, and only once is it tried.
    idle, real = (WITH_G, [False, False]), (WITH_G, [True, False])
    assert chunk.calls == [idle, idle, real, real]
    assert chunk.sums.tolist() == [3.0, 4.0]
    assert feature.take_notes() == ["Graphs fail here (not permitted): slower"]


def test_an_error_of_the_chunk_itself_is_not_taken_for_one_of_graphs(feature):
    chunk = Chunk()

    def fail(with_g):
        raise RuntimeError("shapes don't match")

    with pytest.raises(RuntimeError, match="shapes don't match"):
        chunk.recorded.run(fail, WITH_G)
    assert chunk.due.tolist() == [True, False]
    assert feature.is_on


def test_lack_of_memory_is_not_taken_for_a_failure_of_graphs(feature, monkeypatch):
    monkeypatch.setattr(RecordedChunks, "_record", failing_with(torch.OutOfMemoryError("full")))
    chunk = Chunk()
    with pytest.raises(torch.OutOfMemoryError):
        chunk.advance()
    assert chunk.due.tolist() == [True, False]
    assert chunk.sums.tolist() == [1.0, 2.0]
    assert feature.is_on


def test_a_gpu_that_has_failed_is_not_taken_for_a_failure_of_graphs(feature, monkeypatch):
    def lost():
        raise RuntimeError("the GPU has fallen off the bus")

    monkeypatch.setattr(RecordedChunks, "_record", failing_with(RuntimeError("not permitted")))
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    with pytest.raises(RuntimeError, match="fallen off the bus"):
        Chunk().advance()
    assert feature.is_on


def test_graphs_are_not_tried_where_the_environment_says_so(feature, monkeypatch):
    monkeypatch.setenv("GANSEARCH_GRAPHS", "0")
    chunk = Chunk()
    for _ in range(2):
        chunk.advance()
    idle, real = (WITH_G, [False, False]), (WITH_G, [True, False])
    assert chunk.calls == [idle, real, real]


OutOfResources = type("OutOfResources", (Exception,), {"__module__": "triton.runtime.errors"})


@pytest.fixture
def kernels(feature, monkeypatch):
    """Return the feature of kernels, and a function that runs a chunk in which they fail."""
    kernels = Feature("Kernels", "GANSEARCH_TRITON", "slower")
    monkeypatch.setattr(graphs, "TRITON", kernels)
    monkeypatch.setenv("GANSEARCH_GRAPHS", "0")
    chunk = Chunk()

    def run_chunk(error):
        def run(with_g):
            if kernels.is_on:
                raise error
            chunk.run(with_g)

        chunk.recorded.run(run, WITH_G)
        return chunk.calls

    return kernels, run_chunk


@pytest.mark.parametrize(
    "error",
    [
        OutOfResources("out of resource: shared memory"),
        RuntimeError("Triton Error [CUDA]: device kernel image is invalid"),
        CalledProcessError(1, "gcc"),
        PermissionError(13, "Permission denied"),
    ],
)
def test_a_kernel_of_triton_that_fails_for_a_shape_is_done_without(kernels, error):
    feature, run_chunk = kernels
    assert run_chunk(error) == [(WITH_G, [False, False]), (WITH_G, [True, False])]
    assert feature.take_notes() == [f"Kernels fail here ({error}): slower"]


@pytest.mark.parametrize(
    "error", [RuntimeError("Triton Error [CUDA]: out of memory"), ValueError("not of Triton")]
)
def test_other_errors_are_not_taken_for_a_failure_of_kernels(kernels, error):
    feature, run_chunk = kernels
    with pytest.raises(type(error), match=re.escape(str(error))):
        run_chunk(error)
    assert feature.is_on
