"""The study: its samplers, and outcomes that it learns at a resume; without Ray running."""

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import UNHEALTHY, make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import open_study, tell, tell_known_ends


@pytest.fixture
def space():
    return load_space("digits")


def suggested(searcher, trial_id):
    return TrialSpec.from_tune(searcher.suggest(trial_id))


def searcher_of(space, study, outcomes, **more):
    return OptunaSearcher(space, study, seed=1, outcomes=outcomes, **({"n_new": 3} | more))


@pytest.mark.parametrize(
    ("status", "state", "constraints"),
    [
        ("completed", TrialState.COMPLETE, {UNHEALTHY: -1}),
        ("pruned", TrialState.PRUNED, {UNHEALTHY: -1}),
        ("collapsed", TrialState.PRUNED, {UNHEALTHY: 1}),
        ("diverged", TrialState.PRUNED, {UNHEALTHY: 1}),
        ("failed", TrialState.FAIL, {}),
        ("running", TrialState.RUNNING, {}),
    ],
)
def test_an_end_that_only_the_results_know_is_told_to_optuna_at_a_resume(
    space, tmp_path, status, state, constraints
):
    journal = tmp_path / "optuna.journal"
    killed = open_study(journal, make_sampler("random", 0))
    searcher_of(space, killed, {}).suggest("ray-0")
    resumed = open_study(journal, make_sampler("random", 1))
    row = {"trial_id": "t00000", "number": 0, "status": status, "reason": "because"}
    row["valid_ll"] = 3.5
    attached = []
    for _ in range(2):  # the second time the end is known: nothing changes
        tell_known_ends(resumed, [row], attach=lambda trial, name: attached.append(name))
    (trial,) = resumed.trials
    assert (trial.state, trial.constraints) == (state, constraints)
    assert trial.value == (3.5 if status == "completed" else None)
    assert attached == ([] if status == "running" else ["t00000"])


@pytest.mark.parametrize(
    ("status_of_high", "proposes_high"), [("collapsed", False), ("pruned", True)]
)
def test_trials_that_collapsed_late_attract_no_proposals(status_of_high, proposes_high):
    study = optuna.create_study(sampler=make_sampler("tpe", 0), direction="maximize")
    for i in range(10):
        # Low ones are pruned early, for their score. High ones score better and live longer.
        for x, status, updates in ((0.02 * i, "pruned", 100), (1 - 0.02 * i, status_of_high, 900)):
            study.enqueue_trial({"x": x})
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.report(x, updates)
            tell(study, trial, Outcome(status, "because"))
    proposed = [study.ask().suggest_float("x", 0, 1) for _ in range(20)]
    n_there = sum(x > 0.5 for x in proposed)
    assert n_there >= 15 if proposes_high else n_there <= 8
