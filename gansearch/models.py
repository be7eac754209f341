"""The two players: a generator and a discriminator, both multilayer perceptrons.

Parameters may carry a leading member axis, `[members, in, units]` instead of `[in, units]`: the
same forward pass then serves several networks at once, on inputs `[members, n, in]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansearch.config import TrialConfig

# Pixels that are always 0 or always 1 would have an infinite logit.
_MARGIN = 1e-7


class Dense(nn.Module):
    """An affine map and an activation: `[n, n_in]` to `[n, units]`.

    The weight is `[n_in, pieces * units]`. Under maxout (Goodfellow et al. 2013) a unit is the
    largest of its `pieces` affine maps; otherwise `pieces` is 1.
    """

    def __init__(
        self, n_in: int, units: int, activation: Callable[[Tensor], Tensor], pieces: int = 1
    ) -> None:
        super().__init__()
        self.units = units
        self.pieces = pieces
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(n_in, pieces * units))
        self.bias = nn.Parameter(torch.zeros(pieces * units))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to `[n, n_in]`, or to `[members, n, n_in]` with stacked parameters."""
        if self.weight.dim() == 2:
            z = torch.addmm(self.bias, x, self.weight)
        else:
            z = torch.baddbmm(self.bias.unsqueeze(-2), x, self.weight)
        return self.activation(z)


class Generator(nn.Module):
    """G(z): noise `[n, noise_dim]`, at the lowest layer only, to examples `[n, dim]`."""

    def __init__(self, config: TrialConfig, dim: int) -> None:
        super().__init__()
        self.dim = dim
        hidden = _hidden_layers(
            config, config.noise_dim, config.generator_widths, config.generator_activation
        )
        output = torch.sigmoid if config.generator_output == "sigmoid" else _identity
        self.layers = nn.ModuleList([*hidden, Dense(config.generator_widths[-1], dim, output)])

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        h = noise
        for layer in self.layers:
            h = layer(h)
        return h


class Discriminator(nn.Module):
    """D(x) before its sigmoid: examples `[n, dim]` to logits `[n]`, with dropout by given masks."""

    def __init__(self, config: TrialConfig, dim: int) -> None:
        super().__init__()
        hidden = _hidden_layers(
            config, dim, config.discriminator_widths, config.discriminator_activation
        )
        self.layers = nn.ModuleList([*hidden, Dense(config.discriminator_widths[-1], 1, _identity)])

    def forward(self, x: Tensor, masks: Sequence[Tensor | None] | None = None) -> Tensor:
        """Return logits `[n]`.

        `masks` has one entry a layer, `[n, inputs of the layer]` or None, that the layer's input is
        multiplied by: 0 where dropped, 1 / (share kept) elsewhere. None means no dropout.
        """
        h = x
        for i, layer in enumerate(self.layers):
            mask = masks[i] if masks is not None else None
            h = layer(h if mask is None else h * mask)
        return h.squeeze(-1)

    def input_widths(self) -> list[int]:
        """Return the number of inputs of each layer, which is the width of its dropout mask."""
        return [layer.weight.shape[-2] for layer in dense_layers(self)]


def dense_layers(net: Generator | Discriminator) -> list[Dense]:
    """Return the layers of either player, from the lowest to the output."""
    return [cast("Dense", layer) for layer in net.layers]


def dropout_rates(config: TrialConfig) -> list[float]:
    """Return the share of inputs dropped at each layer of D, the output layer included."""
    return [config.dropout_input] + [config.dropout_hidden] * len(config.discriminator_widths)


def initialise(
    generator: Generator,
    discriminator: Discriminator,
    config: TrialConfig,
    data_mean: Tensor,
    rng: torch.Generator,
) -> None:
    """Draw the weights of both players in place from `rng`; biases are zero but for G's output.

    `data_mean` `[dim]` is the training set's mean; where the configuration asks for it, G's output
    bias starts there, through the inverse of the output's sigmoid if it has one.
    """
    with torch.no_grad():
        for net, half_width in (
            (generator, config.generator_init_range),
            (discriminator, config.discriminator_init_range),
        ):
            for layer in dense_layers(net):
                bound = _glorot_bound(layer) if config.init == "glorot" else half_width
                layer.weight.uniform_(-bound, bound, generator=rng)
                layer.bias.zero_()
        if config.output_bias == "data_mean":
            squashed = config.generator_output == "sigmoid"
            bias = torch.logit(data_mean, eps=_MARGIN) if squashed else data_mean
            dense_layers(generator)[-1].bias.copy_(bias)


def draw_noise(config: TrialConfig, shape: Sequence[int], rng: torch.Generator) -> Tensor:
    """Return unit-variance noise of `shape` (its last axis is `noise_dim`), on `rng`'s device."""
    if config.noise == "normal":
        return torch.randn(*shape, generator=rng, device=rng.device)
    half_width = math.sqrt(3)
    return torch.rand(*shape, generator=rng, device=rng.device).mul_(2 * half_width) - half_width


def generate(
    generator: Generator,
    config: TrialConfig,
    n_samples: int,
    seed: int,
    *,
    block: int = 1000,
) -> np.ndarray:
    """Return `n_samples` generated examples `[n_samples, dim]`, float32, by blocks of `block`.

    The first samples are the same whatever `n_samples` is.
    """
    device = next(generator.parameters()).device
    # The same noise on every device: a GPU's own stream differs from a CPU's.
    rng = torch.Generator().manual_seed(seed)
    blocks = []
    with torch.no_grad():
        for _ in range(0, n_samples, block):
            noise = draw_noise(config, (block, config.noise_dim), rng)
            blocks.append(generator(noise.to(device)).cpu().numpy())
    return np.concatenate(blocks)[:n_samples]


def _hidden_layers(
    config: TrialConfig, n_in: int, widths: Sequence[int], activation: str
) -> list[Dense]:
    pieces = config.maxout_pieces if activation == "maxout" else 1
    function = _activation(activation, config)
    layers = []
    for units in widths:
        layers.append(Dense(n_in, units, function, pieces))
        n_in = units
    return layers


def _activation(name: str, config: TrialConfig) -> Callable[[Tensor], Tensor]:
    if name == "maxout":
        # Piece by piece, not unit by unit: the maximum then runs over contiguous rows.
        return lambda z: torch.unflatten(z, -1, (config.maxout_pieces, -1)).amax(-2)
    if name == "leaky_relu":
        return lambda z: F.leaky_relu(z, config.leaky_slope)
    simple = {"relu": torch.relu, "elu": F.elu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    return simple[name]


def _glorot_bound(layer: Dense) -> float:
    # Of a maxout unit's pieces only one passes the gradient back: its fan-out is the unit's.
    return math.sqrt(6 / (layer.weight.shape[-2] + layer.units))


def _identity(z: Tensor) -> Tensor:
    return z
