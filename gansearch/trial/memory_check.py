"""Checks before a search that its largest training fits into a trial's share of the memory.

A rough estimate is enough in most cases. Near the limit, an iteration of the largest training is
run on tensors without memory (`footprint`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.rules import Config, short
from gansearch.space.search_space import SearchSpace
from gansearch.system.failures import MemoryKind
from gansearch.system.machine import limit_bytes, usable_bytes
from gansearch.trial.footprint import Footprint, footprint, gib

# The rough estimate is trusted where this many times as much memory is available.
_MARGIN = 4.0
# Ray's memory monitor begins to kill at 95 % of what there is.
_RESERVED = 0.05
_RAY_BYTES = 0.5 * 2**30  # for its own processes
_WORTH_NAMING = 0.05  # of the memory that a parameter's least value saves


@dataclass(frozen=True)
class Slice:
    """The memory that one trial may use, of a GPU or of the host.

    Attributes:
        memory_kind: "GPU" or "host".
        n_bytes: for one trial, of as few at a time as the user allows.
        all_bytes: for a trial that has the GPU or the host to itself.
        explanation: where the number comes from, in words.
    """

    memory_kind: MemoryKind
    n_bytes: float
    all_bytes: float
    explanation: str


@dataclass(frozen=True)
class Largest:
    """The configuration that takes most of all that a search may try, and what it takes."""

    config: Config
    needs: Footprint


def slices_here(
    dataset: Dataset, *, gpus_per_trial: float, max_concurrent: int | None
) -> list[Slice]:
    """Return the memory that a trial may use here: of a GPU, if it trains on one, and of the host.

    A trial may use all memory of the host, unless `max_concurrent` trials run at a time.
    """
    slices = []
    if gpus_per_trial and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        share = min(gpus_per_trial, 1.0)
        slices.append(Slice("GPU", share * total, total, f"{share:g} of a GPU of {gib(total)}"))
    usable, n = usable_host_bytes(dataset), max_concurrent or 1
    explanation = f"{gib(usable)} are free here" + (f", for {n} trials at a time" if n > 1 else "")
    return [*slices, Slice("host", usable / n, usable, explanation)]


def usable_host_bytes(dataset: Dataset) -> float:
    """Return the memory of this machine, or container, that all trials together may take."""
    store = 2 * dataset.n_bytes
    return max(0.0, usable_bytes() - _RESERVED * limit_bytes() - _RAY_BYTES - store)


def fitting_trials(dataset: Dataset, needs: Footprint) -> int:
    """Return how many trials at a time this machine's memory holds, one at least."""
    return max(1, int(usable_host_bytes(dataset) / needs.on("host")))


def require_memory(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    slices: Sequence[Slice],
    *,
    device: str,
    has_begun: bool = False,
) -> Largest:
    """Return the largest training of a search, once it is sure that it fits into each slice.

    Args:
        space: what is searched, with the presets that are tried.
        configs: those that are trained instead of a search, if any.
        dataset: that they learn.
        slices: what a trial may take.
        device: that trials train on, "cpu" or "cuda".
        has_begun: whether the run is resumed, so that its configurations can't change any more.

    Raises:
        ConfigError: it can't fit; with the configuration, the bytes and the remedies.
    """
    config = _largest_config(space, configs, dataset, device)
    needs = footprint(space.family, config, dataset, device, exact=False)
    if any(_MARGIN * needs.on(s.memory_kind) > s.n_bytes for s in slices):
        needs = footprint(space.family, config, dataset, device)
    for slice_ in slices:
        if needs.on(slice_.memory_kind) > slice_.n_bytes:
            savings = {} if configs else _savings(space, config, dataset, device)
            raise _too_large(space, config, needs, slice_, savings, has_begun=has_begun)
    return Largest(config, needs)


def _largest_config(
    space: SearchSpace, configs: Sequence[Config], dataset: Dataset, device: str
) -> Config:
    def size(config: Config) -> float:
        try:
            return _training_bytes(space, config, dataset, device)
        except ConfigError:
            return -math.inf  # it has no networks, as its trial will say, and takes nothing

    if configs:
        return max(configs, key=size)
    presets = [space.baseline, *map(space.preset, space.start_from)]
    return max([space.largest(size), *presets], key=size)


def _training_bytes(space: SearchSpace, config: Config, dataset: Dataset, device: str) -> float:
    """Return the rough estimate of the bytes of a training, without its data and its scoring."""
    return footprint(space.family, config, dataset, device, exact=False).training


def _savings(space: SearchSpace, config: Config, dataset: Dataset, device: str) -> dict[str, float]:
    """Return what share of the training's memory each searched parameter saves at its least.

    Only those are named that save a twentieth, the most saving one first.
    """
    most = _training_bytes(space, config, dataset, device)
    if most == 0:  # the family does not know
        return {}
    found = {}
    for name in space.search:
        if config.applies(name):
            others = [*space.shrunk(config, name), config]
            least = min(_training_bytes(space, other, dataset, device) for other in others)
            found[name] = 1 - least / most
    saving = sorted(found, key=found.__getitem__, reverse=True)
    return {name: found[name] for name in saving if found[name] >= _WORTH_NAMING}


def _too_large(
    space: SearchSpace,
    config: Config,
    needs: Footprint,
    slice_: Slice,
    savings: Mapping[str, float],
    *,
    has_begun: bool,
) -> ConfigError:
    kind, n_bytes = slice_.memory_kind, needs.on(slice_.memory_kind)
    names = dict.fromkeys([*savings, *space.family.size_parameters])
    values = ", ".join(f"{name}={short(getattr(config, name))}" for name in names)
    largest = f" It is {values}." if values else ""
    advice = ["make its networks or its batch size smaller"]
    if has_begun:
        advice = ["resume the run on a machine with more memory"]
    elif savings:
        advice = [f"lower the upper bound of {next(iter(savings))}, or drop its largest values"]
    if n_bytes <= slice_.all_bytes:
        share = math.ceil(100 * n_bytes / slice_.all_bytes) / 100
        advice.append(
            f"give a trial more of a GPU: --gpus-per-trial {share:g}"
            if kind == "GPU"
            else f"run fewer trials at a time: --max-concurrent {int(slice_.all_bytes / n_bytes)}"
        )
    where = "of a GPU" if kind == "GPU" else "of this machine's memory"
    remedies = "; or ".join(advice)
    return ConfigError(
        f"{space.name}: the largest configuration needs {gib(n_bytes)} {where} "
        f"({needs.describe(kind)}), where a trial has {gib(slice_.n_bytes)}: "
        f"{slice_.explanation}.{largest} {remedies[0].upper()}{remedies[1:]}."
    )
