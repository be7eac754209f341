"""A trained generator on disk: its weights as safetensors, its configuration as JSON."""

from __future__ import annotations

import io
import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from gansearch.artifacts import GeneratorExport, SavedGenerator
from gansearch.data.dataset import MAX_ABS, Dataset
from gansearch.data.units import Units
from gansearch.errors import BadInputError, ConfigError, ResultsError
from gansearch.family import FAMILY_SECTIONS, ModelFamily, family_of
from gansearch.rules import Config
from gansearch.system.files import BLANK_SEAL, fault_of_seal, sealed, write_atomically
from gansearch.system.object_store import AnyPath, parse_path

WEIGHTS_FILE = "generator.safetensors"
CONFIG_FILE = "config.json"
DISCRIMINATOR_FILE = "discriminator.safetensors"
OUTPUTS_FILE = "discriminator_outputs.npy"
_KNOWN = (*FAMILY_SECTIONS, "dataset", "units", "seed", "config", "seal")


@dataclass(frozen=True)
class StoredGenerator:
    """A generator loaded from a run's folder.

    Attributes:
        generator: makes samples.
        dataset: name of the data set that it was trained on.
        shape: of an example.
        units: those of the data, where its vectors are standardised, as the samples are.
    """

    generator: SavedGenerator
    dataset: str
    shape: tuple[int, ...]
    units: Units | None = None

    def in_own_units(self, samples: np.ndarray) -> np.ndarray:
        """Return samples `[..., dim]` in the units that the data came in."""
        return samples if self.units is None else self.units.restored(samples)

    def rows_of(self, examples: Any, where: str = "x") -> np.ndarray:
        """Return examples in the data's own units, one or more of any form, as `[n, dim]`, float64.

        Raises:
            BadInputError: they are no numbers of this shape; `where` names them.
        """
        from gansearch.scoring.arrays import as_array  # which imports torch

        array, dim = as_array(examples, where), math.prod(self.shape)
        if array.shape in ((dim,), self.shape):
            array = array.reshape(1, dim)
        is_row = array.ndim > 1 and array.shape[1:] in ((dim,), self.shape)
        if not is_row or len(array) == 0 or array.dtype.kind not in "fiub":
            raise BadInputError(
                f"{where}: found an array of {array.dtype}, {list(array.shape)}. It must be "
                f"numbers [n, {dim}], or [n, {', '.join(map(str, self.shape))}]."
            )
        rows: np.ndarray = array.reshape(len(array), dim).astype(np.float64)
        return rows

    def as_trained_on(self, rows: np.ndarray) -> np.ndarray:
        """Return rows `[n, dim]` in the data's own units as the generator makes them, float32.

        Raises:
            BadInputError: values are NaN, infinite or huge.
        """
        if not np.isfinite(rows).all() or (np.abs(rows) > MAX_ABS).any():
            raise BadInputError("x: NaN, infinite or huge values. All values must be finite.")
        return rows.astype(np.float32) if self.units is None else self.units.standardised(rows)


def save_generator(
    model_dir: AnyPath,
    export: GeneratorExport,
    config: Config,
    *,
    family: ModelFamily[Any],
    dataset: str,
    shape: Sequence[int],
    units: Units | None = None,
) -> None:
    """Write a generator of examples of `shape` into `model_dir`."""
    description = {
        "family": family.name,
        **family.sections,
        "dataset": dataset,
        "shape": list(shape),
        **({} if units is None else {"units": units.to_dict()}),
        **export.details,
        "seed": export.seed,
        "config": config.to_dict(),
        "seal": BLANK_SEAL,
    }
    # Beside the arrays, for readers of this file alone, such as the format of the weights.
    details = {key: json.dumps(value) for key, value in export.details.items()}
    content = save_arrays(dict(export.arrays), {**details, "seal": BLANK_SEAL})
    write_atomically(model_dir / WEIGHTS_FILE, sealed(content))
    write_atomically(model_dir / CONFIG_FILE, sealed(json.dumps(description, indent=2).encode()))


def save_discriminator(model_dir: AnyPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the discriminator's weights beside its generator's."""
    content = save_arrays(dict(arrays), {"seal": BLANK_SEAL})
    write_atomically(model_dir / DISCRIMINATOR_FILE, sealed(content))


def write_outputs(model_dir: AnyPath, outputs: np.ndarray) -> None:
    """Write the discriminator's outputs on real and on generated examples, `[2, n]`."""
    content = io.BytesIO()
    np.save(content, outputs)
    write_atomically(model_dir / OUTPUTS_FILE, content.getvalue())


def read_outputs(model_dir: AnyPath) -> np.ndarray | None:
    """Return what `write_outputs` wrote; None where there is none, or it is damaged."""
    try:
        outputs: np.ndarray = np.load(io.BytesIO((model_dir / OUTPUTS_FILE).read_bytes()))
    except (OSError, ValueError, EOFError):
        return None
    is_whole = outputs.ndim == 2 and len(outputs) == 2 and outputs.dtype.kind == "f"
    return outputs if is_whole and np.isfinite(outputs).all() else None


def load_generator(
    model_dir: AnyPath | str, load_dataset: Callable[[str], Dataset]
) -> StoredGenerator:
    """Read a generator that `save_generator` wrote.

    Args:
        model_dir: its folder.
        load_dataset: loads a data set by name, for families whose generators need it.

    Raises:
        BadInputError: `model_dir` is no path, or `load_dataset` no function.
        ResultsError: there is none, or its files are damaged or do not match.
        What `load_dataset` raises, as it is.
    """
    model_dir = parse_path(model_dir)
    if not callable(load_dataset):
        raise BadInputError(
            f"load_dataset: found {reprlib.repr(load_dataset)}. It must be a function that returns "
            "the data set of a name, such as gansearch.data.load_dataset."
        )
    failures: list[Exception] = []  # of `load_dataset`, which say nothing about the files

    def load() -> Dataset:
        try:
            return load_dataset(dataset)
        except Exception as error:
            failures.append(error)
            raise

    try:
        description = json.loads(_read(model_dir / CONFIG_FILE))
        arrays = load_arrays(_read(model_dir / WEIGHTS_FILE))
        family = family_of(description)
        dataset: str = description["dataset"]
        details = {key: value for key, value in description.items() if key not in _KNOWN}
        generator = family.generator(
            GeneratorExport(arrays, description["seed"], details),
            family.config_type.from_dict(description["config"]),
            load,
        )
        # Older files have only the number of values, which is enough for dense networks.
        shape = details["shape"] if "shape" in details else [details["dim"]]
        units = Units.from_dict(description["units"]) if "units" in description else None
        return StoredGenerator(generator, dataset, tuple(shape), units)
    except FileNotFoundError as error:
        if error in failures:
            raise
        raise ResultsError(
            f"{model_dir}: no trained generator lies here ({error.filename or error} is absent). "
            "Weights are saved for trials that completed or collapsed, not for pruned ones."
        ) from error
    except (
        *(OSError, SafetensorError, ConfigError),
        *(AttributeError, ValueError, KeyError, TypeError, RuntimeError),
    ) as error:
        if error in failures:
            raise
        raise ResultsError(
            f"{model_dir}: the trained generator can't be read ({error}). Its files were changed "
            "or damaged. Restore them from a copy, or train its configuration, which "
            "trials.parquet has, again: `gansearch run --space SPACE --only CONFIG.yaml`."
        ) from error


def _read(path: AnyPath) -> bytes:
    data = path.read_bytes()
    if why := fault_of_seal(data):
        raise ValueError(f"{path.name}: {why}")
    return data
