"""Name -> `Dataset`: the training, validation and test examples of one data set, as stored arrays.

Images stay uint8 until they are used, so that a data set is small in a node's shared memory.
Training data trains, validation data chooses, and the test set is scored once, at the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from gansearch.errors import DataError, did_you_mean

# The first bytes of an IDX file (type, number of dimensions, then each size, big-endian) and its
# whole length, for each file of MNIST.
_MNIST_FILES = {
    "train-images-idx3-ubyte": ("00000803 0000ea60 0000001c 0000001c", 47_040_016),
    "train-labels-idx1-ubyte": ("00000801 0000ea60", 60_008),
    "t10k-images-idx3-ubyte": ("00000803 00002710 0000001c 0000001c", 7_840_016),
    "t10k-labels-idx1-ubyte": ("00000801 00002710", 10_008),
}
_BLOCK = 1000  # images that are turned into float at a time
_N_FOR_CONTRAST = 1000  # images that the usual contrast is taken from
_NO_CONTRAST = 1e-3  # norm below which an image in [0, 1] counts as constant
_PATIENCE_SECONDS = 10.0  # for a server's first answer, and for each read after it


@dataclass(frozen=True)
class Dataset:
    """Examples of one data set, split once and for all.

    Attributes:
        name: the name in `DATASETS`.
        train, valid, test: `[n, d]` each, C-contiguous and in no order; uint8 images or float32
            points.
        shape: `(height, width, channels)` of an image, `(d,)` of a point.
        scale: what a stored value is divided by to lie in [0, 1]; 1 for points.
        contrast: after division by `scale` an image's mean is subtracted and the rest scaled to
            this norm (global contrast normalisation); None for images as they are.
        modes: `[n_modes, d]`, the centres of a synthetic mixture; None for real data.
        mode_sd: standard deviation of each mode along each axis; None for real data.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    shape: tuple[int, ...]
    scale: float
    contrast: float | None = None
    modes: np.ndarray | None = None
    mode_sd: float | None = None

    @property
    def dim(self) -> int:
        """Values in an example, d."""
        return int(np.prod(self.shape))

    @property
    def is_image(self) -> bool:
        """Whether the examples are images rather than points."""
        return len(self.shape) == 3

    @property
    def is_bounded(self) -> bool:
        """Whether what is trained on are pixels in [0, 1]."""
        return self.is_image and self.contrast is None

    def to_float(self, array: np.ndarray) -> np.ndarray:
        """Return stored values `[n, d]` as they are trained on and scored, float32.

        Images are in [0, 1] or, where the data set asks for it, contrast normalised; points are as
        they are.
        """
        values: np.ndarray = array.astype(np.float32) / np.float32(self.scale)
        return values if self.contrast is None else _normalised(values, self.contrast)

    def to_pixels(self, images: np.ndarray) -> np.ndarray:
        """Return images as `to_float` gives them, or generated ones, `[n, d]`, in [0, 1].

        Contrast normalisation forgets each image's mean and contrast; it is undone with those of
        the middle training image.
        """
        if self.contrast is None:
            return images.clip(0, 1)
        some = self.train[:_N_FOR_CONTRAST].astype(np.float32) / np.float32(self.scale)
        means = some.mean(axis=1)
        norms = np.linalg.norm(some - means[:, None], axis=1)
        pixels = images * float(np.median(norms) / self.contrast) + float(np.median(means))
        return pixels.astype(np.float32).clip(0, 1)

    def mean(self) -> np.ndarray:
        """Return the mean of the training examples as they are trained on, `[d]`, float32."""
        if self.contrast is None:
            return np.asarray(self.train.mean(axis=0) / self.scale, np.float32)
        blocks = np.array_split(self.train, -(-len(self.train) // _BLOCK))
        total = sum(self.to_float(block).sum(axis=0, dtype=np.float64) for block in blocks)
        return np.asarray(total / len(self.train), np.float32)


def load_dataset(name: str, data_dir: Path | None = None, *, download: bool = True) -> Dataset:
    """Load a data set of `DATASETS`.

    Args:
        name: one of `DATASETS`.
        data_dir: the folder with downloaded data; None means the environment variable
            GANSEARCH_DATA or, where that is unset, `~/.cache/gansearch`. Only mnist reads it.
        download: whether to fetch what is absent, where there is a network.

    Raises:
        DataError: the name is unknown, or the data is absent or unreadable.
    """
    if name not in _LOADERS:
        raise DataError(f"data set {name!r}: unknown. {did_you_mean(name, DATASETS)}")
    if data_dir is None:
        data_dir = Path(os.environ.get("GANSEARCH_DATA") or "~/.cache/gansearch")
    return _LOADERS[name](data_dir.expanduser(), download)


def _normalised(images: np.ndarray, norm: float) -> np.ndarray:
    """Return images `[n, d]` with their means subtracted, scaled to `norm`; constant ones are 0."""
    centred = images - images.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # A constant image's rest is rounding error; nothing may be made of it.
    scaled: np.ndarray = centred * np.where(
        norms > _NO_CONTRAST, norm / np.maximum(norms, _NO_CONTRAST), 0
    )
    return scaled.astype(np.float32)


def _load_digits(_data_dir: Path, _download: bool) -> Dataset:
    """Scikit-learn's bundled 1,797 handwritten digits, 8x8 with 17 grey levels."""
    from sklearn.datasets import load_digits

    images = load_digits().data.astype(np.uint8)
    images = images[np.random.default_rng(0).permutation(len(images))]
    train, valid, test = np.split(images, [1197, 1497])
    return Dataset("digits", train, valid, test, shape=(8, 8, 1), scale=16.0)


def _load_mnist(data_dir: Path, download: bool) -> Dataset:
    """MNIST, split as Goodfellow et al. (2014) did: validation is the end of the training set."""
    from torchvision.datasets import MNIST

    folder = data_dir / "MNIST" / "raw"
    if _missing_mnist_files(folder):
        _obtain_mnist(folder, download)
    for file_name, (header, n_bytes) in _MNIST_FILES.items():
        _check_idx(folder / file_name, bytes.fromhex(header), n_bytes)
    images = MNIST(str(data_dir), train=True).data.numpy().reshape(-1, 28 * 28)
    test = MNIST(str(data_dir), train=False).data.numpy().reshape(-1, 28 * 28)
    return Dataset("mnist", images[:50000], images[50000:], test, shape=(28, 28, 1), scale=255.0)


def _load_ring(_data_dir: Path, _download: bool) -> Dataset:
    """Eight Gaussians on the unit circle, sd .01 (Lin et al. 2018, "PacGAN", section 4.1)."""
    angles = 2 * np.pi * np.arange(8) / 8  # not linspace(0, 2 pi, 8): its two ends coincide
    return _mixture("ring", np.stack([np.cos(angles), np.sin(angles)], axis=1), sd=0.01)


def _load_grid(_data_dir: Path, _download: bool) -> Dataset:
    """Twenty-five Gaussians on {-4, -2, 0, 2, 4}^2, sd .05 (Lin et al. 2018, "PacGAN")."""
    ticks = np.arange(-4.0, 5.0, 2.0)
    return _mixture("grid", np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2), sd=0.05)


def _mixture(name: str, modes: np.ndarray, sd: float) -> Dataset:
    """Points of an equally weighted mixture of Gaussians around `modes`, `[n_modes, d]`."""

    def draw(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        centres = modes[rng.integers(len(modes), size=n)]
        return (centres + sd * rng.standard_normal(centres.shape)).astype(np.float32)

    return Dataset(
        name,
        train=draw(100_000, seed=0),
        valid=draw(10_000, seed=1),
        test=draw(10_000, seed=2),
        shape=(modes.shape[1],),
        scale=1.0,
        modes=modes,
        mode_sd=sd,
    )


_LOADERS: dict[str, Callable[[Path, bool], Dataset]] = {
    "digits": _load_digits,
    "mnist": _load_mnist,
    "ring": _load_ring,
    "grid": _load_grid,
}
DATASETS = tuple(_LOADERS)


def _missing_mnist_files(folder: Path) -> list[str]:
    return [name for name in _MNIST_FILES if not (folder / name).is_file()]


def _check_idx(path: Path, header: bytes, n_bytes: int) -> None:
    """Raise DataError unless `path` has the header and the length of its file of MNIST."""
    remedy = "Delete it, so that it is downloaded again, or put the original file there."
    found_bytes = path.stat().st_size
    if found_bytes != n_bytes:
        raise DataError(f"{path}: {found_bytes:,} bytes, where MNIST has {n_bytes:,}. {remedy}")
    with path.open("rb") as file:
        found = file.read(len(header))
    if found != header:
        raise DataError(
            f"{path}: the header is {found.hex(' ', 4)}, where MNIST has {header.hex(' ', 4)}. "
            f"{remedy}"
        )


def _obtain_mnist(folder: Path, download: bool) -> None:
    """Download MNIST to `folder`, or raise a DataError that tells how else to come by it."""
    reason = "downloading is switched off"
    if download:
        try:
            return _download_mnist(folder)
        except (OSError, RuntimeError, HTTPException) as error:
            # Torchvision's own text spans several lines, and repeats itself for each mirror.
            reason = f"downloading failed: {' '.join(str(error).split())}"
    raise DataError(
        f"data set mnist: {folder} lacks {', '.join(_missing_mnist_files(folder))}; {reason}. "
        "Put MNIST's files there, unpacked, or name the folder that holds MNIST/raw by --data-dir "
        "or GANSEARCH_DATA, or start once where there is a network: torchvision then downloads "
        "them. `--space digits` needs no download."
    )


def _download_mnist(folder: Path) -> None:
    """Fetch MNIST through torchvision; only whole, checked files ever appear in `folder`."""
    from torchvision.datasets import MNIST

    first_file = MNIST.resources[0][0]
    if not _any_answers([mirror + first_file for mirror in MNIST.mirrors]):
        raise OSError(f"no answer from {' or '.join(MNIST.mirrors)}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
        # Torchvision sets no time limit of its own, and draws a progress bar on stderr.
        with _socket_timeout(_PATIENCE_SECONDS), contextlib.redirect_stderr(io.StringIO()):
            MNIST(temporary, download=True)
        for name in _MNIST_FILES:
            (Path(temporary) / "MNIST" / "raw" / name).replace(folder / name)


def _any_answers(urls: Sequence[str]) -> bool:
    """Return whether any server answers within the patience, its name's look-up included.

    A look-up, or a host with many addresses behind a silent firewall, can take minutes, and no
    socket timeout bounds it; so daemon threads ask, which are left behind when time is up.
    """
    answered = threading.Event()
    pending = threading.Semaphore(0)

    def ask(url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS):
                answered.set()
        except (OSError, HTTPException):  # unknown, unreachable, refused: no use as a mirror
            pass
        finally:
            pending.release()

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    for _ in urls:
        if not pending.acquire(timeout=_PATIENCE_SECONDS) or answered.is_set():
            break
    return answered.is_set()


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
