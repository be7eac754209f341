"""How failures are classified, from the messages of torch, NumPy, Ray and the kernel."""

import numpy as np
import pytest
import torch

from gansearch.errors import ConfigError
from gansearch.system import failures
from gansearch.system.failures import (
    failure_of,
    is_lack_of_memory,
    lack_of_memory,
    own_code_error,
)

GIB = 2**30
ON_GPU = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 1.02 GiB is free."
)
BY_RAY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
    "192.0.2.2, ID: 8b71) was 5.70GB used / 23.54GB limit (0.242164)\nOOM kill reason: Memory usage"
)
DIED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: ResourceTrainable\n"
    "\tip: 192.0.2.7\nThe actor is dead because its worker process has died. There are some "
    "potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high memory "
    "usage."
)


def big(make):
    """Return the error that a library raises where an array is beyond all memory."""
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(
    "make", [lambda: np.empty(2**57, np.float64), lambda: torch.empty(2**55), lambda: [0] * 2**60]
)
def test_what_libraries_raise_without_memory_is_recognised(make):
    error = big(make)
    assert is_lack_of_memory(error)
    message = str(lack_of_memory(error, gpu=None))
    assert message.startswith("out of memory: host: ")
    assert "this process held" in message and "--max-concurrent" in message


def test_a_lack_of_memory_on_apple_silicon_is_one_of_the_hosts_memory():
    error = RuntimeError("MPS backend out of memory (MPS allocated: 17.90 GB, max allowed: 18 GB).")
    assert is_lack_of_memory(error)
    assert str(lack_of_memory(error, gpu=None)).startswith("out of memory: host: ")


def test_other_errors_are_no_lack_of_memory():
    for error in (RuntimeError("CUDA error: device-side assert"), OSError(28, "No space left")):
        assert not is_lack_of_memory(error)


def test_the_reason_gives_what_was_wanted_what_was_held_the_limit_and_the_remedy():
    error = torch.OutOfMemoryError(ON_GPU)
    message = str(lack_of_memory(error, gpu=(18.25 * GIB, 20 * GIB)))
    assert message == (
        "out of memory: GPU: no room for 2.50 GiB more; this process held 18.25 GiB at most, the "
        "limit is 20.00 GiB. Give a trial more of a GPU (--gpus-per-trial), or lower the upper "
        "bounds of the networks' widths and of batch_size."
    )


def test_a_trial_on_a_gpu_may_lack_the_hosts_memory(monkeypatch):
    monkeypatch.setattr(failures, "peak_bytes", lambda: 3 * GIB)
    monkeypatch.setattr(failures, "limit_bytes", lambda: 4 * GIB)
    message = str(lack_of_memory(MemoryError(), gpu=(GIB, 20 * GIB)))
    assert "host: this process held 3.00 GiB at most, the limit is 4.00 GiB." in message


def test_a_workers_own_words_are_taken_from_the_last_failure():
    first = "Failure # 1 (occurred at noon)\nValueError: something else\n"
    own = str(lack_of_memory(torch.OutOfMemoryError(ON_GPU), gpu=(GIB, 2 * GIB)))
    text = f"{first}Failure # 2 (occurred at one)\nray::train()\nx.ShortOfMemoryError: {own}\n"
    failure = failure_of(text)
    assert (failure.kind, failure.memory_kind, failure.reason) == ("memory", "GPU", own)
    assert failure_of(first).kind == "error"


def test_a_kill_by_rays_memory_monitor_is_reported_with_its_node_and_numbers():
    failure = failure_of(f"Failure # 1 (occurred at noon)\n{BY_RAY}\n")
    assert (failure.kind, failure.memory_kind, failure.node) == ("memory", "host", "192.0.2.2")
    assert "node 192.0.2.2 had 5.70GB of its 23.54GB in use" in failure.reason


def test_a_lost_worker_is_no_lack_of_memory_unless_the_kernel_says_so():
    failure = failure_of(DIED)
    assert (failure.kind, failure.node) == ("worker", "192.0.2.7")
    assert failure.reason.startswith("the process that trained it ended without a Python error: it")
    failure = failure_of(DIED, n_oom_kills=1)
    assert (failure.kind, failure.memory_kind, failure.node) == ("memory", "host", "192.0.2.7")
    assert "(processes killed: 1)" in failure.reason


def test_the_loss_of_an_engine_is_distinguished_from_that_of_a_trials_own_worker():
    text = f"ray::train()\ngansearch.errors.EngineLostError: engine: it was lost: {DIED}"
    assert failure_of(text).kind == "engine"


def test_a_worker_that_can_not_use_its_gpu_is_told_from_one_that_failed_to_begin():
    own = "GPU lost: a worker can't use it: RuntimeError: No CUDA GPUs are available"
    raised = f"{DIED.splitlines()[0]} because of an error raised in its creation task, ray::f()\n"
    failure = failure_of(f"{raised}gansearch.errors.GpuLostError: {own}\n{DIED}")
    assert (failure.kind, failure.reason, failure.is_loss) == ("gpu", own, False)


def test_a_worker_whose_constructor_failed_is_no_lost_one():
    text = f"{DIED.splitlines()[0]} because of an error raised in its creation task, ray::f()\nOops"
    assert (failure_of(text).kind, failure_of(text).reason) == ("error", "Oops")
    assert failure_of("").reason == "the worker was lost"


def caused_by(cause):
    error = RuntimeError("no data")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("odd"), "code"),
        (RuntimeError("Expected all tensors to be on the same device, but found cuda:0"), "code"),
        (FileNotFoundError(2, "No such file or directory"), "error"),
        (ConnectionResetError(104, "Connection reset by peer"), "error"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), "error"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "error"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "error"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "error"),
        (ValueError("Caught ValueError in DataLoader worker process 0.\nOriginal Tr"), "code"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling"), "error"),
        (RuntimeError("cuFFT error: CUFFT_INTERNAL_ERROR"), "error"),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:1, unhandled system error"), "error"),
        (RuntimeError("Triton Error [CUDA]: device kernel image is invalid"), "error"),
        (RuntimeError("No CUDA GPUs are available"), "error"),
        (RuntimeError("unable to open shared memory object </t>: Too many open files"), "error"),
        (RuntimeError("received 0 items of ancdata"), "error"),
        (caused_by(OSError(5, "no answer")), "error"),
        (caused_by(caused_by(MemoryError())), "error"),
        (caused_by(KeyError("width")), "code"),
    ],
)
def test_code_of_ones_own_is_at_fault_unless_something_outside_may_be(error, kind):
    raised = own_code_error("my_loop.py:train:\n\tit failed: ...", error)
    assert isinstance(raised, ConfigError)
    name = f"{type(raised).__module__}.{type(raised).__name__}"
    failure = failure_of(f"Failure # 1\nray::GanTrial.train()\n{name}: {raised}\n")
    assert (failure.kind, failure.reason) == (kind, "my_loop.py:train: it failed: ...")


def test_a_message_of_our_own_is_told_without_its_class():
    text = "ray::GanTrial.train()\ngansearch.errors.ConfigError: my_loop.py:train: it failed"
    assert failure_of(text).reason == "my_loop.py:train: it failed"
    assert failure_of("ray::f()\nValueError: 3").reason == "ValueError: 3"
    text = "ray::f()\ngansearch.errors.BadInputError: my_metrics.py:fid: it returned inf"
    assert failure_of(text).kind == "code"
