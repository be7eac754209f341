"""Configurations that no trial has tried yet, proposed by Optuna.

Optuna's samplers propose a configuration again and again where no float is searched: a repetition
may be worth a trial of a noisy objective. Here it is not, since replicas on fresh seeds follow.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState

from gansearch.errors import GansearchError, RunFailedError
from gansearch.rules import Config
from gansearch.runs.schemas import config_values
from gansearch.seeds import trial_seed
from gansearch.space.counting import configurations, grid_of, n_configurations
from gansearch.space.search_space import SearchSpace
from gansearch.system.user_code import describe_error
from gansearch.tune.journal import journal_batch
from gansearch.tune.samplers import EnumeratingSampler, GridSampler

# How often the sampler is asked again, before the first of so many random draws is taken.
_N_ASKED = 5
_N_DRAWS = 1000
# Up to so many configurations are kept in a list, which is shuffled.
_MAX_LISTED = 10_000
# After so many failed trials a configuration counts as tried: the fault may be its own.
_MAX_FAILURES = 2


class Proposals:
    """Proposes each configuration of a space once, until there is no other.

    A repetition ends in the study as failed, from which no sampler learns anything, with the number
    of the earlier trial as attribute `repeats`. Where the study's sampler is an
    `EnumeratingSampler`, they are all of the space or of its grid, in an order that is the seed's.

    Args:
        space: the searched space.
        study: the run's study.
        seed: of the run.
        rows: of the search's earlier trials, as in `trials.parquet`.

    Attributes:
        n_in_space: the number of configurations of the space, or of its grid; None if there is no
            end of them.
    """

    def __init__(
        self,
        space: SearchSpace,
        study: optuna.Study,
        *,
        seed: int,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._enumerates = isinstance(study.sampler, EnumeratingSampler)
        self._listed = grid_of(space) if isinstance(study.sampler, GridSampler) else space
        self.n_in_space = n_configurations(self._listed)
        self._space = space
        self._study = study
        self._seed = seed
        self._numbers: dict[str, int] = {}  # of the trials that have tried them, by config_id
        self._failures: Counter[str] = Counter()
        self._beside: set[str] = set()  # the grid: configurations that were tried all the same
        self._rest: Iterator[Config] = (
            iter(()) if self.n_in_space is None else configurations(self._listed)
        )
        for row in sorted(rows, key=lambda row: row["status"] != "failed"):
            self._numbers[row["config_id"]] = row["number"]
            if self.is_of_grid:
                self._note_place(space.table.from_dict(config_values(row, space.table)))
            if row["status"] == "failed":
                self.note_failure(row["number"])

    @property
    def is_of_grid(self) -> bool:
        """Whether they are those of the space's grid."""
        return self._listed is not self._space

    @property
    def n_left(self) -> float:
        """How many configurations have not been tried, perhaps infinitely many."""
        if self.n_in_space is None:
            return math.inf
        return self.n_in_space - len(self._numbers) + len(self._beside & self._numbers.keys())

    def next(self) -> tuple[Trial, Config] | None:
        """Return a trial of the study and its configuration, or None if all have been tried."""
        if self.n_left <= 0:
            return None
        for _ in range(self._n_waiting() if self._enumerates else _N_ASKED):
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
        try:
            trial = self._study.ask()
            with journal_batch(self._study):
                config = self._space.suggest(trial)
        except GansearchError:
            raise
        except Exception as error:  # of a sampler's code, which may be anybody's
            raise RunFailedError(
                f"the sampler fails to propose a configuration: {describe_error(error)}. "
                "Everything reported is kept. Take another sampler, such as --sampler tpe; a run "
                "that has begun goes on with it: gansearch resume RUN --sampler tpe."
            ) from error
        if (earlier := self._numbers.get(config.config_id)) is None:
            self._numbers[config.config_id] = trial.number
            self._note_place(config)
            return trial, config
        trial.set_user_attr("repeats", earlier)
        self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _note_place(self, config: Config) -> None:
        if self.is_of_grid and not self._listed.contains(config):
            self._beside.add(config.config_id)

    def _n_waiting(self) -> int:
        """Return how many trials are in the study's queue, such as presets to start from."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    @cached_property
    def _list(self) -> list[tuple[str, Config]]:
        """All configurations to enumerate, with their ids; empty if they are too many."""
        if not self._enumerates or (self.n_in_space or math.inf) > _MAX_LISTED:
            return []
        listed = [(config.config_id, config) for config in configurations(self._listed)]
        random.Random(trial_seed(self._seed, "order of the grid", 0)).shuffle(listed)
        return listed

    def _find_untried(self) -> Config | None:
        """Return an untried configuration, at random if there are many; None if there is none."""
        if self._list:
            untried = (config for config_id, config in self._list if config_id not in self._numbers)
            return next(untried, None)
        seed = trial_seed(self._seed, "random draws", len(self._numbers))
        draws = optuna.create_study(sampler=RandomSampler(seed=seed))
        for _ in range(_N_DRAWS):
            config = self._listed.suggest(draws.ask())
            if config.config_id not in self._numbers:
                return config
        return next((each for each in self._rest if each.config_id not in self._numbers), None)
