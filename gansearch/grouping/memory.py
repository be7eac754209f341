"""The memory that a training takes in an engine, found without taking it."""

from __future__ import annotations

import dataclasses

import torch

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.grouping.engine import TICKS
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.networks.models import draw_noise
from gansearch.system.torch_internals import FakeTensorMode
from gansearch.training.peak_memory import N_GENERATED, PeakCounter, peak_bytes, rough_bytes
from gansearch.training.training import AdversarialTraining


def member_bytes(config: TrialConfig, dataset: Dataset, device: str) -> float:
    """Return the peak memory, in bytes, of a training and of its slot in a group.

    The slot has the weights and moments once more, padded, and what a chunk reads. No such device
    is needed. The examples don't count. A training that shares no group has no slot.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    structure = structure_of(config)
    if structure is None:
        return peak_bytes(config, dataset, device)
    few = dataclasses.replace(dataset, train=dataset.train[:2], labels=None)
    peak = PeakCounter()
    with FakeTensorMode(allow_non_fake_inputs=True), peak:
        training = AdversarialTraining(config, few, 0, max_updates=1)
        group = Group(structure, dataset.shape, training.examples, n_slots=1, n_ticks=TICKS[device])
        group.admit(training, 1)
        group._run((True,))
        training.stream.draw_ahead(TICKS[device])
        training.step(measure=True)  # the last iteration, which is done alone
        with torch.no_grad():
            rng = torch.Generator().manual_seed(0)
            noise = draw_noise(config, (N_GENERATED, training.generator.noise_dim), rng)
            training.scored_generator(noise)
    return float(peak.n_bytes)


def rough_member_bytes(config: TrialConfig, dataset: Dataset, device: str) -> float:
    """Return an estimate of `member_bytes` within milliseconds, to compare configurations by.

    Raises:
        ConfigError: as `member_bytes`.
    """
    alone, structure = rough_bytes(config, dataset, device), structure_of(config)
    return alone if structure is None else alone + rough_bytes(structure, dataset, device)
