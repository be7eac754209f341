"""What a search goes on with, and which configurations are trained again, without Ray."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from optuna.trial import FixedTrial

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.own_measures import OwnMeasure
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import Origin, TrialSpec
from gansearch.tune.phases import _earlier_member, _known, _reports_of_sound_trials, finalists
from gansearch.tune.repair import open_or_rebuild_study
from gansearch.tune.rows import known_trials, new_row, summary_of
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.study import search_spec
from tests.written_runs import described

SOUND = {"coverage": 0.9, "recall": 0.9, "nn_ratio": 1.0}
COLLAPSED = {"coverage": 0.05, "recall": 0.0, "nn_ratio": 0.3}


def row(number, valid_ll, indicators=SOUND, phase="search", updates=5000):
    config = TrialConfig(k=1 + number)
    spec = TrialSpec(f"{phase}{number}", number, phase, 0, config.to_dict())
    ended = {"status": "completed", "updates": updates, "valid_ll": valid_ll}
    return new_row(spec, TrialConfig) | ended | indicators


def finalists_of(*rows, top=2, baseline="paper", more=()):
    space = load_space("ring", [f"budget.top={top}", f"baseline={baseline}", *more])
    session = SimpleNamespace(
        space=space,
        budget=space.budget,
        dataset=load_dataset("ring"),
        description=SimpleNamespace(n_evaluation_samples=1000, former_spaces=()),
        rows=lambda phase: [row for row in rows if row["phase"] == phase],
    )
    found = finalists(session)
    best = found[: len(found) - len(space.baselines)]
    assert found[len(best) :] == space.baselines
    return [config.k - 1 for config in best]


def test_the_best_completed_configurations_become_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0), row(2, 2.0)) == [1, 2]


def test_the_finalists_of_several_objectives_are_spread_over_the_front():
    front = [(5.0, 0.1), (4.9, 0.11), (4.8, 0.12), (3.0, 0.5), (1.0, 0.9)]
    dominated = (4.0, 0.1)
    rows = [
        row(i, ll, SOUND | {"coverage": coverage})
        for i, (ll, coverage) in enumerate([dominated, *front])
    ]
    by_both = ["objectives=[valid_ll,coverage]"]
    assert finalists_of(*rows, top=3, more=by_both) == [1, 5, 4]
    assert finalists_of(*rows, top=6, more=by_both)[-1] == 0
    assert finalists_of(*rows, top=3) == [1, 2, 3]


def test_a_space_without_a_baseline_has_the_best_alone_as_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0), row(2, 2.0), baseline="none") == [1, 2]
    assert finalists_of(row(0, 1.0), top=0, baseline="none") == []


def test_a_trial_that_an_older_version_completed_with_collapsed_samples_is_no_finalist():
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED), row(2, 2.0)) == [2, 0]


def test_a_trial_that_the_test_has_judged_at_its_end_is_not_judged_again():
    judged = row(1, 3.0, COLLAPSED | {"collapsed_p": 0.01})
    assert finalists_of(row(0, 1.0), judged, row(2, 2.0)) == [1, 2]


def test_a_collapsed_finalist_whose_replicas_have_begun_keeps_its_place():
    begun = row(1, 3.0, COLLAPSED, "replica")
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED), row(2, 2.0), begun) == [1, 2]


def test_trials_that_are_too_young_to_be_judged_may_become_finalists():
    assert finalists_of(row(0, 1.0), row(1, 3.0, COLLAPSED, updates=900)) == [1, 0]


@pytest.mark.parametrize(("direction", "best"), [("minimize", [2, 1]), ("maximize", [0, 1])])
def test_a_resume_goes_on_by_the_objective_in_its_rungs_its_study_and_its_finalists(
    tmp_path, direction, best
):
    """Log-likelihoods are equal, and the journal is lost: the history has what all three need."""
    space = SearchSpace.from_dict(
        {
            "dataset": "ring",
            "search": {"generator_lr": {"float": [0.01, 1.0]}},
            "measures": [OwnMeasure("fid", "/gone.py:fid", direction).to_dict()],
            "objective": "fid",
            "baseline": "none",
            "budget": {"max_updates": 2000, "grace": 0.5, "reduction_factor": 2, "top": 2},
        }
    )
    folder = RunFolder.create(tmp_path, "mine")
    folder.write_run(described(space=space.to_dict(), state="interrupted"))
    rows = []
    for number, fid in enumerate((9.0, 6.0, 3.0)):
        config = space.suggest(FixedTrial({"generator_lr": 0.1 + number / 10}))
        ended = {"status": "completed", "updates": 2000, "valid_ll": 5.0, "collapsed_p": 0.5}
        row = new_row(search_spec(number, 0, config), space.table) | SOUND | ended
        rows.append(row | {"measure.fid": fid})
        folder.append_history(
            [rows[-1] | {"updates": n, "measure.fid": fid + 2000 - n} for n in (1000, 2000)]
        )
    session = SimpleNamespace(
        folder=folder,
        space=space,
        budget=space.budget,
        description=SimpleNamespace(former_spaces=()),
        rows=lambda phase: [row for row in rows if row["phase"] == phase],
    )
    scheduler = GuardedScheduler(space.budget, halving=True, objective=space.objective)
    scheduler.replay(_reports_of_sound_trials(session))
    stopped = {
        fid: scheduler._halving.add_score(f"new {fid}", 1000, space.objective.as_score(1000 + fid))
        for fid in (10.0, 2.0)
    }
    worse, better = (10.0, 2.0) if direction == "minimize" else (2.0, 10.0)
    assert stopped[better] is None
    assert stopped[worse].startswith(f"fid {1000 + worse:.0f} at rung 1,000, ")
    study, _ = open_or_rebuild_study(folder, space, make_sampler("random", 0), rows, faults=[])
    sign = -1 if direction == "minimize" else 1
    assert [trial.value for trial in study.trials] == [sign * fid for fid in (9.0, 6.0, 3.0)]
    assert study.best_trial.number == best[0]
    assert [config.config_id for config in finalists(session)] == [
        rows[number]["config_id"] for number in best
    ]


def test_a_trial_that_goes_on_is_shown_with_its_earlier_evaluations_and_its_name(tmp_path):
    space = load_space("ring")
    folder = RunFolder.create(tmp_path, "mine")
    run = described(space=space.to_dict(), state="interrupted")
    folder.write_run(run)
    rows = [new_row(search_spec(i, 0, space.preset("vanilla")), space.table) for i in range(2)]
    rows[1]["status"] = "completed"
    folder.append_history(
        [row | {"updates": n, "valid_ll": n / 100} for n in (100, 200) for row in rows]
    )
    session = SimpleNamespace(folder=folder, space=space, description=run)
    going_on, ended = _known(session, rows)
    assert (going_on.values, ended.values) == ({100: 1.0, 200: 2.0}, {})
    assert going_on.summary.startswith("vanilla: k=1 optimizer=adam ")


def test_a_fork_is_shown_with_the_parameters_with_which_it_goes_on():
    points = [{"at": 1000, "momentum": 0.3}, {"at": 5000, "momentum": 0.1}]
    config = TrialConfig.from_dict({"momentum": 0.5, "schedule": points}).to_dict()
    donor = TrialSpec("t00000", 0, "search", 1, config)
    fork = replace(donor, trial_id="t00000-1000", origin=Origin("t00000", 1000))
    shown = [summary_of(spec, ("momentum",)) for spec in (donor, fork)]
    assert shown == ["momentum=0.5", "momentum=0.3"]
    space = load_space("digits", ("momentum={float: [0, 0.9]}",))
    row = new_row(fork, TrialConfig) | {"status": "running", "updates": 1000}
    assert "momentum=0.3" in known_trials([row], 2000, space)[0].summary


@pytest.mark.parametrize(
    ("status", "end", "n_counted"),
    [
        ("running", None, 2),
        ("pruned", "pruned", 2),
        ("failed", "failed", 2),  # before its next report: the last one had been counted
        ("diverged", "unsound", 2),
        ("collapsed", "unsound", 1),  # by its last one
    ],
)
def test_a_population_counts_all_reports_but_that_by_which_a_trial_collapsed(
    status, end, n_counted
):
    reports = [(1000, 1.0, True), (2000, 2.0, True)]
    member = _earlier_member({"status": status, "updates": 2000, "forked_at": None}, reports)
    assert member == (reports[:n_counted], end, False)
