"""How many slots the groups of a phase have, so that few of them stay empty.

An empty slot is computed like a full one. How many stay empty follows from which trials train at a
time: those of a search rarely share a structure, while all replicas of a configuration do. The
number of slots changes the last digits of results, so it depends on nothing but what a phase trains
and how many trials a device takes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import optuna
from optuna.samplers import RandomSampler

from gansearch.rules import Config
from gansearch.space.search_space import SearchSpace
from gansearch.trial.plan import LEAST_FILL, MAX_SLOTS

_N_DRAWS = 200  # of the trials that a search runs at a time
N_CONFIGS = 256  # that they are drawn from, or more: a configuration takes Optuna about a ms
_MARGIN = 0.05  # of the share of taken slots, since replicas don't end at the same moment

# By `ModelFamily.group_key`, what each of some trials must have in common with others to share a
# group; None for one that trains alone.
Keys: TypeAlias = Sequence[Hashable | None]


@dataclass(frozen=True)
class Grouping:
    """How a phase fills its groups.

    Attributes:
        n_slots: of a group; 0 for no groups.
        n_at_a_time: trials that train at a time on a device, if there are groups.
    """

    n_slots: int
    n_at_a_time: int


NO_GROUPS = Grouping(0, 0)


def search_grouping(space: SearchSpace, n_at_a_time: int) -> Grouping:
    """Return the groups of a search, where an engine has room for `n_at_a_time` trials.

    Groups are as few as they can be with enough slots taken; of equally few, the smallest.
    """
    if not n_at_a_time:
        return NO_GROUPS
    keys = drawn_keys(space, max(N_CONFIGS, 4 * n_at_a_time))
    draws = draws_of(keys, n_at_a_time)
    sizes = range(1, MAX_SLOTS + 1)
    full = [n for n in sizes if fill(draws, n) >= LEAST_FILL]
    return Grouping(min(full, key=lambda n: n_groups(draws, n)), n_at_a_time)


def replica_grouping(keys: Keys, n_replicas: int, n_at_a_time: int) -> Grouping:
    """Return the groups of `n_replicas` of each configuration, trained in their order.

    `keys` has what each configuration must share. As for a search, except that as many train at a
    time as fill whole groups: with room for eight, five replicas of a configuration train in one
    group of five, and not beside three of the next. They take equally long, so that nearly all
    begin when others end.
    """
    if not n_at_a_time:
        return NO_GROUPS
    waves = {
        n_slots: waves_of(keys, n_replicas, n_at_a_time // n_slots * n_slots)
        for n_slots in range(1, min(MAX_SLOTS, n_at_a_time) + 1)
    }
    full = [n for n in waves if n == 1 or fill(waves[n], n) >= LEAST_FILL + _MARGIN]
    n_slots = min(full, key=lambda n: n_groups(waves[n], n))
    return Grouping(n_slots, n_at_a_time // n_slots * n_slots)


def drawn_keys(space: SearchSpace, n: int, *, seed: int = 0) -> Keys:
    """Return the keys of n random configurations of a space."""
    return [space.family.group_key(config) for config in drawn_configs(space, n, seed=seed)]


def drawn_configs(space: SearchSpace, n: int, *, seed: int = 0) -> list[Config]:
    """Return n random configurations of a space."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a study says that it has been made
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n)]


def draws_of(keys: Keys, n_at_a_time: int) -> list[Keys]:
    """Return random draws of the trials that a search runs at a time."""
    rng = random.Random(0)
    return [rng.sample(keys, n_at_a_time) for _ in range(_N_DRAWS)]


def waves_of(keys: Keys, n_replicas: int, n_at_a_time: int) -> list[Keys]:
    """Return the replicas that train at a time, first to last."""
    replicas = [key for key in keys for _ in range(n_replicas)]
    return [replicas[i : i + n_at_a_time] for i in range(0, len(replicas), n_at_a_time)]


def fill(draws: Sequence[Keys], n_slots: int) -> float:
    """Return which share of the slots is taken, in [0, 1]; 1 where no trials share groups."""
    n_trials = sum(key is not None for keys in draws for key in keys)
    n_all = n_slots * n_groups(draws, n_slots)
    return n_trials / n_all if n_all else 1.0


def n_groups(draws: Sequence[Keys], n_slots: int) -> int:
    """Return how many groups of `n_slots` are needed, summed over all draws."""
    counts = (n for keys in draws for key, n in Counter(keys).items() if key is not None)
    return sum(-(-n // n_slots) for n in counts)
