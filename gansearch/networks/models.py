"""The two players: a generator and a discriminator, each a stack of layers.

Outside the networks an example is a row of `dim` values, an image's in the order height, width,
channel. Parameters may carry a leading member axis (see `layers`): the same forward pass then
serves several networks at once, on inputs `[members, n, ...]`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.errors import ConfigError
from gansearch.networks.activations import LINEAR, Activation
from gansearch.networks.dropout import Masks
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator, Shape
from gansearch.networks.layers import (
    Convolution,
    Deconvolution,
    Dense,
    Layer,
    Map,
    side_below,
    with_group_sd,
)
from gansearch.system.precision import full_precision


class Generator(AnyGenerator):
    """G(z): noise `[n, noise_dim]`, at the lowest layer only, to examples `[n, dim]`.

    Batch normalisation takes its statistics from the rows at hand, here and in D, in training as in
    sampling: a sample depends on its company, and `generate` keeps that company fixed.
    """

    def __init__(self, config: TrialConfig, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.depends_on_batch = config.generator_normalization == "batch"
        output = Activation("sigmoid") if config.generator_output == "sigmoid" else LINEAR
        if config.generator_network == "dense":
            activations = _generator_activations(config, len(config.generator_widths))
            layers = _dense_layers(config, config.noise_dim, activations)
            n_in = layers[-1].n_out if layers else config.noise_dim
            layers.append(Dense(n_in, self.dim, output))
        else:
            layers = _deconvolutional_layers(config, _map_of(shape, "generator"), output)
        self.layers = nn.ModuleList(layers)
        self._gives_maps = config.generator_network == "convolutional"

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise that the forward pass takes."""
        return layers_of(self)[0].n_in

    def trained_layers(self) -> list[Layer]:
        """Return the layers from the one that the noise enters."""
        return layers_of(self)

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        h = noise
        for layer in layers_of(self):
            h = layer(h)
        return channels_last(h, self.shape) if self._gives_maps else h


class Discriminator(AnyDiscriminator):
    """D(x) before its sigmoid: packs of examples to logits, with dropout by given masks.

    A pack (Lin et al. 2018, "PacGAN") is `packing` consecutive rows side by side, of images the
    channels; 1 is the usual D. With `minibatch_sd` the last hidden dense layer, or the output layer
    where none is, sees the standard deviation of each group of packs too (`with_group_sd`).
    """

    def __init__(self, config: TrialConfig, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.packing = config.packing
        is_batch = config.discriminator_normalization == "batch"
        self.depends_on_batch = is_batch or config.minibatch_sd > 0
        self._group = config.minibatch_sd
        spectral = config.discriminator_normalization == "spectral"
        layers: list[Layer] = []
        n_in = self.packing * math.prod(shape)
        if config.discriminator_network == "convolutional":
            layers += _convolutional_layers(config, _map_of(shape, "discriminator"))
            n_in = layers[-1].n_out
        activation = _activation(config, config.discriminator_activation, config.maxout_pieces)
        n_hidden = len(layers) + len(config.discriminator_widths)
        self._sees_sd = max(len(layers), n_hidden - 1)
        for units in config.discriminator_widths:
            n_in += self._adds_sd(len(layers))
            normalised = is_batch and bool(layers)
            layers.append(Dense(n_in, units, activation, normalised=normalised, spectral=spectral))
            n_in = units
        n_in += self._adds_sd(len(layers))
        self.layers = nn.ModuleList([*layers, Dense(n_in, 1, LINEAR, spectral=spectral)])
        self._takes_maps = config.discriminator_network == "convolutional"
        for layer in layers_of(self):
            layer.is_composed = config.unrolled_steps > 0 and config.gradient_penalty != "none"

    def forward(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return logits `[n / packing]`.

        Args:
            x: examples `[n, dim]`; n is a multiple of `packing`.
            masks: of each layer's inputs, `[n / packing, inputs of the layer]`; None for no
                dropout.
            n_batches: minibatches of equal size that x is made of, one after the other, such as a
                real and a generated one; batch normalisation and `minibatch_sd` treat them apart.
        """
        features = self.features(x, masks, n_batches)
        logits: Tensor = layers_of(self)[-1](features, n_batches)
        return logits.squeeze(-1)

    def features(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return what the output layer takes of each pack, with its dropout; as `forward`."""
        last = len(self.layers) - 1
        return self._input_of(last, self.hidden(x, masks, n_batches), masks, n_batches)

    def hidden(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return what the last hidden layer gives for each pack; as `forward`."""
        h = channels_first(x, self.shape) if self._takes_maps else x
        if self.packing > 1:
            h = torch.unflatten(h, -2, (-1, self.packing)).flatten(-2)
        for i, layer in enumerate(layers_of(self)[:-1]):
            h = layer(self._input_of(i, h, masks, n_batches), n_batches)
        return h

    def _input_of(self, i: int, h: Tensor, masks: Masks | None, n_batches: int) -> Tensor:
        """Return what layer i takes, given what the one below it gives."""
        if self._adds_sd(i):
            h = with_group_sd(h, self._group, n_batches)
        mask = masks[i] if masks is not None else None
        return h if mask is None else h * mask.factors

    def _adds_sd(self, i: int) -> bool:
        """Return whether the standard deviation is one more input of layer i."""
        return self._group > 0 and i == self._sees_sd

    def trained_layers(self) -> list[Layer]:
        """Return all layers."""
        return layers_of(self)

    def input_widths(self) -> list[int]:
        """Return the number of inputs of each layer, which is the width of its dropout mask."""
        return [layer.n_in for layer in layers_of(self)]


def layers_of(net: Generator | Discriminator) -> list[Layer]:
    """Return the layers that a player uses, from the lowest to the output."""
    first = net.first_layer if isinstance(net, Generator) else 0
    return [cast("Layer", layer) for layer in list(net.layers)[first:]]


def dropout_rates(config: AdversarialConfig) -> list[float]:
    """Return the share of inputs dropped at each layer of D, the output layer included.

    None of the user's own networks, which have dropout of their own.
    """
    if not isinstance(config, TrialConfig):
        return []
    n_hidden = len(config.discriminator_widths)
    if config.discriminator_network == "convolutional":
        n_hidden += len(config.discriminator_channels)
    return [config.dropout_input] + [config.dropout_hidden] * n_hidden


def is_dense(config: TrialConfig) -> bool:
    """Return whether both networks are dense: only then members share the kernels of a product."""
    return (config.generator_network, config.discriminator_network) == ("dense", "dense")


def channels_first(rows: Tensor, shape: Shape) -> Tensor:
    """Return rows of images `[..., dim]` in the order channel, height, width."""
    return torch.unflatten(rows, -1, shape).movedim(-1, -3).flatten(-3)


def channels_last(rows: Tensor, shape: Shape) -> Tensor:
    """Return rows of maps `[..., dim]` in the order height, width, channel: the inverse."""
    height, width, channels = shape
    return torch.unflatten(rows, -1, (channels, height, width)).movedim(-3, -1).flatten(-3)


def draw_noise(config: AdversarialConfig, shape: Sequence[int], rng: torch.Generator) -> Tensor:
    """Return unit-variance noise of `shape`, on `rng`'s device."""
    if config.noise == "normal":
        return torch.randn(*shape, generator=rng, device=rng.device)
    half_width = math.sqrt(3)
    return torch.rand(*shape, generator=rng, device=rng.device).mul_(2 * half_width) - half_width


def generate(
    generator: AnyGenerator,
    config: AdversarialConfig,
    n_samples: int,
    seed: int,
    *,
    block: int = 1000,
) -> np.ndarray:
    """Return `n_samples` generated examples `[n_samples, dim]`, float32, by blocks of `block`.

    The first samples are the same whatever `n_samples` is, under batch normalisation too: every
    block is generated whole.
    """
    device = next(generator.parameters()).device
    # The same noise on every device: a GPU's own stream differs from a CPU's.
    rng = torch.Generator().manual_seed(seed)
    blocks = []
    with torch.no_grad(), full_precision(device.type), generator.evaluation(seed):
        for _ in range(0, n_samples, block):
            noise = draw_noise(config, (block, generator.noise_dim), rng)
            blocks.append(generator(noise.to(device)).cpu().numpy())
    return np.concatenate(blocks)[:n_samples]


def _dense_layers(config: TrialConfig, n_in: int, activations: Sequence[Activation]) -> list[Layer]:
    """Return G's hidden dense layers."""
    normalised = config.generator_normalization == "batch"
    layers: list[Layer] = []
    for units, activation in zip(config.generator_widths, activations, strict=True):
        layers.append(Dense(n_in, units, activation, normalised=normalised))
        n_in = units
    return layers


def _deconvolutional_layers(config: TrialConfig, image: Map, output: Activation) -> list[Layer]:
    """Return the layers of a convolutional G: dense ones, a projection, deconvolutions."""
    maps = _generator_maps(config, image)
    n_dense, n_up = len(config.generator_widths), len(config.generator_channels)
    activations = _generator_activations(config, n_dense + n_up)
    normalised = config.generator_normalization == "batch"
    layers = _dense_layers(config, config.noise_dim, activations[:n_dense])
    n_in = layers[-1].n_out if layers else config.noise_dim
    layers.append(Dense(n_in, math.prod(maps[0]), activations[n_dense], normalised=normalised))
    for i in range(n_up):
        is_output = i == n_up - 1
        layers.append(
            Deconvolution(
                maps[i],
                maps[i + 1],
                output if is_output else activations[n_dense + 1 + i],
                kernel=_entry(config.generator_kernels, i),
                stride=_entry(config.generator_strides, i),
                padding=_entry(config.generator_paddings, i),
                normalised=normalised and not is_output,
                untied_bias=is_output,
            )
        )
    return layers


def _generator_maps(config: TrialConfig, image: Map) -> list[Map]:
    """Return the maps that G's deconvolutions lead through, from the lowest to the image."""
    maps = [image]
    for i in reversed(range(len(config.generator_channels))):
        how = (
            _entry(config.generator_kernels, i),
            _entry(config.generator_strides, i),
            _entry(config.generator_paddings, i),
        )
        _, height, width = maps[0]
        channels = config.generator_channels[i]
        maps.insert(0, (channels, side_below(height, *how), side_below(width, *how)))
    return maps


def _convolutional_layers(config: TrialConfig, image: Map) -> list[Convolution]:
    """Return D's convolutions; the lowest is never batch normalised (Radford et al. 2016)."""
    channels_in, height, width = image
    pack = (config.packing * channels_in, height, width)
    activation = _activation(config, config.discriminator_activation, config.convolution_pieces)
    layers: list[Convolution] = []
    for i, channels in enumerate(config.discriminator_channels):
        layers.append(
            Convolution(
                layers[-1].map_out if layers else pack,
                channels,
                activation,
                kernel=_entry(config.discriminator_kernels, i),
                stride=_entry(config.discriminator_strides, i),
                padding=_entry(config.discriminator_paddings, i),
                pool=_entry(config.discriminator_pools, i),
                pool_stride=_entry(config.discriminator_pool_strides, i),
                normalised=config.discriminator_normalization == "batch" and i > 0,
                spectral=config.discriminator_normalization == "spectral",
            )
        )
    return layers


def _generator_activations(config: TrialConfig, n_layers: int) -> list[Activation]:
    """Return the activations of G's hidden layers; relu_sigmoid takes turns, relu first."""
    name = config.generator_activation
    names = ("relu", "sigmoid") if name == "relu_sigmoid" else (name,)
    return [
        _activation(config, names[i % len(names)], config.maxout_pieces) for i in range(n_layers)
    ]


def _activation(config: TrialConfig, name: str, pieces: int) -> Activation:
    return Activation(name, pieces if name == "maxout" else 1, config.leaky_slope)


def _map_of(shape: Shape, player: str) -> Map:
    if len(shape) != 3:
        raise ConfigError(
            f"configuration: {player}_network: convolutional, on points of {math.prod(shape)} "
            "values. A convolutional network is for images. Use dense."
        )
    height, width, channels = shape
    return channels, height, width


def _entry(values: Sequence[int], i: int) -> int:
    """Return entry i; the last one serves the layers beyond."""
    return values[min(i, len(values) - 1)]
