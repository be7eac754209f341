"""Schedules that are shares of the budget."""

import numpy as np
import pytest

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.training.schedules import Horizon, rates_at
from gansearch.training.training import AdversarialTraining
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from tests.training.test_pretraining import blobs as blobs_of_12
from tests.training.test_pretraining import staged
from tests.training.test_training import blobs, small, weights


def test_both_rates_fall_geometrically_to_their_share_at_the_end_of_the_budget():
    config = TrialConfig(final_lr_share=0.01, generator_lr=0.2, lr_decay=1.5, min_lr=0.09)
    horizon = Horizon(1000, 400)
    found = rates_at(config, np.array([0, 200, 400, 500]), horizon)
    assert found.generator_lr == pytest.approx([0.2, 0.02, 0.002, 0.002])
    assert found.discriminator_lr == pytest.approx([0.1, 0.01, 0.001, 0.001])


def test_the_momentum_reaches_its_final_value_at_its_share_of_the_budget():
    config = TrialConfig(momentum_share=0.5, momentum=0.1, final_momentum=0.9)
    found = rates_at(config, np.array([0, 100, 200, 300]), Horizon(1000, 400)).momentum
    assert found == pytest.approx([0.1, 0.5, 0.9, 0.9])


@pytest.mark.parametrize("name", ["final_lr_share", "momentum_share"])
def test_a_training_without_a_budget_names_the_share_that_needs_one(name):
    training = AdversarialTraining(small(**{name: 0.5}), blobs(), 0)
    with pytest.raises(ConfigError, match=f"{name}: it refers to the budget .* max_updates"):
        training.step()


@pytest.mark.parametrize(("k", "n_iterations"), [(1, 201), (4, 81)])
def test_a_trial_gives_its_training_the_budget_alone_and_in_a_group(tmp_path, k, n_iterations):
    for n_slots in (0, 2):
        plan = TrialPlan(tmp_path, {}, Budget(max_updates=401), n_slots=n_slots)
        process = TrialProcess.prepare(load_dataset("gaussian"), plan)
        training = process.build(small(k=k, final_lr_share=0.5), 0)
        assert training.horizon.n_iterations == n_iterations
        if process.engine is not None:
            process.engine.close()


def test_each_stage_of_a_pretraining_anneals_over_its_own_part_of_the_budget():
    config = staged(final_lr_share=0.1, lr_decay=1.0)  # ten iterations, then the others
    training = AdversarialTraining(config, blobs_of_12(), 3, max_updates=50)
    assert training.horizon.n_iterations == 10
    training.advance(20)
    assert (training.stage_iteration, training.horizon.n_iterations) == (0, 15)


def test_a_resumed_training_goes_on_along_the_same_schedule():
    config = small(final_lr_share=0.1, momentum_share=0.7, batch_order="shuffled", batch_size=9)
    whole, first, second = (
        AdversarialTraining(config, blobs(), 3, max_updates=120) for _ in range(3)
    )
    first.advance(46)
    second.load(first.save())
    whole.advance(120)
    second.advance(120)
    assert all((a == b).all() for a, b in zip(weights(whole), weights(second), strict=True))


def test_what_shares_replace_makes_no_other_configuration():
    annealed = TrialConfig(final_lr_share=0.1)
    assert annealed.config_id == TrialConfig(final_lr_share=0.1, lr_decay=1.1).config_id
    assert annealed.to_dict()["lr_decay"] is None
    assert annealed.config_id != TrialConfig().config_id
