"""What the weights are before the first update."""

import math

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.networks.initialisation import initialise_discriminator, initialise_generator
from gansearch.networks.models import Discriminator, Generator

CONVOLUTIONAL = {
    "generator_network": "convolutional",
    "generator_widths": (50,),
    "generator_channels": (60, 40),
    "discriminator_network": "convolutional",
    "discriminator_channels": (20, 30),
    "discriminator_kernels": (3,),
    "discriminator_widths": (50,),
}


def make(shape=(8, 9, 3), mean=None, seed=0, **values):
    config = TrialConfig(**values)
    generator, discriminator = Generator(config, shape), Discriminator(config, shape)
    mean = torch.full((math.prod(shape),), 0.3) if mean is None else mean
    rng = torch.Generator().manual_seed(seed)
    initialise_generator(generator, config, mean, rng)
    initialise_discriminator(discriminator, config, rng)
    return generator, discriminator


def test_the_initial_weights_fill_the_configured_ranges():
    generator, discriminator = make(**CONVOLUTIONAL)
    for net, bound in ((generator, 0.05), (discriminator, 0.005)):
        for layer in net.layers:
            assert layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_normal_weights_have_the_configured_deviation_in_every_layer_of_both():
    nets = make(init="normal", init_sd=0.07, **CONVOLUTIONAL)
    for layer in (layer for net in nets for layer in net.layers):
        weight = layer.weight.detach().numpy()
        assert weight.std() == pytest.approx(0.07, rel=0.3 if weight.size < 100 else 0.07)
        assert np.abs(weight).max() > 0.07 * math.sqrt(3)


def test_glorot_ranges_follow_fan_in_and_fan_out():
    generator, discriminator = make(shape=(28, 28, 1), init="glorot")
    bound = generator.layers[1].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / 2400), rel=0.01)
    bound = discriminator.layers[0].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / (784 + 240)), rel=0.01)


def test_a_convolutions_fans_count_its_receptive_field_and_its_units_not_their_pieces():
    generator, discriminator = make(init="glorot", convolution_pieces=4, **CONVOLUTIONAL)
    # Deconvolution of 60 channels to 40, kernel 5; convolution of 20 channels to 30, kernel 3.
    bound = generator.layers[2].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / (60 * 25 + 40 * 25)), rel=0.01)
    bound = discriminator.layers[1].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / (20 * 9 + 30 * 9)), rel=0.01)


def test_the_output_weights_may_have_a_range_of_their_own():
    generator, _ = make(output_init="uniform", output_init_range=0.5)
    assert generator.layers[1].weight.abs().max() <= 0.05
    assert generator.layers[-1].weight.std().item() == pytest.approx(0.5 / math.sqrt(3), rel=0.05)


def test_sparse_output_units_each_have_the_given_number_of_standard_normal_weights():
    generator, _ = make(output_init="sparse", output_init_inputs=30)
    weight = generator.layers[-1].weight.detach()
    assert (torch.count_nonzero(weight, dim=0) == 30).all()
    assert weight[weight != 0].std().item() == pytest.approx(1, rel=0.05)
    # Other inputs for other units: each is about as popular as any.
    assert torch.count_nonzero(weight, dim=1).float().mean().item() == pytest.approx(
        216 * 30 / 1200
    )
    assert torch.count_nonzero(weight, dim=1).max() < 25


def test_a_deconvolutions_sparse_units_are_its_channels():
    generator, _ = make(output_init="sparse", output_init_inputs=30, **CONVOLUTIONAL)
    weight = generator.layers[-1].weight.detach()
    assert weight.shape == (40, 3, 5, 5)
    assert torch.count_nonzero(weight, dim=(0, 2, 3)).tolist() == [30, 30, 30]


def test_a_unit_with_fewer_inputs_than_asked_for_has_them_all():
    generator, _ = make(output_init="sparse", generator_widths=(20,))
    assert torch.count_nonzero(generator.layers[-1].weight) == 20 * 216


def test_the_hidden_sigmoid_layers_begin_with_their_bias_and_the_others_with_zero():
    generator, _ = make(
        generator_widths=(8, 7, 6, 5), generator_activation="relu_sigmoid", sigmoid_bias=-2.0
    )
    *hidden, output = generator.layers
    assert [set(layer.bias.tolist()) for layer in hidden] == [{0.0}, {-2.0}, {0.0}, {-2.0}]
    assert torch.allclose(output.bias, torch.logit(torch.tensor(0.3)))


def test_g_starts_at_the_training_sets_mean():
    mean = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0, 0.3, 0.7])
    generator, _ = make((7,), mean, generator_widths=(5,), noise_dim=3)
    generator.layers[-1].weight.data.zero_()
    assert torch.allclose(generator(torch.randn(1, 3))[0], mean, atol=1e-6)
    generator, _ = make((7,), mean, generator_output="linear")
    assert torch.equal(generator.layers[-1].bias.detach(), mean)
    generator, _ = make((7,), mean, output_bias="zero")
    assert not generator.layers[-1].bias.any()


def test_a_convolutional_g_starts_at_each_pixels_mean_in_its_place():
    mean = torch.linspace(0.1, 0.9, 8 * 9 * 3)
    generator, _ = make((8, 9, 3), mean, **CONVOLUTIONAL)
    for layer in generator.layers:
        layer.weight.data.zero_()
    assert torch.allclose(generator(torch.randn(2, 100)), mean.expand(2, -1), atol=1e-6)


def test_batch_normalisation_begins_with_scale_one():
    nets = make(generator_normalization="batch", discriminator_normalization="batch")
    for net in nets:
        for layer in net.layers:
            assert layer.gamma is None or (layer.gamma == 1).all()
    lowest, *hidden, output = nets[1].layers
    assert lowest.gamma is None and output.gamma is None and hidden[0].gamma is not None
    *hidden, output = nets[0].layers
    assert output.gamma is None and all(layer.gamma is not None for layer in hidden)


def test_the_same_stream_gives_the_same_weights_whatever_was_there_before():
    config = TrialConfig(discriminator_normalization="batch", **CONVOLUTIONAL)
    first, second = Discriminator(config, (8, 8, 1)), Discriminator(config, (8, 8, 1))
    for p in second.parameters():
        p.data.fill_(7.0)
    for net in (first, second):
        initialise_discriminator(net, config, torch.Generator().manual_seed(3))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
