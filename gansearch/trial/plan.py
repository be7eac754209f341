"""What all trials of a phase share; it goes to every worker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gansearch.artifacts import Keep
from gansearch.budget import Budget
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.own_measures import VALID_LL, Objective, OwnMeasure
from gansearch.system.object_store import AnyPath
from gansearch.system.user_code import UserCode

# Trials that a GPU takes at a time where the user doesn't say: more that share kernels or replay
# graphs gain little (16 do 20 times the updates of one, 32 do 23 times: docs/groups.md), and those
# that an engine trains one after the other, or each in its process, gain little beyond four.
SHARING_PER_GPU = 16
OTHERS_PER_GPU = 4
# Cores for a trial's process where an engine trains it: it only waits.
CPUS_IN_ENGINE = 0.25
# States of a trial that are kept for its forks, beside its checkpoint.
N_KEPT_STATES = 3
# Trainings in a group: about eight use the bandwidth of a GPU well.
MAX_SLOTS = 8
# Share of the slots that must be taken: an empty one is computed like the others.
LEAST_FILL = 0.8


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a phase share.

    Attributes:
        folder: the run's folder, on storage that every node sees.
        family: the sections of the space that say what is trained, see `family_of`.
        code: what of the user's own code trials need.
        budget: updates, reports and grace of a full training.
        device: that trials train on: "cpu", "cuda" or "mps".
        memory_fraction: share of a GPU's memory that a process of trials may use, in (0, 1].
        slice_seconds: after which a trial saves its state if it pays, and hears of a stop.
        sign_seconds: after which a trial tells its progress, if no report is due by then.
        n_slots: of the groups in the engine that trains all trials of a device, see `Engine`; 0
            for no engine: each trial trains in its own process.
        n_evaluation_samples: that each evaluation uses.
        pauses: whether trials may be paused at the updates that the budget names.
        keeps_states: whether the latest sound states of each trial are kept, for its forks.
        keep: which state of each training is stored and scored.
        keep_discriminator: whether discriminators are stored beside the generators.
        measures: of the user's own.
        objective: what the run goes by; a trial in which it can't be computed fails.
    """

    folder: AnyPath
    family: Mapping[str, Any]
    budget: Budget
    code: UserCode = field(default_factory=UserCode)
    device: str = "cpu"
    memory_fraction: float = 1.0
    slice_seconds: float = 2.0
    sign_seconds: float = 0.0
    n_slots: int = 0
    n_evaluation_samples: int = N_EVALUATION_SAMPLES
    pauses: bool = False
    keeps_states: bool = False
    keep: Keep = "last"
    keep_discriminator: bool = False
    measures: tuple[OwnMeasure, ...] = ()
    objective: Objective = VALID_LL

    @property
    def signs_are_rare(self) -> bool:
        """Whether trials train for several slices without a word to the driver."""
        return self.sign_seconds > self.slice_seconds

    @property
    def scoring_device(self) -> str:
        """Where samples are scored, which takes double precision."""
        from gansearch.system.devices import exact_device  # imports torch

        return exact_device(self.device)


def slice_seconds(n_trials: int) -> float:
    """Return the length of a slice where `n_trials` run at a time.

    A slice takes at most 5 s: Tune ends a worker 10 s after it was asked to stop, and it should
    have saved its state by then.

    >>> [slice_seconds(n) for n in (8, 128, 1024)]
    [2.0, 4.0, 5.0]
    """
    return min(sign_seconds(n_trials), 5.0)


def sign_seconds(n_trials: int) -> float:
    """Return after how long each of `n_trials` tells its progress.

    The driver then receives about 32 signs per second, however many trials there are.

    >>> [sign_seconds(n) for n in (8, 128, 1024)]
    [2.0, 4.0, 32.0]
    """
    return max(2.0, n_trials / 32)


def trials_per_gpu(fraction: float) -> int:
    """Return how many trials share a GPU, given the fraction for each: one where it is above 1.

    >>> [trials_per_gpu(fraction) for fraction in (0.3333, 0.4, 2)]
    [3, 2, 1]
    """
    return max(1, int(1 / fraction + 1e-9))


def gpu_fraction(n_trials: int) -> float:
    """Return the fraction of a GPU for each of `n_trials`, in the ten-thousandths that Ray counts.

    >>> gpu_fraction(3)
    0.3333
    """
    return math.floor(10_000 / n_trials) / 10_000
