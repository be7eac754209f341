"""A generator loaded from disk, with its configuration and the seed of its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gansearch.config import TrialConfig
from gansearch.networks.models import Generator, generate
from gansearch.networks.probing import interpolate


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator, its configuration and the seed of its noise."""

    network: Generator
    config: TrialConfig
    seed: int

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        config: TrialConfig,
        seed: int,
        *,
        shape: Sequence[int],
        first_layer: int,
    ) -> TrainedGenerator:
        """Return a generator from its weights.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError, ConfigError: they don't fit each other.
        """
        network = Generator(config, tuple(shape))
        network.first_layer = first_layer
        if first_layer not in range(len(network.layers)):
            raise ValueError(f"first_layer is {first_layer}")
        network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
        return cls(network, config, seed)

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        return generate(self.network, self.config, n_samples, self.seed)

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return G on straight lines between samples, `[n_rows, n_steps, dim]`, float32."""
        return interpolate(self.network, self.config, self.seed, n_rows, n_steps)
