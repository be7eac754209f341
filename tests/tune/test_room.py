"""How many trials a GPU takes at a time, and on what that depends."""

from __future__ import annotations

import pytest

from gansearch.budget import Budget
from gansearch.tune.room import Room, trials_by_budget, trials_that_pay


def test_the_lowest_bound_decides_and_is_named():
    room = Room(memory=300, cores=32, pays=16, budget=20)
    assert (room.n_trials, room.gpus_per_trial) == (16, 0.0625)
    assert room.describe() == (
        "16 trials at a time on a GPU, "
        "limited by what pays (its memory 300, the cores 32, the budget 20)"
    )
    assert (
        Room(memory=3, cores=32, pays=16, budget=20)
        .describe()
        .startswith("3 trials at a time on a GPU, limited by its memory")
    )
    assert Room(memory=None, cores=2, pays=16, budget=20).n_trials == 2
    assert Room(memory=0, cores=2, pays=16, budget=20).n_trials == 1  # it is refused elsewhere


@pytest.mark.parametrize("n", range(1, 65))
def test_ray_counts_as_many_trials_on_a_gpu_as_there_are_to_be(n):
    share = Room(memory=None, cores=n, pays=n, budget=n).gpus_per_trial
    assert share == round(share, 4) and n * share <= 1 < (n + 1) * share


def test_trials_that_share_nothing_are_worth_less_room():
    numbers = [trials_that_pay(alone / 10) for alone in range(11)]
    assert numbers[0] == 16 and numbers[-1] == 4
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize(
    ("budget", "how", "expected"),
    [
        ({"trials": 60}, {}, 20),  # a sampler learns from the first third
        ({"trials": 60}, {"n_gpus": 8}, 4),  # no GPU stays idle while others are full
        ({"trials": 3}, {}, 4),
        ({"trials": 60}, {"max_concurrent": 2}, 2),
        ({"trials": 60}, {"max_concurrent": 10, "n_gpus": 4}, 3),
        ({"replicas": 5}, {"n_configs": 2}, 10),
    ],
)
def test_trials_are_spread_over_the_gpus_that_there_are(budget, how, expected):
    how = {"n_configs": 0, "max_concurrent": None, "n_gpus": 1} | how
    assert trials_by_budget(Budget(**budget), **how) == expected
