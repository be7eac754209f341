"""What is changed to save a dying training."""

from dataclasses import dataclass

import pytest

from gansearch.config import TrialConfig
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.rules import Config, parameter
from gansearch.tune.rescue import MAX_ATTEMPTS, rescue_changes


@dataclass(frozen=True)
class OtherParameters(Config):
    """Those of a family whose trainings know no schedule."""

    generator_lr: float = parameter(0.1, "float", "rate of G", low=0, high=1)
    discriminator_lr: float = parameter(0.1, "float", "rate of D", low=0, high=1)


def test_both_rates_become_a_third_of_their_geometric_mean_and_momentum_goes():
    config = TrialConfig(optimizer="adam", generator_lr=0.01, discriminator_lr=0.0001)
    changes = rescue_changes(config, 1)
    assert changes == {
        "generator_lr": pytest.approx(0.001 / 3),
        "discriminator_lr": pytest.approx(0.001 / 3),
        "adam_beta1": 0.0,
    }


def test_with_sgd_neither_momentum_is_left_and_adams_is_not_touched():
    changes = rescue_changes(TrialConfig(optimizer="sgd"), 1)
    assert changes["momentum"] == changes["final_momentum"] == 0.0
    assert "adam_beta1" not in changes


def test_what_has_its_new_value_already_does_not_change():
    config = TrialConfig(optimizer="adam", adam_beta1=0.0)
    assert set(rescue_changes(config, 1)) == {"generator_lr", "discriminator_lr"}


@pytest.mark.parametrize("table", [TrialConfig, OwnNetworkParameters])
@pytest.mark.parametrize("lr", [1e-300, 1e-4, 100.0])
def test_the_changes_are_a_point_of_a_schedule_and_each_attempt_goes_lower(table, lr):
    config, before = table(generator_lr=lr, discriminator_lr=lr), lr
    for attempt in range(1, MAX_ATTEMPTS + 1):
        at = 1000 * attempt
        point = {"at": at, **rescue_changes(config.at(at), attempt)}
        config = config.replaced(schedule=[*config.schedule, point])
        assert 0 < config.at(at).discriminator_lr == config.at(at).generator_lr < before
        before = config.at(at).discriminator_lr
    assert rescue_changes(config.at(at), MAX_ATTEMPTS + 1) == {}


def test_a_training_without_schedules_can_not_be_changed():
    assert rescue_changes(OtherParameters(), 1) == {}
