"""Each trial's share of the cluster: GPUs, cores, and how many trials run at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from gansearch.errors import BadInputError
from gansearch.rules import count_of
from gansearch.system.devices import gpu_device, why_no_gpu
from gansearch.system.failures import MemoryKind
from gansearch.trial.plan import trials_per_gpu
from gansearch.tune.placement import Placement
from gansearch.tune.ray_internals import has_autoscaler
from gansearch.tune.room import Room
from gansearch.tune.settings import Settings

_ON_THE_CPU = Placement("cpu", 0.0, 1.0, False)


@dataclass(frozen=True)
class Share:
    """The resources of a trial, and how many trials run at a time.

    Attributes:
        gpus_per_trial: fraction of a GPU, 0 for none.
        max_concurrent: trials at a time.
        n_together: trials at a time on a device that an engine trains together; 0 for no engines.
        cpus_per_trial: cores that are reserved for a trial.
        device: that trials train on: "cpu", "cuda" or "mps".
        room: how the fraction was found; None if the user gave it, and without a GPU.
    """

    gpus_per_trial: float
    max_concurrent: int
    n_together: int = 0
    cpus_per_trial: float = 1.0
    device: str = "cpu"
    room: Room | None = None

    def at_a_time(self, n_on_a_device: int) -> int:
        """Return how many trials run at a time where engines train fewer than `n_together`."""
        if not self.n_together:
            return self.max_concurrent
        return max(1, self.max_concurrent * n_on_a_device // self.n_together)

    @property
    def trials_per_gpu(self) -> int | None:
        """How many trials share a GPU, if that was found and not given."""
        return self.room.n_trials if self.room is not None else None

    @property
    def memory_fraction(self) -> float:
        """Share of a GPU's memory for a process that trains: all of it for an engine."""
        return 1.0 if self.n_together else min(self.gpus_per_trial, 1.0) or 1.0


def share_of_cluster(
    settings: Settings,
    memory_holds: int | None = None,
    *,
    has_engine: bool = True,
    where: Placement = _ON_THE_CPU,
    room: Room | None = None,
    resources: Mapping[str, float] | None = None,
) -> Share:
    """Return each trial's share of the connected cluster, or of `resources`.

    A cluster with an autoscaler may have no nodes yet. There `max_concurrent` alone decides how
    many trials wait for nodes.

    Args:
        settings: of the run.
        memory_holds: how many trials fit into the memory at a time; used only on this machine,
            and if `max_concurrent` is not set.
        has_engine: whether the model family trains several trials together.
        where: the trials train.
        room: of a GPU, if its share for a trial is to be found.
        resources: of this machine, before Ray starts on it; None: those of the connected cluster.

    Raises:
        BadInputError: no trial fits, an engine is requested from a family that has none, or torch
            can't use the GPU.
    """
    if settings.group_trials == "on" and not has_engine:
        raise BadInputError(
            "--group-trials on: this model family trains each trial in a process of its own. "
            "Leave the flag out."
        )
    if settings.group_trials == "on" and where.device == "mps":
        raise BadInputError(
            "--group-trials on: on Apple silicon's GPU each trial trains in a process of its own. "
            "Leave the flag out, or give --gpus-per-trial 0 to train in groups on CPU cores."
        )
    available: Mapping[str, float] = resources or cluster_resources()
    gpus = settings.gpus_per_trial
    if gpus is None:
        gpus = room.gpus_per_trial if room is not None else 0.0
    cpus = where.cpus_per_trial(settings)
    if settings.max_concurrent and settings.address and has_autoscaler():
        at_a_time = settings.max_concurrent
    else:
        fitting = _n_fitting(settings, gpus, cpus, available)
        if memory_holds is not None and not settings.address:
            fitting = min(fitting, settings.max_concurrent or memory_holds)
        at_a_time = max(1, min(fitting, settings.max_concurrent or fitting))
    _require_torch_on_gpu(settings, gpus)
    n_together = 0
    if where.in_engine and gpus:
        n_together = min(trials_per_gpu(gpus), at_a_time)
    elif settings.group_trials == "on" and not gpus:
        n_together = at_a_time
    return Share(gpus, at_a_time, n_together, cpus, where.device if gpus else "cpu", room)


def cluster_resources() -> dict[str, float]:
    """Return what the connected cluster has, such as `{"CPU": 8, "GPU": 1}`."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def _require_torch_on_gpu(settings: Settings, gpus: float) -> None:
    """Raise BadInputError if Ray has a GPU here that torch can't use; nodes are checked alike."""
    if gpus and not settings.address and gpu_device() is None:
        raise BadInputError(
            f"--gpus-per-trial {gpus:g}: torch can't use the GPU of this machine: {why_no_gpu()}. "
            "Install a torch build for a CUDA version that the driver supports, or update the "
            "driver. Or give --gpus-per-trial 0 to train on CPU cores."
        )


def _n_fitting(
    settings: Settings,
    gpus_per_trial: float,
    cpus_per_trial: float,
    available: Mapping[str, float],
) -> int:
    """Return how many trials fit into the available resources."""
    cpus, gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    where = "the cluster" if settings.address else "this machine"
    if cpus_per_trial > cpus:
        raise BadInputError(
            f"--cpus-per-trial {cpus_per_trial:g}: {where} has {count_of(cpus, 'core')}. "
            f"A trial must fit into it. Give --cpus-per-trial {max(cpus, 1):g} or less."
            f"{_autoscaler_hint(settings)}"
        )
    if gpus_per_trial > gpus:
        fewer = f"--gpus-per-trial {gpus:g} or less, or " if gpus else ""
        raise BadInputError(
            f"--gpus-per-trial {gpus_per_trial:g}: {where} has {count_of(gpus, 'GPU')}. A trial "
            f"must fit into it. Give {fewer}--gpus-per-trial 0 to train on CPU cores."
            f"{_autoscaler_hint(settings)}"
        )
    fitting = int(cpus / cpus_per_trial + 1e-9)
    if gpus_per_trial >= 1:
        return min(fitting, int(gpus / gpus_per_trial))
    # A trial's fraction is of one GPU.
    return min(fitting, int(gpus) * trials_per_gpu(gpus_per_trial)) if gpus_per_trial else fitting


def _autoscaler_hint(settings: Settings) -> str:
    if not (settings.address and has_autoscaler()):
        return ""
    return " Or set --max-concurrent to the number of trials that it starts nodes for."


def exclusive_resources(share: Share) -> dict[MemoryKind, dict[str, float]]:
    """Return the resources that a trial requests to be alone on a GPU, and on a node.

    If nodes differ in cores, the smallest counts, so that a trial never waits for a node that has
    left the cluster.
    """
    gpus = share.gpus_per_trial
    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in listed if node["Alive"]]
    cores = [n.get("CPU", 0.0) for n in nodes if n.get("GPU", 0.0) >= min(gpus, 1.0)]
    enough = [n for n in cores if n >= share.cpus_per_trial]
    node = {"cpu": min(enough, default=share.cpus_per_trial), "gpu": gpus}
    if not gpus:
        return {"host": node}
    return {"GPU": {"cpu": share.cpus_per_trial, "gpu": max(1.0, gpus)}, "host": node}
