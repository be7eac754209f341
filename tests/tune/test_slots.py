"""How many slots groups have, and that few of them stay empty in what the built-in spaces train."""

from __future__ import annotations

import random

import optuna
import pytest

from gansearch.space.load import load_space
from gansearch.tune.slots import (
    NO_GROUPS,
    Grouping,
    drawn_configs,
    drawn_keys,
    draws_of,
    fill,
    n_groups,
    replica_grouping,
    search_grouping,
)

SPACES = ("digits", "mnist", "cifar10", "tfd", "ring", "grid", "gaussian", "folder")


def test_empty_slots_count_as_computed_and_trials_alone_do_not():
    company = ["a", "a", "a", "b", None]
    assert fill([company], 1) == 1
    assert fill([company], 2) == 4 / 6
    assert fill([company], 4) == 4 / 8
    assert fill([[None, None]], 8) == 1


def test_a_search_of_one_structure_has_full_groups_and_one_of_many_has_single_slots():
    alike = load_space(
        "mnist",
        [
            *("noise_dim=100", "generator_ema=0.0", "generator_activation=relu"),
            *("discriminator_activation=leaky_relu", "maxout_pieces=5"),
        ],
    )
    assert search_grouping(alike, 16) == Grouping(8, 16)
    assert search_grouping(alike, 5) == Grouping(5, 5)
    assert search_grouping(alike, 20) == Grouping(7, 20)  # three groups, as with eight slots
    assert search_grouping(load_space("mnist"), 16) == Grouping(1, 16)
    assert search_grouping(alike, 0) == NO_GROUPS


@pytest.mark.parametrize("name", SPACES)
def test_at_most_one_slot_in_five_computes_nothing_in_a_search(name):
    space = load_space(name)
    others = drawn_keys(space, 128, seed=1)  # none of those that the choice has seen
    for n_at_a_time in (8, 32):
        n_slots = search_grouping(space, n_at_a_time).n_slots
        assert fill(draws_of(others, n_at_a_time), n_slots) >= 0.8


@pytest.mark.parametrize("n_at_a_time", [8, 16, 32])
@pytest.mark.parametrize("name", SPACES)
def test_at_most_one_slot_in_five_computes_nothing_among_replicas(name, n_at_a_time):
    space = load_space(name)
    best = drawn_configs(space, space.budget.top)
    keys = [*map(space.family.group_key, [*best, space.preset("paper")])]
    n_replicas = space.budget.replicas
    grouping = replica_grouping(keys, n_replicas, n_at_a_time)
    replicas = [key for key in keys for _ in range(n_replicas)]
    taken = fill_over_time(replicas, grouping.n_at_a_time, grouping.n_slots, random.Random(0))
    assert taken >= 0.8
    assert grouping.n_slots == n_replicas


@pytest.mark.parametrize(
    ("n_replicas", "n_at_a_time", "expected"),
    [
        (5, 16, Grouping(5, 15)),
        (5, 8, Grouping(5, 5)),
        (5, 4, Grouping(1, 4)),  # two in a group would leave a fifth of the slots empty
        (10, 16, Grouping(5, 15)),
        (4, 2, Grouping(2, 2)),
        (1, 8, Grouping(1, 8)),
        (5, 0, NO_GROUPS),
    ],
)
def test_as_many_replicas_train_at_a_time_as_fill_whole_groups(n_replicas, n_at_a_time, expected):
    assert replica_grouping(["a", "b", "c"], n_replicas, n_at_a_time) == expected


def test_replicas_that_train_alone_wait_for_no_group():
    assert replica_grouping([None, None], 5, 8) == Grouping(1, 8)


def fill_over_time(keys, n_at_a_time, n_slots, rng):
    """Return the share of slots that are taken, over all the time of trials in this order.

    A trial takes the first free slot again after each of its evaluations, so that groups stay few.
    """
    waiting, running = list(keys), []
    taken = computed = 0.0
    while waiting or running:
        while waiting and len(running) < n_at_a_time:
            running.append((rng.uniform(0.95, 1.05), waiting.pop(0)))
        seconds = min(left for left, _ in running)
        now = [key for _, key in running if key is not None]
        taken += seconds * len(now)
        computed += seconds * n_slots * n_groups([now], n_slots)
        running = [(left - seconds, key) for left, key in running if left != seconds]
    return taken / computed if computed else 1.0


def test_drawing_configurations_prints_nothing(capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    assert len(drawn_keys(load_space("ring"), 2)) == 2
    assert capfd.readouterr() == ("", "")
