"""The baseline of the benchmarks: a careful eager loop, at the paper's width and smaller ones.

Not a script: `training.py` and `gpu/gpu.py` import it. It needs neither Ray nor
Optuna.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.networks.models import draw_noise

PAPER = 1200  # units of the paper's G


def config_of(width: int, **values: object) -> TrialConfig:
    """Return the paper's configuration for MNIST, its layers cut in proportion to `width`."""
    units = max(16, round(width * 240 / PAPER))
    widths = {"generator_widths": (width, width), "discriminator_widths": (units, units)}
    return TrialConfig.from_dict({**widths, **values})


def mnist_or_noise() -> Dataset:
    if folder := os.environ.get("GANSEARCH_DATA"):
        return load_dataset("mnist", Path(folder))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(12_000, 784), dtype=np.uint8)
    train, valid, test = np.split(images, [10_000, 11_000])
    return Dataset("noise", train, valid, test, shape=(28, 28, 1), scale=255.0)


class Maxout(nn.Module):
    """The largest of `pieces` affine maps for each unit (Goodfellow et al. 2013)."""

    def __init__(self, n_in: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.affine = nn.Linear(n_in, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x).unflatten(1, (self.pieces, -1)).amax(1)


def torch_generator(config: TrialConfig, dim: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    n_in = config.noise_dim
    for units in config.generator_widths:
        layers += [nn.Linear(n_in, units), nn.ReLU()]
        n_in = units
    net = nn.Sequential(*layers, nn.Linear(n_in, dim), nn.Sigmoid())
    return initialised(net, config.generator_init_range)


def torch_discriminator(config: TrialConfig, dim: int) -> nn.Sequential:
    """Return D up to its logit, with dropout on every layer's input."""
    layers: list[nn.Module] = []
    n_in, rate = dim, config.dropout_input
    for units in config.discriminator_widths:
        layers += [nn.Dropout(rate), Maxout(n_in, units, config.maxout_pieces)]
        n_in, rate = units, config.dropout_hidden
    net = nn.Sequential(*layers, nn.Dropout(rate), nn.Linear(n_in, 1))
    return initialised(net, config.discriminator_init_range)


def initialised(net: nn.Sequential, half_width: float) -> nn.Sequential:
    for parameter in net.parameters():
        if parameter.dim() == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.uniform_(parameter, -half_width, half_width)
    return net


class CarefulLoop:
    """Algorithm 1 by nn.Module and torch.optim, with the arithmetic of ours and none beyond it."""

    def __init__(self, config: TrialConfig, dataset: Dataset, device: str = "cpu") -> None:
        self.config = config
        self.images = torch.from_numpy(dataset.to_float(dataset.train)).to(device)
        self.rng = torch.Generator(device).manual_seed(0)
        dim = math.prod(dataset.shape)
        with torch.device(device):
            self.generator = torch_generator(config, dim)
            self.discriminator = torch_discriminator(config, dim)
        self.g_optimizer = torch.optim.SGD(
            self.generator.parameters(), config.generator_lr, config.momentum, fused=True
        )
        self.d_optimizer = torch.optim.SGD(
            self.discriminator.parameters(), config.discriminator_lr, config.momentum, fused=True
        )

    def step(self) -> None:
        self.update_discriminator()
        self.update_generator()

    def update_discriminator(self) -> None:
        m = self.config.batch_size
        rows = torch.randint(len(self.images), (m,), generator=self.rng, device=self.images.device)
        real = self.images[rows]
        with torch.no_grad():
            fake = self.generator(self._noise())
        real_logits, fake_logits = self.discriminator(torch.cat((real, fake))).split(m)
        loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        self.d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.d_optimizer.step()

    def update_generator(self) -> None:
        self.discriminator.requires_grad_(False)
        loss = softplus(-self.discriminator(self.generator(self._noise()))).mean()
        self.g_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)

    def _noise(self) -> Tensor:
        shape = (self.config.batch_size, self.config.noise_dim)
        return draw_noise(self.config, shape, self.rng)
