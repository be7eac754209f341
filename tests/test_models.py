"""G and D as the paper describes them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gansearch.config import ACTIVATIONS, TrialConfig
from gansearch.initialisation import initialise_discriminator, initialise_generator
from gansearch.layers import Dense
from gansearch.models import (
    Discriminator,
    Generator,
    draw_noise,
    dropout_rates,
    generate,
)

SMALL = TrialConfig(generator_widths=(8, 6), discriminator_widths=(5, 4), noise_dim=3)


def make(config, dim=7, data_mean=None, seed=0, shape=None):
    shape = shape or (dim,)
    generator, discriminator = Generator(config, shape), Discriminator(config, shape)
    mean = torch.full((math.prod(shape),), 0.3) if data_mean is None else data_mean
    rng = torch.Generator().manual_seed(seed)
    initialise_generator(generator, config, mean, rng)
    initialise_discriminator(discriminator, config, rng)
    return generator, discriminator


def test_the_default_networks_have_the_papers_sizes():
    generator, discriminator = (
        Generator(TrialConfig(), (784,)),
        Discriminator(TrialConfig(), (784,)),
    )
    assert [tuple(p.shape) for p in generator.parameters()] == [
        *((100, 1200), (1200,), (1200, 1200), (1200,), (1200, 784), (784,)),
    ]
    assert [tuple(p.shape) for p in discriminator.parameters()] == [
        *((784, 1200), (1200,), (240, 1200), (1200,), (240, 1), (1,)),
    ]
    assert dropout_rates(TrialConfig()) == [0.2, 0.5, 0.5]


def test_maxout_is_the_largest_of_its_affine_pieces():
    config = TrialConfig(discriminator_widths=(4,), maxout_pieces=3)
    _, discriminator = make(config, dim=5)
    x = torch.randn(6, 5)
    layer = discriminator.layers[0]
    pieces = (x @ layer.weight + layer.bias).reshape(6, 3, 4)
    assert torch.allclose(layer(x), pieces.max(1).values)
    assert layer(x).shape == (6, 4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_serves_both_players(name):
    config = TrialConfig(
        generator_activation=name,
        discriminator_activation=name,
        generator_widths=(8,),
        discriminator_widths=(8, 8, 8),
    )
    generator, discriminator = make(config)
    fake = generator(draw_noise(config, (10, 100), torch.Generator().manual_seed(1)))
    logits = discriminator(fake)
    assert fake.shape == (10, 7) and logits.shape == (10,)
    grads = torch.autograd.grad(logits.sum(), list(generator.parameters()))
    assert all(g.abs().sum() > 0 for g in grads)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("relu", nn.ReLU()),
        ("leaky_relu", nn.LeakyReLU(0.2)),
        ("elu", nn.ELU()),
        ("tanh", nn.Tanh()),
    ],
)
def test_the_activations_are_those_of_the_names(name, reference):
    config = TrialConfig(generator_activation=name, generator_widths=(8,), noise_dim=3)
    layer = make(config)[0].layers[0]
    x = torch.randn(4, 3)
    assert torch.allclose(layer(x), reference(x @ layer.weight + layer.bias), atol=1e-6)


def test_the_initial_weights_fill_the_configured_ranges():
    generator, discriminator = make(TrialConfig(), dim=784)
    for net, bound in ((generator, 0.05), (discriminator, 0.005)):
        for layer in net.layers:
            assert layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_glorot_ranges_follow_fan_in_and_fan_out():
    generator, discriminator = make(TrialConfig(init="glorot"), dim=784)
    bound = generator.layers[1].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / 2400), rel=0.01)
    bound = discriminator.layers[0].weight.abs().max().item()
    assert bound == pytest.approx(math.sqrt(6 / (784 + 240)), rel=0.01)


def test_g_starts_at_the_training_sets_mean():
    mean = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0, 0.3, 0.7])
    generator, _ = make(SMALL, data_mean=mean)
    with torch.no_grad():
        for layer in generator.layers:
            layer.weight.zero_()
    assert torch.allclose(generator(torch.randn(1, 3))[0], mean, atol=1e-6)
    generator, _ = make(TrialConfig(generator_output="linear"), data_mean=mean)
    assert torch.equal(generator.layers[-1].bias.detach(), mean)
    generator, _ = make(TrialConfig(output_bias="zero"), data_mean=mean)
    assert not generator.layers[-1].bias.any()


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_noise_has_zero_mean_and_unit_variance(noise):
    z = draw_noise(TrialConfig(noise=noise), (20000, 10), torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.std().item() == pytest.approx(1, abs=0.01)
    if noise == "uniform":
        assert z.abs().max() <= math.sqrt(3)


def test_dropout_multiplies_each_layers_input_by_its_mask():
    _, discriminator = make(SMALL)
    x = torch.randn(3, 7)
    masks = [torch.zeros(3, 7), None, None]
    assert torch.allclose(discriminator(x, masks), discriminator(torch.zeros(3, 7)))
    assert not torch.allclose(discriminator(x, [None, None, None]), discriminator(x * 0))


def test_stacked_members_compute_what_each_computes_alone():
    pairs = [make(SMALL, seed=seed) for seed in (1, 2)]
    stacked_g, stacked_d = Generator(SMALL, (7,)), Discriminator(SMALL, (7,))
    for stacked, nets in ((stacked_g, [g for g, _ in pairs]), (stacked_d, [d for _, d in pairs])):
        layers = zip(stacked.layers, *(net.layers for net in nets), strict=True)
        for layer, *members in layers:
            assert isinstance(layer, Dense)
            layer.weight = nn.Parameter(torch.stack([m.weight.detach() for m in members]))
            layer.bias = nn.Parameter(torch.stack([m.bias.detach() for m in members]))
    z = torch.randn(2, 5, 3)
    together = stacked_d(stacked_g(z))
    assert together.shape == (2, 5)
    for i, (generator, discriminator) in enumerate(pairs):
        assert torch.allclose(together[i], discriminator(generator(z[i])), atol=1e-7)


def test_the_first_generated_samples_do_not_depend_on_how_many_are_asked_for():
    generator, _ = make(SMALL)
    few, many = (generate(generator, SMALL, n, seed=4) for n in (10, 2500))
    assert many.shape == (2500, 7) and many.dtype == np.float32
    assert np.array_equal(few, many[:10])
    assert len(np.unique(many, axis=0)) > 2400
