"""What may be tried to save a run that died, and what of it is known from kept curves."""

import pytest

from benchmarks.studies import rescue
from benchmarks.studies.curves import Table, load_curves
from benchmarks.studies.rescue import Course, Dying, State, attempted, dying_runs, rates

DYING = Dying("ring table", 3)
BUDGET = Table("ring").budget.max_updates  # 8,000


@pytest.fixture
def tried(monkeypatch):
    """Let attempts collapse after 1,000 updates, without training; return what was tried."""
    tried = []

    def follow(config, dataset, seed, budget, start):
        tried.append((config, seed, start.updates))
        return Course([start], start.updates + 1000, "collapsed", was_sound=False)

    monkeypatch.setattr(rescue, "follow", follow)
    return tried


def died_at(updates):
    states = [State(at) for at in range(0, updates, 1000)]
    return Course(states, updates, "collapsed", was_sound=False)


def test_a_run_goes_back_to_the_earliest_state_from_which_its_budget_can_be_reached(tried):
    found = attempted(DYING, "unchanged", died_at(6000), {})
    assert (found["start"], found["spent_after_death"], found["healthy"]) == (2000, 1000, False)
    assert attempted(DYING, "calm, from the last state", died_at(6000), {})["start"] == 5000
    assert [start for _, _, start in tried] == [2000, 5000]


def test_hopeless_states_are_passed_by_where_it_goes_on_from_the_last(tried):
    states = [State(0), State(1000), State(2000, is_hopeless=True)]
    death = Course(states, 3000, "collapsed", was_sound=False)
    assert attempted(DYING, "calm, from the last state", death, {})["start"] == 1000
    assert len(tried) == 1


def test_a_restart_late_in_the_budget_is_out_of_updates(tried):
    found = attempted(DYING, "calm, from the start", died_at(BUDGET), {})
    assert (found["outcome"], found["spent_after_death"]) == ("out of updates", 0)
    assert tried == []


def test_a_second_attempt_counts_what_the_first_has_spent_and_has_lower_rates(tried):
    found = attempted(DYING, "calm, then calmer", died_at(6000), {})
    assert found["spent_after_death"] == 2000
    (first, seed, start), (second, other_seed, later_start) = tried
    assert (start, later_start) == (2000, 3000)
    assert second.generator_lr == pytest.approx(first.generator_lr / 3)
    assert second.adam_beta1 == first.adam_beta1 == 0
    assert seed != other_seed


def test_policies_that_begin_alike_share_their_trainings(tried):
    known = {}
    for policy in ("calm", "calm, then calmer"):
        attempted(DYING, policy, died_at(6000), known)
    assert len(tried) == 2


def test_the_runs_that_are_tried_died_and_half_are_left_alone():
    for group in rescue.GROUPS:
        runs = dying_runs(group)
        assert runs == dying_runs(group)
        assert len(runs) >= 5
        assert all(rescue._is_tried(group, dying.number) for dying in runs)
    curves = load_curves("ring")
    assert all(curves[dying.number].status != "completed" for dying in dying_runs("ring table"))


def test_a_changed_cell_is_the_one_with_the_nearest_rates_if_there_is_one():
    table, curves = Table("ring"), load_curves("ring")
    cell = next(i for i, curve in curves.items() if curve.config["discriminator_lr"] == 0.01)
    found = rescue._changed(curves, table, cell, rates(discriminator=0.25))
    assert found.config == {**curves[cell].config, "discriminator_lr": 0.003}
    assert rescue._changed(curves, table, cell, rates(discriminator=0.001)) is None
