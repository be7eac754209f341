"""What a training knows of G and of D, whoever wrote their layers.

`models` has those of the paper, `own` the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gansearch.networks.layers import Layer
from gansearch.system.global_random import GlobalRandom

Shape = tuple[int, ...]  # (height, width, channels) of an image, (d,) of a point
# D as a function: examples, dropout masks, n_batches; it returns logits.
DiscriminatorCall = Callable[..., Tensor]


class Network(nn.Module):
    """G or D of a training.

    Attributes:
        shape: of an example, as `Dataset.shape`.
        depends_on_batch: whether an output depends on the others of its minibatch, where the
            network isn't trained.
    """

    shape: Shape
    depends_on_batch: bool = False

    @property
    def dim(self) -> int:
        """Values in an example."""
        return math.prod(self.shape)

    def trained_layers(self) -> list[Layer]:
        """Return the layers that are trained, from the lowest on; none of a network of others."""
        return []

    def trained_parameters(self) -> list[Tensor]:
        """Return the parameters that are trained."""
        return [p for layer in self.trained_layers() for p in layer.parameters()]

    def evaluation(self, seed: int = 0) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context in which the network is applied without being trained.

        What it draws by itself there is from `seed`, and no part of the training.
        """
        return nullcontext()


class AnyGenerator(Network):
    """G(z): noise `[n, noise_dim]` to examples `[n, dim]`.

    Attributes:
        first_layer: the layer that the noise enters; above 0 while only the layers from it on are
            trained and sampled (`pretraining`).
    """

    first_layer: int = 0

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise that the forward pass takes."""
        raise NotImplementedError


class AnyDiscriminator(Network):
    """D(x) before its sigmoid: examples `[n, dim]`, dropout masks and n_batches to logits.

    Attributes:
        n_extra: random numbers that an update takes for each example beside the noise, such as for
            what is hidden of it.
    """

    n_extra: int = 0

    def input_widths(self) -> list[int]:
        """Return the width of each dropout mask that the forward pass takes."""
        return []


@dataclass(frozen=True)
class Networks:
    """G and D of one training, on its device.

    Attributes:
        generator, discriminator: the networks.
        average: a second G, for the average of the first one's parameters; None where none is kept
            (`generator_ema`).
        random: torch's global random numbers, if the networks draw from these.
    """

    generator: AnyGenerator
    discriminator: AnyDiscriminator
    average: AnyGenerator | None = None
    random: GlobalRandom | None = None


class NetworkMaker(Protocol):
    """Makes the networks of a training, with their initial weights."""

    def __call__(
        self, config: Any, shape: Shape, data_mean: Tensor, rng: torch.Generator, device: str
    ) -> Networks:
        """Return new networks.

        Args:
            config: the training's hyperparameters.
            shape: of an example.
            data_mean: the mean of the training set, `[dim]`.
            rng: the training's own stream of random numbers, at its beginning.
            device: where the networks train.

        Raises:
            ConfigError: there are no networks of this configuration.
        """
        ...
