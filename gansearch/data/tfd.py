"""The Toronto Face Database, from the user's copy: its owners provide it on request."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gansearch.data.dataset import Dataset, check_variety
from gansearch.data.duplicates import identities, note_copies, note_shared, overlaps
from gansearch.data.originals import origin_notes
from gansearch.errors import DataError

N_FOLDS = 5
_FILE = "TFD_48x48.mat"
_FIELDS = ("images", "folds")
_SIDE = 48
_UNLABELLED, _VALID, _TEST = 0, 2, 3  # values of `folds`; 1 is for training a classifier
_REMEDY = "Put the original file there again."
# Arguments: a file and names of fields. Writes the fields that exist to stdout as an .npz file.
_READER = """
import sys
import numpy
from scipy.io import loadmat
found = loadmat(sys.argv[1], variable_names=sys.argv[2:])
numpy.savez(sys.stdout.buffer, **{name: found[name] for name in sys.argv[2:] if name in found})
"""


def load_tfd(data_dir: Path, fold: int) -> Dataset:
    """Return TFD as Goodfellow et al. (2014) used it: every fold trains on the unlabelled images.

    `fold`, from 1 to 5, has its own validation images, on all of which sigma is chosen, and its own
    test images.

    Raises:
        DataError: the file is missing, damaged, or not TFD.
    """
    paths = [data_dir / _FILE, data_dir / "TFD" / _FILE]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(
            f"data set tfd: {paths[0]} is absent. The Toronto Face Database (Susskind, Anderson "
            "and Hinton 2010) can't be downloaded: its owners, at the University of Toronto, "
            f"provide it on request. Put their {_FILE} there, or name its folder by --data-dir or "
            "GANSEARCH_DATA."
        )
    images, folds = _read(path)
    member = folds[:, fold - 1]
    members = {"train": _UNLABELLED, "valid": _VALID, "test": _TEST}
    rows = {split: np.flatnonzero(member == value) for split, value in members.items()}
    train = images[rows["train"]]
    check_variety(f"{path}: images", train, _REMEDY)
    # The file groups images by their source, and some code uses only the first few.
    train = train[np.random.default_rng(0).permutation(len(train))]
    valid, test = images[rows["valid"]], images[rows["test"]]
    check_variety(f"{path}: images: to validate in fold {fold}", valid, _REMEDY)
    check_variety(f"{path}: images: to test in fold {fold}", test, _REMEDY)
    tfd = Dataset(
        "tfd" if fold == 1 else f"tfd-{fold}",
        train,
        valid,
        test,
        shape=(_SIDE, _SIDE, 1),
        scale=255.0,
        n_valid_for_sigma=len(valid),
    )
    return replace(tfd, notes=(*origin_notes(tfd), *_notes(images, rows)))


def _notes(images: np.ndarray, rows: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return sentences on identical images; the original is used as its owners provide it."""
    ids = identities(images)
    shared = [note_shared(overlap.describe()) for overlap in overlaps(rows, ids)]
    return (*shared, *note_copies(rows, ids))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images `[n, 2304]` and folds `[n, 5]`, checked."""
    fields = _fields(path)
    if missing := [name for name in _FIELDS if name not in fields]:
        raise DataError(f"{path}: found no field {missing[0]}. TFD has this field. {_REMEDY}")
    images, folds = (fields[name] for name in _FIELDS)
    n = len(images)
    _check_array(path, "images", images, (n, _SIDE, _SIDE))
    _check_array(path, "folds", folds, (n, N_FOLDS))
    if images.dtype != np.uint8:
        raise _fault(path, "images", f"{images.dtype}", "It must be uint8.")
    _check_folds(path, folds)
    return images.reshape(n, -1), folds


def _fields(path: Path) -> dict[str, np.ndarray]:
    """Return those of `_FIELDS` that the file has.

    Another process reads it, since some damaged files crash the process of SciPy's reader: with
    SciPy 1.17, 6 of 1,500 files in which a few bytes were changed, cut off or overwritten, all in
    headers of arrays.
    """
    # Without -P, a numpy.py in the working directory would be run.
    command = [sys.executable, "-P", "-c", _READER, str(path), *_FIELDS]
    reading = subprocess.run(command, capture_output=True, check=False)
    if reading.returncode < 0:
        raise _unreadable(path, "SciPy's reader crashes on it")
    if reading.returncode > 0:
        lines = reading.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        reason = lines[-1]
        if reason.startswith("NotImplementedError"):
            reason = "it is of version 7.3; in MATLAB, load it and save it again with -v7"
        raise _unreadable(path, reason)
    arrays = np.load(io.BytesIO(reading.stdout), allow_pickle=False)
    try:
        return {name: np.ascontiguousarray(arrays[name]) for name in arrays.files}
    except ValueError as error:  # an array of objects, such as a MATLAB struct
        raise _unreadable(path, f"a field does not contain numbers ({error})") from error


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: can't be read as a MATLAB file: {reason}. {_REMEDY}")


def _check_array(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        rule = f"It must have {list(shape)} where there are {shape[0]:,} images."
        raise _fault(path, name, f"shape {list(array.shape)}", rule)


def _check_folds(path: Path, folds: np.ndarray) -> None:
    if (odd := folds[~np.isin(folds, (0, 1, 2, 3))]).size:
        rule = "It must be 0 (unlabelled), 1 (to train), 2 (to validate) or 3 (to test)."
        raise _fault(path, "folds", f"found {odd[0]}", rule)
    unlabelled = folds == _UNLABELLED
    if (unlabelled.any(axis=1) != unlabelled.all(axis=1)).any():
        found = "an image is unlabelled in one fold and labelled in another"
        raise _fault(path, "folds", found, "It must be the same in all.")
    for kind, what in ((_UNLABELLED, "unlabelled"), (_VALID, "validation"), (_TEST, "test")):
        if not (folds == kind).any(axis=0).all():
            raise _fault(path, "folds", f"no {what} images", "Each fold must have some.")


def _fault(path: Path, name: str, found: str, rule: str) -> DataError:
    return DataError(f"{path}: {name}: {found}. {rule} {_REMEDY}")
