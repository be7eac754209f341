"""Schedules in every family that trains by Algorithm 1."""

from __future__ import annotations

import pytest
import torch

from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.family import load_family
from gansearch.networks.own import OwnNetworkMaker
from gansearch.training.training import AdversarialTraining
from tests.own_nets import ConvD, ConvG, searched

DIGITS = load_dataset("digits")
SMALL = {
    "generator_widths": [16],
    "discriminator_widths": [8],
    "noise_dim": 4,
    "batch_size": 10,
    "init": "glorot",
    "gradient_penalty_weight": 0.1,
}
POINTS = [
    {"at": 7, "discriminator_lr": 0.02, "label_smoothing": 0.1},
    {"at": 16, "instance_noise_sd": 0.1, "gradient_penalty": "r1", "lr_decay": 1.01},
]
END = 30
FAMILIES = [
    ("conditional_nets", {"condition": "auxiliary"}),
    ("conditional_nets", {"condition": "projection", "k": 2}),
    ("semisupervised_nets", {"classifier": "classes"}),
    ("inpainting_nets", {}),
    ("inference_nets", {"inference": "along"}),
    ("inference_nets", {"inference": "after", "inference_share": 0.6}),  # in both stages
    ("coordinated_nets", {"coordination": "lookahead", "lookahead_iterations": 3}),
    ("coordinated_nets", {"coordination": "optimistic", "optimizer": "adam"}),
    ("own_networks", {}),
]


def config_of(name, values, points=POINTS):
    if name == "own_networks":
        return searched(**values, schedule=points)
    return load_family(name).config_type.from_dict({**SMALL, **values, "schedule": points})


def training_of(name, config, updates, state=None):
    if name == "own_networks":
        training = AdversarialTraining(config, DIGITS, 3, make=OwnNetworkMaker(ConvG, ConvD))
    else:
        training = load_family(name).build(config, DIGITS, 3, "cpu")
    training.max_updates = END
    if state is not None:
        training.load(state)
    training.advance(updates)
    training.seconds = 0.0
    return training


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize(("name", "values"), FAMILIES)
def test_a_schedule_trains_as_its_forks_do_one_after_the_other(name, values):
    config = config_of(name, values)
    whole, state = training_of(name, config, END).save(), None
    for i, point in enumerate(POINTS):
        fork = config_of(name, values, POINTS[:i])
        state = training_of(name, fork, point["at"], state).save()
    assert training_of(name, config, END, state).save() == whole
    resumed = training_of(name, config, 20).save()
    assert training_of(name, config, END, resumed).save() == whole
    base = config_of(name, values, [])
    assert training_of(name, base, END).save() != whole


def test_iterations_without_a_known_number_of_updates_have_no_schedule():
    family = load_family("coordinated_nets")
    family.check(config_of("coordinated_nets", {}), DIGITS)
    with pytest.raises(ConfigError) as error:
        family.check(config_of("coordinated_nets", {"d_target": 1.0}), DIGITS)
    assert str(error.value) == (
        "schedule: it does not go with d_target, by which iterations have more or fewer updates, "
        "so that points are not reached at a known one. Leave out either."
    )
