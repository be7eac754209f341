"""Training on the GPU of Apple silicon, as far as a machine without one shows it.

Tensors of the device "meta", without memory, stand in for those of the GPU: mixing them with the
CPU's is an error, as it is there, and so is a float64 among them, which that GPU doesn't have.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.system.devices import exact_device
from gansearch.system.torch_internals import (
    TorchDispatchMode,
    is_fused_update,
    reads_a_value,
    tree_leaves,
)
from gansearch.training import training as module
from gansearch.training.training import AdversarialTraining
from tests.trial.test_footprint import KINDS

DIGITS = load_dataset("digits")


class NoDouble(TorchDispatchMode):
    """Refuses float64 on the stand-in for MPS, and counts what is done there."""

    def __init__(self):
        super().__init__()
        self.n_there = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if reads_a_value(func):
            return 1
        if is_fused_update(func):
            assert all(t.device.type == "meta" for t in tree_leaves(args) if torch.is_tensor(t))
            return None
        kwargs = kwargs or {}
        to = kwargs.get("device")
        if func is torch.ops.aten._to_copy.default and args[0].is_meta and to and to.type == "cpu":
            return torch.full(args[0].shape, 0.5, dtype=kwargs.get("dtype") or args[0].dtype)
        made = func(*args, **kwargs)
        there = [t for t in tree_leaves(made) if torch.is_tensor(t) and t.device.type == "meta"]
        assert all(t.dtype != torch.float64 for t in there), func
        self.n_there += len(there)
        return made


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    monkeypatch.setattr(module, "exact_device", lambda _: exact_device("mps"))
    monkeypatch.setitem(module.ITERATIONS_DRAWN, "meta", module.ITERATIONS_DRAWN["mps"])


@pytest.mark.parametrize(
    "how", [*KINDS.values(), {"batch_order": "shuffled"}], ids=[*KINDS, "shuffled"]
)
def test_a_training_on_mps_keeps_to_its_device_and_to_single_precision(how):
    few = replace(DIGITS, train=DIGITS.train[:50], labels=None)
    with NoDouble() as mode:
        training = AdversarialTraining(TrialConfig(**how), few, 0, device="meta", max_updates=9)
        training.step(measure=True)
        with torch.no_grad():
            noise = torch.randn(5, training.generator.noise_dim).to("meta")
            assert training.scored_generator(noise).device.type == "meta"
    assert mode.n_there > 50
    assert all(p.device.type == "meta" for p in training.discriminator.parameters())


def test_random_numbers_come_from_the_cpu_where_a_gpu_has_no_64_bits():
    with NoDouble():
        training = AdversarialTraining(TrialConfig(), DIGITS, 0, device="meta")
        draws = training.stream.take(1)
    assert training._rng.device.type == "cpu"
    assert {tensor.device.type for tensor in draws.tensors} == {"meta"}
