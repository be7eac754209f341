"""Data sets that a space names by a file or a function, and those that lie in a run's folder.

`dataset: rows.npz` is an archive of arrays, `rows.npy` one array, and `my_data.py:load` a function
that returns any of what `as_dataset` takes. Data that was given from Python is written to the run's
folder (`save_dataset`), as an archive with which a later process goes on. None of it is a pickle.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gansearch.data.dataset import SPLITS, Dataset, Labels
from gansearch.data.own import as_dataset
from gansearch.data.own_names import GIVEN, located, short_name
from gansearch.data.units import Units
from gansearch.errors import DataError
from gansearch.system import user_code
from gansearch.system.files import write_atomically
from gansearch.system.object_store import AnyPath
from gansearch.system.paths import local_path

DATA_FILE = "data.npz"  # in a run's folder
_DESCRIPTION = "gansearch"  # the entry of an archive that `save_dataset` wrote
_FIELDS = ("shape", "scale", "contrast", "n_valid_for_sigma", "mode_sd", "notes")
_SPLIT_RULE = (
    "An archive has the array train and, if you have them, valid, test and labels (train_labels, "
    "valid_labels, test_labels)."
)


def takes_data_dir(name: str) -> bool:
    """Whether the data set is a function that takes the folder of the data.

    Raises:
        BadInputError: as `user_code.load`.
    """
    return user_code.is_reference(name) and _takes_data_dir(user_code.load(name))


def load_own(name: str, data_dir: Path | None) -> Dataset:
    """Return the data set that a file holds or a function returns.

    Args:
        name: as `is_own` knows it; paths are relative to the working directory.
        data_dir: for a function that takes it.

    Raises:
        BadInputError: there is no such file or function, or importing it fails.
        DataError: the file is damaged, the function raises or returns nothing, or the examples
            can't be used.
    """
    where = short_name(name)
    if not user_code.is_reference(name):
        return _read_file(local_path(name), where)
    found = user_code.load(located(name, Path()))
    value = _called(found, where, data_dir) if callable(found) and _is_function(found) else found
    if value is None:
        raise DataError(
            f"{where}: returned None. It must return an array, a data set of torch, or (train, "
            "valid, test) of such. Add a return."
        )
    return as_dataset(value, name=where, where=where)


def _is_function(found: Any) -> bool:
    # A data set may have `__call__`; what has items is one already.
    return not hasattr(found, "__getitem__")


def _takes_data_dir(found: Any) -> bool:
    try:
        return "data_dir" in inspect.signature(found).parameters
    except (TypeError, ValueError):
        return False


def _called(function: Callable[..., Any], where: str, data_dir: Path | None) -> Any:
    arguments = {"data_dir": data_dir} if _takes_data_dir(function) else {}
    try:
        return function(**arguments)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{where}: raised {user_code.describe_error(error)}. It is called with no arguments, "
            "or with data_dir if it takes that, and returns the data. Correct it."
        ) from error


def _read_file(path: Path, where: str) -> Dataset:
    try:
        if path.suffix == ".npy":
            return as_dataset(np.load(path, allow_pickle=False), name=where, where=str(path))
        with path.open("rb") as file:
            return _of_archive(file, where, str(path))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}. A data set is a .npz or .npy file of arrays. "
            "Correct the path: in a space it is relative to the folder of the space's file."
        ) from error
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise _unreadable(str(path), error) from error


def _unreadable(where: str, error: Exception) -> DataError:
    if "pickled (object) data" in str(error):  # what NumPy takes any other content for
        return DataError(f"{where}: not a file of numpy.savez or numpy.save. Save the arrays so.")
    if "Object arrays" in str(error):
        return DataError(
            f"{where}: it holds Python objects, which aren't read. Save arrays of numbers."
        )
    return DataError(f"{where}: can't be read ({error}). Save it again by numpy.savez.")


def _of_archive(file: Any, name: str, where: str) -> Dataset:
    """Return the data set of an archive: one of `save_dataset`, or arrays by their split."""
    with np.load(file, allow_pickle=False) as archive:
        if not isinstance(archive, Mapping):
            raise DataError(f"{where}: not a .npz archive. {_SPLIT_RULE}")
        arrays = {key: archive[key] for key in archive}
    if _DESCRIPTION in arrays:
        return _decoded(arrays)
    if list(arrays) == ["arr_0"]:
        return as_dataset(arrays["arr_0"], name=name, where=where)
    return as_dataset(arrays, name=name, where=where)


def save_dataset(path: AnyPath, dataset: Dataset) -> None:
    """Write a data set to an archive of arrays, atomically.

    Raises:
        StorageError: the file can't be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **_encoded(dataset))
    write_atomically(path, buffer.getvalue())


def load_saved(path: AnyPath) -> Dataset:
    """Return what `save_dataset` wrote; the archive has a checksum of each array.

    Raises:
        DataError: the file is absent or damaged.
    """
    try:
        return _of_archive(io.BytesIO(path.read_bytes()), GIVEN, str(path))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}. It holds the data that was given to this run "
            "from Python. Restore it from a copy, or start a new run."
        ) from error
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: damaged ({error}). It holds the data that was given to this run from Python. "
            "Restore it from a copy, or start a new run."
        ) from error


def _encoded(dataset: Dataset) -> dict[str, np.ndarray]:
    description = {
        "name": dataset.name,
        **{field: getattr(dataset, field) for field in _FIELDS},
        "classes": None if dataset.labels is None else list(dataset.labels.names),
    }
    arrays: dict[str, np.ndarray] = {split: getattr(dataset, split) for split in SPLITS}
    if dataset.labels is not None:
        arrays |= {f"{split}_labels": getattr(dataset.labels, split) for split in SPLITS}
    if dataset.units is not None:
        arrays |= {"offset": dataset.units.offset, "unit": dataset.units.unit}
    if dataset.modes is not None:
        arrays["modes"] = dataset.modes
    return {_DESCRIPTION: np.array(json.dumps(description)), **arrays}


def _decoded(arrays: Mapping[str, np.ndarray]) -> Dataset:
    description = json.loads(str(arrays[_DESCRIPTION]))
    fields: dict[str, Any] = {field: description[field] for field in _FIELDS}
    names, labels = description["classes"], None
    if names is not None:
        labels = Labels(tuple(names), *(arrays[f"{split}_labels"] for split in SPLITS))
    fields |= {"shape": tuple(fields["shape"]), "notes": tuple(fields["notes"])}
    fields |= {split: arrays[split] for split in SPLITS}
    return Dataset(
        description["name"],
        **fields,
        labels=labels,
        units=Units(arrays["offset"], arrays["unit"]) if "unit" in arrays else None,
        modes=arrays.get("modes"),
    )
