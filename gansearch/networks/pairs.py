"""G and D where D sees pairs: an example with what belongs to it, such as its class or its code.

A pair is a row `[n, pair_dim]`. The layers are the paper's, with wider inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gansearch.networks.dropout import Masks
from gansearch.networks.initialisation import initialise_discriminator, initialise_generator
from gansearch.networks.interface import AnyGenerator, Networks, Shape
from gansearch.networks.layers import Layer
from gansearch.networks.models import Discriminator, Generator
from gansearch.pair_parameters import PairParameters


class PairGenerator(AnyGenerator):
    """A generator that also takes what belongs to an example.

    `forward` makes examples `[n, dim]` from noise `[n, noise_dim]` alone, for samples, scores and
    the guard; a subclass adds what makes examples for something given.

    Args:
        config: of the layers, with what they take in `noise_dim`.
        shape: of an example.
        noise_dim: dimension of the noise that `forward` takes.

    Attributes:
        net: the layers.
    """

    def __init__(self, config: PairParameters, shape: Shape, noise_dim: int) -> None:
        super().__init__()
        self.shape = shape
        self.net = Generator(config, shape)
        self.depends_on_batch = self.net.depends_on_batch
        self._noise_dim = noise_dim
        self._config = config

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise that the forward pass takes."""
        return self._noise_dim

    def trained_layers(self) -> list[Layer]:
        """Return all layers."""
        return self.net.trained_layers()

    def initialise(self, data_mean: Tensor, rng: torch.Generator) -> None:
        """Draw the initial weights in place; `data_mean` is as for `initialise_generator`."""
        initialise_generator(self.net, self._config, data_mean, rng)


class PairDiscriminator(Discriminator):
    """D before its sigmoid: pairs `[n, pair_dim]` to logits `[n]`.

    Args:
        config: the hyperparameters.
        pair_dim: values in a pair.
        input_shape: of what the lowest layer takes of a pair, as `Dataset.shape`.
    """

    def __init__(self, config: PairParameters, pair_dim: int, input_shape: Shape) -> None:
        super().__init__(config, input_shape)
        self._pair_dim = pair_dim

    @property
    def dim(self) -> int:
        """Values in a pair."""
        return self._pair_dim

    def inputs(self, pairs: Tensor) -> Tensor:
        """Return what the lowest layer takes of pairs; by default all of them."""
        return pairs

    def hidden(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return what the last hidden layer gives for each pair; as `forward`."""
        return super().hidden(self.inputs(x), masks, n_batches)


@dataclass(frozen=True)
class PairNetworkMaker:
    """Makes the networks of a training, as a `NetworkMaker`.

    Attributes:
        generator, discriminator: make one of each, with any weights.
    """

    generator: Callable[[], PairGenerator]
    discriminator: Callable[[], PairDiscriminator]

    def __call__(
        self,
        config: Any,
        shape: Shape,  # noqa: ARG002
        data_mean: Tensor,
        rng: torch.Generator,
        device: str,
    ) -> Networks:
        """Return new networks with their initial weights.

        Raises:
            ConfigError: points would get a convolutional network.
        """
        with torch.device(rng.device):
            generator, discriminator = self.generator(), self.discriminator()
            average = self.generator() if config.generator_ema > 0 else None
        generator.initialise(data_mean.to(rng.device), rng)
        initialise_discriminator(discriminator, config, rng)
        if rng.device.type != torch.device(device).type:
            for net in filter(None, (generator, discriminator, average)):
                net.to(device)
        return Networks(generator, discriminator, average)

    def on_meta(self) -> tuple[PairGenerator, PairDiscriminator]:
        """Return new networks whose tensors have shapes but no values."""
        with torch.device("meta"):
            return self.generator(), self.discriminator()


def pair_shape(config: PairParameters, shape: Shape, n_beside: int) -> Shape:
    """Return the shape of D's input where it sees examples of `shape` and `n_beside` values.

    A dense D sees them side by side. A convolutional one sees each value as a channel that is
    constant over the image: see `beside`.
    """
    if config.discriminator_network == "convolutional" and len(shape) == 3:
        height, width, channels = shape
        return height, width, channels + n_beside
    return (math.prod(shape) + n_beside,)


def beside(x: Tensor, values: Tensor, input_shape: Shape) -> Tensor:
    """Return examples `[n, dim]` with values `[n, n_beside]`, in the shape that `pair_shape` gave.

    >>> beside(torch.zeros(1, 4), torch.ones(1, 1), (2, 2, 2))
    tensor([[0., 1., 0., 1., 0., 1., 0., 1.]])
    """
    if len(input_shape) == 1:
        return torch.cat((x, values), -1)
    height, width, channels = input_shape
    n_own = channels - values.shape[-1]
    images = x.view(*x.shape[:-1], height * width, n_own)
    constant = values[..., None, :].expand(*values.shape[:-1], height * width, -1)
    return torch.cat((images, constant), -1).flatten(-2)


def classes_of_noise(noise: Tensor, bounds: Tensor) -> Tensor:
    """Return the class that each row's last coordinate stands for, one-hot, `[n, classes]`.

    >>> classes_of_noise(torch.tensor([[-1.0], [0.5]]), torch.tensor([0.0]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    passed = (noise[..., -1:] >= bounds).to(noise.dtype)
    ends = torch.ones_like(noise[..., -1:])
    return torch.cat((ends, passed), -1) - torch.cat((passed, 0 * ends), -1)


def bounds_of(noise: str, shares: Sequence[float]) -> Tensor:
    """Return the values of a coordinate of noise below which the classes' shares of it lie."""
    below = torch.tensor(shares, dtype=torch.float64).cumsum(0)[:-1].clamp(0, 1)
    bounds = torch.special.ndtri(below) if noise == "normal" else (2 * below - 1) * math.sqrt(3)
    return bounds.float()
