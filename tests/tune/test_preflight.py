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


@pytest.fixture
def small_space(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(
        "dataset: digits\n"
        "budget: {trials: 40}\n"
        "search:\n"
        "  k: {int: [1, 2]}\n"
        "  noise: {choice: [uniform, normal]}\n"
        "presets: {same: {noise: uniform}, other: {k: 2}}\n"
        "start_from: [paper, same, other]\n"
    )
    return str(path)


def test_a_dry_run_says_how_many_configurations_a_space_has_and_proposes_each_once(small_space):
    said = plan(small_space).splitlines()
    assert (
        "space        4 configurations; the search ends when all have been tried, before its 40 "
        "trials"
    ) in said
    proposals = [line.split(maxsplit=2)[2] for line in said if line.startswith("proposal")]
    assert proposals[:2] == ["k=1 noise=uniform", "k=2 noise=uniform"]
    assert len(proposals) == len(set(proposals)) == 4
    assert "note         paper and same are the same configuration; it counts once" in said


def test_a_space_of_as_many_configurations_as_trials_is_only_counted(small_space):
    assert "space        4 configurations\n" in plan(small_space, overrides=["budget.trials=4"])


def test_a_dry_run_counts_no_space_with_a_float():
    assert not any(line.startswith("space ") for line in plan("digits").splitlines())


def test_one_configuration_under_two_names_is_said_to_count_once(small_space, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("k: 2")
    said = plan(small_space, only=["other", str(path), "paper"])
    assert f"note         other and {path} are the same configuration; it counts once" in said
    assert "replicas     2 given" in said
