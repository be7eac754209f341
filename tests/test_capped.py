"""TPE with a capped history, against Optuna's own without one."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState

from gansearch.capped import N_GOOD, CappedTPESampler
from gansearch.scheduler import Outcome
from gansearch.searcher import tell

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def uncapped(seed):
    return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def suggest(trial):
    """A space with a conditional parameter; return its score and how far it is trained."""
    x = trial.suggest_float("x", 0.01, 10, log=True)
    k = trial.suggest_int("k", 1, 5)
    kind = trial.suggest_categorical("kind", ["maxout", "relu"])
    pieces = trial.suggest_int("pieces", 2, 5) if kind == "maxout" else 3
    return -((x - 0.5) ** 2) - 0.1 * abs(k - 2) - 0.05 * abs(pieces - 3)


def search(sampler, n, *, open_at_once=3):
    """Run `n` trials of every kind of end, some of them open at once; return what was proposed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    ends = ("completed", "pruned", "collapsed", "pruned", "failed", "pruned")
    opened = []
    for i in range(n):
        trial = study.ask()
        opened.append((i, trial, suggest(trial)))
        if len(opened) == open_at_once:
            number, trial, score = opened.pop(i % open_at_once)
            trial.report(score - 1, 50)
            trial.report(score, 100 + number % 3)
            tell(study, trial, Outcome(ends[number % 6], "because"), score)
    return study, [trial.params for trial in study.trials]


def test_up_to_the_cap_proposals_are_those_of_tpe_itself():
    _, own = search(CappedTPESampler(5, cap=80), 80)
    _, optunas = search(uncapped(5), 80)
    assert own == optunas


def test_above_the_cap_proposals_differ():
    _, own = search(CappedTPESampler(5, cap=30), 80)
    _, optunas = search(uncapped(5), 80)
    assert own[:30] == optunas[:30]
    assert own != optunas


def test_however_long_the_search_its_model_of_the_good_is_that_of_tpe_itself(monkeypatch):
    seen = []

    def split(study, trials, n_below):
        found = _split_trials(study, trials, n_below)
        seen.append([trial.number for trial in found[0]])
        return found

    study, _ = search(optuna.samplers.RandomSampler(seed=0), 600)
    sampler = CappedTPESampler(5, cap=250)
    monkeypatch.setattr("optuna.samplers._tpe.sampler._split_trials", split)
    for model in (sampler, uncapped(5)):
        study.sampler = model
        suggest(study.ask())
    first, second = {tuple(numbers) for numbers in seen[:2]}, {tuple(n) for n in seen[2:]}
    assert first == second
    assert len(seen[0]) == N_GOOD


def test_tpe_takes_no_more_for_good_than_the_capped_one_keeps():
    assert default_gamma(10**6) == N_GOOD


def test_what_is_modelled_is_bounded_and_holds_the_running_trials():
    study, _ = search(optuna.samplers.RandomSampler(seed=0), 300)
    sampler = CappedTPESampler(5, cap=50)
    shown = sampler._look(study)._get_trials()
    assert [trial.number for trial in shown] == sorted(trial.number for trial in shown)
    running = [trial for trial in shown if trial.state == TrialState.RUNNING]
    assert len(running) == len(study.get_trials(states=(TrialState.RUNNING,))) == 2
    assert 50 <= len(shown) - len(running) <= 50 + N_GOOD


def test_a_parameter_that_no_modelled_trial_has_is_not_forgotten():
    """Groups of parameters come from all trials, as without a cap."""
    sampler = CappedTPESampler(0, cap=20)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for i in range(60):
        # The only one with `pieces` scores worst, and was long ago.
        study.enqueue_trial({"x": 1.0, "k": 2, "kind": "relu" if i else "maxout", "pieces": 4})
        trial = study.ask()
        suggest(trial)
        tell(study, trial, Outcome("completed"), 1.0 if i else -100.0)
    space = sampler.infer_relative_search_space(study, SimpleNamespace(number=0))
    assert set(space) == {"x", "k", "kind", "pieces"}
    assert all("pieces" not in t.params for t in sampler._look(study)._get_trials())
    for _ in range(20):
        suggest(study.ask())


def test_a_search_that_goes_on_in_another_process_models_the_same():
    first = CappedTPESampler(0, cap=30)
    study, _ = search(first, 70)
    second = CappedTPESampler(0, cap=30)
    shown = [[t.number for t in s._look(study)._get_trials()] for s in (first, second)]
    assert shown[0] == shown[1]


def test_trials_that_end_out_of_their_order_are_modelled_in_it():
    sampler = CappedTPESampler(0, cap=5)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    trials = [study.ask() for _ in range(12)]
    for trial in reversed(trials):
        suggest(trial)
        tell(study, trial, Outcome("collapsed", "because"))
        sampler._look(study)
    newest = [number for number, _ in sampler._newest]
    assert newest == [7, 8, 9, 10, 11]
