"""What Optuna is asked and told, without Ray running."""

import pytest
from optuna.trial import TrialState

from gansearch.errors import BadInputError
from gansearch.scheduler import Outcome
from gansearch.searcher import UNHEALTHY, OptunaSearcher, make_sampler, open_study
from gansearch.space import load_space


@pytest.fixture
def space():
    return load_space("digits")


@pytest.fixture
def study(tmp_path):
    return open_study(tmp_path / "optuna.journal", make_sampler("random", 0))


def report(updates, valid_ll):
    return {"is_report": True, "updates": updates, "valid_ll": valid_ll}


def searcher_of(space, study, outcomes, **more):
    return OptunaSearcher(space, study, seed=1, outcomes=outcomes, **({"n_new": 3} | more))


def test_as_many_configurations_are_proposed_as_asked_for(space, study):
    searcher = searcher_of(space, study, {})
    described = [searcher.suggest(f"ray-{i}")["trial"] for i in range(3)]
    assert [d["trial_id"] for d in described] == ["t00000", "t00001", "t00002"]
    assert len({d["seed"] for d in described}) == 3
    assert searcher.suggest("ray-3") == searcher.FINISHED


@pytest.mark.parametrize(
    ("status", "state", "constraint"),
    [
        ("completed", TrialState.COMPLETE, -1),
        ("pruned", TrialState.PRUNED, -1),
        ("collapsed", TrialState.PRUNED, 1),
        ("diverged", TrialState.PRUNED, 1),
    ],
)
def test_a_trial_is_told_as_what_it_is(space, study, status, state, constraint):
    searcher = searcher_of(space, study, {"ray-0": Outcome(status, "because")})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.5))
    searcher.on_trial_complete("ray-0", report(200, 2.5))
    (told,) = study.trials
    assert told.state == state
    assert told.constraints == {UNHEALTHY: constraint}
    assert told.user_attrs == {"status": status, "reason": "because"}
    assert told.intermediate_values[100] == 1.5
    if status == "completed":
        assert told.value == 2.5


def test_a_trial_that_our_machinery_lost_teaches_nothing(space, study):
    searcher = searcher_of(space, study, {"ray-0": Outcome("failed", "the worker was lost")})
    searcher.suggest("ray-0")
    searcher.on_trial_complete("ray-0", error=True)
    assert study.trials[0].state == TrialState.FAIL
    assert not study.trials[0].constraints


def test_a_slice_between_two_reports_tells_optuna_nothing(space, study):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", {"is_report": False, "updates": 50})
    assert not study.trials[0].intermediate_values


def test_a_trial_cut_short_stays_open_and_goes_on_first(space, study):
    first = searcher_of(space, study, {})
    description = first.suggest("ray-0")["trial"]
    first.on_trial_result("ray-0", report(100, 1.0))
    first.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.RUNNING

    outcomes = {"ray-9": Outcome("completed")}
    second = searcher_of(space, study, outcomes, n_new=0, interrupted=[description])
    assert second.suggest("ray-9")["trial"] == description
    second.on_trial_result("ray-9", report(100, 1.0))  # heard of before; told once
    second.on_trial_complete("ray-9", report(200, 4.0))
    assert second.suggest("ray-10") == second.FINISHED
    (told,) = study.trials
    assert (told.state, told.value) == (TrialState.COMPLETE, 4.0)
    assert told.intermediate_values == {100: 1.0, 200: 4.0}


def test_a_trial_whose_end_optuna_knows_already_goes_on_without_being_told_twice(space, study):
    searcher_of(space, study, {}).suggest("ray-0")
    study.tell(0, state=TrialState.PRUNED)
    description = {"trial_id": "t00000", "number": 0, "phase": "search", "seed": 1, "config": {}}
    outcomes = {"ray-1": Outcome("completed")}
    searcher = searcher_of(space, study, outcomes, n_new=0, interrupted=[description])
    searcher.suggest("ray-1")
    searcher.on_trial_result("ray-1", report(100, 1.0))
    searcher.on_trial_complete("ray-1", report(200, 2.0))
    assert study.trials[0].state == TrialState.PRUNED


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "gp"])
def test_every_sampler_proposes_the_same_again_with_the_same_seed(space, tmp_path, name):
    found = []
    for i in range(2):
        study = open_study(tmp_path / f"{i}.journal", make_sampler(name, 7))
        searcher = searcher_of(space, study, {})
        found.append([searcher.suggest(f"ray-{j}")["trial"]["config"] for j in range(3)])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_an_unknown_sampler_is_refused_with_the_nearest_name():
    with pytest.raises(BadInputError, match=r"--sampler tpee: no such sampler. Did you mean tpe"):
        make_sampler("tpee", 0)
