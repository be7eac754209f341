"""What a training is said to take, beside what it takes."""

import os
import subprocess
import sys

import pytest

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.trial.footprint import CONTEXT_BYTES, PROCESS_BYTES, Footprint, footprint, gib

GIB = 2**30
MIB = 2**20
DIGITS = load_dataset("digits")
NETS = load_family(DEFAULT_FAMILY)
KINDS = {
    "paper": {},
    "adam": {"optimizer": "adam"},
    "unrolled": {"unrolled_steps": 5},
    "averaged": {"generator_ema": 0.999},
    "penalised": {"gradient_penalty": "r1", "discriminator_activation": "leaky_relu"},
    "normalised": {"generator_normalization": "batch", "discriminator_normalization": "spectral"},
    "convolutional": {
        "generator_network": "convolutional",
        "discriminator_network": "convolutional",
        "generator_channels": (32,),
        "discriminator_channels": (32,),
        "generator_strides": (2,),
        "generator_kernels": (4,),
        "generator_paddings": (1,),
        "discriminator_kernels": (3,),
        "discriminator_paddings": (1,),
        "discriminator_pools": (1,),
    },
}
MEASURE = """
import sys
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.system.machine import peak_bytes
from gansearch.training.training import AdversarialTraining
import torch
torch.set_num_threads(1)
def train(**how):
    training = AdversarialTraining(TrialConfig(**how), load_dataset("digits"), 0)
    training.step(); training.step(measure=True); training.samples(1000)
    return peak_bytes()
small = dict(generator_widths=(16,), discriminator_widths=(16,), batch_size=10)
train(**small); before = train(**small)
print(train(**eval(sys.argv[1])) - before)
"""


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_every_kind_of_training_is_gone_through_without_memory(how):
    config = TrialConfig(**how)
    exact, rough = (footprint(NETS, config, DIGITS, "cpu", exact=how) for how in (True, False))
    # The rough one settles nothing within a factor of four.
    assert exact.training / 4 < rough.training < 4 * exact.training
    assert (exact.data, exact.scoring) == (rough.data, rough.scoring)


@pytest.mark.parametrize(
    "how",
    [
        {"generator_widths": (4000, 4000), "discriminator_widths": (64,)},
        {"batch_size": 4000, "unrolled_steps": 3, "discriminator_widths": (256, 256)},
    ],
    ids=["weights", "activations"],
)
def test_it_is_what_a_training_really_takes(how):
    # What was freed goes back at once: the holes that glibc keeps differ from run to run.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, repr(how)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = footprint(NETS, TrialConfig(**how), DIGITS, "cpu").training
    assert expected > 150 * MIB
    assert 0.95 * expected < int(done.stdout) < 1.05 * expected


def test_a_gpu_has_more_random_numbers_ready():
    config = TrialConfig(batch_size=1000)
    on_gpu, on_cpu = (
        footprint(NETS, config, DIGITS, device).training for device in ("cuda", "cpu")
    )
    assert on_gpu > on_cpu + 31 * 4 * 1000 * 64


def test_the_hosts_memory_holds_a_trial_on_a_cpu_whole_and_of_one_on_a_gpu_its_scoring():
    parts = {"training": 3.0 * GIB, "data": 1.0 * GIB, "scoring": 0.5 * GIB}
    cpu, cuda = Footprint("cpu", **parts), Footprint("cuda", **parts)
    assert cpu.on("host") == 4.5 * GIB + PROCESS_BYTES
    assert cuda.on("host") == 0.5 * GIB + PROCESS_BYTES
    assert cuda.on("GPU") == 4.5 * GIB + CONTEXT_BYTES
    assert cuda.describe("GPU") == (
        "3.0 GiB to train, 1.0 GiB of data, 0.5 GiB for scoring its samples, "
        "1.0 GiB for its process"
    )
    assert gib(3 * MIB) == "3.0 MiB"
