"""The process that trials are trained in, and its GPU."""

import os

import pytest
import torch

from gansearch.errors import GpuLostError
from gansearch.trial import process


def raise_(error):
    raise error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_process_that_can_not_use_its_gpu_says_why():
    with pytest.raises(GpuLostError, match=r"^GPU lost: a worker can't use it: \w+Error: \w"):
        process._take_gpu(0.5)


def test_a_lack_of_memory_is_no_lost_gpu(monkeypatch):
    def lacking(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lacking)
    with pytest.raises(torch.OutOfMemoryError):
        process._take_gpu(0.5)


def test_a_process_ends_when_its_gpu_fails(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def fail():
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    # Not only torch is the first to see it.
    for first in (fail, lambda: raise_(RuntimeError("Triton Error [CUDA]: device lost"))):
        with pytest.raises(RuntimeError), process.ending_with_the_gpu():
            first()
    assert codes == [1, 1]


def test_a_process_goes_on_when_only_a_trial_fails(monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda _: pytest.fail("it ended"))
    for n_initialized in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda n=n_initialized: n)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
        for error in (RuntimeError("shapes don't match"), torch.OutOfMemoryError("no room")):
            with pytest.raises(type(error)), process.ending_with_the_gpu():
                raise error
