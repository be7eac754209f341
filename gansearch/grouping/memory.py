"""The memory that a training takes in an engine, found without taking it."""

from __future__ import annotations

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.grouping.engine import TICKS
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.training.peak_memory import peak_bytes, rough_bytes
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

    def slot(training: AdversarialTraining) -> Group:
        examples, n_ticks = training.examples, TICKS[device]
        group = Group(structure, dataset.shape, examples, n_slots=1, n_ticks=n_ticks)
        group.admit(training, 1)
        group.run_ticks((True,))
        return group

    return peak_bytes(config, dataset, device, beside=slot)


def rough_member_bytes(config: TrialConfig, dataset: Dataset, device: str) -> float:
    """Return an estimate of `member_bytes` within milliseconds, to compare configurations by.

    Raises:
        ConfigError: as `member_bytes`.
    """
    alone, structure = rough_bytes(config, dataset, device), structure_of(config)
    return alone if structure is None else alone + rough_bytes(structure, dataset, device)
