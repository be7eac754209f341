"""The budget of a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from gansearch.rules import Validated, parameter

# Durations of a training that other tools count in epochs.
EPOCH_WORDS = ("epochs", "n_epochs", "num_epochs", "max_epochs", "epoch", "n_epoch", "nepochs")
_IN_EPOCHS = (
    "A budget counts parameter updates, not epochs: max_updates. An epoch is the updates of an "
    "iteration, k + 1, times the training examples, divided by batch_size."
)
_IN_ITERATIONS = (
    "A budget counts parameter updates, not iterations: max_updates. An iteration is k + 1 updates."
)
_OTHER_WORDS: dict[str, tuple[str, ...] | str] = {
    **dict.fromkeys(EPOCH_WORDS, _IN_EPOCHS),
    **dict.fromkeys(("iterations", "n_iters", "num_iterations", "max_iters"), _IN_ITERATIONS),
    **dict.fromkeys(("iters", "niter", "n_iter", "max_steps", "n_steps", "steps"), _IN_ITERATIONS),
    **dict.fromkeys(("num_steps", "train_steps", "n_iterations", "max_iter"), _IN_ITERATIONS),
    **dict.fromkeys(("updates", "n_updates", "max_t", "max_resource"), ("max_updates",)),
    **dict.fromkeys(("n_trials", "num_trials", "num_samples", "max_trials"), ("trials",)),
    **dict.fromkeys(("budget", "max_evals", "evals", "n_evals"), ("trials", "max_updates")),
    **dict.fromkeys(("n_reports", "evaluations", "eval_every", "eval_freq"), ("reports",)),
    **dict.fromkeys(("grace_period", "min_resource", "min_t", "warmup_steps"), ("grace",)),
    **dict.fromkeys(("eta", "rf", "reduction"), ("reduction_factor",)),
    **dict.fromkeys(("n_top", "top_k", "topk", "n_best"), ("top",)),
    **dict.fromkeys(("n_replicas", "n_seeds", "seeds", "repeats", "n_repeats"), ("replicas",)),
}


SCHEDULERS = ("asha", "freeze_thaw", "pbt")
# With freeze_thaw and pbt a trial may pause at the grace, and then whenever it has done so many
# times more.
_PAUSE_FACTOR = 1.5
# The share of freeze_thaw's updates for trials before their grace, as long as there are new ones.
NEW_SHARE = 0.5


@dataclass(frozen=True)
class Budget(Validated):
    """What a search may spend, counted in parameter updates: k of D and one of G an iteration."""

    _what: ClassVar[str] = "budget"
    other_words: ClassVar[Mapping[str, tuple[str, ...] | str]] = _OTHER_WORDS

    trials: int = parameter(60, "int", "configurations that the search tries", low=1, high=10**7)
    max_updates: int = parameter(
        60000,
        "int",
        "parameter updates of a full training, of D and G together",
        low=1,
        high=10**12,
    )
    reports: int = parameter(20, "int", "evaluations over a full training", low=1, high=100000)
    grace: float = parameter(
        0.15, "float", "fraction of max_updates before which no trial is stopped", low=0, high=1
    )
    reduction_factor: float = parameter(
        3,
        "float",
        "at each rung the best 1/reduction_factor of the trials continue (ASHA)",
        low=1.1,
        high=100,
    )
    scheduler: str = parameter(
        "asha",
        "str",
        "what is done with trials of a low score: asha stops them at rungs for good; freeze_thaw "
        "pauses them, and continues those that promise most; pbt puts copies of better ones in "
        "their places, which train on with changed hyperparameters",
        choices=SCHEDULERS,
    )
    give_up: float = parameter(
        0.05,
        "float",
        "a trial whose samples look collapsed is stopped when the probability that it recovers by "
        "the end of its training is below this; 0: never",
        low=0,
        high=1,
    )
    top: int = parameter(
        3, "int", "best configurations that are trained again on fresh seeds", low=0, high=10000
    )
    replicas: int = parameter(
        5,
        "int",
        "fresh seeds for each of these and for the baseline of the space, if it has one, such as "
        "the paper's configuration",
        low=0,
        high=10000,
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    def report_updates(self) -> list[int]:
        """Return the updates at (or just after) which a trial is evaluated, ascending and distinct.

        The last is `max_updates`. With fewer updates than `reports`, each update is evaluated.
        """
        marks = (round(i * self.max_updates / self.reports) for i in range(1, self.reports + 1))
        return sorted({max(1, mark) for mark in marks})

    @property
    def grace_updates(self) -> int:
        """Number of updates before which no trial is stopped for its score or its health."""
        return max(1, round(self.grace * self.max_updates))

    @property
    def rung_updates(self) -> list[float]:
        """Updates of the rungs: the first at the grace, each next reduction_factor times as far."""
        rungs = []
        updates = float(min(self.grace_updates, self.max_updates))
        while updates <= self.max_updates:
            rungs.append(updates)
            updates *= self.reduction_factor
        return rungs

    @property
    def pause_updates(self) -> list[float]:
        """Updates at which a trial may be paused, ascending; the last are `max_updates`."""
        levels = [float(min(self.grace_updates, self.max_updates))]
        while levels[-1] * _PAUSE_FACTOR < self.max_updates:
            levels.append(levels[-1] * _PAUSE_FACTOR)
        return levels if levels[-1] == self.max_updates else [*levels, float(self.max_updates)]

    @property
    def expected_updates(self) -> float:
        """Updates of a trial of the search on average, if each rung stops as many as it should."""
        ends = [0.0, *self.rung_updates, float(self.max_updates)]
        return self.updates_under_scheduler(
            sum(
                self.reduction_factor**-i * (end - start)
                for i, (start, end) in enumerate(pairwise(ends))
            )
        )

    def updates_under_scheduler(self, updates: float) -> float:
        """Return the updates of a trial on average from those under ASHA.

        Under freeze_thaw they are about as many, as measured, but so many that the part before the
        grace has no more than its share.
        """
        if self.scheduler != "freeze_thaw":
            return updates
        return min(float(self.max_updates), max(updates, self.grace_updates / NEW_SHARE))
