"""Arrays of the user's images as pixels: which axis has the channels, and what white is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gansearch.errors import DataError

_CHANNELS = (1, 3)
_ROUNDING = 1e-3  # beyond [0, 1]; it is clipped
_DARK = 128  # a brightest value below it may mean that white is another one
# By which a value may miss a multiple of 1/255 and still be one, times 255.
_EXACT, _EXACT_HALF = 1e-3, 0.15


@dataclass(frozen=True)
class Images:
    """Images of all splits.

    Attributes:
        values: `[n, d]` of each split, uint8, or float32 in [0, 1].
        shape: height, width and channels.
        scale: divisor that brings the values into [0, 1].
        notes: sentences on how they were read.
    """

    values: dict[str, np.ndarray]
    shape: tuple[int, int, int]
    scale: float
    notes: list[str]


def read_images(parts: Mapping[str, np.ndarray], where: str) -> Images:
    """Return images `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` of each split.

    Values are whole numbers from 0 to 255, or floating-point numbers in [0, 1]; booleans are black
    and white. Floating-point multiples of 1/255 become uint8, all others float32.

    Raises:
        DataError: the axes can't be told, the channels aren't 1 or 3, or the values are in another
            range; the message has what mends it.
    """
    upright = {split: _channels_last(array, f"{where}: {split}") for split, array in parts.items()}
    shapes = {array.shape[1:] for array in upright.values()}
    assert len(shapes) == 1  # the splits have one shape, and so do the axes that it decides
    (shape,) = shapes
    flat = {split: array.reshape(len(array), -1) for split, array in upright.items()}
    low = min(float(array.min()) for array in flat.values())
    high = max(float(array.max()) for array in flat.values())
    kinds = {array.dtype.kind for array in flat.values()}
    if kinds == {"b"}:
        values = {split: array.astype(np.uint8) * np.uint8(255) for split, array in flat.items()}
        return Images(values, shape, 255.0, [])
    if "f" in kinds:
        return _of_floats(flat, shape, low, high, where)
    return _of_whole_numbers(flat, shape, low, high, where)


def _channels_last(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim == 3:
        return array[..., None]
    found = f"{where}: shape {list(array.shape)}."
    if array.ndim != 4:
        raise DataError(
            f"{found} Images are [n, h, w], [n, h, w, c] or [n, c, h, w]; vectors are [n, d]. "
            "Reshape it: x.reshape(len(x), -1) makes vectors."
        )
    first, last = array.shape[1] in _CHANNELS, array.shape[3] in _CHANNELS
    if first and last and array.shape[1:] != (1, array.shape[2], 1):
        raise DataError(
            f"{found} It may be [n, h, w, c] or [n, c, h, w]: both the second and the last axis "
            "are 1 or 3 long. Give vectors instead: x.reshape(len(x), -1)."
        )
    if last:
        return array
    if first:
        return np.moveaxis(array, 1, 3)
    alpha = ""
    if array.shape[3] == 4:
        alpha = " Without an alpha channel: x[..., :3]."
    elif array.shape[1] == 4:
        alpha = " Without an alpha channel: x[:, :3]."
    raise DataError(
        f"{found} Images have 1 or 3 channels, along the second or the last axis.{alpha} "
        "x.reshape(len(x), -1) makes vectors, which are standardised."
    )


def _of_whole_numbers(
    flat: Mapping[str, np.ndarray], shape: tuple[int, ...], low: float, high: float, where: str
) -> Images:
    is_8_bit = all(array.dtype == np.uint8 for array in flat.values())
    if low < 0 or high > 255 or high <= 1 or (high < _DARK and not is_8_bit):
        raise DataError(
            f"{where}: whole numbers from {low:g} to {high:g}. Images are whole numbers from 0 to "
            "255, or floating-point numbers in [0, 1]. "
            f"{_remedy(low, high, is_whole=True)}"
        )
    notes = []
    if high < _DARK:
        notes.append(
            f"The brightest value of the images is {high:g}, where 255 is white. If {high:g} is "
            f"white, give x / {high:g}."
        )
    return Images(
        {split: np.ascontiguousarray(array, np.uint8) for split, array in flat.items()},
        (shape[0], shape[1], shape[2]),
        255.0,
        notes,
    )


def _of_floats(
    flat: Mapping[str, np.ndarray], shape: tuple[int, ...], low: float, high: float, where: str
) -> Images:
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise DataError(
            f"{where}: floating-point values from {low:.4g} to {high:.4g}. Images are "
            "floating-point numbers in [0, 1], or whole numbers from 0 to 255. "
            f"{_remedy(low, high, is_whole=False)}"
        )
    size = (shape[0], shape[1], shape[2])
    if all(_are_8_bit(array) for array in flat.values()):
        values = {
            split: (array.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
            for split, array in flat.items()
        }
        return Images(values, size, 255.0, [])
    values = {
        split: np.ascontiguousarray(array, np.float32).clip(0, 1) for split, array in flat.items()
    }
    return Images(values, size, 1.0, [])


def _are_8_bit(array: np.ndarray) -> bool:
    allowed = _EXACT_HALF if array.dtype == np.float16 else _EXACT
    return all(
        bool((np.abs(levels - levels.round()) <= allowed).all())
        for levels in (block.astype(np.float32) * 255 for block in _blocks(array))
    )


def _blocks(array: np.ndarray) -> list[np.ndarray]:
    return np.array_split(array, -(-len(array) // 1000))


def _remedy(low: float, high: float, *, is_whole: bool) -> str:
    """Return what brings values of this range into [0, 1]."""
    if low >= 0 and high > 1:
        white = next((each for each in (16, 100, 255, 4095, 65535) if each >= high), high)
        if high <= 2 and not is_whole:
            return "If they overshoot [0, 1], give numpy.clip(x, 0, 1)."
        white = high if is_whole and high < 16 else white
        return f"If {white:g} is white, give x / {white:g}."
    if is_whole and high <= 1 and low >= 0:
        return "If 1 is white, give x.astype(bool), or x.astype('float32')."
    if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING:
        return "If they run from -1 to 1, as for a tanh, give (x + 1) / 2."
    return (
        "Give (x - black) / (white - black), where black and white are the values of the two; or, "
        "for data that is no image, vectors: x.reshape(len(x), -1)."
    )
