"""The process that trials are trained in, and its GPU."""

import os

import pytest
import torch

from gansearch.errors import GpuLostError
from gansearch.trial import process


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
    with process.ending_with_the_gpu():
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")
    assert codes == [1]
