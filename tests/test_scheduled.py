"""Schedules of hyperparameters: their points, what holds when, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.config import TrialConfig
from gansearch.errors import ConfigError
from gansearch.families.own_networks import OwnNetworks

POINTS = [
    {"at": 5000, "discriminator_lr": 0.02},
    {"at": 12_000, "generator_lr": 0.1, "gradient_penalty": "r1"},
]


def values_at(config, updates):
    found = config.at(updates)
    return found.discriminator_lr, found.generator_lr, found.gradient_penalty


def test_a_point_holds_from_its_updates_on_and_until_the_next_value():
    config = TrialConfig(generator_lr=0.3, schedule=POINTS)
    assert values_at(config, 4999) == (0.1, 0.3, "none")
    assert values_at(config, 5000) == values_at(config, 11_999) == (0.02, 0.3, "none")
    assert values_at(config, 12_000) == values_at(config, 10**9) == (0.02, 0.1, "r1")
    assert not any(stage.schedule for stage in config.stages)
    assert config.at(12_000).to_dict()["schedule"] is None


def test_a_configuration_without_a_schedule_is_what_it_always_was():
    config = TrialConfig(k=3)
    assert config == TrialConfig(k=3, schedule=[])
    assert config.at(5) is config
    assert config.stages == (config,)
    assert config.to_dict()["schedule"] is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=4, unique=True),
    st.floats(1e-6, 100),
    st.sampled_from(TrialConfig.rules()["gradient_penalty"].choices),
)
def test_a_schedule_survives_json(ats, rate, penalty):
    changes = {"generator_lr": rate, "gradient_penalty": penalty}
    config = TrialConfig(schedule=[{"at": at, **changes} for at in sorted(ats)])
    again = TrialConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.to_dict()["schedule"] == [{"at": at, **changes} for at in sorted(ats)]


def test_what_applies_only_from_a_point_on_is_stored():
    config = TrialConfig(gradient_penalty_weight=3, schedule=POINTS)
    assert config.applies("gradient_penalty_weight")
    assert TrialConfig.from_dict(config.to_dict()).at(12_000).gradient_penalty_weight == 3


def test_the_id_counts_what_points_change_and_nothing_else():
    config = TrialConfig(schedule=POINTS)
    idle = [{"at": 2, "adam_beta1": 0.9, "momentum": 0.5}, *POINTS]  # under sgd; the default
    assert TrialConfig(schedule=idle).config_id == config.config_id
    assert TrialConfig(schedule=idle[:1]).config_id == TrialConfig().config_id
    later = [{**POINTS[0], "at": 6000}, POINTS[1]]
    ids = {TrialConfig(schedule=points).config_id for points in (POINTS, POINTS[:1], later, [])}
    assert len(ids) == 4


def test_until_keeps_the_points_that_are_reached():
    config = TrialConfig(schedule=POINTS)
    assert config.until(4999) == TrialConfig()
    assert config.until(5000) == TrialConfig(schedule=POINTS[:1])
    assert config.until(12_000) is config


def test_networks_of_ones_own_keep_their_parameters_in_every_stage():
    family = OwnNetworks(
        {
            "generator": "my.py:G",
            "discriminator": "my.py:D",
            "parameters": {"generator.width": {"int": 8}},
        }
    )
    config = family.config_type.from_dict({"generator.width": 5, "schedule": POINTS[:1]})
    assert [getattr(stage, "generator.width") for stage in config.stages] == [5, 5]
    assert [stage.discriminator_lr for stage in config.stages] == [2e-4, 0.02]
    with pytest.raises(ConfigError, match=r"generator\.width: it can't change in mid-training"):
        family.config_type.from_dict({"schedule": [{"at": 2, "generator.width": 3}]})


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            {"at": 5, "momentum": 0.1},
            "found {'at': 5, 'momentum': 0.1}. It must be a list of points such as {at: 5000, "
            "discriminator_lr: 0.02}.",
        ),
        (
            [5000],
            "point 1: found 5000. It must be a point such as {at: 5000, momentum: 0.5}.",
        ),
        (
            [{"momentum": 0.1}],
            "point 1: it has no at: the parameter updates after which it is reached, such as "
            "at: 5000.",
        ),
        (
            [{"at": 5}],
            "point 1: it changes nothing. Give a new value, such as {at: 5, momentum: 0.5}.",
        ),
        (
            [{"at": 0, "momentum": 0.1}],
            "point 1: at: found 0. It must be a whole number in [1, 1000000000000].",
        ),
        (
            [{"at": True, "momentum": 0.1}],
            "point 1: at: found True. It must be a whole number in [1, 1000000000000].",
        ),
        (
            [{"at": 5, "momentum": 0.1}, {"at": 5, "momentum": 0.2}],
            "point 2: at: found 5, after 5. The points must be in ascending order, one for each "
            "number of updates. Sort them, and join those of the same number.",
        ),
        (
            [{"at": 5, "momentun": 0.1}],
            "point 1: momentun: unknown parameter. Did you mean momentum?",
        ),
        (
            [{"at": 5, "lr_d": 0.1}],
            "point 1: lr_d: unknown parameter. Here it is discriminator_lr.",
        ),
        (
            [{"at": 5, "momentum": 0.1}, {"at": 7, "momentum": 2}],
            "point 2: momentum: found 2. It must be a number in [0, 0.9999].",
        ),
    ],
)
def test_a_schedule_that_cant_be_followed_is_refused_with_the_point(schedule, message):
    with pytest.raises(ConfigError) as error:
        TrialConfig(schedule=schedule)
    assert str(error.value) == f"configuration: schedule: {message}"


@pytest.mark.parametrize("name", ["k", "batch_size", "optimizer", "generator_ema", "schedule"])
def test_what_networks_or_moments_are_made_by_cant_change(name):
    with pytest.raises(ConfigError) as error:
        TrialConfig(schedule=[{"at": 5, name: 1}])
    assert str(error.value) == (
        f"configuration: schedule: point 1: {name}: it can't change in mid-training. These can: "
        f"{', '.join(TrialConfig.schedulable)}."
    )
