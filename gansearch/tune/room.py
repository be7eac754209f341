"""How many trials a GPU takes at a time, where the user doesn't say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gansearch.budget import Budget
from gansearch.rules import count_of
from gansearch.trial.plan import OTHERS_PER_GPU, SHARING_PER_GPU, gpu_fraction

# A sampler learns little from trials that all begin at once.
_LARGEST_SHARE_OF_TRIALS = 1 / 3


@dataclass(frozen=True)
class Room:
    """How many trials a GPU takes at a time, by each bound.

    Attributes:
        memory: as many of the largest as its memory holds; None if that isn't known.
        cores: as many as the cores hold, of those that there are for each GPU.
        pays: more would hardly do more updates together.
        budget: more would leave other GPUs idle, or the sampler without results to learn from.
    """

    memory: int | None
    cores: int
    pays: int
    budget: int

    @property
    def n_trials(self) -> int:
        """The number of trials at a time, one at least."""
        return max(1, min(n for n in self._bounds.values() if n is not None))

    @property
    def gpus_per_trial(self) -> float:
        """Fraction of a GPU for each."""
        return gpu_fraction(self.n_trials)

    def describe(self) -> str:
        """Return the number and its reason as text."""
        known = {name: n for name, n in self._bounds.items() if n is not None}
        lowest = min(known, key=known.__getitem__)
        others = ", ".join(f"{name} {n}" for name, n in known.items() if name != lowest)
        return (
            f"{count_of(self.n_trials, 'trial')} at a time on a GPU, limited by {lowest} ({others})"
        )

    @property
    def _bounds(self) -> dict[str, int | None]:
        return {
            "what pays": self.pays,
            "its memory": self.memory,
            "the cores": self.cores,
            "the budget": self.budget,
        }


def trials_that_pay(alone: float) -> int:
    """Return how many trials at a time are worth it, of which the share `alone` shares no group.

    >>> [trials_that_pay(alone) for alone in (0, 0.5, 1)]
    [16, 6, 4]
    """
    return int(1 / ((1 - alone) / SHARING_PER_GPU + alone / OTHERS_PER_GPU))


def trials_by_budget(
    budget: Budget, n_configs: int, max_concurrent: int | None, n_gpus: float
) -> int:
    """Return how many trials at a time each GPU can get of what a run trains.

    `n_configs` are compared without a search; 0 for a search.
    """
    if n_configs:
        n_trials = n_configs * budget.replicas
    else:
        # A search so short that it is over before a sampler learns anything is not slowed down.
        n_trials = max(
            math.ceil(_LARGEST_SHARE_OF_TRIALS * budget.trials), OTHERS_PER_GPU * int(n_gpus)
        )
    return max(1, math.ceil(min(n_trials, max_concurrent or n_trials) / n_gpus))
