"""How long a run will take, from trainings that are measured now."""

from dataclasses import replace

import pytest
import torch

from gansearch.budget import Budget
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError
from gansearch.space.load import load_space
from gansearch.trial import step_times
from gansearch.trial.step_times import StepTimes, measured_steps
from gansearch.tune import dry_run
from gansearch.tune.costs import Costs
from gansearch.tune.dry_run import plan
from gansearch.tune.estimate import estimate, expected_updates
from gansearch.tune.slots import drawn_configs

OVERRIDES = ["trials=7", "max_updates=1000", "reports=4", "replicas=2", "top=1"]


def measured(tmp_path, space, *configs, seconds=0.05):
    dataset = load_dataset(space.dataset)
    return measured_steps(
        space,
        configs,
        dataset,
        folder=tmp_path,
        device="cpu",
        n_at_a_time=2,
        n_samples=100,
        seconds=seconds,
    )


def test_steps_are_measured_of_drawn_or_given_configurations_and_leave_nothing(tmp_path):
    space, n_threads = load_space("ring", OVERRIDES), torch.get_num_threads()
    found = measured(tmp_path, space, *drawn_configs(space, 4))
    assert 1 <= found.n_configs <= 4  # as many as the time allows
    assert found.update > 0 and found.evaluation > 0
    assert measured(tmp_path, space, space.preset("vanilla")).n_configs == 1
    assert torch.get_num_threads() == n_threads
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def of_adam_only(monkeypatch):
    """Let every training with another optimizer diverge."""
    measure = step_times._measure

    def measured_or_diverged(process, config):
        if config.optimizer != "adam":
            raise DivergedError("a loss is not finite")
        return measure(process, config)

    monkeypatch.setattr(step_times, "_measure", measured_or_diverged)


def test_a_configuration_that_diverges_is_left_out(tmp_path, of_adam_only):
    space = load_space("ring", OVERRIDES)
    paper, vanilla = space.preset("paper"), space.preset("vanilla")
    assert measured(tmp_path, space, paper) is None
    assert measured(tmp_path, space, paper, vanilla).n_configs == 1


def test_a_search_is_expected_to_make_fewer_updates_than_at_most_and_more_with_few_trials():
    budgets = [Budget(trials=n, max_updates=9000, reports=9) for n in (3, 30, 10**7)]
    shares = [expected_updates(each) / (each.trials * 9000) for each in budgets]
    assert shares[0] == 1  # the first three meet no others
    assert shares[0] > shares[1] > shares[2] > budgets[0].expected_updates / 9000 * 0.9


def test_freeze_thaw_takes_as_many_updates_as_asha_but_twice_those_before_the_grace():
    asha = Budget(trials=30, max_updates=9000, reports=9)
    of = [replace(asha, scheduler="freeze_thaw", grace=grace) for grace in (0.15, 0.4, 0.8)]
    expected = [expected_updates(each) / 30 for each in of]
    assert expected == [pytest.approx(expected_updates(asha) / 30), 7200, 9000]
    assert [each.expected_updates for each in of] == [2800, 7200, 9000]


def test_a_population_is_expected_to_make_the_updates_of_its_plan():
    asha = Budget(trials=30, max_updates=9000, reports=9)
    planned = expected_updates(replace(asha, scheduler="pbt"))
    assert planned == pytest.approx(30 * asha.expected_updates, rel=0.03)
    assert planned != expected_updates(asha)


def test_an_estimate_counts_updates_evaluations_final_scores_and_starts():
    space = load_space("digits", [*OVERRIDES, "reduction_factor=100"])
    steps, costs = StepTimes(6, update=0.01, evaluation=0.5), Costs(final_score=15, conclusion=22)
    found = estimate(space, 0, steps, costs, n_at_a_time=2)
    # A trial of 1,000 updates and four evaluations takes 12 s; a final score 15 s.
    assert found.search == pytest.approx(8 + 12 * expected_updates(space.budget) / 1000 / 2)
    assert found.replicas == pytest.approx(8 + 2 * (12 + 15))
    assert found.rest == pytest.approx(8 + 22)
    assert found.seconds == found.search + found.replicas + found.rest
    given = estimate(space, 3, steps, costs, n_at_a_time=100)
    assert (given.search, given.replicas) == (0, pytest.approx(8 + 12 + 15))


def test_a_dry_run_shows_the_updates_in_all_and_the_time(monkeypatch):
    monkeypatch.setattr(dry_run, "N_MEASURED", 1)
    line = "updates      search: about "
    said = plan("digits", overrides=OVERRIDES)
    assert line in said and "expected, 7,000 at most; replicas: 4,000" in said
    assert "time  " not in said
    said = plan("digits", overrides=[*OVERRIDES, "replicas=0"], measured_seconds=0.05)
    assert "expected, 7,000 at most\n" in said
    time = next(each for each in said.splitlines() if each.startswith("time  "))
    assert "replicas" not in time
    assert "updates/s of a trial by itself, over 1 configuration drawn from the space; " in time
    said = plan("digits", only=["paper"], measured_seconds=0.05)
    assert "updates      replicas: 20,000\n" in said
    assert "over 1 configuration given; " in said and "search" not in said.split("time  ")[1]


def test_a_dry_run_in_which_nothing_trains_says_that_the_time_is_unknown(of_adam_only):
    assert "time         unknown: " in plan("digits", only=["paper"], measured_seconds=0.05)
