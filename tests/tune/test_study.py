"""The study: its samplers, and outcomes that it learns at a resume; without Ray running."""

import numpy as np
import optuna
import pytest
from optuna.samplers import CmaEsSampler, NSGAIISampler
from optuna.trial import TrialState

from gansearch.errors import BadInputError
from gansearch.space.load import load_space
from gansearch.trial.messages import TrialSpec
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import SAMPLERS, UNHEALTHY, check_takes_several, make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import UNFINISHED, open_study, tell, tell_known_ends
from tests.written_runs import step


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


@pytest.mark.parametrize(
    ("status", "constraints"),
    [
        ("completed", {UNHEALTHY: -1.0, UNFINISHED: -1.0}),
        ("pruned", {UNHEALTHY: -1.0, UNFINISHED: 0.75}),
        ("collapsed", {UNHEALTHY: 1.0, UNFINISHED: 0.75}),
        ("diverged", {UNHEALTHY: 1.0, UNFINISHED: 0.75}),
    ],
)
def test_by_several_objectives_every_end_with_scores_teaches(tmp_path, status, constraints):
    space = load_space("digits", ["objectives=[valid_ll,coverage]"])
    study = open_study(tmp_path / "optuna.journal", make_sampler("random", 0), n_objectives=2)
    searcher_of(space, study, {}).suggest("ray-0")
    row = {"trial_id": "t00000", "number": 0, "status": status, "reason": "because"}
    row |= {"valid_ll": 3.5, "coverage": 0.4, "updates": 250}
    for _ in range(2):
        tell_known_ends(study, [row], space.objective, max_updates=1000)
    (trial,) = study.trials
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [3.5, 0.4])
    assert trial.constraints == constraints
    assert study.best_trials == ([trial] if status == "completed" else [])


def test_by_several_objectives_a_trial_that_died_unmeasured_is_pruned_and_infeasible(tmp_path):
    space = load_space("digits", ["objectives=[valid_ll,coverage]"])
    study = open_study(tmp_path / "optuna.journal", make_sampler("random", 0), n_objectives=2)
    searcher = searcher_of(space, study, {"ray-0": Outcome("diverged", "the loss is NaN")})
    searcher.suggest("ray-0")
    searcher.on_trial_complete("ray-0", step(100, verdict="diverged").to_tune())
    (trial,) = study.trials
    assert trial.state == TrialState.PRUNED and trial.constraints[UNHEALTHY] == 1.0


def test_a_death_between_two_reports_is_told_with_the_last_scores(tmp_path):
    space = load_space("digits", ["objectives=[valid_ll,coverage]"])
    study = open_study(tmp_path / "optuna.journal", make_sampler("random", 0), n_objectives=2)
    searcher = searcher_of(space, study, {"ray-0": Outcome("diverged", "the loss is NaN")})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", step(80, 2.5, coverage=0.3).to_tune())
    searcher.on_trial_complete("ray-0", step(100, verdict="diverged").to_tune())
    assert study.trials[0].values == [2.5, 0.3]


SEARCHES = {
    "tpe": lambda: make_sampler("tpe", 0),
    "nsga2": lambda: NSGAIISampler(population_size=20, seed=0),
}


def last_of_a_search(sampler, *, is_told):
    """x trades two objectives off; y above .75 scores best and dies, far from .5 it is pruned."""
    study = optuna.create_study(sampler=sampler, directions=["maximize"] * 2)
    found = []
    for _ in range(140):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        status = "collapsed" if y > 0.75 else "completed" if 0.25 < y < 0.6 else "pruned"
        quality = 1.0 if status == "collapsed" else 0.5 - abs(y - 0.5)
        share = {"collapsed": 0.5, "pruned": 0.2, "completed": 1.0}[status]
        ended = Outcome(status if is_told else "completed", "because")
        tell(study, trial, ended, (x + quality, 1 - x + quality), share=share)
        found.append((status, x))
    return found[-50:]


@pytest.mark.parametrize("name", SEARCHES)
def test_by_several_objectives_regions_that_die_are_avoided_along_the_whole_front(name):
    last = last_of_a_search(SEARCHES[name](), is_told=True)
    untold = last_of_a_search(SEARCHES[name](), is_told=False)
    n_died, n_died_untold = (sum(s == "collapsed" for s, _ in each) for each in (last, untold))
    assert n_died <= 13 and n_died_untold >= 25  # of 50, as many as by chance
    completed = [x for status, x in last if status == "completed"]
    assert len(completed) >= 25
    assert np.ptp(completed) > 0.8


def test_a_sampler_for_one_objective_is_refused_for_several():
    with pytest.raises(BadInputError, match=r"--sampler cmaes: it searches by one objective, and"):
        check_takes_several(CmaEsSampler(), "cmaes")
    for name in SAMPLERS:
        if name not in ("cmaes", "auto"):  # auto is to be had from OptunaHub
            check_takes_several(make_sampler(name, 0), name)
