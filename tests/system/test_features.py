"""A feature that fails is done without, and its user is told once."""

from types import SimpleNamespace

import pytest
import torch

from gansearch.system import features
from gansearch.system.features import Feature, triton_module


@pytest.fixture
def feature():
    return Feature("Wings", "GANSEARCH_WINGS", "it walks")


def test_a_failure_turns_a_feature_off_and_is_told_once(feature):
    assert feature.is_on
    feature.turn_off(RuntimeError("no feathers\nat line 3"))
    feature.turn_off(RuntimeError("no feathers again"))
    assert not feature.is_on
    assert feature.take_notes() == ["Wings fail here (no feathers): it walks"]
    assert feature.take_notes() == []


def test_the_environment_turns_a_feature_off(feature, monkeypatch):
    monkeypatch.setenv("GANSEARCH_WINGS", "0")
    assert not feature.is_on
    monkeypatch.setenv("GANSEARCH_WINGS", "1")
    assert feature.is_on
    assert feature.take_notes() == []


@pytest.fixture
def kernels(monkeypatch):
    """Return a function that makes up a module of kernels, on a GPU that there isn't."""
    monkeypatch.setattr(features, "TRITON", Feature("Kernels", "GANSEARCH_TRITON", "slower"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    features._tried.cache_clear()

    def make_up(try_out):
        module = SimpleNamespace(try_out=try_out)
        monkeypatch.setattr(features.importlib, "import_module", lambda _: module)
        return module

    yield make_up
    features._tried.cache_clear()


def failing_with(error):
    def try_out():
        raise error

    return try_out


def test_kernels_that_run_are_used_and_tried_once(kernels):
    calls = []
    module = kernels(lambda: calls.append(1))
    assert triton_module("kernels") is triton_module("kernels") is module
    assert calls == [1]


def test_kernels_that_fail_are_done_without_in_torch_too(kernels, monkeypatch):
    without = []
    monkeypatch.setattr(features, "do_without_triton", lambda: without.append(1))
    kernels(failing_with(OSError("no C compiler")))
    assert triton_module("kernels") is None
    assert without and not features.TRITON.is_on
    assert features.TRITON.take_notes() == ["Kernels fail here (no C compiler): slower"]


def test_kernels_for_which_there_is_no_memory_now_are_tried_again(kernels):
    kernels(failing_with(RuntimeError("Triton Error [CUDA]: out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        triton_module("kernels")
    module = kernels(lambda: None)
    assert triton_module("kernels") is module


def test_a_gpu_that_has_failed_is_not_taken_for_a_failure_of_kernels(kernels, monkeypatch):
    kernels(failing_with(RuntimeError("launch failure")))
    monkeypatch.setattr(torch.cuda, "synchronize", failing_with(torch.AcceleratorError("lost")))
    with pytest.raises(torch.AcceleratorError, match="lost"):
        triton_module("kernels")
    assert features.TRITON.is_on
