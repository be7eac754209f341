"""Schedules in space files, in files of one configuration, and on the command line."""

from __future__ import annotations

import pytest

from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError, SpaceError
from gansearch.rules import Point
from gansearch.space.load import load_config, load_space
from gansearch.space.search_space import SearchSpace
from gansearch.tune.preflight import check_configs

RING = load_space("ring")


def read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_config(path, RING)


def test_a_file_of_one_configuration_has_a_schedule(tmp_path):
    config = read(
        tmp_path,
        "k: 2\n"
        "schedule:\n"
        "  - {at: 5_000, discriminator_lr: 1e-2}\n"
        "  - at: 12000\n"
        "    gradient_penalty: r1\n"
        "    generator_lr: 1\n",
    )
    assert config.schedule == (
        Point(5000, (("discriminator_lr", 0.01),)),
        Point(12_000, (("gradient_penalty", "r1"), ("generator_lr", 1.0))),
    )
    assert config.k == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "schedule: 5000",
            "1: config.schedule: found 5000. It must be a list of points such as {at: 5000, "
            "discriminator_lr: 0.02}.",
        ),
        (
            "k: 2\nschedule:\n  - {at: 5, momentun: .1}",
            "3: config.schedule: point 1: momentun: unknown parameter. Did you mean momentum?",
        ),
        (
            "schedule:\n  - {at: 5, momentum: .1}\n  - {at: '7', momentum: .1}",
            "3: config.schedule: point 2: at: found '7'. It must be a whole number in [1, "
            "1000000000000].",
        ),
        (
            "schedule: [{at: 60.000, momentum: .1}]",
            "1: config.schedule: point 1: at: found 60.000. It must be a whole number in [1, "
            "1000000000000]. Write it without a point.",
        ),
        (
            "schedule:\n  - at: 5\n    momentum: 1,5",
            "3: config.schedule: point 1: momentum: found '1,5'. It must be a number in [0, "
            "0.9999]. Write 1.5.",
        ),
    ],
)
def test_an_error_names_the_line_the_point_and_the_remedy(tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{tmp_path}/mine.yaml:{message}"


def test_all_trials_of_a_space_follow_a_fixed_schedule_and_a_preset_may_have_its_own():
    space = load_space("ring", ["schedule=[{at: 50, label_smoothing: 0.1}]"])
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert "schedule: [{at: 50, label_smoothing: 0.1}]" in space.describe()
    assert all(config.schedule[0].at == 50 for config in space.variants())
    sections = space.to_dict() | {"presets": {"late": {"schedule": [{"at": 90, "momentum": 0}]}}}
    assert SearchSpace.from_dict(sections | {"start_from": []}).preset("late").schedule[0].at == 90


def test_a_configuration_with_a_schedule_is_outside_a_space_without_it():
    config = RING.preset("paper")
    assert RING.contains(config)
    scheduled = config.replaced(schedule=[{"at": 5, "momentum": 0.1}])
    assert "schedule" in RING.outside(scheduled)
    with pytest.raises(SpaceError, match=r"schedule=\[{'at': 5, 'momentum': 0\.1}\] where"):
        RING.encode(scheduled)


@pytest.mark.parametrize("entry", ["{choice: [[], []]}", "{int: [1, 5]}"])
def test_a_schedule_is_not_searched(entry):
    with pytest.raises(SpaceError) as error:
        load_space("ring", [f"schedule={entry}"])
    assert str(error.value) == (
        f"--set schedule={entry}: schedule: a schedule can't be searched. Search the parameters "
        "themselves; a schedule that all trials follow belongs under fixed."
    )


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"schedule": []}, "no section of a space has this name. It belongs under fixed."),
        ({"budget": {"schedule": "asha"}}, "unknown. Did you mean scheduler?"),
    ],
)
def test_a_schedule_in_the_wrong_place_is_answered_with_the_right_one(sections, message):
    with pytest.raises(SpaceError) as error:
        SearchSpace.from_dict(RING.to_dict() | sections)
    assert str(error.value).endswith(message)


def test_a_point_that_is_never_reached_is_refused_before_a_run():
    config = RING.preset("paper").replaced(schedule=[{"at": 2000, "momentum": 0.1}])
    data = load_dataset("ring")
    check_configs(RING.with_budget(max_updates=2001), [config], data)
    with pytest.raises(BadInputError) as error:
        check_configs(RING.with_budget(max_updates=2000), [config], data)
    assert str(error.value) == (
        "ring: configuration: schedule: point 1: at: 2000, with max_updates: 2000: it is never "
        "reached. Raise max_updates, or leave it out."
    )


def test_families_without_schedules_do_not_know_the_word():
    sections = {"dataset": "ring", "trainable": "loop.py:train"}
    sections |= {"parameters": {"lr": {"float": 0.5}}, "search": {"lr": {"float": [0.1, 1]}}}
    with pytest.raises(SpaceError, match=r"fixed\.schedule: unknown parameter"):
        SearchSpace.from_dict(sections | {"fixed": {"schedule": []}})
