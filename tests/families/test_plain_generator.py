"""The generator in torch's own layers gives what the trained one gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from gansearch.config import TrialConfig
from gansearch.errors import BadInputError
from gansearch.families.plain_generator import Shift
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.models import Generator
from gansearch.networks.own import OwnGenerator
from gansearch.networks.pairs import PairGenerator
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.pair_parameters import PairParameters
from tests.own_nets import ConvG

CONVOLUTIONAL = {
    "generator_network": "convolutional",
    "generator_widths": (16,),
    "generator_channels": (8, 6),
    "generator_kernels": (5, 4),
    "generator_strides": (3, 2),
}
CASES = [
    ({}, (8, 8, 1)),
    ({"generator_activation": "maxout", "maxout_pieces": 3}, (8, 8, 1)),
    ({"generator_activation": "relu_sigmoid"}, (4, 5, 3)),
    ({"generator_activation": "leaky_relu", "noise": "normal"}, (4, 5, 3)),
    ({"generator_activation": "elu", "generator_output": "linear"}, (2,)),
    ({"generator_activation": "tanh", "generator_widths": ()}, (1,)),
    ({"generator_activation": "softplus"}, (2,)),
    ({"generator_normalization": "batch", "generator_activation": "maxout"}, (8, 8, 1)),
    (CONVOLUTIONAL, (9, 8, 3)),
    ({**CONVOLUTIONAL, "generator_activation": "maxout", "maxout_pieces": 2}, (9, 8, 3)),
    ({**CONVOLUTIONAL, "generator_normalization": "batch", "noise": "normal"}, (8, 8, 1)),
    ({**CONVOLUTIONAL, "generator_widths": (), "generator_paddings": (1,)}, (7, 7, 1)),
]


def trained(changes, shape) -> TrainedGenerator:
    config = TrialConfig(**{"noise_dim": 6, "generator_widths": (12, 10), **changes})
    network = Generator(config, shape)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)
    return TrainedGenerator(network, config, seed=7)


def rows(images: torch.Tensor) -> np.ndarray:
    """Return what a module generates as rows, an image's in the order height, width, channel."""
    if images.dim() == 4:
        images = images.permute(0, 2, 3, 1)
    return images.flatten(1).numpy()


@pytest.mark.parametrize(("changes", "shape"), CASES)
def test_the_plain_generator_gives_the_samples_that_were_scored(changes, shape) -> None:
    generator = trained(changes, shape)
    found = generator.module()
    scope = {"torch": torch, "rng": torch.Generator().manual_seed(found.seed), "n": found.block}
    noise = eval(found.noise, scope)
    assert noise.shape == (found.block, found.noise_dim)
    images = found.network(noise)
    assert images.shape[1:] == ((shape[2], *shape[:2]) if len(shape) == 3 else shape)
    np.testing.assert_allclose(rows(images)[:50], generator.samples(50), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("changes", "shape"), CASES)
def test_its_definition_builds_the_same_layers_with_torch_alone(changes, shape) -> None:
    found = trained(changes, shape).module()
    scope: dict = {"torch": torch, "nn": nn}
    assert found.definition is not None
    exec(found.definition, scope)
    again = scope["generator"]
    again.load_state_dict(found.network.state_dict())
    noise = torch.randn(5, found.noise_dim)
    torch.testing.assert_close(again.eval()(noise), found.network(noise))


def test_only_torchs_own_layers_are_used_but_for_biases_of_each_position() -> None:
    for changes, shape in CASES:
        kinds = {type(module) for module in trained(changes, shape).module().network}
        assert {kind for kind in kinds if kind.__module__.startswith("gansearch")} <= {Shift}


def test_a_generator_whose_upper_layers_alone_were_trained_takes_its_noise_there() -> None:
    generator = trained({"generator_widths": (12, 12)}, (8, 8, 1))
    generator.network.first_layer = 1
    found = generator.module()
    assert found.noise_dim == 12
    assert math.prod(found.network(torch.randn(2, 12)).shape) == 2 * 64


def test_batch_normalised_samples_depend_on_their_company() -> None:
    assert trained({"generator_normalization": "batch"}, (2,)).module().depends_on_company
    assert not trained({}, (2,)).module().depends_on_company


class Rows(nn.Module):
    """A G whose images are rows, by height, width and channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 60)

    def forward(self, z):
        return self.layer(z).tanh()


@pytest.mark.parametrize("make", [lambda: ConvG(6, (3, 4, 8), last="tanh"), Rows])
def test_a_users_own_generator_gives_images_in_0_to_1(make) -> None:
    shape = (4, 8, 3) if make is not Rows else (4, 5, 3)
    network = OwnGenerator(make(), shape, 6, (-1.0, 1.0))
    generator = TrainedGenerator(network, OwnNetworkParameters(noise_dim=6), seed=7)
    found = generator.module()
    assert found.definition is None
    scope = {"torch": torch, "rng": torch.Generator().manual_seed(7), "n": found.block}
    images = found.network(eval(found.noise, scope))
    assert images.shape == (1000, 3, *shape[:2])
    np.testing.assert_allclose(rows(images)[:9], generator.samples(9), atol=2e-6, rtol=1e-5)
    assert 0 <= images.min() <= images.max() <= 1


def test_another_familys_network_is_answered_in_words() -> None:
    network = PairGenerator(PairParameters(noise_dim=6, generator_widths=(4,)), (2,), 6)
    message = "the generators of this model family are no modules of torch"
    with pytest.raises(BadInputError, match=message):
        TrainedGenerator(network, PairParameters(), seed=0).module()
