"""`Dataset`: the training, validation and test examples of one data set, as stored arrays.

Images remain uint8 until they are used, so that a data set is small in the shared memory of a node;
images of finer values are float32.
The training set trains, the validation set selects, and the test set is scored once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gansearch.data.units import Units
from gansearch.errors import DataError

_BLOCK = 1000  # images converted to float at a time
_N_FOR_CONTRAST = 1000  # images from which the typical contrast is computed
SPLITS = ("train", "valid", "test")
MAX_ABS = 1e15  # of a value: beyond it a squared distance might overflow in float32
NO_CONTRAST = 1e-3  # norm below which an image in [0, 1] counts as constant


@dataclass(frozen=True)
class Labels:
    """The class of each example of a data set, in the order of its splits.

    Attributes:
        names: of the classes, in words.
        train, valid, test: `[n]` each, int16, indices into `names`.
    """

    names: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], **splits: np.ndarray) -> Labels | None:
        """Return the labels of all three splits; None if the training examples have one class."""
        if len(np.unique(splits["train"])) < 2:
            return None
        return cls(tuple(names), **{name: each.astype(np.int16) for name, each in splits.items()})


@dataclass(frozen=True)
class Dataset:
    """Examples of one data set, in a fixed split.

    Attributes:
        name: the name in `DATASETS`.
        train, valid, test: `[n, d]` each, C-contiguous, in no particular order; images of uint8 or
            float32, or float32 points, standardised where there are `units`.
        shape: `(height, width, channels)` of an image, `(d,)` of a point.
        scale: divisor that brings stored values into [0, 1]; 1 for points.
        contrast: norm of the images after global contrast normalization: after division by `scale`
            the mean of an image is subtracted and the result scaled; None for no normalization.
        n_valid_for_sigma: number of validation examples, from the first, on which the sigma of the
            Parzen window is chosen; 1,000 in the protocol of Goodfellow et al. (2014), except TFD.
        modes: `[n_modes, d]`, the centres of a synthetic mixture; None for real data.
        mode_sd: standard deviation of each mode along each axis; None for real data.
        notes: sentences on the data that a reader of its scores must know, such as on images that
            two splits share.
        labels: the classes of the examples; None where they have none, or a single one.
        units: the data's own units of points that are stored standardised; None for any others.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    shape: tuple[int, ...]
    scale: float
    contrast: float | None = None
    n_valid_for_sigma: int = 1000
    modes: np.ndarray | None = None
    mode_sd: float | None = None
    notes: tuple[str, ...] = ()
    labels: Labels | None = None
    units: Units | None = None

    @property
    def dim(self) -> int:
        """Number of values in an example, d."""
        return int(np.prod(self.shape))

    @property
    def n_bytes(self) -> int:
        """Bytes of all examples and their labels, as they are stored."""
        parts = (self, self.labels) if self.labels is not None else (self,)
        return sum(getattr(part, split).nbytes for part in parts for split in SPLITS)

    @property
    def is_image(self) -> bool:
        """Whether the examples are images rather than points."""
        return len(self.shape) == 3

    @property
    def is_bounded(self) -> bool:
        """Whether the values that are trained on are pixels in [0, 1]."""
        return self.is_image and self.contrast is None

    def to_float(self, array: np.ndarray) -> np.ndarray:
        """Return stored values `[n, d]` as they are trained on and scored, float32.

        Images are in [0, 1] or, if `contrast` is set, contrast normalized: with mean 0 and norm
        `contrast`; all 0 if the image is constant. Points are unchanged.
        """
        values: np.ndarray = array.astype(np.float32) / np.float32(self.scale)
        return values if self.contrast is None else _normalize_contrast(values, self.contrast)

    def to_pixels(self, images: np.ndarray) -> np.ndarray:
        """Return images `[n, d]`, scaled as by `to_float` or generated, as pixels in [0, 1].

        Contrast normalization loses the mean and the contrast of each image; their medians over
        training images are used instead.
        """
        if self.contrast is None:
            return images.astype(np.float32).clip(0, 1)
        some = self.train[:_N_FOR_CONTRAST].astype(np.float32) / np.float32(self.scale)
        means = some.mean(axis=1)
        norms = np.linalg.norm(some - means[:, None], axis=1)
        pixels = images * float(np.median(norms) / self.contrast) + float(np.median(means))
        return pixels.astype(np.float32).clip(0, 1)

    def in_own_units(self, points: np.ndarray) -> np.ndarray:
        """Return points `[..., d]` as trained on or generated in the units that the data came in.

        Images, and points that aren't standardised, are returned as they are.
        """
        return points if self.units is None else self.units.restored(points)

    def mean(self) -> np.ndarray:
        """Return the mean of the training examples as they are trained on, `[d]`, float32."""
        if self.contrast is None:
            # The sum of many float32 values, image by image, would lose digits.
            exact = np.float64 if self.is_image or self.units else None
            return np.asarray(self.train.mean(axis=0, dtype=exact) / self.scale, np.float32)
        blocks = np.array_split(self.train, -(-len(self.train) // _BLOCK))
        total = sum(self.to_float(block).sum(axis=0, dtype=np.float64) for block in blocks)
        return np.asarray(total / len(self.train), np.float32)


def _normalize_contrast(images: np.ndarray, norm: float) -> np.ndarray:
    """Return images `[n, d]` in [0, 1] with their means subtracted, scaled to `norm`."""
    centred = images - images.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # A centred constant image is rounding error, which must not be scaled up.
    factors = np.where(norms > NO_CONTRAST, norm / np.maximum(norms, NO_CONTRAST), 0)
    normalized: np.ndarray = (centred * factors).astype(np.float32)
    return normalized


def check_variety(where: object, images: np.ndarray, remedy: str) -> None:
    """Raise DataError, beginning with `where`, if images `[n, d]` are all identical or constant."""
    if (images == images[:1]).all():
        raise DataError(f"{where}: all {len(images):,} images are identical. {remedy}")
    if (images == images[:, :1]).all():
        raise DataError(f"{where}: each of the {len(images):,} images has a single value. {remedy}")
