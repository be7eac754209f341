"""Networks of your own in gansearch's own training: a small DCGAN of 8x8 digits.

    gansearch run --space examples/own_networks.yaml

The space file searches the arguments `width` beside k, the rates and a remedy. A network is made
with those of these that it takes: `shape`, `noise_dim`, and its own arguments.
"""

from torch import nn


class Generator(nn.Sequential):
    def __init__(self, noise_dim, shape, width=32):
        channels, height, _ = shape
        start = height // 4
        super().__init__(
            nn.Linear(noise_dim, 2 * width * start * start),
            nn.Unflatten(1, (2 * width, start, start)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )


class Discriminator(nn.Sequential):
    def __init__(self, shape, width=32, dropout=0.2):
        channels, height, _ = shape
        end = height // 4
        super().__init__(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * width * end * end, 1),
        )
