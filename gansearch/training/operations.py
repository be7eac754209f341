"""How many floating-point operations an update of the adversarial nets takes, roughly."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.family import Operations
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator
from gansearch.networks.models import Discriminator, Generator
from gansearch.networks.probing import BLOCK


def rough_operations(config: TrialConfig, dataset: Dataset) -> Operations:
    """Return the operations of an update, the mean of D's and G's, and of a block of samples.

    Those of matrix products and convolutions, where a backward pass takes twice as many as a
    forward pass, and of G's average. Penalties and unrolling are left out.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    with torch.device("meta"):
        generator = Generator(config, dataset.shape)
        discriminator = Discriminator(config, dataset.shape)
    return operations_of(config, generator, discriminator)


def operations_of(
    config: AdversarialConfig, generator: AnyGenerator, discriminator: AnyDiscriminator
) -> Operations:
    """Return the same as `rough_operations` of networks whose tensors are on `meta`."""
    rows = 2 * config.packing
    with torch.device("meta"), torch.no_grad():
        with FlopCounterMode(display=False) as of_generator:
            generator(torch.empty(rows, generator.noise_dim))
        with FlopCounterMode(display=False) as of_discriminator:
            discriminator(torch.empty(rows, discriminator.dim))
    g, d = of_generator.get_total_flops() / rows, of_discriminator.get_total_flops() / rows
    # D learns from a real and a generated example, G through D.
    both = config.k * (g + 6 * d) + 3 * (g + d)
    n_examples = config.batch_size * config.packing
    averaging = 3 * sum(p.numel() for p in generator.parameters()) * (config.generator_ema > 0)
    n_scored = 2 if config.generator_ema > 0 else 1  # the average, and G as it is
    update = (n_examples * both + averaging) / (config.k + 1)
    return Operations(update, BLOCK * g, n_scored)
