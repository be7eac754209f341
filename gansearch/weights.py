"""A trained generator on disk: its weights as safetensors, its configuration as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from gansearch.config import TrialConfig
from gansearch.errors import ConfigError, ResultsError
from gansearch.files import BLANK_SEAL, fault_of_seal, sealed, write_atomically
from gansearch.models import Generator, generate
from gansearch.remote import AnyPath

WEIGHTS_FILE = "generator.safetensors"
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class SavedGenerator:
    """A generator with what is needed to sample from it as its trial did."""

    generator: Generator
    config: TrialConfig
    dataset: str
    seed: int

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        return generate(self.generator, self.config, n_samples, self.seed)


def save_generator(
    model_dir: AnyPath, generator: Generator, config: TrialConfig, *, dataset: str, seed: int
) -> None:
    """Write a generator into `model_dir`; `seed` is that of its evaluation noise."""
    weights = {name: p.detach().cpu() for name, p in generator.named_parameters()}
    description = {
        "dataset": dataset,
        "shape": list(generator.shape),
        "first_layer": generator.first_layer,
        "seed": seed,
        "config": config.to_dict(),
        "seal": BLANK_SEAL,
    }
    content = save_tensors(weights, {"seal": BLANK_SEAL})
    write_atomically(model_dir / WEIGHTS_FILE, sealed(content))
    write_atomically(model_dir / CONFIG_FILE, sealed(json.dumps(description, indent=2).encode()))


def load_generator(model_dir: AnyPath) -> SavedGenerator:
    """Read a generator that `save_generator` wrote.

    Raises:
        ResultsError: there is none, or its files are damaged or don't fit each other.
    """
    try:
        description = json.loads(_read(model_dir / CONFIG_FILE))
        weights = load_tensors(_read(model_dir / WEIGHTS_FILE))
        config = TrialConfig.from_dict(description["config"])
        # Older files have the number of values alone, which is all that dense networks need.
        shape = description["shape"] if "shape" in description else [description["dim"]]
        generator = Generator(config, tuple(shape))
        generator.first_layer = description.get("first_layer", 0)
        if generator.first_layer not in range(len(generator.layers)):
            raise ValueError(f"first_layer is {generator.first_layer}")
        generator.load_state_dict(weights)
        return SavedGenerator(generator, config, description["dataset"], description["seed"])
    except FileNotFoundError as error:
        raise ResultsError(
            f"{model_dir}: no trained generator lies here ({error.filename or error} is absent). "
            "Weights are kept of trials that were completed or collapsed, not of pruned ones."
        ) from error
    except (
        *(OSError, SafetensorError, ConfigError),
        *(ValueError, KeyError, TypeError, RuntimeError),
    ) as error:
        raise ResultsError(
            f"{model_dir}: the trained generator can't be read ({error}). Its files were changed "
            "or damaged; train the configuration again with `gansearch run --only`."
        ) from error


def _read(path: AnyPath) -> bytes:
    data = path.read_bytes()
    if why := fault_of_seal(data):
        raise ValueError(f"{path.name}: {why}")
    return data
