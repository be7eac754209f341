"""What gansearch does with the settings of Ray and Tune that it finds in the environment."""

import os

from ray.tune.constants import TUNE_ENV_VARS

from gansearch.tune import ray_settings


def test_no_setting_of_tune_in_the_environment_reaches_a_search(monkeypatch):
    for name in (*TUNE_ENV_VARS, "RAY_CLIENT_MODE", "RAY_CHDIR_TO_TRIAL_DIR"):
        monkeypatch.setenv(name, "of another program")
    for name in ray_settings._SETTINGS:
        monkeypatch.setenv(name, "of another program")
    ray_settings.override()
    assert "of another program" not in os.environ.values()
