"""The process that trials are trained in, and its GPU."""

import os
import re

import pytest
import torch

from gansearch.budget import Budget
from gansearch.data.registry import load_dataset
from gansearch.errors import (
    BadInputError,
    ConfigError,
    DivergedError,
    GpuLostError,
    OutsideError,
)
from gansearch.runs.folder import RunFolder
from gansearch.trial import process
from gansearch.trial.plan import TrialPlan

MEAN = "tests.end_to_end.mean_family:MeanFamily"


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
    # Not only torch is the first to see it, and code of the user's own may be at work.
    others = (
        RuntimeError("Triton Error [CUDA]: device lost"),
        ConfigError("train: it failed"),
        BadInputError("fid: it returned nan"),
    )
    for first in (fail, *(lambda error=error: raise_(error) for error in others)):
        with pytest.raises((RuntimeError, BadInputError)), process.ending_with_the_gpu():
            first()
    assert codes == [1, 1, 1, 1]


def test_a_process_goes_on_when_only_a_trial_fails(monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda _: pytest.fail("it ended"))
    for n_initialized in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda n=n_initialized: n)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
        for error in (RuntimeError("shapes don't match"), torch.OutOfMemoryError("no room")):
            with pytest.raises(type(error)), process.ending_with_the_gpu():
                raise error


@pytest.mark.parametrize("is_outside", [False, True])
def test_an_error_of_the_users_own_code_names_its_line(tmp_path, monkeypatch, is_outside):
    budget = Budget(max_updates=4, reports=1)
    plan = TrialPlan(RunFolder(tmp_path).path, {"family": MEAN}, budget)
    own = process.TrialProcess.prepare(load_dataset("gaussian"), plan)
    error = OSError(5, "no answer") if is_outside else ValueError("no update.")
    told = "OSError: [Errno 5] no answer" if is_outside else "ValueError: no update"
    with pytest.raises(ConfigError) as caught, own.guarded():
        raise error
    assert re.fullmatch(
        rf"{re.escape(told)}, at test_process.py:\d+: raise error", str(caught.value)
    )
    assert isinstance(caught.value, OutsideError) == is_outside
    for kept in (MemoryError(), DivergedError("d_loss is nan"), SystemExit(3)):
        with pytest.raises(type(kept)), own.guarded():
            raise kept
    # Raised where no line of the user's own is: a bug of ours, say.
    with monkeypatch.context() as patch, pytest.raises(type(error)), own.guarded():
        patch.setattr(process, "last_line", lambda _: "")
        raise error
