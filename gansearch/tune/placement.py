"""On which device trials train, and whether in an engine, as far as is known without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gansearch.rules import Config
from gansearch.space.search_space import SearchSpace
from gansearch.system.devices import gpu_device
from gansearch.trial.plan import CPUS_IN_ENGINE
from gansearch.tune.settings import Settings
from gansearch.tune.slots import N_CONFIGS, drawn_configs


@dataclass(frozen=True)
class Placement:
    """Where trials train.

    Attributes:
        device: of trials: "cpu", "cuda" or "mps".
        gpus_per_trial: fraction of a GPU for each; None if it is to be found.
        alone: which share of the trials can share no group with others, in [0, 1].
        in_engine: whether an engine trains all trials of a GPU.
    """

    device: str
    gpus_per_trial: float | None
    alone: float
    in_engine: bool

    def cpus_per_trial(self, settings: Settings) -> float:
        """Return the cores to reserve for a trial, as given or else as many as it takes."""
        return settings.cpus_per_trial or (CPUS_IN_ENGINE if self.in_engine else 1.0)


def placement(
    space: SearchSpace,
    configs: Sequence[Config],
    settings: Settings,
    *,
    has_gpus: bool | None = None,
) -> Placement:
    """Return where the trials of a search, or of `configs`, train.

    Args:
        space: that is searched.
        configs: that are trained instead of a search, if any.
        settings: of the run.
        has_gpus: whether Ray has GPUs; None if that isn't known yet.
    """
    gpus = settings.gpus_per_trial
    device = "cuda" if settings.address and has_gpus else gpu_device()
    if gpus is None and (device is None or has_gpus is False):
        gpus = 0.0
    if gpus == 0:
        return Placement("cpu", gpus, 1.0, False)
    device = device or "cuda"  # asked for; refused if there is none
    if device != "cuda" or not space.family.has_engine:
        return Placement(device, gpus, 1.0, False)
    some = configs or drawn_configs(space, N_CONFIGS)
    alone = sum(space.family.group_key(config) is None for config in some) / len(some)
    has_groups = any(map(space.family.trains_in_group, some))
    return Placement(device, gpus, alone, _uses_engine(settings, gpus, has_groups=has_groups))


def _uses_engine(settings: Settings, gpus: float | None, *, has_groups: bool) -> bool:
    """Return whether an engine trains: not one that could only give each training its turn."""
    if settings.group_trials != "auto":
        return settings.group_trials == "on"
    several = (gpus is None or gpus <= 0.5) and settings.max_concurrent != 1
    return several and has_groups
