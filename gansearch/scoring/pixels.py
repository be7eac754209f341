"""Brings the values of images to the scale of their data set, or says what would.

A wrong scale costs hundreds of nats and looks sound. So what can't be in the stated range is
refused, with the remedy that the range found suggests.
"""

from __future__ import annotations

import numpy as np

from gansearch.data.dataset import NO_CONTRAST, Dataset
from gansearch.errors import SamplesError

# Up to it values beyond [0, 1] are rounding, of float16 at the most, and are clipped.
_ROUNDING = 1e-3
_WHITES = (16, 100, 255, 65535)  # what often stands for white; 16 in scikit-learn's digits
_FAR = 10  # times the largest value: so bright a white would leave every sample dark
_OVERSHOOT = 0.5  # beyond [0, 1], which interpolation or noise may explain
_STANDARDISED = 0.05  # by which a standardised range may miss that of the data, as a share of it
_N_FOR_MEAN = 1000  # images from which the mean of all pixels is computed
# Of images that are contrast normalised already, as shares of their root mean square and of their
# norm. Generators of CIFAR-10's images early in their training had means up to .23 and norms from
# .08 to 13, so that a norm alone says little; images that were standardised had means of .32.
_OFF_MEAN = 0.25
_SMALL_NORM = 0.5
_SAME = 1e-3
_FLAT = 1.2  # no image has all values within so little of their root mean square


def image_values(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, d]` as `Dataset.to_float` scales them, float32.

    Whole numbers are divided by the data set's scale. Floating-point values are pixels in [0, 1];
    what lies up to .001 beyond is clipped. Pixels of a contrast-normalised data set are then
    normalised; negative values say that images have been normalised already.

    Raises:
        SamplesError: the values aren't in that range; it names the likely remedy.
    """
    if dataset.contrast is None:
        return _pixels(where, flat, dataset)
    if flat.dtype.kind == "f" and flat.min() < -_ROUNDING:
        return _normalised(where, flat, dataset, dataset.contrast)
    return dataset.to_float(_pixels(where, flat, dataset) * np.float32(dataset.scale))


def contrast_of(images: np.ndarray, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much images `[n, d]` miss contrast normalisation, two arrays `[n]`.

    The first has their means as shares of a normalised image's root mean square: 0 after
    normalisation. The second has their norms as shares of `contrast`: 1, or 0 of constant images.
    """
    means = images.mean(axis=1, dtype=np.float64)
    squares = np.einsum("nd,nd->n", images, images, dtype=np.float64)
    norms = np.sqrt(np.maximum(squares - images.shape[1] * means**2, 0))
    return means * np.sqrt(images.shape[1]) / contrast, norms / contrast


def _pixels(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    low, high = float(flat.min()), float(flat.max())
    whole = flat.dtype.kind in "iu"
    is_binary = whole and high == 1 and low >= 0
    if whole and low >= 0 and high <= dataset.scale and not is_binary:
        return flat.astype(np.float32) / np.float32(dataset.scale)
    if not whole and low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return flat.astype(np.float32).clip(0, 1)
    if is_binary:
        remedies = ["If 1 is white, save them as float32"]
    elif low < -_ROUNDING:
        remedies = _negative_remedies(low, high, dataset, whole=whole)
    else:
        remedies = _bright_remedies(high, dataset, whole=whole)
    raise SamplesError(
        f"{where}: {flat.dtype} values from {low:g} to {high:g}. Images of {dataset.name} need "
        f"floating-point values in [0, 1], or whole numbers from 0 to {dataset.scale:g}. "
        f"{'. '.join(remedies)}."
    )


def _negative_remedies(low: float, high: float, dataset: Dataset, *, whole: bool) -> list[str]:
    if whole and low >= -128 and high <= 127:
        return ["If they run from -128 to 127, save (x + 128.0) / 255"]
    some = dataset.train[:_N_FOR_MEAN] / dataset.scale
    mean, sd = float(some.mean()), float(some.std())
    black, white = -mean / sd, (1 - mean) / sd
    if max(abs(low - black), abs(high - white)) <= _STANDARDISED * (white - black):
        return [
            "If the mean of the data was subtracted and the result divided by its standard "
            f"deviation, undo it with these two: save x * sd + mean, here about {sd:.2g} and "
            f"{mean:.2g}"
        ]
    remedies = []
    if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING:
        remedies.append("If they run from -1 to 1, save (x + 1) / 2")
    if low >= -0.5 - _ROUNDING and high <= 0.5 + _ROUNDING:
        remedies.append("If they run from -0.5 to 0.5, save x + 0.5")
    if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        remedies.append("If they run from 0 to 1 and overshoot, save numpy.clip(x, 0, 1)")
    return remedies or [
        "Save (x - black) / (white - black), where black and white are the values of the two"
    ]


def _bright_remedies(high: float, dataset: Dataset, *, whole: bool) -> list[str]:
    remedies = []
    if not whole and high <= 1 + _OVERSHOOT:
        remedies.append("If they run from 0 to 1 and overshoot, save numpy.clip(x, 0, 1)")
    whites = sorted({*_WHITES, dataset.scale})
    exact = [white for white in whites if white == high]
    near = [white for white in whites if high <= white <= _FAR * high]
    if not near and high <= dataset.scale:
        near = [dataset.scale]
    remedies += [f"If they run from 0 to {white:g}, save x / {white:g}" for white in exact or near]
    return remedies or ["Save x / white, where white is the value of white"]


def _normalised(where: str, flat: np.ndarray, dataset: Dataset, contrast: float) -> np.ndarray:
    """Return images with negative values, which must have been normalised already."""
    values = flat.astype(np.float32)
    means, norms = contrast_of(values, contrast)
    norms = norms[norms > NO_CONTRAST]  # normalisation leaves constant images all 0
    mean = float(np.median(np.abs(means)))
    norm = float(np.median(norms)) if len(norms) else 0.0
    low, high = float(flat.min()), float(flat.max())
    is_signed = low >= -1 - _ROUNDING and high <= 1 + _ROUNDING  # as of tanh
    is_flat = max(-low, high) < _FLAT * contrast / np.sqrt(dataset.dim)
    if norm and np.ptp(norms) <= _SAME * norm and abs(norm - 1) > _SAME and mean <= _SAME:
        remedy = f"If all were normalised to this norm, save x * {1 / norm:.6g}"
    elif mean <= _OFF_MEAN and not (is_signed and (norm < _SMALL_NORM or is_flat)):
        return values
    elif is_signed:
        remedy = "If they run from -1 to 1, save (x + 1) / 2, which is then normalised here"
    else:
        remedy = (
            "Save pixels in [0, 1], which are then normalised here: if all were scaled alike, "
            "(x - x.min()) / (x.max() - x.min())"
        )
    raise SamplesError(
        f"{where}: {flat.dtype} values from {low:g} to {high:g}. Images of {dataset.name} need "
        f"pixels in [0, 1], whole numbers from 0 to {dataset.scale:g}, or contrast normalisation: "
        f"mean 0 and norm {contrast:g} each. These have norms of {norm * contrast:.4g} (median) "
        f"and means of {mean * contrast / np.sqrt(dataset.dim):.2g} (median, without sign). "
        f"{remedy}."
    )
