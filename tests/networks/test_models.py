"""G and D as the paper describes them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gansearch.config import TrialConfig
from gansearch.errors import ConfigError
from gansearch.network_parameters import ACTIVATIONS
from gansearch.networks.dropout import Mask
from gansearch.networks.initialisation import initialise_discriminator, initialise_generator
from gansearch.networks.layers import Dense
from gansearch.networks.models import (
    Discriminator,
    Generator,
    channels_first,
    channels_last,
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


def keeping(inputs):
    """Return the mask that keeps the inputs that are not 0, as they are."""
    return Mask((inputs != 0).short(), 1, 1.0)


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
        ("softplus", nn.Softplus()),
        ("tanh", nn.Tanh()),
    ],
)
def test_the_activations_are_those_of_the_names(name, reference):
    config = TrialConfig(generator_activation=name, generator_widths=(8,), noise_dim=3)
    layer = make(config)[0].layers[0]
    x = torch.randn(4, 3)
    assert torch.allclose(layer(x), reference(x @ layer.weight + layer.bias), atol=1e-6)


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
    masks = [keeping(torch.zeros(3, 7)), None, None]
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


DCGAN = {
    "generator_network": "convolutional",
    "generator_widths": (),
    "generator_channels": (16, 8, 4),
    "generator_kernels": (4,),
    "generator_strides": (2,),
    "generator_paddings": (1,),
    "generator_normalization": "batch",
    "discriminator_network": "convolutional",
    "discriminator_channels": (4, 8, 16),
    "discriminator_kernels": (4,),
    "discriminator_strides": (2,),
    "discriminator_paddings": (1,),
    "discriminator_pools": (1,),
    "discriminator_widths": (),
    "discriminator_activation": "leaky_relu",
    "discriminator_normalization": "batch",
    "init": "normal",
    "init_sd": 0.2,
}


def on_meta(config, shape):
    """Return the networks without memory behind their parameters."""
    with torch.device("meta"):
        return Generator(config, shape), Discriminator(config, shape)


def shapes(net):
    return [tuple(layer.weight.shape) for layer in net.layers]


def n_parameters(net):
    return sum(p.numel() for p in net.parameters())


def test_the_papers_dense_cifar_10_networks_have_their_sizes():
    config = TrialConfig(
        generator_widths=(8000, 8000),
        generator_activation="relu_sigmoid",
        generator_output="linear",
        discriminator_widths=(1600, 1600),
    )
    generator, discriminator = on_meta(config, (32, 32, 3))
    assert shapes(generator) == [(100, 8000), (8000, 8000), (8000, 3072)]
    assert [layer.activation.name for layer in generator.layers] == ["relu", "sigmoid", "linear"]
    assert shapes(discriminator) == [(3072, 8000), (1600, 8000), (1600, 1)]
    assert n_parameters(generator) == 808_000 + 64_008_000 + 24_579_072
    assert n_parameters(discriminator) == 24_584_000 + 12_808_000 + 1601


def test_the_papers_convolutional_cifar_10_networks_have_their_sizes():
    config = TrialConfig(
        generator_network="convolutional",
        generator_widths=(8000,),
        generator_activation="relu_sigmoid",
        generator_output="linear",
        discriminator_network="convolutional",
        discriminator_widths=(500,),
    )
    generator, discriminator = on_meta(config, (32, 32, 3))
    assert shapes(generator) == [(100, 8000), (8000, 8000), (80, 3, 5, 5)]
    assert generator.layers[2].map_in == (80, 10, 10)
    assert generator.layers[2].bias.shape == (3, 32, 32)
    assert [layer.activation.name for layer in generator.layers] == ["relu", "sigmoid", "linear"]
    # 32 -> 33 -> 16 -> 15 -> 7 -> 9 -> 5, with two pieces a channel.
    assert shapes(discriminator) == [
        *((64, 3, 8, 8), (64, 32, 8, 8), (384, 32, 5, 5), (4800, 2500), (500, 1)),
    ]
    assert [layer.map_out for layer in discriminator.layers[:3]] == [
        *((32, 16, 16), (32, 7, 7), (192, 5, 5)),
    ]
    assert discriminator.input_widths() == [3072, 8192, 1568, 4800, 500]
    assert dropout_rates(config) == [0.2, 0.5, 0.5, 0.5, 0.5]


def test_the_papers_tfd_networks_have_their_sizes():
    config = TrialConfig(
        generator_widths=(8000, 100, 8000, 8000),
        generator_activation="relu_sigmoid",
        discriminator_widths=(1200, 1200),
    )
    generator, discriminator = on_meta(config, (48, 48, 1))
    assert shapes(generator) == [
        *((100, 8000), (8000, 100), (100, 8000), (8000, 8000), (8000, 2304)),
    ]
    assert [layer.activation.name for layer in generator.layers] == [
        *("relu", "sigmoid", "relu", "sigmoid", "sigmoid"),
    ]
    assert shapes(discriminator) == [(2304, 6000), (1200, 6000), (1200, 1)]


@pytest.mark.parametrize("side", [32, 28])
def test_dcgan_begins_from_a_map_of_four_by_four(side):
    generator, discriminator = on_meta(TrialConfig(**DCGAN), (side, side, 3))
    assert [layer.map_in for layer in generator.layers[1:]] == [
        *((16, 4, 4), (8, 7 if side == 28 else 8, side // 4), (4, side // 2, side // 2)),
    ]
    assert generator.layers[0].n_out == 16 * 4 * 4
    assert generator.layers[-1].map_out == (3, side, side)
    half, quarter, eighth = side // 2, side // 4, 4 if side == 32 else 3
    assert [layer.map_out for layer in discriminator.layers[:3]] == [
        *((4, half, half), (8, quarter, quarter), (16, eighth, eighth)),
    ]
    assert [layer.gamma is None for layer in generator.layers] == [False, False, False, True]
    assert [layer.gamma is None for layer in discriminator.layers] == [True, False, False, True]


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 12, 3), (1, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize(
    "values", [DCGAN, DCGAN | {"generator_strides": (5,), "discriminator_pools": (3,)}, {
        "generator_network": "convolutional", "discriminator_network": "convolutional",
        "generator_activation": "maxout", "generator_channels": (6, 4), "generator_widths": (9,),
        "discriminator_channels": (5, 4), "discriminator_widths": (9,), "init": "glorot",
    }], ids=["dcgan", "wide strides", "maxout"],
)  # fmt: skip
def test_convolutional_networks_fit_images_of_every_size(shape, values):
    config = TrialConfig(**values)
    generator, discriminator = make(config, shape=shape)
    fake = generator(draw_noise(config, (10, 100), torch.Generator().manual_seed(1)))
    logits = discriminator(fake)
    assert fake.shape == (10, math.prod(shape)) and logits.shape == (10,)
    assert np.isfinite(logits.detach().numpy()).all()
    grads = torch.autograd.grad(logits.square().sum(), list(discriminator.parameters()))
    assert all(torch.isfinite(g).all() for g in grads)


def test_images_are_rows_outside_and_maps_within():
    image = torch.arange(2 * 3 * 2).reshape(1, 12)  # height 2, width 3, channels 2
    maps = channels_first(image, (2, 3, 2))
    assert maps.tolist() == [[0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]]
    assert torch.equal(channels_last(maps, (2, 3, 2)), image)


def test_a_convolutional_d_sees_neighbouring_pixels_of_one_channel():
    config = TrialConfig(**(DCGAN | {"discriminator_channels": (1,), "init": "uniform"}))
    _, discriminator = make(config, shape=(4, 6, 3))
    convolution = discriminator.layers[0]
    image = torch.randn(1, 4, 6, 3)
    expected = nn.functional.conv2d(
        image.permute(0, 3, 1, 2), convolution.weight, convolution.bias, stride=2, padding=1
    )
    features = nn.functional.leaky_relu(expected, 0.2).flatten(1)
    output = discriminator.layers[1]
    logit = features @ output.weight + output.bias
    assert torch.allclose(discriminator(image.flatten(1)), logit.squeeze(-1), atol=1e-6)


def test_a_mask_on_a_map_drops_single_values_of_it():
    config = TrialConfig(**(DCGAN | {"discriminator_normalization": "none"}))
    _, discriminator = make(config, shape=(8, 8, 1))
    assert discriminator.input_widths() == [64, 64, 32, 16]
    x = torch.randn(3, 64)
    nothing = [None] * 3
    first = keeping(torch.zeros(3, 64))
    assert torch.equal(discriminator(x, [first, *nothing]), discriminator(x * 0))
    one = torch.ones(3, 64)
    one[0, 5] = 0  # of one example
    changed = discriminator(x, [None, keeping(one), None, None]) != discriminator(x)
    assert changed.tolist() == [True, False, False]


@pytest.mark.parametrize(("player", "shape"), [("generator", (2,)), ("discriminator", (1,))])
def test_points_have_no_convolutional_networks(player, shape):
    config = TrialConfig(**{f"{player}_network": "convolutional"})
    with pytest.raises(ConfigError, match=f"{player}_network: convolutional, on points .* images"):
        make(config, shape=shape)


def test_whole_stacked_convolutional_networks_compute_what_each_computes_alone():
    config, shape = TrialConfig(**DCGAN), (8, 8, 3)
    pairs = [make(config, shape=shape, seed=seed) for seed in (1, 2)]
    stacks = Generator(config, shape), Discriminator(config, shape)
    for stacked, *members in zip(stacks, *pairs, strict=True):
        for layer, *own in zip(stacked.layers, *(m.layers for m in members), strict=True):
            for name, _ in list(layer.named_parameters()):
                values = torch.stack([getattr(one, name).detach() for one in own])
                setattr(layer, name, nn.Parameter(values))
    z = torch.randn(2, 6, 100)
    together = stacks[1](stacks[0](z), n_batches=2)
    for i, (generator, discriminator) in enumerate(pairs):
        alone = discriminator(generator(z[i]), n_batches=2)
        assert torch.allclose(together[i], alone, atol=1e-4)


def test_samples_under_batch_normalisation_do_not_depend_on_how_many_are_asked_for():
    config = TrialConfig(**DCGAN)
    generator, _ = make(config, shape=(8, 8, 1))
    few, many = (generate(generator, config, n, seed=4) for n in (10, 1500))
    assert np.array_equal(few, many[:10])
    # A row's company matters, which is why blocks are always generated whole.
    z = draw_noise(config, (1000, 100), torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert not torch.allclose(generator(z[:10]), generator(z)[:10], atol=1e-3)


def test_a_g_without_its_lower_layers_takes_noise_of_the_remaining_ones():
    config = TrialConfig(generator_widths=(8, 5, 6), noise_dim=3)
    generator, _ = make(config)
    assert generator.noise_dim == 3
    generator.first_layer = 2
    assert generator.noise_dim == 5
    z = torch.randn(4, 5)
    upper = torch.relu(z @ generator.layers[2].weight)
    output = generator.layers[3]
    assert torch.allclose(generator(z), torch.sigmoid(upper @ output.weight + output.bias))
    assert generate(generator, config, 20, seed=0).shape == (20, 7)
