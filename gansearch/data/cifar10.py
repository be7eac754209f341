"""CIFAR-10, from the batches that its authors publish, with global contrast normalization."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np

from gansearch.data.dataset import Dataset, Labels
from gansearch.data.downloads import obtain
from gansearch.errors import DataError

_FOLDER = "cifar-10-batches-py"
# MD5 of each file, as its authors and torchvision publish them.
_FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
_REMEDY = (
    "Put the batches of the Python version of CIFAR-10 there, unpacked, or name the folder that "
    f"holds {_FOLDER} by --data-dir or GANSEARCH_DATA, or start once with a network connection: "
    "torchvision then downloads 170 MB. `--space digits` needs no download."
)


def load_cifar10(data_dir: Path, download: bool) -> Dataset:
    """Return CIFAR-10, split as by Goodfellow et al. (2014): 40,000, 10,000 and 10,000 images.

    The last 10,000 training images are the validation set. As in the paper, images are contrast
    normalized: the mean of an image is subtracted and the result scaled to norm 55.

    Raises:
        DataError: a file is missing and can't be downloaded, or is not the original.
    """
    folder = data_dir / _FOLDER
    obtain(
        folder,
        list(_FILES),
        _fetch,
        urls=_urls,
        download=download,
        data_set="cifar10",
        remedy=_REMEDY,
    )
    batches = [_read_batch(folder / name, md5) for name, md5 in _FILES.items()]
    (*train, valid, test), (*of_train, of_valid, of_test) = zip(*batches, strict=True)
    return Dataset(
        "cifar10",
        np.concatenate(train),
        valid,
        test,
        shape=(32, 32, 3),
        scale=255.0,
        contrast=55.0,
        labels=Labels.of(_CLASSES, train=np.concatenate(of_train), valid=of_valid, test=of_test),
    )


def _urls() -> list[str]:
    from torchvision.datasets import CIFAR10

    return [CIFAR10.url]


def _fetch(folder: Path) -> Path:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_and_extract_archive

    # CIFAR10(download=True) would unpickle the files that it has downloaded.
    download_and_extract_archive(CIFAR10.url, str(folder), md5=CIFAR10.tgz_md5)
    return folder / _FOLDER


def _read_batch(path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch: its images `[10000, 3072]`, channels last, and their labels `[10000]`.

    The file is a pickle, which can run any code, so only bytes with the authors' checksum are
    unpickled. Torchvision's reader opens the file once to check it and again to unpickle it, and
    doesn't say which file is wrong.
    """
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: {len(content):,} bytes with MD5 {found}, where CIFAR-10 has {md5}. "
            "Delete it, so that it is downloaded again, or put the original file there."
        )
    batch = pickle.loads(content, encoding="bytes")
    rows: np.ndarray = batch[b"data"]
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(len(rows), -1)
    return images, np.asarray(batch[b"labels"])
