"""MNIST, from its original IDX files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gansearch.data.dataset import Dataset, Labels, check_variety
from gansearch.data.downloads import obtain
from gansearch.data.originals import origin_notes
from gansearch.errors import DataError

# The header of each IDX file of MNIST (type, number of dimensions, then each size, big-endian), and
# the length of the file in bytes.
_MNIST_FILES = {
    "train-images-idx3-ubyte": ("00000803 0000ea60 0000001c 0000001c", 47_040_016),
    "train-labels-idx1-ubyte": ("00000801 0000ea60", 60_008),
    "t10k-images-idx3-ubyte": ("00000803 00002710 0000001c 0000001c", 7_840_016),
    "t10k-labels-idx1-ubyte": ("00000801 00002710", 10_008),
}
_HEADER_BYTES = 16  # of images
_LABEL_HEADER_BYTES = 8
_N_CLASSES = 10
_REPLACE = "Delete it, so that it is downloaded again, or put the original file there."
_REMEDY = (
    "Put MNIST's files there, unpacked, or name the folder that holds MNIST/raw by --data-dir or "
    "GANSEARCH_DATA, or start once with a network connection: torchvision then downloads them. "
    "`--space digits` needs no download."
)


def load_mnist(data_dir: Path, download: bool) -> Dataset:
    """Return MNIST, split as by Goodfellow et al. (2014): 50,000, 10,000 and 10,000 images.

    The last 10,000 training images are the validation set.

    Raises:
        DataError: a file is missing and can't be downloaded, or is damaged.
    """
    folder = data_dir / "MNIST" / "raw"
    obtain(
        folder,
        list(_MNIST_FILES),
        _fetch,
        urls=_urls,
        download=download,
        data_set="mnist",
        remedy=_REMEDY,
    )
    for file_name, (header, n_bytes) in _MNIST_FILES.items():
        _check_idx(folder / file_name, bytes.fromhex(header), n_bytes)
    images = _images(folder / "train-images-idx3-ubyte")
    test = _images(folder / "t10k-images-idx3-ubyte")
    of_train = _labels(folder / "train-labels-idx1-ubyte")
    labels = Labels.of(
        [str(digit) for digit in range(_N_CLASSES)],
        train=of_train[:50000],
        valid=of_train[50000:],
        test=_labels(folder / "t10k-labels-idx1-ubyte"),
    )
    mnist = Dataset(
        "mnist", images[:50000], images[50000:], test, (28, 28, 1), scale=255.0, labels=labels
    )
    return replace(mnist, notes=origin_notes(mnist))


def _urls() -> list[str]:
    from torchvision.datasets import MNIST

    return [mirror + MNIST.resources[0][0] for mirror in MNIST.mirrors]


def _fetch(folder: Path) -> Path:
    from torchvision.datasets import MNIST

    MNIST(str(folder), download=True)
    return folder / "MNIST" / "raw"


def _check_idx(path: Path, header: bytes, n_bytes: int) -> None:
    """Raise DataError unless `path` has the header and the length of its file of MNIST."""
    found_bytes = path.stat().st_size
    if found_bytes != n_bytes:
        raise DataError(f"{path}: {found_bytes:,} bytes, where MNIST has {n_bytes:,}. {_REPLACE}")
    with path.open("rb") as file:
        found = file.read(len(header))
    if found != header:
        raise DataError(
            f"{path}: the header is {found.hex(' ', 4)}, where MNIST has {header.hex(' ', 4)}. "
            f"{_REPLACE}"
        )


def _images(path: Path) -> np.ndarray:
    """Return the images `[n, 784]` of an IDX file whose header and length are right."""
    images = np.fromfile(path, np.uint8, offset=_HEADER_BYTES).reshape(-1, 28 * 28)
    check_variety(path, images, _REPLACE)
    return images


def _labels(path: Path) -> np.ndarray:
    """Return the labels `[n]` of an IDX file whose header and length are right."""
    labels = np.fromfile(path, np.uint8, offset=_LABEL_HEADER_BYTES)
    if labels.max() >= _N_CLASSES:
        raise DataError(
            f"{path}: found the label {labels.max()}, where MNIST's run from 0 to 9. {_REPLACE}"
        )
    return labels
