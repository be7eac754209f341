"""What all trials of a phase share; it goes to every worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gansearch.config import Budget


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a phase share.

    Attributes:
        folder: the run's folder, on storage that every node sees.
        budget: updates, reports and grace of a full training.
        device: "cpu" or "cuda".
        memory_fraction: share of a GPU's memory that a process of trials may use, in (0, 1].
        n_slots: of the engine that trains all trials of a device together, see `Engine`; 0 for none
            where each trial trains in its own process.
    """

    folder: Path
    budget: Budget
    device: str = "cpu"
    memory_fraction: float = 1.0
    n_slots: int = 0
