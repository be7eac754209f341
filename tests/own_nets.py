"""Networks as users write them: classes with arguments, and functions."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.rules import Rule, extended


class ConvG(nn.Module):
    """DCGAN's generator, for images whose sides are multiples of four."""

    def __init__(self, noise_dim, shape, width=8, last="sigmoid"):
        super().__init__()
        channels, height, width_of_image = shape
        self.side = height // 4, width_of_image // 4
        self.width = width
        self.lowest = nn.Linear(noise_dim, 2 * width * self.side[0] * self.side[1])
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
            nn.Tanh() if last == "tanh" else nn.Sigmoid(),
        )

    def forward(self, z):
        return self.layers(self.lowest(z).view(len(z), 2 * self.width, *self.side))


class ConvD(nn.Module):
    """DCGAN's discriminator with dropout, the last layer with a spectral norm."""

    def __init__(self, shape, width=8, dropout=0.2):
        super().__init__()
        channels, height, width_of_image = shape
        n_last = 2 * width * (height // 4) * (width_of_image // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            spectral_norm(nn.Linear(n_last, 1)),
        )

    def forward(self, images):
        return self.layers(images)


def mlp_g(config, shape):
    return nn.Sequential(
        nn.Linear(config.noise_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )


def mlp_d(config, shape):
    return nn.Sequential(
        nn.Linear(shape[0], 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )


SearchedConfig = extended(
    OwnNetworkParameters,
    {
        "generator.width": (8, Rule("int", "channels of G")),
        "discriminator.width": (8, Rule("int", "channels of D")),
    },
)


def searched(**values):
    """Return a configuration with arguments of the networks: `generator_width=4` for G's."""
    names = {"generator_width": "generator.width", "discriminator_width": "discriminator.width"}
    defaults = {"noise_dim": 6, "batch_size": 8, "generator_lr": 0.01, "discriminator_lr": 0.01}
    values = {names.get(name, name): value for name, value in values.items()}
    return SearchedConfig.from_dict(defaults | values)
