"""TPE beside the trials of an earlier run: what it sees of them, and what that gains and costs."""

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler

from gansearch.space.load import load_space
from gansearch.tune.earlier_runs import first_configs, stored_earlier_trials
from gansearch.tune.optuna_internals import ShownSampler
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import make_sampler
from gansearch.tune.study import tell
from gansearch.tune.warm_sampler import EarlierTrials, warmed
from tests.benchmark_scripts import script
from tests.written_runs import write_run

CHANGES = ["start_from=[]", "baseline=none", "init=uniform", "generator_widths=[8]"]
SPACE = load_space("digits", CHANGES)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def proposed(n, seed=0):
    """Configurations at random, with a score that grows with k."""
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    configs = [SPACE.suggest(study.ask()) for _ in range(n)]
    return [(config, 10 * config.k + i / n) for i, config in enumerate(configs)]


def earlier_rows(n=40, status="completed"):
    """The rows of an earlier run, the best of which have the largest k."""
    of = sorted(proposed(n, seed=1), key=lambda pair: pair[1])
    return [
        {
            "run": "earlier",
            "trial_id": f"t{i:05d}",
            "config_id": config.config_id,
            "status": status,
            "weight": 1.0,
            "place": (i + 0.5) / n,
            "progress": 1.0,
            "first": 0 if i == n - 1 else None,
            **{f"config.{name}": value for name, value in config.to_dict().items()},
        }
        for i, (config, _) in enumerate(of)
    ]


def seen(n_own, sign=1.0, rows=None):
    """The earlier trials that TPE sees beside so many of its own."""
    show = EarlierTrials(SPACE, earlier_rows() if rows is None else rows)
    sampler = ShownSampler(make_sampler("tpe", 0), show)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for config, score in proposed(n_own):
        study.enqueue_trial(SPACE.encode(config))
        trial = study.ask()
        SPACE.suggest(trial)
        tell(study, trial, Outcome("completed"), sign * score)
    assert [trial.number for trial in study.trials] == [*range(n_own)]
    return [trial for trial in show(study.trials) if trial.number < 0], study


def test_before_there_are_own_trials_to_compare_with_an_earlier_run_counts_nothing():
    assert seen(3)[0] == []


def test_an_earlier_run_that_predicts_the_own_scores_is_seen_less_as_these_accumulate():
    n_seen = [len(seen(n)[0]) for n in (6, 12, 30, 120)]
    assert n_seen == sorted(n_seen, reverse=True)
    assert n_seen[0] > 5 and n_seen[-1] <= 2


def test_an_earlier_run_that_predicts_the_opposite_is_not_seen():
    assert seen(12, sign=-1.0)[0] == []


def test_less_is_seen_of_a_run_of_lower_weight():
    light = [{**row, "weight": 0.3} for row in earlier_rows()]
    assert 0 < len(seen(8, rows=light)[0]) < len(seen(8)[0]) / 2


def test_the_scores_of_earlier_trials_are_on_the_scale_of_the_own_and_the_best_is_among_them():
    trials, study = seen(8)
    own = [trial.value for trial in study.trials]
    values = [trial.value for trial in trials]
    assert min(own) <= min(values) and max(values) <= max(own)
    assert values == sorted(values) and trials[-1].params["k"] == 3


def test_earlier_trials_that_died_are_infeasible_to_tpe():
    dying = earlier_rows(20, "collapsed") + [
        {**row, "trial_id": f"s{row['trial_id']}"} for row in earlier_rows(20)
    ]
    trials, _ = seen(8, rows=dying)
    states = {(trial.state.name, *trial.constraints.values()) for trial in trials}
    assert states == {("PRUNED", 1.0), ("COMPLETE", -1.0)}


def test_a_sampler_that_does_not_learn_from_them_stays_as_it_is():
    random, tpe = make_sampler("random", 0), make_sampler("tpe", 0)
    assert warmed(random, SPACE, earlier_rows()) is random
    assert warmed(tpe, SPACE, []) is tpe


def test_what_no_longer_fits_a_changed_space_is_neither_tried_nor_learned_from(tmp_path):
    run = write_run(tmp_path, space=SPACE.to_dict())
    run.write_warm_start(earlier_rows())
    rows = stored_earlier_trials(run, SPACE)
    assert len(rows) == 40 and [config.k for config in first_configs(SPACE, rows)] == [3]
    changed = load_space("digits", [*CHANGES, "k={int: [1, 2]}", "generator_widths=[16]"])
    rows = stored_earlier_trials(run, changed)
    assert 0 < len(rows) < 40 and first_configs(changed, rows) == []
    assert {row["config.generator_widths"][0] for row in rows} == {16}


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("the same", 0.3, 2.0), ("misleading", -0.7, 0.2)]
)
def test_a_related_run_helps_and_a_misleading_one_costs_little(kind, low, high):
    study = script("studies.warm_start")
    gains = np.array([study.paired_gains(kind, study.ARMS[1], seed, 12) for seed in range(6)])
    assert low < gains[:, -1].mean() < high
