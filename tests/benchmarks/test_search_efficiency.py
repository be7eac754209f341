"""Searches that are replayed from kept curves."""

import numpy as np
import pytest

from benchmarks.studies.curves import DATA, Table, load_curves
from benchmarks.studies.search_efficiency import ARMS, _Cells, quality_of, sampled_space, search


@pytest.fixture(scope="module")
def curves():
    return load_curves("digits")


def test_a_table_has_a_curve_of_each_of_its_configurations(curves):
    table = Table("digits")
    assert len(curves) == len(table.configs) == 384
    for curve in curves.values():
        assert (np.diff(curve.updates) > 0).all()
        assert curve.status in ("completed", "collapsed", "diverged")
        assert curve.status != "completed" or curve.end >= table.budget.max_updates


def test_a_proposal_is_rounded_to_the_nearest_cell(curves):
    table = Table("digits")
    cells = _Cells(table, curves)
    config = table.configs[200].to_dict()
    moved = config | {"generator_lr": 1.3 * config["generator_lr"]}
    assert cells.cell(config) == cells.cell(moved) == 200
    assert "generator_lr" in sampled_space("digits").search


@pytest.mark.parametrize("arm", ARMS)
def test_a_search_is_replayed_alike_and_spends_what_its_trials_spend(arm, curves):
    found = search("digits", arm, seed=0, n_trials=6, n_workers=2, data=DATA)
    assert found == search("digits", arm, seed=0, n_trials=6, n_workers=2, data=DATA)
    assert found.completions
    for each in found.completions:
        assert each.score == curves[each.cell].final_score or arm == "ray"
    n_trials = round(6 * ARMS[arm].trials)
    assert found.spent <= n_trials * (Table("digits").budget.max_updates + 2)
    assert found.completions[-1].spent <= found.spent


def test_pausing_spends_less_than_training_every_trial_to_its_end(curves):
    whole = search("digits", "random", seed=1, n_trials=12, n_workers=2, data=DATA)
    paused = search("digits", "random + freeze_thaw", seed=1, n_trials=8, n_workers=2, data=DATA)
    assert paused.spent < whole.spent  # both begin twelve trials
    assert whole.best().score >= paused.best().score
    assert whole.best(within=0) is None
    assert whole.spent_until(quality_of(curves)) > 0
