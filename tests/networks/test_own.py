"""The user's networks behind our interface: how makers are called, layouts, ranges, modes."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from gansearch.config import TrialConfig
from gansearch.errors import ConfigError
from gansearch.networks.models import channels_first
from gansearch.networks.own import OwnDiscriminator, OwnGenerator, OwnNetworkMaker
from gansearch.networks.own_makers import arguments_for, make_module, name_of
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.rules import Rule, extended
from gansearch.system.global_random import GlobalRandom, seeded
from tests.own_nets import ConvD, ConvG, mlp_d, mlp_g, searched

SHAPE = (8, 12, 3)


def rows(n=4, shape=SHAPE):
    return torch.rand(n, int(np.prod(shape)), generator=torch.Generator().manual_seed(0))


class Seen(nn.Module):
    """A D that keeps what it was given, and returns its mean."""

    def __init__(self, view=(-1,)):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.seen, self.view = [], view

    def forward(self, x):
        self.seen.append(x)
        return (x.flatten(1).mean(1) + self.bias).view(*self.view)


class Returns(nn.Module):
    """A G that returns a given tensor."""

    def __init__(self, made):
        super().__init__()
        self.made = nn.Parameter(made)

    def forward(self, noise):
        return self.made


def test_d_sees_the_channels_of_an_image_apart_and_g_returns_them_so():
    x = rows()
    d = Seen()
    OwnDiscriminator(d, SHAPE, None)(x)
    (images,) = d.seen
    assert images.shape == (4, 3, 8, 12)
    assert images[1, 2, 5, 7] == x[1, 5 * 12 * 3 + 7 * 3 + 2]
    assert images.stride() == (3 * 8 * 12, 8 * 12, 12, 1)
    back = OwnGenerator(Returns(images), SHAPE, 5, None)(torch.zeros(4, 5))
    assert torch.equal(back, x)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 12, 3), (1, 1, 4)])
def test_images_have_the_usual_strides_so_that_maps_of_convolutions_can_be_viewed(shape):
    d = Seen()
    OwnDiscriminator(d, shape, None)(rows(shape=shape))
    (images,) = d.seen
    assert images.stride() == torch.empty(images.shape).stride()
    maps = nn.Conv2d(shape[2], 2, 1)(images)
    assert maps.view(4, -1).shape == (4, 2 * shape[0] * shape[1])
    assert torch.equal(images.flatten(1), channels_first(rows(shape=shape), shape))


def test_points_and_rows_stay_as_they_are():
    d = Seen()
    x = rows(shape=(3,))
    OwnDiscriminator(d, (3,), None)(x)
    assert torch.equal(d.seen[0], x)
    assert torch.equal(OwnGenerator(Returns(x), (3,), 5, None)(torch.zeros(4, 5)), x)
    flat = rows()
    assert torch.equal(OwnGenerator(Returns(flat), SHAPE, 5, None)(torch.zeros(4, 5)), flat)


def test_pixels_are_scaled_to_the_range_of_the_networks_and_back():
    d = Seen()
    x = rows()
    OwnDiscriminator(d, SHAPE, (-1, 1))(x)
    assert d.seen[0].min() < -0.9 and d.seen[0].max() > 0.9
    back = OwnGenerator(Returns(d.seen[0]), SHAPE, 5, (-1, 1))(torch.zeros(4, 5))
    assert torch.allclose(back, x, atol=1e-6)


@pytest.mark.parametrize("view", [(-1,), (-1, 1), (-1, 1, 1, 1)])
def test_d_takes_each_minibatch_by_itself_and_returns_a_logit_for_each_example(view):
    d, x = Seen(view), rows(6)
    logits = OwnDiscriminator(d, SHAPE, None)(x, [], n_batches=2)
    assert logits.shape == (6,) and [len(each) for each in d.seen] == [3, 3]
    assert torch.allclose(logits, x.mean(1))


def test_networks_are_in_evaluation_mode_only_while_they_are_evaluated():
    net = OwnDiscriminator(
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(288, 1)), SHAPE, None
    )
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with net.evaluation():
        a, b = net(rows()), net(rows())
    assert torch.equal(a, b) and net.training and net.net[1].training
    assert not torch.equal(net(rows()), net(rows()))
    torch.set_rng_state(state)
    with net.evaluation(7):
        first = torch.rand(3)
    with net.evaluation(7):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), state)


# How makers are called


def named(config, shape, noise_dim):
    return config, shape, noise_dim


def few(shape):
    return shape


def positional(config, shape, /):
    return config, shape


def keywords(shape, **rest):
    return shape, rest


@pytest.mark.parametrize(
    ("maker", "args", "names"),
    [
        (named, [], {"config", "shape", "noise_dim"}),
        (few, [], {"shape"}),
        (functools.partial(named, noise_dim=3), [], {"config", "shape", "noise_dim"}),
        (keywords, [], {"shape"}),
    ],
)
def test_a_maker_is_called_with_what_it_takes(maker, args, names):
    config = OwnNetworkParameters(noise_dim=7)
    found_args, found = arguments_for(maker, "generator", config, SHAPE)
    assert found_args == args and set(found) == names
    assert found.get("shape") == (3, 8, 12)
    assert found.get("noise_dim", 7) == 7


def test_a_maker_may_have_positional_arguments():
    (config, shape), names = arguments_for(positional, "generator", OwnNetworkParameters(k=3), (2,))
    assert (config.k, shape, names) == (3, (2,), {})


def test_arguments_of_the_space_reach_the_maker_that_they_are_for():
    config = searched(generator_width=5, discriminator_width=3)
    assert arguments_for(ConvG, "generator", config, SHAPE)[1] == {
        "noise_dim": 6, "shape": (3, 8, 12), "width": 5,
    }  # fmt: skip
    assert arguments_for(ConvD, "discriminator", config, SHAPE)[1]["width"] == 3
    assert arguments_for(keywords, "generator", config, SHAPE)[1]["width"] == 5


def test_widths_come_as_the_maker_has_them():
    table = extended(
        OwnNetworkParameters,
        {f"generator.{name}": ((1, 2), Rule("widths", "")) for name in ("a", "b")},
    )

    def maker(a=[4], b=(4,)):  # noqa: B006
        return a, b

    assert arguments_for(maker, "generator", table(), SHAPE)[1] == {"a": [1, 2], "b": (1, 2)}


def test_a_maker_that_takes_the_configuration_finds_its_own_arguments_on_it_by_their_names():
    def maker(config, shape):
        return config

    config = searched(generator_width=5, discriminator_width=3, k=4)
    for player, width in (("generator", 5), ("discriminator", 3)):
        seen = arguments_for(maker, player, config, SHAPE)[1]["config"]
        assert (seen.width, seen.k, seen.noise_dim, seen.batch_size) == (width, 4, 6, 8)
        assert getattr(seen, "generator.width") == 5


def no_width(shape, widht=3):
    return nn.Linear(1, 1)


def needs_depth(shape, depth, width=8):
    return nn.Linear(1, 1)


def needs_positional(depth, /):
    return nn.Linear(depth, 1)


def fails(shape, width):
    raise ValueError(f"{width} is odd")


def no_module(shape, width):
    return torch.zeros(2, 3)


def nothing(shape, width):
    nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        (
            no_width,
            "generator.width: no_width has no such argument. Did you mean widht?",
        ),
        (
            needs_depth,
            "generator: needs_depth: it needs depth, which the space doesn't set. gansearch gives "
            "config, shape and noise_dim by itself. Set generator.depth, or give it a default.",
        ),
        (
            fails,
            "generator: fails: it fails with width=8 (ValueError: 8 is odd, at test_own.py:",
        ),
        (
            no_module,
            "generator: no_module: it returns a tensor of shape [2, 3]. It must return a "
            "torch.nn.Module, or be a class of these.",
        ),
        (
            nn.Linear(1, 1),
            "generator: Linear: it is a module that has been made. Each training needs one of its "
            "own. Name its class, or a function that returns it.",
        ),
        (
            needs_positional,
            "generator: needs_positional: it needs depth, which the space doesn't set.",
        ),
        (nothing, "generator: nothing: it returns None. It must return a torch.nn.Module"),
    ],
)
def test_a_maker_that_refuses_its_arguments_or_fails_is_answered_by_what_it_did(maker, message):
    with pytest.raises(ConfigError) as raised:
        make_module(maker, "generator", searched(), SHAPE)
    assert str(raised.value).startswith(message)


def test_running_out_of_memory_is_no_fault_of_the_configuration():
    def maker():
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        make_module(maker, "generator", OwnNetworkParameters(), SHAPE)


def test_a_maker_is_called_by_its_own_name_in_messages():
    assert name_of(ConvG, "generator") == "generator: ConvG"
    assert name_of(functools.partial(mlp_g), "generator") == "generator: mlp_g"
    assert name_of(Seen(), "discriminator") == "discriminator: Seen"


# Random numbers


def test_networks_are_the_same_wherever_and_after_whatever_they_are_made():
    maker = OwnNetworkMaker(ConvG, ConvD)
    config = searched(generator_ema=0.5)

    def made(seed):
        rng = torch.Generator().manual_seed(seed)
        return maker(config, SHAPE, torch.zeros(288), rng, "cpu")

    torch.manual_seed(0)
    first = made(3)
    torch.manual_seed(1)
    again, other = made(3), made(4)
    for a, b, c in zip(
        first.generator.parameters(),
        again.generator.parameters(),
        first.average.parameters(),
        strict=True,
    ):
        assert torch.equal(a, b) and torch.equal(a, c)
    assert not torch.equal(first.generator.net.lowest.weight, other.generator.net.lowest.weight)


def test_a_stream_goes_on_where_it_was_whatever_is_drawn_between():
    stream = GlobalRandom(3, "cpu")
    drawn = []
    for _ in range(3):
        torch.rand(5)
        with stream.in_use():
            drawn.append(torch.rand(2))
    with seeded(3, "cpu"):
        assert torch.equal(torch.cat(drawn), torch.cat([torch.rand(2) for _ in range(3)]))
    state = {name: tensor.clone() for name, tensor in stream.tensors().items()}
    with stream.in_use():
        expected = torch.rand(4)
    other = GlobalRandom(8, "cpu")
    other.load(state)
    with other.in_use():
        assert torch.equal(torch.rand(4), expected)


def test_an_error_in_a_network_gives_the_global_numbers_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="lost"), GlobalRandom(3, "cpu").in_use():
        torch.rand(3)
        raise RuntimeError("lost")
    assert torch.equal(torch.get_rng_state(), before)


def test_own_networks_have_no_layers_of_ours():
    maker = OwnNetworkMaker(mlp_g, mlp_d)
    g, d = maker.on_cpu(OwnNetworkParameters(noise_dim=4), (2,), 0)
    assert (g.noise_dim, g.dim, d.input_widths()) == (4, 2, [])
    assert g.trained_layers() == d.trained_layers() == []
    assert len(g.trained_parameters()) == 6
    assert not isinstance(OwnNetworkParameters(), TrialConfig)
