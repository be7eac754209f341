"""The settings of a run: what `run.json` stores of them, and what is read back."""

from __future__ import annotations

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
    with pytest.raises(BadInputError, match=r"--group-trials of: .* Did you mean off\?"):
        Settings(group_trials="of")
