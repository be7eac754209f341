"""Convolutional trainings have groups of one slot, whose chunks a GPU can replay as graphs."""

import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.networks.models import is_dense
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from tests.grouping.test_group import DEVICES, same, state_of
from tests.training.test_training import CONVOLUTIONAL, NORMALISED, small

DIGITS = load_dataset("digits", None)
# The preset of `digits`. Not read from there: that takes Optuna, which the GPU's machine may lack.
DCGAN = TrialConfig(
    optimizer="adam",
    generator_lr=2e-4,
    discriminator_lr=2e-4,
    adam_beta1=0.5,
    lr_decay=1.0,
    batch_size=64,
    init="normal",
    output_bias="zero",
    generator_network="convolutional",
    generator_widths=(),
    generator_channels=(64, 32),
    generator_kernels=(4,),
    generator_strides=(2,),
    generator_paddings=(1,),
    generator_normalization="batch",
    discriminator_network="convolutional",
    discriminator_channels=(32, 64),
    discriminator_kernels=(4,),
    discriminator_strides=(2,),
    discriminator_paddings=(1,),
    discriminator_pools=(1,),
    discriminator_pool_strides=(1,),
    discriminator_widths=(),
    discriminator_activation="leaky_relu",
    discriminator_normalization="batch",
    leaky_slope=0.2,
    dropout_input=0.0,
    dropout_hidden=0.0,
)
CONFIGS = {
    "maxout, pools": small(**CONVOLUTIONAL, k=2, dropout_input=0.2, dropout_hidden=0.5),
    "batch normalised": small(**CONVOLUTIONAL, **NORMALISED),
    "a dense G": small(**(CONVOLUTIONAL | {"generator_network": "dense"}), generator_ema=0.9),
    "simultaneous": small(**CONVOLUTIONAL, update="simultaneous", discriminator_max_norm=0.9),
    "dcgan": DCGAN,
}


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def trained(config, device, n_iterations, *, in_group):
    training = AdversarialTraining(config, DIGITS, 1, device=device, max_updates=100)
    if not in_group:
        for _ in range(n_iterations):
            training.step()
        return training
    examples = Examples(DIGITS, device)
    group = Group(structure_of(config), DIGITS.shape, examples, n_slots=1, n_ticks=4)
    group.admit(training, n_iterations)
    while group.left(training):
        group.advance()
    group.release(training)
    return training


@pytest.mark.parametrize("name", CONFIGS)
def test_a_convolutional_training_follows_its_single_steps_to_rounding_error(name, device):
    config = CONFIGS[name]
    assert not is_dense(structure_of(config))
    ours, theirs = (
        state_of(trained(config, device, 5, in_group=in_group)) for in_group in (True, False)
    )
    assert torch.equal(ours.pop("rng"), theirs.pop("rng"))
    for key, tensor in theirs.items():
        assert torch.allclose(ours[key], tensor, rtol=1e-3, atol=1e-4), key


def test_it_goes_on_from_its_checkpoint_in_another_group():
    config = CONFIGS["maxout, pools"]
    whole = trained(config, "cpu", 7, in_group=True)
    first = trained(config, "cpu", 3, in_group=True)
    again = AdversarialTraining(config, DIGITS, 1, max_updates=100)
    again.load(first.save())
    group = Group(structure_of(config), DIGITS.shape, Examples(DIGITS, "cpu"), n_slots=1, n_ticks=4)
    group.admit(again, 4)
    while group.left(again):
        group.advance()
    group.release(again)
    assert same(state_of(whole), state_of(again))


def test_all_sizes_of_convolutions_are_part_of_the_structure():
    config = CONFIGS["maxout, pools"]
    for values in ({"generator_channels": (6, 5)}, {"discriminator_kernels": (3,)}):
        other = small(**(CONVOLUTIONAL | values), k=2, dropout_input=0.2, dropout_hidden=0.5)
        assert structure_of(other) != structure_of(config)
