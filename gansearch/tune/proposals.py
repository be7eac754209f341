"""Configurations that no trial has tried yet, proposed by Optuna.

Optuna's samplers propose a configuration again and again where no float is searched: a repetition
may be worth a trial of a noisy objective. Here it is not, since replicas on fresh seeds follow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState

from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.counting import configurations, n_configurations
from gansearch.space.search_space import SearchSpace

# How often the sampler is asked again, before the first of so many random draws is taken.
_N_ASKED = 5
_N_DRAWS = 1000
# After so many failed trials a configuration counts as tried: the fault may be its own.
_MAX_FAILURES = 2


class Proposals:
    """Proposes each configuration of a space once, until there is no other.

    A repetition ends in the study as failed, from which no sampler learns anything, with the number
    of the earlier trial as attribute `repeats`.

    Args:
        space: the searched space.
        study: the run's study.
        seed: of the run.
        rows: of the search's earlier trials, as in `trials.parquet`.

    Attributes:
        n_in_space: the number of configurations of the space; None if there is no end of them.
    """

    def __init__(
        self,
        space: SearchSpace,
        study: optuna.Study,
        *,
        seed: int,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.n_in_space = n_configurations(space)
        self._space = space
        self._study = study
        self._seed = seed
        self._numbers: dict[str, int] = {}  # of the trials that have tried them, by config_id
        self._failures: Counter[str] = Counter()
        self._rest: Iterator[Config] = (
            iter(()) if self.n_in_space is None else configurations(space)
        )
        for row in sorted(rows, key=lambda row: row["status"] != "failed"):
            self._numbers[row["config_id"]] = row["number"]
            if row["status"] == "failed":
                self.note_failure(row["number"])

    @property
    def n_left(self) -> float:
        """How many configurations have not been tried, perhaps infinitely many."""
        return math.inf if self.n_in_space is None else self.n_in_space - len(self._numbers)

    def next(self) -> tuple[Trial, Config] | None:
        """Return a trial of the study and its configuration, or None if all have been tried."""
        if self.n_left <= 0:
            return None
        for _ in range(_N_ASKED):
            if (found := self._ask()) is not None:
                return found
        if (config := self._find_untried()) is None:
            return None
        self._study.enqueue_trial(self._space.encode(config))
        # A driver that was killed may have left others in the queue, which come first.
        while (found := self._ask()) is None:
            pass
        return found

    def note_failure(self, number: int) -> None:
        """Let the configuration of a failed trial be proposed again, unless it fails repeatedly."""
        config_id = next((each for each, of in self._numbers.items() if of == number), None)
        if config_id is None:
            return
        self._failures[config_id] += 1
        if self._failures[config_id] < _MAX_FAILURES:
            del self._numbers[config_id]

    def _ask(self) -> tuple[Trial, Config] | None:
        trial = self._study.ask()
        config = self._space.suggest(trial)
        if (earlier := self._numbers.get(config.config_id)) is None:
            self._numbers[config.config_id] = trial.number
            return trial, config
        trial.set_user_attr("repeats", earlier)
        self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _find_untried(self) -> Config | None:
        """Return an untried configuration, at random if there are many; None if there is none."""
        seed = trial_seed(self._seed, "random draws", len(self._numbers))
        draws = optuna.create_study(sampler=RandomSampler(seed=seed))
        for _ in range(_N_DRAWS):
            config = self._space.suggest(draws.ask())
            if config.config_id not in self._numbers:
                return config
        return next((each for each in self._rest if each.config_id not in self._numbers), None)
