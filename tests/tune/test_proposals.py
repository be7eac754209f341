"""Every configuration is proposed once, whatever the sampler, until none is left."""

import pytest
from optuna.trial import TrialState

from gansearch.space.counting import n_configurations
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.tune.proposals import Proposals
from gansearch.tune.samplers import SAMPLERS, make_sampler
from gansearch.tune.study import enqueue_starts, open_study

SMALL = {
    "k": {"int": [1, 3]},
    "noise": {"choice": ["uniform", "normal"]},
    "batch_size": {"choice": [10, 20, 50], "when": {"noise": "normal"}},
}


def space_of(search=None, **sections):
    return SearchSpace.from_dict({"dataset": "digits", "search": search or SMALL, **sections})


def study_of(tmp_path, sampler="random", seed=0):
    return open_study(tmp_path / "optuna.journal", make_sampler(sampler, seed))


def take(proposals, study, n=1000):
    """Return the ids of up to n proposals in turn; the best score has k: 2 with uniform noise."""
    found = []
    while len(found) < n and (proposed := proposals.next()) is not None:
        trial, config = proposed
        found.append(config.config_id)
        study.tell(trial, -abs(config.k - 2) - (config.noise == "normal"))
    return found


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "auto"])
def test_every_sampler_finds_all_of_a_small_space_within_few_proposals(tmp_path, sampler):
    study = study_of(tmp_path, sampler)
    found = take(Proposals(space_of(), study, seed=0), study)
    assert len(found) == len(set(found)) == n_configurations(space_of()) == 12
    assert len(study.trials) < 100
    repetitions = [trial for trial in study.trials if "repeats" in trial.user_attrs]
    assert len(repetitions) == len(study.trials) - 12
    for trial in repetitions:
        assert trial.state == TrialState.FAIL  # no sampler learns from it
        assert study.trials[trial.user_attrs["repeats"]].params == trial.params


def test_presets_that_are_the_same_configuration_are_tried_once(tmp_path):
    presets = {"paper": {"k": 1}, "same": {"k": 1, "noise": "uniform"}, "other": {"k": 3}}
    space = space_of(presets=presets, start_from=["paper", "same", "other"])
    study = study_of(tmp_path)
    enqueue_starts(study, space)
    first = take(Proposals(space, study, seed=0), study, 2)
    assert first == [space.preset(name).config_id for name in ("paper", "other")]


def row(number, config, status):
    return {"number": number, "config_id": config.config_id, "status": status}


@pytest.mark.parametrize("status", ["running", "completed", "pruned", "collapsed", "diverged"])
def test_what_an_earlier_session_has_tried_is_not_proposed_again(tmp_path, status):
    study = study_of(tmp_path)
    tried = space_of().table(k=2)
    proposals = Proposals(space_of(), study, seed=0, rows=[row(0, tried, status)])
    assert proposals.n_left == 11
    found = take(proposals, study)
    assert len(set(found)) == 11
    assert tried.config_id not in found


@pytest.mark.parametrize(("n_failed", "n_left"), [(1, 12), (2, 11)])
def test_a_configuration_that_failed_once_is_proposed_again(tmp_path, n_failed, n_left):
    study = study_of(tmp_path)
    failed = space_of().table(k=2)
    rows = [row(i, failed, "failed") for i in range(n_failed)]
    assert len(take(Proposals(space_of(), study, seed=0, rows=rows), study)) == n_left


def test_a_trial_that_fails_in_this_session_leaves_its_configuration_untried(tmp_path):
    study = study_of(tmp_path)
    proposals = Proposals(space_of(), study, seed=0)
    trial, config = proposals.next()
    study.tell(trial, state=TrialState.FAIL)
    proposals.note_failure(trial.number)
    assert take(proposals, study).count(config.config_id) == 1


def test_a_completed_configuration_of_an_old_run_stays_tried_though_a_repetition_failed(tmp_path):
    tried = space_of().table(k=2)
    rows = [row(0, tried, "completed"), row(1, tried, "failed")]
    assert Proposals(space_of(), study_of(tmp_path), seed=0, rows=rows).n_left == 11


def test_the_last_of_a_larger_space_is_found(tmp_path):
    # Only one in 60,000 is left: no draw finds it.
    space = space_of({"noise_dim": {"int": [1, 3000]}})
    table = space.table
    rows = [row(n - 1, table(noise_dim=n), "completed") for n in range(1, 3000)]
    study = study_of(tmp_path)
    proposals = Proposals(space, study, seed=0, rows=rows)
    assert take(proposals, study) == [table(noise_dim=3000).config_id]


def test_a_space_with_a_float_is_never_exhausted(tmp_path):
    study = study_of(tmp_path)
    proposals = Proposals(load_space("digits"), study, seed=0)
    assert len(set(take(proposals, study, 30))) == len(study.trials) == 30
    assert proposals.n_in_space is None
