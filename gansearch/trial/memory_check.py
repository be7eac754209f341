"""Checks before a search that its largest training fits into a trial's share of the memory.

A rough estimate is enough in most cases. Near the limit, an iteration of the largest training is
run on tensors without memory (`footprint`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.rules import Config, short
from gansearch.space.search_space import SearchSpace
from gansearch.system.devices import gpu_bytes
from gansearch.system.failures import MemoryKind
from gansearch.system.machine import limit_bytes, usable_bytes
from gansearch.trial.footprint import PROCESS_BYTES, Footprint, footprint, gib
from gansearch.trial.plan import gpu_fraction

# The rough estimate is trusted where this many times as much memory is available.
_MARGIN = 4.0
# Ray's memory monitor begins to kill at 95 % of what there is.
_RESERVED = 0.05
_RAY_BYTES = 0.5 * 2**30  # for its own processes
# Of a GPU, for the context of a process, the workspaces of libraries, and gaps between tensors.
_RESERVED_OF_GPU = 0.05
_CONTEXT_BYTES = 1.0 * 2**30
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
    dataset: Dataset,
    *,
    gpus_per_trial: float,
    max_concurrent: int | None,
    in_engine: bool = False,
) -> list[Slice]:
    """Return the memory that a trial may use here: of a GPU, if it trains on one, and of the host.

    A trial may use all memory of the host, unless `max_concurrent` trials run at a time.
    """
    slices = []
    if gpus_per_trial and (total := gpu_bytes()) is not None:
        share = min(gpus_per_trial, 1.0)
        if in_engine and max_concurrent:  # no more share the GPU, whatever the fraction
            share = max(share, 1 / max_concurrent)
        usable = usable_gpu_bytes(total, dataset) if in_engine else total
        which = f"{share:.4g} of a GPU of {gib(total)}"
        less = ", less what all its trials share" if in_engine else ""
        slices.append(Slice("GPU", share * usable, usable, which + less))
    usable, n = usable_host_bytes(dataset, in_engine=in_engine), max_concurrent or 1
    explanation = f"{gib(usable)} are free here" + (f", for {n} trials at a time" if n > 1 else "")
    return [*slices, Slice("host", usable / n, usable, explanation)]


def usable_gpu_bytes(total: float, dataset: Dataset) -> float:
    """Return what an engine leaves its trials of a GPU's memory."""
    return max(0.0, (1 - _RESERVED_OF_GPU) * total - _CONTEXT_BYTES - dataset.train.nbytes)


def trials_on_gpu(total: float, dataset: Dataset, needs: Footprint) -> int:
    """Return how many trials at a time a GPU's memory holds, of an engine or in processes."""
    if needs.in_engine:
        return int(usable_gpu_bytes(total, dataset) / needs.on("GPU"))
    return int((1 - _RESERVED_OF_GPU) * total / (needs.on("GPU") + _CONTEXT_BYTES))


def usable_host_bytes(dataset: Dataset, *, in_engine: bool = False) -> float:
    """Return the memory of this machine, or container, that all trials together may take."""
    others = _RAY_BYTES + 2 * dataset.n_bytes + (PROCESS_BYTES if in_engine else 0.0)
    return max(0.0, usable_bytes() - _RESERVED * limit_bytes() - others)


def fitting_trials(dataset: Dataset, needs: Footprint) -> int:
    """Return how many trials at a time this machine's memory holds, one at least."""
    usable = usable_host_bytes(dataset, in_engine=needs.in_engine)
    return max(1, int(usable / needs.on("host")))


def require_memory(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    slices: Sequence[Slice],
    *,
    device: str,
    in_engine: bool = False,
    has_begun: bool = False,
) -> Largest:
    """Return the largest training of a search, once it is sure that it fits into each slice.

    Args:
        space: what is searched, with the presets that are tried.
        configs: those that are trained instead of a search, if any.
        dataset: that they learn.
        slices: what a trial may take.
        device: that trials train on, "cpu", "cuda" or "mps".
        in_engine: whether an engine of a GPU trains them. Then the needs are never rough ones.
        has_begun: whether the run is resumed, so that its configurations can't change any more.

    Raises:
        ConfigError: it can't fit; with the configuration, the bytes and the remedies.
    """

    def sizes(config: Config, *, exact: bool) -> Footprint:
        return footprint(space.family, config, dataset, device, exact=exact, in_engine=in_engine)

    def rough_size(config: Config) -> float:
        return sizes(config, exact=False).training

    config = _largest_config(space, configs, rough_size)
    needs = sizes(config, exact=in_engine)
    if any(_MARGIN * needs.on(s.memory_kind) > s.n_bytes for s in slices) and not in_engine:
        needs = sizes(config, exact=True)
    for slice_ in slices:
        if needs.on(slice_.memory_kind) > slice_.n_bytes:
            savings = {} if configs else _savings(space, config, rough_size)
            raise _too_large(space, config, needs, slice_, savings, has_begun=has_begun)
    return Largest(config, needs)


def _largest_config(
    space: SearchSpace, configs: Sequence[Config], rough_size: Callable[[Config], float]
) -> Config:
    def size(config: Config) -> float:
        try:
            return rough_size(config)
        except ConfigError:
            return -math.inf  # it has no networks, as its trial will say, and takes nothing

    if configs:
        return max(configs, key=size)
    presets = [space.baseline, *map(space.preset, space.start_from)]
    return max([space.largest(size), *presets], key=size)


def _savings(
    space: SearchSpace, config: Config, rough_size: Callable[[Config], float]
) -> dict[str, float]:
    """Return what share of the training's memory each searched parameter saves at its least.

    Only those are named that save a twentieth, the most saving one first.
    """
    most = rough_size(config)
    if most == 0:  # the family does not know
        return {}
    found = {}
    for name in space.search:
        if config.applies(name):
            others = [*space.shrunk(config, name), config]
            least = min(map(rough_size, others))
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
        n = int(slice_.all_bytes / n_bytes)
        advice.append(
            f"give a trial more of a GPU: --gpus-per-trial {gpu_fraction(n):g}, of which {n} fit, "
            "or auto"
            if kind == "GPU"
            else f"run fewer trials at a time: --max-concurrent {n}"
        )
    where = "of a GPU" if kind == "GPU" else "of this machine's memory"
    remedies = "; or ".join(advice)
    return ConfigError(
        f"{space.name}: the largest configuration needs {gib(n_bytes)} {where} "
        f"({needs.describe(kind)}), where a trial has {gib(slice_.n_bytes)}: "
        f"{slice_.explanation}.{largest} {remedies[0].upper()}{remedies[1:]}."
    )
