"""The user's own G and D with our interface around them.

Images are `[n, channels, height, width]` in the range of values that the user declares, points `[n,
d]` as they are. D returns logits. While they are not trained, networks are in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gansearch.networks.dropout import Masks
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator, Network, Networks, Shape
from gansearch.networks.models import channels_first
from gansearch.networks.own_makers import Maker, make_module, network_shape
from gansearch.seeds import trial_seed
from gansearch.system.global_random import GlobalRandom, seeded

PLAYERS = ("generator", "discriminator")
ValueRange = tuple[float, float]


class _OwnNetwork(Network):
    """What both have in common: the user's module, and when it trains.

    Attributes:
        net: the user's module.
    """

    net: nn.Module

    def trained_parameters(self) -> list[Tensor]:
        """Return the parameters that the user hasn't frozen."""
        return [p for p in self.parameters() if p.requires_grad]

    @contextmanager
    def evaluation(self, seed: int = 0) -> Iterator[None]:
        """Return a context of evaluation mode, with random numbers from `seed`."""
        device = next(self.parameters()).device.type
        was_training = self.training
        self.eval()
        try:
            with seeded(seed, device):
                yield
        finally:
            self.train(was_training)


class OwnGenerator(_OwnNetwork, AnyGenerator):
    """The user's G between our rows: noise `[n, noise_dim]` to examples `[n, dim]`.

    Args:
        net: the user's module.
        shape: of an example, as `Dataset.shape`.
        noise_dim: dimension of the noise.
        value_range: of the pixels that it returns; None where they are those of the data.

    Attributes:
        value_range: as given.
    """

    def __init__(
        self, net: nn.Module, shape: Shape, noise_dim: int, value_range: ValueRange | None
    ) -> None:
        super().__init__()
        self.net = net
        self.shape = shape
        self._noise_dim = noise_dim
        self.value_range = value_range

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise that the forward pass takes."""
        return self._noise_dim

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        return self.rows(self.net(noise))

    def rows(self, made: Tensor) -> Tensor:
        """Return what the user's module made as rows."""
        if made.dim() == 4:
            made = made.permute(0, 2, 3, 1)
        rows = made.reshape(len(made), self.dim)
        if self.value_range is None:
            return rows
        low, high = self.value_range
        return (rows - low) / (high - low)


class OwnDiscriminator(_OwnNetwork, AnyDiscriminator):
    """The user's D behind our rows: examples `[n, dim]` to logits `[n]`."""

    def __init__(self, net: nn.Module, shape: Shape, value_range: ValueRange | None) -> None:
        super().__init__()
        self.net = net
        self.shape = shape
        self._value_range = value_range

    def forward(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:  # noqa: ARG002
        """Return logits `[n]`.

        Args:
            x: examples `[n, dim]`.
            masks: none; dropout is the network's own.
            n_batches: minibatches of equal size that x is made of, one after the other, such as a
                real and a generated one. The network takes each by itself.
        """
        logits = [self.net(each).reshape(len(each)) for each in self.inputs(x).chunk(n_batches)]
        return logits[0] if n_batches == 1 else torch.cat(logits)

    def inputs(self, x: Tensor) -> Tensor:
        """Return examples `[n, dim]` as the network takes them."""
        if self._value_range is not None:
            low, high = self._value_range
            x = x * (high - low) + low
        if len(self.shape) != 3:
            return x
        # By way of rows, so that strides are the usual ones: those of a permutation would make
        # convolutions give channels-last maps, which a network's own `view` can't take.
        return channels_first(x, self.shape).reshape(len(x), *network_shape(self.shape))


@dataclass(frozen=True)
class OwnNetworkMaker:
    """Makes the networks of a training from the user's two makers, as a `NetworkMaker`.

    Attributes:
        generator, discriminator: the user's makers.
        value_range: of pixels as the networks have them; None for values as the data has them.
    """

    generator: Maker
    discriminator: Maker
    value_range: ValueRange | None = None

    def __call__(
        self,
        config: Any,
        shape: Shape,
        data_mean: Tensor,  # noqa: ARG002
        rng: torch.Generator,
        device: str,
    ) -> Networks:
        """Return new networks; their weights are the same on every device.

        Raises:
            ConfigError: a maker refuses its arguments, fails, or returns no module.
        """
        seed = trial_seed(rng.initial_seed(), "initial weights", 0)
        generator, discriminator = self.on_cpu(config, shape, seed)
        # Made once more, since not every module can be copied; by the same numbers, since not all
        # that a module draws need be in its parameters.
        average = self.on_cpu(config, shape, seed)[0] if config.generator_ema > 0 else None
        for net in filter(None, (generator, discriminator, average)):
            if device != "cpu":
                net.to(device)
        drawn = GlobalRandom(trial_seed(rng.initial_seed(), "global random numbers", 0), device)
        return Networks(generator, discriminator, average, drawn)

    def on_cpu(self, config: Any, shape: Shape, seed: int) -> tuple[OwnGenerator, OwnDiscriminator]:
        """Return new networks on the CPU, in training mode, from torch's numbers of `seed`.

        Raises:
            ConfigError: as when it is called.
        """
        with seeded(seed, "cpu"):
            return self._make(config, shape)

    def on_meta(self, config: Any, shape: Shape) -> tuple[OwnGenerator, OwnDiscriminator]:
        """Return new networks whose tensors have shapes but no values."""
        with torch.device("meta"):
            return self.on_cpu(config, shape, 0)

    def _make(self, config: Any, shape: Shape) -> tuple[OwnGenerator, OwnDiscriminator]:
        made = [
            make_module(maker, player, config, shape)
            for player, maker in zip(PLAYERS, (self.generator, self.discriminator), strict=True)
        ]
        generator = OwnGenerator(made[0], shape, config.noise_dim, self.value_range)
        discriminator = OwnDiscriminator(made[1], shape, self.value_range)
        _complete(generator, discriminator)
        return generator.train(), discriminator.train()


def _complete(generator: OwnGenerator, discriminator: OwnDiscriminator) -> None:
    """Give lazy modules, whose sizes come from their first input, their parameters."""
    if not any(is_lazy(t) for net in (generator, discriminator) for t in _tensors(net)):
        return
    with torch.no_grad():
        fake = generator.eval()(torch.zeros(2, generator.noise_dim))
        discriminator.eval()(fake)


def _tensors(net: nn.Module) -> Iterator[Tensor]:
    yield from net.parameters()
    yield from net.buffers()
