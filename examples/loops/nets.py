"""A small generator and discriminator of images whose side is a multiple of four."""

import torch
from torch import nn

Z = 32
BATCH_SIZE = 64


def generator(width: int, side: int, channels: int = 1) -> nn.Sequential:
    start = side // 4
    return nn.Sequential(
        nn.Linear(Z, 2 * width * start * start),
        nn.Unflatten(1, (2 * width, start, start)),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def discriminator(width: int, side: int, channels: int = 1) -> nn.Sequential:
    end = side // 4
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * width * end * end, 1),
        nn.Flatten(0),
    )


def noise(n: int) -> torch.Tensor:
    return torch.randn(n, Z)
