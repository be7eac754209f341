"""On which device trials train, how many share a GPU, and what is refused, without a GPU here."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import ray

from gansearch.data import registry
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError
from gansearch.space.load import load_space
from gansearch.trial import memory_check
from gansearch.tune import placement as placement_module
from gansearch.tune import preflight, share
from gansearch.tune.dry_run import plan
from gansearch.tune.placement import placement
from gansearch.tune.settings import Settings

GIB = 2**30
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def images(name):
    rng = np.random.default_rng(0)
    dim = int(np.prod(SHAPES[name]))
    splits = [rng.integers(0, 256, (n, dim), np.uint8) for n in (200, 50, 50)]
    return Dataset(name, *splits, shape=SHAPES[name], scale=255.0)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make up what this machine has; nothing is started on it."""

    def _machine(cpus=16.0, gpus=1.0, *, gpu_gib=80.0, device="cuda", host_gib=128.0):
        monkeypatch.setattr(preflight, "resources_here", lambda: {"CPU": cpus, "GPU": gpus})
        for module in (placement_module, share, preflight):
            monkeypatch.setattr(module, "gpu_device", lambda: device)
        memory = gpu_gib * GIB if device == "cuda" else None
        for module in (preflight, memory_check):
            monkeypatch.setattr(module, "gpu_bytes", lambda: memory)
        monkeypatch.setattr(memory_check, "usable_bytes", lambda: host_gib * GIB)
        monkeypatch.setattr(memory_check, "limit_bytes", lambda: host_gib * GIB)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("gansearch.tune.cluster.init_on_loopback", lambda *_: pytest.fail("begun"))
    for name in SHAPES:
        monkeypatch.setitem(registry._LOADERS, name, lambda *_, n=name: images(n))
    monkeypatch.chdir(tmp_path)
    return _machine


@pytest.mark.parametrize("cpus", [16.0, 8.0, 4.0])
def test_sixteen_trials_of_mnist_share_a_gpu_of_80_gib_whatever_cores_there_are(machine, cpus):
    machine(cpus)
    said = plan("mnist")
    assert "16 trials at a time, each on 0.25 cores and 0.0625 of a GPU\n" in said
    assert re.search(
        r"gpu          16 trials at a time on a GPU, limited by what pays \(its memory ", said
    )
    assert "one process trains 16 trials; search: 16 trials at a time, each by itself" in said


def test_a_small_gpu_takes_as_many_trials_as_its_memory_holds(machine):
    machine(gpu_gib=6.0)
    said = plan("mnist")
    n = int(
        re.search(r"gpu          (\d+) trials at a time on a GPU, limited by its memory", said)[1]
    )
    assert 4 <= n < 16


def test_the_papers_networks_for_cifar10_are_counted_with_their_slots(machine):
    machine(gpu_gib=80.0)
    papers = {"only": ["paper"]}
    # A training and its slot take 3.1 GiB, and its samples .3.
    assert re.search(
        r"gpu +5 trials .* by the budget \(.*its memory 2\d, ", plan("cifar10", **papers)
    )
    with pytest.raises(ConfigError, match=r"a trial has 1\.\d GiB: 0\.025 of the ") as refused:
        plan("cifar10", **papers, settings=Settings(gpus_per_trial=0.025))
    advice = re.search(
        r"--gpus-per-trial (0\.\d+), of which (\d+) fit, or auto", str(refused.value)
    )
    fitting = Settings(gpus_per_trial=float(advice[1]), cpus_per_trial=0.1)
    assert f"{advice[2]} trials at a time" in plan("cifar10", **papers, settings=fitting)


def test_a_gpu_that_holds_not_even_one_training_is_refused_by_itself(machine):
    machine(gpu_gib=4.0)
    with pytest.raises(ConfigError, match=r"needs \d.\d GiB of a GPU .* a GPU of 4\.0 GiB has"):
        plan("cifar10", only=["paper"])


def test_trials_that_share_nothing_are_fewer_and_without_any_group_there_is_no_engine(machine):
    machine()
    assert placement(load_space("mnist"), [], Settings()).alone == 0
    mixed = placement(load_space("cifar10"), [], Settings())
    assert mixed.in_engine and 0.5 < mixed.alone < 1
    assert "4 trials at a time, each on 0.25 cores and 0.25 of" in plan("digits", only=["dcgan"])
    in_turn = replace(load_space("digits").baseline, unrolled_steps=2)
    assert not placement(load_space("digits"), [in_turn], Settings()).in_engine
    assert placement(load_space("digits"), [in_turn], Settings(group_trials="on")).in_engine
    said = plan("digits", overrides=["unrolled_steps=2"])
    assert "4 trials at a time, each on 1 core and 0.25 of a GPU" in said
    assert "groups " not in said


def test_a_users_number_holds_also_if_it_makes_one_trial_per_gpu(machine):
    machine()
    for gpus, found in (
        (1, "1 trial at a time, each on 1 core and 1 of a GPU"),
        (0.5, "2 trials at a time, each on 0.25 cores and 0.5 of a GPU"),
    ):
        assert found in plan("digits", settings=Settings(gpus_per_trial=gpus))
    assert "without a GPU" in plan("digits", settings=Settings(gpus_per_trial=0))
    for bad in (1e-5, 1.5, -1):
        with pytest.raises(
            BadInputError, match=r"^gpus_per_trial=.* \(--gpus-per-trial\): it must"
        ):
            Settings(gpus_per_trial=bad)


def test_on_apple_silicon_trials_train_on_mps_each_in_its_process(machine):
    machine(cpus=10.0, device="mps", host_gib=32.0)
    where = placement(load_space("digits"), [], Settings())
    assert (where.device, where.in_engine) == ("mps", False)
    said = plan("digits")
    assert "4 trials at a time, each on 1 core and 0.25 of a GPU" in said
    assert "groups " not in said
    with pytest.raises(BadInputError, match=r"^--group-trials on: on Apple silicon's GPU each"):
        plan("digits", settings=Settings(group_trials="on"))
    assert "groups " in plan("digits", settings=Settings(group_trials="on", gpus_per_trial=0))


def test_a_gpu_that_ray_counts_and_torch_can_not_use_is_refused_if_asked_for(machine, monkeypatch):
    machine(device=None)
    why = "torch 2.14.1+cpu is built for CPUs only"
    for module in (share, preflight):
        monkeypatch.setattr(module, "why_no_gpu", lambda: why)
    with pytest.raises(BadInputError, match=f"^--gpus-per-trial 0.25: .*: {re.escape(why)}\\. "):
        plan("digits", settings=Settings(gpus_per_trial=0.25))
    said = plan("digits")
    assert "16 trials at a time, each on 1 core, without a GPU" in said
    assert (
        f"note         this machine has a GPU that torch can't use: {why}. Trials train on" in said
    )
    assert "note " not in plan("digits", settings=Settings(gpus_per_trial=0))


def test_a_resumed_run_keeps_its_number_of_trials_per_gpu_unless_the_machine_holds_fewer(machine):
    machine()
    space, digits, settings = load_space("digits"), load_dataset("digits"), Settings()
    largest = preflight.check_memory(space, [], digits, settings)

    def found(cpus, former):
        there = {"CPU": cpus, "GPU": 1.0}
        args = space, [], digits, settings, largest, there, 80.0 * GIB, former
        return preflight.trial_share(*args).trials_per_gpu

    assert found(16.0, None) == 8  # a third of its trials
    assert found(16.0, 12) == 12
    assert found(2.0, 12) == 8
