"""A generator on disk and back: its weights, with its configuration and the seed of its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from gansearch.artifacts import GeneratorExport, GeneratorModule, no_module
from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.errors import ResultsError
from gansearch.families.plain_generator import own_generator_module, plain_generator
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator
from gansearch.networks.layers import Dense
from gansearch.networks.models import Discriminator, Generator, generate
from gansearch.networks.own import OwnDiscriminator, OwnGenerator, OwnNetworkMaker
from gansearch.networks.probing import interpolate

# 1, or none: dense weights as `Dense` has them, [in, pieces * units]. 2: as torch.nn.Linear has
# them, [pieces * units, in]. Those of convolutions have torch's layout in both.
WEIGHTS_FORMAT = 2


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator, its configuration and the seed of its noise."""

    n_kept: ClassVar[None] = None
    network: AnyGenerator
    config: AdversarialConfig
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
        weights_format: int,
    ) -> TrainedGenerator:
        """Return a generator from its weights, in the current format or an older one.

        Raises:
            ResultsError: the format is of a later version.
            ValueError, KeyError, TypeError, RuntimeError, ConfigError: they don't fit each other.
        """
        network = Generator(config, tuple(shape))
        network.first_layer = first_layer
        if first_layer not in range(len(network.layers)):
            raise ValueError(f"first_layer is {first_layer}")
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if weights_format != 1:
            _check_format(weights_format)
            weights = _transposed(network, weights)
        network.load_state_dict(weights)
        return cls(network, config, seed)

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        return generate(self.network, self.config, n_samples, self.seed)

    def module(self) -> GeneratorModule:
        """Return the generator as a module of torch, for use outside gansearch.

        The paper's is made of torch's own layers; the user's own is as the user's code made it.

        Raises:
            BadInputError: a family's own network, which isn't made of these.
        """
        if isinstance(self.network, Generator):
            return plain_generator(self.network, self.config.noise, self.seed)
        if not isinstance(self.network, OwnGenerator):
            raise no_module()
        return own_generator_module(self.network, self.config.noise, self.seed)

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return G on straight lines between samples, `[n_rows, n_steps, dim]`, float32."""
        return interpolate(self.network, self.config, self.seed, n_rows, n_steps)


def export_generator(network: Generator, seed: int) -> GeneratorExport:
    """Return what is stored of a generator whose samples are drawn from `seed`.

    Its buffers are left out: sampling doesn't read them.
    """
    weights = {name: weight.detach().cpu() for name, weight in network.named_parameters()}
    arrays = {name: weight.numpy() for name, weight in _transposed(network, weights).items()}
    details = {"first_layer": network.first_layer, "weights_format": WEIGHTS_FORMAT}
    return GeneratorExport(arrays, seed, details)


def export_own_generator(network: OwnGenerator, seed: int) -> GeneratorExport:
    """Return what is stored of a user's own G: all of its `state_dict`, buffers too."""
    return GeneratorExport(_own_state(network), seed, {"value_range": network.value_range})


def _own_state(network: OwnGenerator | OwnDiscriminator) -> dict[str, np.ndarray]:
    state = {name: value.detach().cpu() for name, value in network.net.state_dict().items()}
    # NumPy has no bfloat16.
    short = {name for name, value in state.items() if value.dtype == torch.bfloat16}
    return {name: (t.float() if name in short else t).numpy() for name, t in state.items()}


def own_generator(
    export: GeneratorExport, config: AdversarialConfig, maker: OwnNetworkMaker
) -> TrainedGenerator:
    """Return a user's own G from its state.

    Raises:
        ConfigError, ValueError, KeyError, TypeError, RuntimeError: it doesn't fit the network that
            the maker makes now.
    """
    network, _ = maker.on_cpu(config, tuple(export.details["shape"]), seed=0)
    network.net.load_state_dict({name: torch.tensor(a) for name, a in export.arrays.items()})
    return TrainedGenerator(network, config, export.seed)


def export_discriminator(network: AnyDiscriminator) -> dict[str, np.ndarray]:
    """Return a discriminator's weights, with the u and v of spectral normalisation.

    Of a user's own D it is all of its `state_dict`.
    """
    if isinstance(network, OwnDiscriminator):
        return _own_state(network)
    assert isinstance(network, Discriminator)
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    return {name: value.numpy() for name, value in _transposed(network, state).items()}


def _transposed(
    network: Generator | Discriminator, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the weights with those of dense layers from one layout to the other."""
    dense = {
        f"layers.{i}.weight" for i, layer in enumerate(network.layers) if isinstance(layer, Dense)
    }
    return {
        name: weight.T.contiguous() if name in dense else weight for name, weight in weights.items()
    }


def _check_format(weights_format: object) -> None:
    if weights_format != WEIGHTS_FORMAT:
        raise ResultsError(
            f"weights_format: found {weights_format!r}. This version of gansearch reads generators "
            f"of the formats 1 and {WEIGHTS_FORMAT}. Read it with the version that wrote it."
        )
