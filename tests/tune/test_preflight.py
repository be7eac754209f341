"""Convolutional networks on points are refused before a trial starts."""

import pytest

from gansearch.errors import ConfigError
from gansearch.tune.preflight import plan


@pytest.mark.parametrize(
    "change", ["generator_network=convolutional",
               "discriminator_network={choice: [dense, convolutional]}"],
)  # fmt: skip
def test_a_space_of_points_that_may_choose_convolutions_is_refused_before_a_trial(change):
    with pytest.raises(ConfigError, match="convolutional, on the points of ring"):
        plan("ring", overrides=[change])
    assert "data set     digits" in plan("digits", overrides=[change, "trials=2"])


def test_a_configuration_with_convolutions_is_refused_for_points(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("discriminator_network: convolutional")
    with pytest.raises(ConfigError, match="ring: discriminator_network"):
        plan("ring", only=[str(path)])
