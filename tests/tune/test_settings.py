"""The settings of a run: what `run.json` stores of them, and what is read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gansearch
from gansearch.errors import BadInputError
from gansearch.tune.settings import Settings


def test_settings_are_read_back_as_they_were_stored():
    settings = Settings(sampler="random", group_trials="on", gpus_per_trial=0.5)
    assert Settings.from_dict(vars(settings)) == settings
    assert Settings.from_dict({}) == gansearch.Settings()


def test_settings_of_version_0_1_have_the_groups_under_their_former_name():
    assert Settings.from_dict({"packing": "off", "max_concurrent": 2}) == Settings(
        group_trials="off", max_concurrent=2
    )


def test_shares_that_are_to_be_found_are_stored_as_none_and_former_runs_keep_their_number():
    found = Settings(gpus_per_trial="auto", cpus_per_trial="auto")
    assert (found.gpus_per_trial, found.cpus_per_trial) == (None, None) and found == Settings()
    assert Settings.from_dict({"cpus_per_trial": 1.0}).cpus_per_trial == 1.0
    assert Settings.from_dict({"cpus_per_trial": None}).cpus_per_trial is None


def test_a_whole_number_is_a_float():
    assert Settings.from_dict({"gpus_per_trial": 1}).gpus_per_trial == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samplr": "tpe"}, "samplr is no setting"),
        ({"max_concurrent": "2"}, "found '2' for max_concurrent"),
        ({"cpus_per_trial": True}, "found True for cpus_per_trial"),
        ({"packing": 1}, "found 1 for group_trials"),
    ],
)
def test_a_setting_that_is_unknown_or_of_another_type_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Settings.from_dict(values)


def test_an_unknown_choice_is_answered_with_the_nearest():
    with pytest.raises(BadInputError, match=r"^group_trials=of \(.*\): .* Did you mean off\?"):
        Settings(group_trials="of")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("max_concurrent", "2", "a whole number, or None"),
        ("max_concurrent", True, "a whole number, or None"),
        ("max_concurrent", 1.5, "a whole number, or None"),
        ("cpus_per_trial", "all", "a number, or auto"),
        ("gpus_per_trial", "half", "a number, or auto"),
        ("time_budget_seconds", "2h", "a number, or None"),
        ("sampler", 5, "text"),
        ("data_dir", 5, "text, or None"),
        ("keep_discriminator", 1, "true or false"),
    ],
)
def test_a_value_of_another_type_is_refused_when_settings_are_made(name, value, rule):
    with pytest.raises(BadInputError) as caught:
        Settings(**{name: value})
    assert str(caught.value) == f"{name}: found {value!r}. It must be {rule}."


def test_numbers_of_numpy_and_paths_are_stored_as_json_has_them():
    settings = Settings(
        max_concurrent=np.int64(2), cpus_per_trial=np.float32(2), data_dir=Path("x")
    )
    assert json.dumps(vars(settings))
    assert (settings.max_concurrent, settings.cpus_per_trial, settings.data_dir) == (2, 2.0, "x")


def test_whether_discriminators_are_kept_is_stored():
    settings = Settings(keep_discriminator=True)
    assert Settings.from_dict(json.loads(json.dumps(vars(settings)))) == settings
    with pytest.raises(ValueError, match="keep_discriminator"):
        Settings.from_dict({"keep_discriminator": 1})
