"""What the searcher asks Optuna and tells it, without Ray running."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune.phases import _end_trials_out_of_time
from gansearch.tune.rows import Outcome, is_out_of_time
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import UNHEALTHY, make_sampler, open_study, tell
from tests.written_runs import spec, step


@pytest.fixture
def space():
    return load_space("digits")


@pytest.fixture
def study(tmp_path):
    return open_study(tmp_path / "optuna.journal", make_sampler("random", 0))


def report(updates, valid_ll=None):
    return step(updates, valid_ll).to_tune()


def suggested(searcher, trial_id):
    return TrialSpec.from_tune(searcher.suggest(trial_id))


def searcher_of(space, study, outcomes, **more):
    return OptunaSearcher(space, study, seed=1, outcomes=outcomes, **({"n_new": 3} | more))


def test_as_many_configurations_are_proposed_as_asked_for(space, study):
    searcher = searcher_of(space, study, {})
    specs = [suggested(searcher, f"ray-{i}") for i in range(3)]
    assert [each.trial_id for each in specs] == ["t00000", "t00001", "t00002"]
    assert len({each.seed for each in specs}) == 3
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
def test_optuna_learns_each_status_of_an_ended_trial(space, study, status, state, constraint):
    searcher = searcher_of(space, study, {"ray-0": Outcome(status, "because")})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.5))
    searcher.on_trial_complete("ray-0", report(200, 2.5))
    (trial,) = study.trials
    assert trial.state == state
    assert trial.constraints == {UNHEALTHY: constraint}
    assert trial.user_attrs == {"status": status, "reason": "because"}
    assert trial.intermediate_values[100] == 1.5
    if status == "completed":
        assert trial.value == 2.5


def test_optuna_learns_the_score_of_the_state_that_is_stored(space, study):
    searcher = searcher_of(space, study, {"ray-0": Outcome("completed")})
    searcher.suggest("ray-0")
    best = step(100, 9.5).evaluation
    searcher.on_trial_complete("ray-0", step(200, 2.5, best=best, kept_updates=100).to_tune())
    (trial,) = study.trials
    assert (trial.value, trial.intermediate_values) == (9.5, {200: 2.5})


@pytest.mark.parametrize(
    ("how", "result"),
    [
        ("the worker was lost", None),
        ("OSError: [Errno 28] No space left on device", None),
        # Reported by the worker itself, between two reports and after one.
        ("out of memory: tried to allocate 2 GiB", report(150)),
        ("out of memory: tried to allocate 2 GiB", report(150, -500.0)),
    ],
)
def test_a_trial_that_failed_with_its_machine_teaches_nothing(space, study, how, result):
    searcher = searcher_of(space, study, {"ray-0": Outcome("failed", how)})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, -400.0))
    searcher.on_trial_complete("ray-0", result, error=result is None)
    (trial,) = study.trials
    assert trial.state == TrialState.FAIL
    assert not trial.constraints
    assert trial.user_attrs == {"status": "failed", "reason": how}


def test_a_trial_that_the_time_budget_cut_short_is_not_taken_for_dead(space, study):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.0))
    searcher.on_trial_complete("ray-0", report(100, 1.0))  # as Tune stops it: without an outcome
    assert study.trials[0].state == TrialState.RUNNING
    assert not study.trials[0].constraints
    outcome = Outcome("pruned", "the time budget of the search was spent")
    tell(study, optuna.trial.Trial(study, study.trials[0]._trial_id), outcome)
    (trial,) = study.trials
    assert (trial.state, trial.constraints) == (TrialState.PRUNED, {UNHEALTHY: -1})


def test_optuna_learns_the_last_outcome_of_a_retried_trial(space, study):
    outcomes = {}
    searcher = searcher_of(space, study, outcomes)
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.0))
    # The worker dies. Tune starts another, which repeats a report, without a call of the searcher.
    searcher.on_trial_result("ray-0", report(100, 1.0))
    outcomes["ray-0"] = Outcome("collapsed", "one image")
    searcher.on_trial_complete("ray-0", report(200, 1.0))
    searcher.on_trial_complete("ray-0", report(200, 1.0))
    (trial,) = study.trials
    assert (trial.state, trial.constraints) == (TrialState.PRUNED, {UNHEALTHY: 1})


def test_an_outcome_that_could_not_be_written_is_written_when_the_trial_ends_again(
    space, study, monkeypatch
):
    searcher = searcher_of(space, study, {"ray-0": Outcome("collapsed", "one image")})
    searcher.suggest("ray-0")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(optuna.Study, "tell", full)
        searcher.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.RUNNING
    with pytest.warns(UserWarning, match="already set"):
        searcher.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].constraints == {UNHEALTHY: 1}


def test_a_slice_between_two_reports_tells_optuna_nothing(space, study):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(50))
    assert not study.trials[0].intermediate_values


def test_an_interrupted_trial_stays_open_and_continues_first(space, study):
    first = searcher_of(space, study, {})
    interrupted = suggested(first, "ray-0")
    first.on_trial_result("ray-0", report(100, 1.0))
    first.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.RUNNING

    outcomes = {"ray-9": Outcome("completed")}
    second = searcher_of(space, study, outcomes, n_new=0, interrupted=[interrupted])
    assert suggested(second, "ray-9") == interrupted
    second.on_trial_result("ray-9", report(100, 1.0))  # known already; reported once
    second.on_trial_complete("ray-9", report(200, 4.0))
    assert second.suggest("ray-10") == second.FINISHED
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 4.0)
    assert trial.intermediate_values == {100: 1.0, 200: 4.0}


@pytest.mark.parametrize("status", ["completed", "collapsed"])
def test_a_trial_whose_end_optuna_knows_already_continues_and_is_not_told_again(
    space, study, status
):
    searcher_of(space, study, {}).suggest("ray-0")
    study.tell(0, state=TrialState.PRUNED)
    outcomes = {"ray-1": Outcome(status)}
    searcher = searcher_of(space, study, outcomes, n_new=0, interrupted=[spec(0)])
    searcher.suggest("ray-1")
    searcher.on_trial_result("ray-1", report(100, 1.0))
    searcher.on_trial_complete("ray-1", report(200, 2.0))
    assert study.trials[0].state == TrialState.PRUNED
    assert not study.trials[0].constraints


def test_a_cut_trial_is_pruned_in_the_results_and_open_to_optuna_so_that_it_can_go_on(study):
    known, cut = study.ask(), study.ask()
    tell(study, known, Outcome("completed"), 2.5)  # an end that the results have lost
    rows = {
        trial.number: {"trial_id": trial.number, "number": trial.number, "status": "running"}
        | {"reason": "", "valid_ll": None}
        for trial in (known, cut)
    }
    run = SimpleNamespace(
        stop=SimpleNamespace(reason="time"),
        rows=lambda _: list(rows.values()),
        recorder=SimpleNamespace(
            end=lambda name, outcome: rows[name].update(
                status=outcome.status, reason=outcome.reason
            )
        ),
    )
    _end_trials_out_of_time(run)
    assert [row["status"] for row in rows.values()] == ["pruned", "pruned"]
    assert all(map(is_out_of_time, rows.values()))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_search_ends_when_every_configuration_has_been_tried_however_many_trials_it_has(study):
    space = SearchSpace.from_dict({"dataset": "digits", "search": {"k": {"int": [1, 3]}}})
    searcher = searcher_of(space, study, {}, n_new=40)
    found = [suggested(searcher, f"ray-{i}").config["k"] for i in range(3)]
    assert sorted(found) == [1, 2, 3]
    assert not searcher.is_exhausted
    assert searcher.suggest("ray-3") == searcher.FINISHED
    assert searcher.is_exhausted


def test_a_configuration_whose_trial_failed_is_proposed_again(study):
    space = SearchSpace.from_dict({"dataset": "digits", "search": {"k": {"int": [1, 2]}}})
    searcher = searcher_of(space, study, {"ray-0": Outcome("failed", "the worker was lost")})
    suggested(searcher, "ray-0")
    searcher.on_trial_complete("ray-0", None, error=True)
    assert {suggested(searcher, f"ray-{i}").config["k"] for i in (1, 2)} == {1, 2}
    assert searcher.suggest("ray-3") == searcher.FINISHED
