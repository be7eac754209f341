"""How many slots of groups are taken: of what the built-in spaces train, at 8 and 32 at a time.

    python benchmarks/studies/fill.py

Of a search, random draws of its space; of replicas, those of as many random configurations as are
trained again, and of the baseline, one after the other. Groups of eight slots are what all runs had
before. Trials that share no group don't count.
"""

from __future__ import annotations

import argparse
import random
import statistics

import optuna

from gansearch.space.load import builtin_spaces, load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.plan import MAX_SLOTS
from gansearch.tune.slots import (
    Keys,
    drawn_keys,
    draws_of,
    fill,
    replica_grouping,
    search_grouping,
    waves_of,
)

_N_CONFIGS = 1000
_N_FINALS = 100  # that the replicas are averaged over


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--at-a-time", type=int, nargs="+", default=[8, 32], help="trials per GPU")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| space | at a time | search, 8 slots | search, now | replicas, 8 slots | now |")
    print(f"|{'---|' * 6}")
    for name in sorted(builtin_spaces()):
        space = load_space(name)
        keys = drawn_keys(space, _N_CONFIGS, seed=1)
        for n in arguments.at_a_time:
            cells = *_of_search(space, keys, n), *_of_replicas(space, keys, n)
            print(f"| `{name}` | {n} | {' | '.join(cells)} |")


def _of_search(space: SearchSpace, keys: Keys, n: int) -> tuple[str, str]:
    draws, n_slots = draws_of(keys, n), search_grouping(space, n).n_slots
    return f"{fill(draws, MAX_SLOTS):.2f}", f"{fill(draws, n_slots):.2f} of {n_slots}"


def _of_replicas(space: SearchSpace, keys: Keys, n: int) -> tuple[str, str]:
    rng, n_replicas = random.Random(0), space.budget.replicas
    before, now, slots = [], [], set()
    for _ in range(_N_FINALS):
        finals = [
            *rng.sample(keys, space.budget.top),
            *map(space.family.group_key, space.baselines),
        ]
        grouping = replica_grouping(finals, n_replicas, n)
        before.append(fill(waves_of(finals, n_replicas, n), MAX_SLOTS))
        now.append(fill(waves_of(finals, n_replicas, grouping.n_at_a_time), grouping.n_slots))
        slots.add(grouping.n_slots)
    which = " or ".join(map(str, sorted(slots)))
    return f"{statistics.mean(before):.2f}", f"{statistics.mean(now):.2f} of {which}"


if __name__ == "__main__":
    main()
