"""The configurations of forks: within the space's ranges, and nothing else changed."""

import random

import pytest

from gansearch.config import TrialConfig
from gansearch.space.load import load_space
from gansearch.space.ranges import Choices, FloatRange, IntRange
from gansearch.tune.fork_configs import _perturbed, perturbed, perturbed_parameters, with_point


@pytest.fixture(scope="module")
def space():
    return load_space(
        "digits",
        (
            "momentum={float: [0.0, 0.9]}",
            "gradient_penalty={choice: [none, r1]}",
            "gradient_penalty_weight={float: [0.1, 100], log: true}",
        ),
    )


def test_only_searched_parameters_that_can_change_in_mid_training_do(space):
    assert set(perturbed_parameters(space)) == {
        *("generator_lr", "discriminator_lr", "momentum"),
        *("gradient_penalty", "gradient_penalty_weight"),
    }
    fixed = load_space("digits", ("generator_lr=0.1", "discriminator_lr=0.1"))
    assert perturbed_parameters(fixed) == []


def test_a_fork_trains_as_its_donor_up_to_the_point_and_then_within_the_ranges(space):
    donor = space.preset("paper")
    for seed in range(50):
        config = perturbed(space, donor, 1000, seed)
        (point,) = config.schedule
        assert point.at == 1000
        assert config.until(999).config_id == donor.config_id
        for name, value in point.values:
            assert space.search[name].contains(value)
        if config.at(1000).gradient_penalty == "none":
            assert "gradient_penalty_weight" not in dict(point.values)


def test_the_same_seed_gives_the_same_fork_and_others_differ(space):
    forks = {perturbed(space, space.preset("paper"), 1000, seed).config_id for seed in range(20)}
    again = {perturbed(space, space.preset("paper"), 1000, seed).config_id for seed in range(20)}
    assert forks == again
    assert len(forks) > 10


def test_a_fork_of_a_fork_has_both_points_and_one_at_the_same_updates_joins_them(space):
    first = with_point(space.preset("paper"), 1000, {"discriminator_lr": 0.05, "momentum": 0.2})
    second = with_point(first, 2000, {"discriminator_lr": 0.01})
    assert [point.to_dict() for point in second.schedule] == [
        {"at": 1000, "discriminator_lr": 0.05, "momentum": 0.2},
        {"at": 2000, "discriminator_lr": 0.01},
    ]
    joined = with_point(first, 1000, {"discriminator_lr": 0.01})
    assert dict(joined.schedule[0].values) == {"discriminator_lr": 0.01, "momentum": 0.2}
    assert TrialConfig.from_dict(second.to_dict()) == second


def test_a_fork_keeps_the_points_of_its_donor_that_are_still_to_come(space):
    points = [{"at": 500, "momentum": 0.1}, {"at": 3000, "discriminator_lr": 0.01}]
    donor = TrialConfig.from_dict(space.preset("paper").to_dict() | {"schedule": points})
    config = with_point(donor, 1000, {"momentum": 0.3})
    assert [point.to_dict() for point in config.schedule] == [
        *(points[0], {"at": 1000, "momentum": 0.3}, points[1]),
    ]


def test_a_value_is_multiplied_or_drawn_anew_and_stays_in_its_range():
    rng = random.Random(0)
    entry = FloatRange(0.01, 1.0, log=True)
    found = [_perturbed(entry, 0.1, rng) for _ in range(2000)]
    steps = sum(value in (0.1 * 0.8, 0.1 * 1.25) for value in found)
    assert 0.7 < steps / len(found) < 0.8
    assert all(entry.contains(value) for value in found)
    anew = sorted(value for value in found if value not in (0.1 * 0.8, 0.1 * 1.25))
    assert 0.05 < anew[len(anew) // 2] < 0.2  # uniform in the logarithm
    assert {_perturbed(entry, 1.0, rng) for _ in range(100)} >= {0.8}
    assert all(_perturbed(FloatRange(0.0, 0.9), 0.0, rng) > 0 for _ in range(100))


@pytest.mark.parametrize(
    ("entry", "value", "neighbours"),
    [
        (IntRange(1, 5), 2, {1, 3}),
        (IntRange(10, 1000, step=10), 100, {80, 130}),
        (IntRange(1, 5), 5, {4}),
        (IntRange(10, 1000, step=10), 990, {800, 1000}),
        (Choices((0.9, 0.0, 0.5)), 0.5, {0.0, 0.9}),
        (Choices((0.9, 0.0, 0.5)), 0.9, {0.5}),
        (Choices((0.9, 0.5)), 0.0, {0.5}),  # after a rescue
    ],
)
def test_whole_numbers_and_numeric_choices_move_to_the_next_value(entry, value, neighbours):
    rng = random.Random(1)
    found = [_perturbed(entry, value, rng) for _ in range(1000)]
    assert sum(each in neighbours for each in found) > 0.7 * len(found)
    assert all(entry.contains(each) and each != value for each in found)


def test_choices_without_an_order_are_drawn():
    rng = random.Random(2)
    others = {_perturbed(Choices(("none", "r1", "wgan_gp")), "none", rng) for _ in range(50)}
    assert others == {"r1", "wgan_gp"}
