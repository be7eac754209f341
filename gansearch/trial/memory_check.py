"""Checks before a search that its largest training fits into a trial's share of the memory.

A rough estimate is enough in most cases. Near the limit, an iteration of the largest training is
run on tensors without memory (`footprint`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.rules import Config, short
from gansearch.space.search_space import SearchSpace
from gansearch.system.devices import gpu_bytes
from gansearch.system.failures import MemoryKind
from gansearch.system.machine import limit_bytes, usable_bytes
from gansearch.system.object_store import AnyPath, RemotePath
from gansearch.trial.footprint import CONTEXT_BYTES, PROCESS_BYTES, Footprint, footprint, gib
from gansearch.trial.plan import N_KEPT_STATES, gpu_fraction, trials_per_gpu

# The rough estimate is trusted where this many times as much memory is available.
_MARGIN = 4.0
# Ray's memory monitor begins to kill at 95 % of what there is.
_RESERVED = 0.05
_RAY_BYTES = 0.5 * 2**30  # for its own processes
_RESERVED_OF_GPU = 0.05  # for gaps between tensors
_WORTH_NAMING = 0.05  # of the memory that a parameter's least value saves


@dataclass(frozen=True)
class Memory:
    """The memory that trials share, of a GPU or of the host.

    Attributes:
        kind: "GPU" or "host".
        n_bytes: for all trials together.
        explanation: where the number comes from, in words.
        n_trials: at a time, as few as the user allows.
        limit: bytes that no trial may exceed.
    """

    kind: MemoryKind
    n_bytes: float
    explanation: str
    n_trials: int = 1
    limit: float = math.inf

    @property
    def bytes_per_trial(self) -> float:
        """Bytes for each of the trials."""
        return min(self.n_bytes / self.n_trials, self.limit)

    def holds(self, needs: Footprint) -> int:
        """Return how many trials at a time would fit."""
        return int(self.n_bytes / needs.on(self.kind))


@dataclass(frozen=True)
class Largest:
    """The configuration that takes most of all that a search may try, and what it takes."""

    config: Config
    needs: Footprint


def memory_here(
    dataset: Dataset,
    *,
    gpus_per_trial: float,
    max_concurrent: int | None,
    in_engine: bool = False,
) -> list[Memory]:
    """Return the memory that trials share here: of a GPU, if they train on one, and of the host.

    A trial may use all memory of the host, unless `max_concurrent` trials run at a time.
    """
    memory = []
    if gpus_per_trial and (total := gpu_bytes()) is not None:
        n = trials_per_gpu(gpus_per_trial)
        if in_engine:  # no more share the GPU, whatever the fraction
            n = min(n, max_concurrent or n)
        # A process has no more of the GPU than its fraction.
        limit = math.inf if in_engine else min(gpus_per_trial, 1.0) * total
        memory.append(_memory_of_gpu(total, dataset, n, limit, in_engine=in_engine))
    return [*memory, _memory_of_host(dataset, max_concurrent or 1, in_engine=in_engine)]


def trials_on_gpu(total: float, dataset: Dataset, needs: Footprint) -> int:
    """Return how many trials at a time a GPU's memory holds, of an engine or in processes."""
    return _memory_of_gpu(total, dataset, in_engine=needs.in_engine).holds(needs)


def fitting_trials(dataset: Dataset, needs: Footprint) -> int:
    """Return how many trials at a time this machine's memory holds, one at least."""
    return max(1, _memory_of_host(dataset, in_engine=needs.in_engine).holds(needs))


def _memory_of_gpu(
    total: float,
    dataset: Dataset,
    n_trials: int = 1,
    limit: float = math.inf,
    *,
    in_engine: bool,
) -> Memory:
    together = CONTEXT_BYTES + dataset.train.nbytes if in_engine else 0.0
    usable = max(0.0, (1 - _RESERVED_OF_GPU) * total - together)
    share = min(1 / n_trials, limit / usable) if usable else 1.0
    which = f"{share:.4g} of the {gib(usable)} that a GPU of {gib(total)} has for trials"
    return Memory("GPU", usable, which, n_trials, limit)


def _memory_of_host(dataset: Dataset, n_trials: int = 1, *, in_engine: bool) -> Memory:
    others = _RAY_BYTES + 2 * dataset.n_bytes + (PROCESS_BYTES if in_engine else 0.0)
    usable = max(0.0, usable_bytes() - _RESERVED * limit_bytes() - others)
    many = f", for {n_trials} trials at a time" if n_trials > 1 else ""
    return Memory("host", usable, f"{gib(usable)} are free here{many}", n_trials)


def require_memory(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    memory: Sequence[Memory],
    *,
    device: str,
    in_engine: bool = False,
    has_begun: bool = False,
) -> Largest:
    """Return the largest training of a search, once it is sure that it fits.

    Args:
        space: what is searched, with the presets that are tried.
        configs: those that are trained instead of a search, if any.
        dataset: that they learn.
        memory: that trials share.
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
    if any(_MARGIN * needs.on(m.kind) > m.bytes_per_trial for m in memory) and not in_engine:
        needs = sizes(config, exact=True)
    for shared in memory:
        if needs.on(shared.kind) > shared.bytes_per_trial:
            savings = {} if configs else _savings(space, config, rough_size)
            raise _too_large(space, config, needs, shared, savings, has_begun=has_begun)
    return Largest(config, needs)


def require_disk(space: SearchSpace, config: Config, dataset: Dataset, results: AnyPath) -> None:
    """Check that the members of a population, which wait as files, fit on the disk of `results`.

    `config` is the largest configuration. The room of an object store isn't known here.

    Raises:
        ConfigError: they don't fit; with the bytes and the remedies.
    """
    if isinstance(results, RemotePath):
        return
    training = space.family.build(config, dataset, 0, "cpu")
    # Each file has the best state beside the present one, if that is what is kept in the end.
    state = len(training.save()) * (2 if space.keep == "best" else 1)
    training.close()
    of_member, n = (1 + N_KEPT_STATES) * state, space.budget.trials
    folder = results.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if n * of_member > free:
        raise ConfigError(
            f"{space.name}: budget.trials: {n:,} members of a population wait as files, "
            f"{gib(of_member)} each at most, and need {gib(n * of_member)} in {results}, where "
            f"{gib(free)} are free. Give a folder on a larger disk by --results, or try fewer: "
            f"--trials {max(1, int(free / of_member))}."
        )


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
    presets = [*space.baselines, *map(space.preset, space.start_from)]
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
    memory: Memory,
    savings: Mapping[str, float],
    *,
    has_begun: bool,
) -> ConfigError:
    names = dict.fromkeys([*savings, *space.family.size_parameters])
    values = ", ".join(f"{name}={short(getattr(config, name))}" for name in names)
    largest = f" It is {values}." if values else ""
    advice = ["make its networks or its batch size smaller"]
    if has_begun:
        advice = ["resume the run on a machine with more memory"]
    elif savings:
        advice = [f"lower the upper bound of {next(iter(savings))}, or drop its largest values"]
    if n := memory.holds(needs):
        advice.append(
            f"give a trial more of a GPU: --gpus-per-trial {gpu_fraction(n):g}, of which {n} fit, "
            "or auto"
            if memory.kind == "GPU"
            else f"run fewer trials at a time: --max-concurrent {n}"
        )
    where = "of a GPU" if memory.kind == "GPU" else "of this machine's memory"
    remedies = "; or ".join(advice)
    return ConfigError(
        f"{space.name}: the largest configuration needs {gib(needs.on(memory.kind))} {where} "
        f"({needs.describe(memory.kind)}), where a trial has {gib(memory.bytes_per_trial)}: "
        f"{memory.explanation}.{largest} {remedies[0].upper()}{remedies[1:]}."
    )
