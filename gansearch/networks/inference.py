"""G and E: noise to examples, and examples back to noise."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from gansearch.networks.activations import LINEAR, Activation
from gansearch.networks.initialisation import initialise_layer
from gansearch.networks.interface import Shape
from gansearch.networks.layers import Dense, Layer
from gansearch.networks.pairs import PairGenerator

_HALF_WIDTH = math.sqrt(3)  # of uniform noise with unit variance


class InferenceGenerator(PairGenerator):
    """G(z) with an inference network E(x) beside it.

    E is dense, and without batch normalisation, so that z depends on x alone. Its output is linear;
    for uniform noise sqrt(3) tanh(h / sqrt(3)), which has the noise's range and slope 1 at 0.

    Attributes:
        encoder: the layers of E.
        trains_generator, trains_encoder: which of the two is trained at present.
    """

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__(config, shape, config.noise_dim)
        name = config.encoder_activation
        pieces = config.maxout_pieces if name == "maxout" else 1
        activation = Activation(name, pieces, config.leaky_slope)
        layers, n_in = [], self.dim
        for units in config.encoder_widths:
            layers.append(Dense(n_in, units, activation))
            n_in = units
        self.encoder = nn.ModuleList([*layers, Dense(n_in, config.noise_dim, LINEAR)])
        self.trains_generator = self.trains_encoder = True
        self._is_bounded = config.noise == "uniform"

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        made: Tensor = self.net(noise)
        return made

    def infer(self, x: Tensor) -> Tensor:
        """Return E(x), `[n, noise_dim]`, of examples `[n, dim]`."""
        h: Tensor = self.encoder[-1](self.hidden(x))
        return _HALF_WIDTH * torch.tanh(h / _HALF_WIDTH) if self._is_bounded else h

    def hidden(self, x: Tensor) -> Tensor:
        """Return what E's output layer takes of examples: its last hidden layer, if it has one."""
        h = x
        for layer in list(self.encoder)[:-1]:
            h = layer(h)
        return h

    def trained_layers(self) -> list[Layer]:
        """Return the layers of those networks that are trained at present."""
        of_encoder = [cast("Layer", layer) for layer in self.encoder]
        of_generator = super().trained_layers() if self.trains_generator else []
        return of_generator + (of_encoder if self.trains_encoder else [])

    def initialise(self, data_mean: Tensor, rng: torch.Generator) -> None:
        """Draw the initial weights in place: E's like those of G's hidden layers."""
        super().initialise(data_mean, rng)
        for layer in self.encoder:
            half_width = self._config.generator_init_range
            initialise_layer(cast("Layer", layer), self._config, half_width, rng)
