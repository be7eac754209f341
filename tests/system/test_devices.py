"""Which device torch has, and what is said where it has no GPU."""

import pytest
import torch

from gansearch.system import devices


@pytest.fixture
def torch_has(monkeypatch):
    """Make up which GPUs torch can use."""

    def _torch_has(*, cuda=False, mps=False, built_for="13.0"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.version, "cuda", built_for)

    return _torch_has


def test_the_device_is_the_one_that_torch_has(torch_has):
    for how, device in (({"cuda": True}, "cuda"), ({"mps": True}, "mps"), ({}, None)):
        torch_has(**how)
        assert devices.gpu_device() == device


def test_a_warning_of_a_driver_that_is_too_old_is_not_printed_but_told(
    monkeypatch, torch_has, recwarn
):
    torch_has()
    old = "The NVIDIA driver on your system is too old (found version 9000)."

    def refuse():
        raise RuntimeError(f"{old}\nPlease update.")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert devices.gpu_device() is None
    assert devices.why_no_gpu() == f"torch {torch.__version__}, built for CUDA 13.0, says: {old}"
    assert not recwarn


def test_a_build_for_cpus_is_named(torch_has):
    torch_has(built_for=None)
    assert devices.why_no_gpu() == f"torch {torch.__version__} is built for CPUs only"


def test_the_memory_of_the_smallest_gpu_counts(monkeypatch, torch_has):
    torch_has(cuda=True)
    gpus = [type("Gpu", (), {"total_memory": n}) for n in (80, 24)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpus.__getitem__)
    assert devices.gpu_bytes() == 24
    torch_has(mps=True)
    assert devices.gpu_bytes() is None


def test_what_mps_lacks_is_done_on_the_cpu():
    assert [devices.exact_device(d) for d in ("cpu", "cuda", "mps")] == ["cpu", "cuda", "cpu"]
