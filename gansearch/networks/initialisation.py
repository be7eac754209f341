"""The weights of both players before the first update, drawn from the trial's own stream."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gansearch.config import TrialConfig
from gansearch.networks.interface import Networks, Shape
from gansearch.networks.layers import Deconvolution, Layer
from gansearch.networks.models import Discriminator, Generator, channels_first

# Pixels that are always 0 or always 1 would have an infinite logit.
_MARGIN = 1e-7


def make_networks(
    config: TrialConfig, shape: Shape, data_mean: Tensor, rng: torch.Generator, device: str
) -> Networks:
    """Return the paper's networks with their initial weights, as a `NetworkMaker` does.

    Raises:
        ConfigError: points would get a convolutional network.
    """
    with torch.device(rng.device):
        generator, discriminator = Generator(config, shape), Discriminator(config, shape)
        average = Generator(config, shape) if config.generator_ema > 0 else None
    initialise_generator(generator, config, data_mean.to(rng.device), rng)
    initialise_discriminator(discriminator, config, rng)
    if rng.device.type != torch.device(device).type:
        for net in filter(None, (generator, discriminator, average)):
            net.to(device)
    return Networks(generator, discriminator, average)


@torch.no_grad()
def initialise_generator(
    generator: Generator, config: TrialConfig, data_mean: Tensor, rng: torch.Generator
) -> None:
    """Draw G's weights in place; biases are zero but for sigmoid hidden layers and the output.

    `data_mean` `[dim]` is the training set's mean; where the configuration asks for it, G's output
    bias starts there, through the inverse of the output's sigmoid if it has one.
    """
    *hidden, output = _layers(generator)
    for layer in hidden:
        _draw(layer, config, config.generator_init_range, rng)
        if layer.activation.name == "sigmoid":
            layer.bias.fill_(config.sigmoid_bias)
    _draw_output(output, config, rng)
    if config.output_bias == "data_mean":
        squashed = config.generator_output == "sigmoid"
        bias = torch.logit(data_mean, eps=_MARGIN) if squashed else data_mean
        if isinstance(output, Deconvolution):
            bias = channels_first(bias, generator.shape)
        output.bias.copy_(bias.view_as(output.bias))


@torch.no_grad()
def initialise_discriminator(
    discriminator: Discriminator, config: TrialConfig, rng: torch.Generator
) -> None:
    """Draw D's weights in place, and u of spectral normalisation; its biases are zero."""
    for layer in discriminator.trained_layers():
        _draw(layer, config, config.discriminator_init_range, rng)
        if layer.u is not None:
            layer.u.normal_(generator=rng)
            layer.power_iterate()


@torch.no_grad()
def initialise_layer(
    layer: Layer, config: TrialConfig, half_width: float, rng: torch.Generator
) -> None:
    """Draw the weights of a layer beside a player's own, such as an embedding's, as `init` says."""
    _draw(layer, config, half_width, rng)


def _draw_output(layer: Layer, config: TrialConfig, rng: torch.Generator) -> None:
    """Draw the weights of G's output layer."""
    if config.output_init == "hidden":
        _draw(layer, config, config.generator_init_range, rng)
        return
    _reset(layer)
    if config.output_init == "uniform":
        half_width = config.output_init_range
        layer.weight.uniform_(-half_width, half_width, generator=rng)
    else:
        _draw_sparse(layer, config.output_init_inputs, rng)


def _draw(layer: Layer, config: TrialConfig, half_width: float, rng: torch.Generator) -> None:
    """Draw a layer's weights as the configuration's `init` says."""
    if config.init == "normal":
        layer.weight.normal_(0, config.init_sd, generator=rng)
    else:
        bound = math.sqrt(6 / sum(layer.fans())) if config.init == "glorot" else half_width
        layer.weight.uniform_(-bound, bound, generator=rng)
    _reset(layer)


def _draw_sparse(layer: Layer, n_inputs: int, rng: torch.Generator) -> None:
    """Give each unit `n_inputs` weights from a standard normal, all others zero (Martens 2010)."""
    columns = layer.weight.movedim(layer.unit_axis, -1)  # a view, [incoming..., units]
    *_, n_units = columns.shape
    fan_in = columns.numel() // n_units
    device = columns.device
    order = torch.rand(fan_in, n_units, generator=rng, device=device)
    chosen = order.topk(min(n_inputs, fan_in), dim=0).indices
    drawn = torch.randn(chosen.shape, generator=rng, device=device)
    values = torch.zeros(fan_in, n_units, device=device).scatter_(0, chosen, drawn)
    columns.copy_(values.view(columns.shape))


def _reset(layer: Layer) -> None:
    layer.bias.zero_()
    if layer.gamma is not None:
        layer.gamma.fill_(1)


def _layers(net: Generator) -> list[Layer]:
    """Return all layers, also those that the first stage of a pretraining leaves out."""
    return [layer for layer in net.layers if isinstance(layer, Layer)]
