"""A trained generator G(z, c): samples of given classes, and the generator as a module of torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansearch.artifacts import ConditionalSamples, GeneratorModule
from gansearch.families.plain_generator import (
    BLOCK,
    definition_of,
    depends_on_company,
    noise_expression,
    plain_layers,
)
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.conditional import ConditionalGenerator
from gansearch.networks.models import draw_noise
from gansearch.networks.pairs import classes_of_noise
from gansearch.networks.probing import interpolate_between
from gansearch.system.precision import full_precision

_DEFINITION = """\
class ConditionalGenerator(nn.Module):
    # The last coordinate of noise decides the class: class i is from bounds[i - 1] to bounds[i].

    def __init__(self, net, n_classes, n_embedded):
        super().__init__()
        self.net = net
        self.embedding = nn.Linear(n_classes, n_embedded) if n_embedded else nn.Identity()
        self.register_buffer("bounds", torch.zeros(n_classes - 1))

    def forward(self, noise):
        last = noise[:, -1:]
        passed = (last >= self.bounds).to(noise.dtype)
        ends = torch.ones_like(last)
        classes = torch.cat((ends, passed), -1) - torch.cat((passed, 0 * ends), -1)
        return self.net(torch.cat((noise[:, :-1], self.embedding(classes)), -1))


"""


@dataclass(frozen=True)
class TrainedConditionalGenerator(TrainedGenerator):
    """A generator of examples of given classes.

    Attributes:
        classes: their names.
    """

    classes: tuple[str, ...]

    @property
    def net(self) -> ConditionalGenerator:
        """The network."""
        assert isinstance(self.network, ConditionalGenerator)
        return self.network

    def conditional(self) -> ConditionalSamples:
        """Return how it makes examples of given classes."""
        return ConditionalSamples(
            self.classes,
            lambda label, n: self._of_class(label, n)[1],
            self._interpolate_class,
        )

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return G on straight lines between samples of a class, `[n_rows, n_steps, dim]`, float32.

        Row i is of class i, and of i less the number of classes beyond the last, and so on.
        """
        n_classes = len(self.classes)
        n_each = [len(range(i, n_rows, n_classes)) for i in range(n_classes)]
        by_class = [self._interpolate_class(i, n, n_steps) for i, n in enumerate(n_each) if n]
        return np.stack([by_class[i % n_classes][i // n_classes] for i in range(n_rows)])

    def module(self) -> GeneratorModule:
        """Return the generator as a module from noise whose last coordinate decides the class."""
        net = self.net
        plain = Conditional(net)
        layers = definition_of(plain.net, "net")
        n_embedded = 0 if net.embedding is None else net.embedding.n_out
        return GeneratorModule(
            network=plain.requires_grad_(False).eval(),
            definition=(
                f"{_DEFINITION}{layers}"
                f"generator = ConditionalGenerator(net, {len(self.classes)}, {n_embedded})\n"
            ),
            noise=noise_expression(self.config.noise, net.noise_dim),
            noise_dim=net.noise_dim,
            seed=self.seed,
            block=BLOCK,
            depends_on_company=depends_on_company(net.net),
        )

    def _of_class(self, label: int, n: int) -> tuple[Tensor, np.ndarray]:
        """Return the first n samples of a class among all that are drawn, and their noise."""
        rng = torch.Generator().manual_seed(self.seed)
        device = self.net.bounds.device
        noises: list[Tensor] = []
        made: list[Tensor] = []
        n_found = 0
        with torch.no_grad(), full_precision(device.type):
            while n_found < n:
                noise = draw_noise(self.config, (BLOCK, self.net.noise_dim), rng)
                classes = self.net.classes(noise.to(device)).argmax(-1).cpu()
                rows = classes == label
                noises.append(noise[rows])
                if rows.any():
                    # In the company in which they were scored, for batch normalisation.
                    made.append(self.net(noise.to(device)).cpu()[rows])
                n_found += int(rows.sum())
        return torch.cat(noises)[:n], torch.cat(made)[:n].numpy()

    def _interpolate_class(self, label: int, n_rows: int, n_steps: int) -> np.ndarray:
        """Return rows from sample 2i to sample 2i + 1 of a class: between them lies no other."""
        noise, ends = self._of_class(label, 2 * n_rows)
        return interpolate_between(self.network, self.config, self.seed, noise, ends, n_steps)


class Conditional(nn.Module):
    """G(z, c) in torch's own layers, as `_DEFINITION` has it."""

    bounds: Tensor

    def __init__(self, network: ConditionalGenerator) -> None:
        super().__init__()
        self.net = plain_layers(network.net)
        self.embedding: nn.Module = nn.Identity()
        if (embedding := network.embedding) is not None:
            self.embedding = nn.Linear(embedding.n_in, embedding.n_out)
            self.embedding.weight.data.copy_(embedding.weight.data.T)
            self.embedding.bias.data.copy_(embedding.bias.data)
        self.register_buffer("bounds", network.bounds.clone())

    def forward(self, noise: Tensor) -> Tensor:
        """Return images `[n, channels, height, width]` or points `[n, d]`."""
        classes = self.embedding(classes_of_noise(noise, self.bounds))
        made: Tensor = self.net(torch.cat((noise[:, :-1], classes), -1))
        return made


def generate_classes(trained: TrainedConditionalGenerator, given: np.ndarray) -> np.ndarray:
    """Return an example of each given class `[n, dim]`, float32, from noise fixed by the seed.

    The noise is other than that of the samples. Blocks of 1,000 are generated together, so that
    under batch normalisation an example depends on the classes beside its own.
    """
    net, rng = trained.net, torch.Generator().manual_seed(trained.seed + 1)
    device = net.bounds.device
    made = []
    with torch.no_grad(), full_precision(device.type):
        for labels in torch.split(torch.as_tensor(given), BLOCK):
            noise = draw_noise(trained.config, (len(labels), net.noise_dim), rng)
            classes = F.one_hot(labels, len(trained.classes)).float()
            made.append(net.given(noise.to(device), classes.to(device)).cpu())
    return torch.cat(made).numpy()
