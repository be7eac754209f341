"""Configurations that `--only` names by the trial of a run, in the run's own space."""

import pytest

from gansearch.errors import BadInputError
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.tune.given_configs import only_configs
from tests.written_runs import WINNER, finished_run, run_info


@pytest.fixture
def run(tmp_path):
    space = load_space("digits", ["k=2", "trials=3"]).to_dict()
    return finished_run(tmp_path, space={**run_info()["space"], **space, "name": "mine"})


def test_a_trial_of_a_run_names_its_configuration(run):
    space = load_space("digits")
    [(name, config)] = only_configs(space, [f"{run.path}/t00001"])
    assert config == WINNER
    assert name.endswith("/t00001")


def test_an_absent_trial_is_named_with_the_nearest(run):
    with pytest.raises(BadInputError, match=r"/t0000l: the run has no such trial\. Did you"):
        only_configs(load_space("digits"), [f"{run.path}/t0000l"])


def test_a_trial_of_another_family_is_refused_with_the_space_to_name(run):
    space = load_space("digits-inference")
    with pytest.raises(BadInputError, match=r"another model family.*--space .*/run\.json"):
        only_configs(space, [f"{run.path}/t00001"])


def test_the_description_of_a_run_is_its_space(run):
    space = load_space(str(run.path / "run.json"))
    assert space.to_dict() == SearchSpace.from_dict(run.read_run().space).to_dict()
    assert (space.name, space.fixed["k"], space.budget.trials) == ("mine", 2, 3)


def test_changes_apply_to_the_space_of_a_run(run):
    assert load_space(str(run.path / "run.json"), ["k=3"]).fixed["k"] == 3
