"""The registry of data sets: from a name, or what names the user's own data, to a `Dataset`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gansearch.data.cifar10 import load_cifar10
from gansearch.data.dataset import SPLITS, Dataset, Labels
from gansearch.data.image_folder import load_folder
from gansearch.data.image_options import ImageOptions
from gansearch.data.mixtures import load_gaussian, load_grid, load_ring
from gansearch.data.mnist import load_mnist
from gansearch.data.own import as_dataset
from gansearch.data.own_files import DATA_FILE, load_own, load_saved, takes_data_dir
from gansearch.data.own_names import GIVEN, is_own, short_name
from gansearch.data.tfd import N_FOLDS, load_tfd
from gansearch.errors import DataError, did_you_mean
from gansearch.system.object_store import AnyPath
from gansearch.system.paths import local_path

__all__ = ["DATASETS", "Dataset", "load_dataset"]


def load_dataset(
    name: str,
    data_dir: Path | None = None,
    *,
    download: bool = True,
    options: ImageOptions | None = None,
) -> Dataset:
    """Load a data set of `DATASETS`, or the user's own.

    Args:
        name: one of `DATASETS`, a .npz or .npy file, or a function: `my_data.py:load`.
        data_dir: the folder with downloaded data; None means the environment variable
            GANSEARCH_DATA or, if that is unset, `~/.cache/gansearch`. For the data set `folder` it
            is the folder of images; embedded and synthetic data sets, and files, ignore it.
        download: whether to download missing files.
        options: how images that differ are made alike, for the data set `folder`.

    Raises:
        DataError: the name is unknown, the data is missing or unreadable, or the data set takes no
            options.
        BadInputError: a function can't be imported.
    """
    check_known(name)
    check_takes_options(name, options)
    path = data_folder(name, data_dir)
    if is_own(name):
        return load_own(name, path)
    if name != FOLDER:
        return _LOADERS[name](path or Path(), download)
    if path is None:
        raise DataError(
            "data set folder: no folder is given. Name the folder of images by --data-dir."
        )
    return load_folder(path, options)


def open_dataset(
    data: Any, data_dir: Path | None = None, *, options: ImageOptions | None = None
) -> Dataset:
    """Return a data set from its name, as `load_dataset`, or from the examples themselves.

    Raises:
        DataError, BadInputError: as `load_dataset` and `as_dataset`.
    """
    if isinstance(data, str | os.PathLike):
        return load_dataset(os.fsdecode(data), data_dir, options=options)
    if data_dir is not None:
        raise DataError(
            f"data_dir {data_dir}: the data itself is given, and none is read there. Leave it out."
        )
    check_takes_options(GIVEN, options)
    return as_dataset(data)


def check_known(name: str) -> None:
    """Raise DataError if no data set has this name."""
    if name == GIVEN:
        raise DataError(
            f"data set {GIVEN}: the name of data that a run was given from Python. Give it again, "
            "gansearch.search(dataset=...), or name a file: dataset: rows.npz."
        )
    if name not in _LOADERS and not is_own(name):
        hint = did_you_mean(name, DATASETS)
        if hint.startswith("Known"):
            hint += " Data of your own is a file, rows.npz, or a function, my_data.py:load."
        raise DataError(f"data set {name!r}: unknown. {hint}")


def check_takes_options(name: str, options: ImageOptions | None) -> None:
    """Raise DataError if there are options, other than the defaults, and `name` takes none."""
    if options and options.to_dict() and name != FOLDER:
        raise DataError(
            f"data set {name}: found {', '.join(f'data.{key}' for key in options.to_dict())}. Only "
            f"the data set {FOLDER} has options. Leave them out."
        )


def data_folder(name: str, data_dir: Path | None = None) -> Path | None:
    """Return where the files of a data set are looked for; None for no place.

    A data set without files has none; images of one's own have none unless it is named.

    Args:
        name: as for `load_dataset`.
        data_dir: as for `load_dataset`.
    """
    if not _reads_files(name):
        return None
    given = data_dir or os.environ.get("GANSEARCH_DATA")
    if not given and name == FOLDER:
        return None
    return local_path(given or "~/.cache/gansearch")


def check_data_dir(name: str, data_dir: Path | None, *, of_run: bool = False) -> None:
    """Raise DataError if a folder is named for a data set that has no files to read there.

    GANSEARCH_DATA may be set for other data sets, and is never refused.

    Raises:
        BadInputError: a function can't be imported.
    """
    if data_dir is None or _reads_files(name):
        return
    if name == GIVEN or is_own(name):
        what = "takes no argument data_dir" if name != GIVEN else "was given from Python"
        raise DataError(
            f"--data-dir {data_dir}: the data set is {short_name(name)}, which {what}, and none "
            "is read there. Leave --data-dir out."
        )
    remedy = (
        "The data set of a run can't be changed: leave --data-dir out."
        if of_run
        else f"Leave --data-dir out, or name other data: for images of your own, --space {FOLDER} "
        f"(of `evaluate`, --dataset {FOLDER}). Without --space a search takes digits."
    )
    raise DataError(
        f"--data-dir {data_dir}: the data set is {name}, which has no files and reads none there. "
        f"{remedy}"
    )


def _reads_files(name: str) -> bool:
    """Whether a data set is read from a folder that the user may name."""
    return takes_data_dir(name) if is_own(name) else name not in (*WITHOUT_FILES, GIVEN)


def load_again(
    name: str,
    former: Path | None,
    data_dir: Path | None = None,
    options: ImageOptions | None = None,
    *,
    run: AnyPath | None = None,
) -> tuple[Dataset, Path | None]:
    """Load the data set of a run again; return it and the folder that it was read from.

    Args:
        name: of the data set in the run's space.
        former: the folder that the run has read; it may have been moved since.
        data_dir: the folder that the user names now, which counts more than `former`. The variable
            GANSEARCH_DATA and the default count less: they are for all data sets.
        options: as for `load_dataset`.
        run: the run's folder, where data that was given from Python lies.

    Raises:
        DataError: the data is missing or unreadable.
        BadInputError: a function can't be imported.
    """
    check_data_dir(name, data_dir, of_run=True)
    if name == GIVEN and run is not None:
        return load_saved(run / DATA_FILE), None
    if is_own(name):
        return load_dataset(name, data_dir or former), data_folder(name, data_dir or former)
    if data_dir is None and former is not None and name not in WITHOUT_FILES:
        # An error in a folder of images that is there must be seen, not avoided.
        if name == FOLDER and local_path(former).is_dir():
            return load_dataset(name, former, options=options), former
        for folder in (former, None):
            with suppress(DataError):
                dataset = load_dataset(name, folder, download=False, options=options)
                return dataset, data_folder(name, folder)
        data_dir = former
    return load_dataset(name, data_dir, options=options), data_folder(name, data_dir)


def _load_digits() -> Dataset:
    """Scikit-learn's bundled 1,797 handwritten digits, 8x8 with 17 grey levels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    train, valid, test = np.split(digits.data.astype(np.uint8)[order], [1197, 1497])
    classes = dict(zip(SPLITS, np.split(digits.target[order], [1197, 1497]), strict=True))
    labels = Labels.of([str(digit) for digit in range(10)], **classes)
    return Dataset("digits", train, valid, test, shape=(8, 8, 1), scale=16.0, labels=labels)


def _tfd(fold: int) -> Callable[[Path, bool], Dataset]:
    return lambda data_dir, _download: load_tfd(data_dir, fold)


FOLDER = "folder"
# Bundled with a package, or computed.
WITHOUT_FILES = ("digits", "ring", "grid", "gaussian")
# The same file, with other folds for validation and test: `tfd` itself is fold 1.
OTHER_FOLDS = tuple(f"tfd-{fold}" for fold in range(2, N_FOLDS + 1))
_LOADERS: dict[str, Callable[[Path, bool], Dataset]] = {
    "digits": lambda _data_dir, _download: _load_digits(),
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "tfd": _tfd(1),
    FOLDER: lambda data_dir, _download: load_folder(data_dir),
    "ring": lambda _data_dir, _download: load_ring(),
    "grid": lambda _data_dir, _download: load_grid(),
    "gaussian": lambda _data_dir, _download: load_gaussian(),
    **{name: _tfd(fold) for fold, name in enumerate(OTHER_FOLDS, start=2)},
}
DATASETS = tuple(_LOADERS)
# Those that everybody has alike, for which there are figures and configurations of others.
COMMON = tuple(name for name in DATASETS if name != FOLDER)
# The numbers of training examples, where they are known before any file is read.
N_TRAIN = {
    "digits": 1197,
    "mnist": 50_000,
    "cifar10": 40_000,
    **dict.fromkeys(("ring", "grid", "gaussian"), 100_000),
}
