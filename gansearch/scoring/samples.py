"""Reading samples from a file, and checking the shape and the values of an array of them.

`check_samples` brings a user's array to the scale of its data set; `as_samples` checks, wherever
samples are scored, that they are finite and `[n, d]`.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import MAX_ABS, Dataset
from gansearch.errors import SamplesError
from gansearch.rules import count_of
from gansearch.scoring.arrays import as_array
from gansearch.scoring.pixels import image_values
from gansearch.scoring.sample_files import read_samples
from gansearch.system.paths import local_path

Array = np.ndarray | torch.Tensor

MIN_SAMPLES = 20  # of a score


def load_samples(path: str | os.PathLike[str], dataset: Dataset) -> np.ndarray:
    """Read samples of `dataset` from a file or folder, as float32 `[n, d]`, images in [0, 1].

    A `.npy` or `.npz` array or a tensor of `.pt` or `.safetensors` is `[n, d]`, `[n, *shape]`,
    `[n, channels, height, width]` or, of grey images, `[n, height, width]`; a folder holds
    images of the data set's size. Whole numbers are
    divided by the data set's scale; floating-point images must lie in [0, 1] already, up to .001
    for rounding. Where the data set is contrast normalised, so are the samples, unless negative
    values and means near 0 show that they have been. Vectors of the user's own are in their own
    units, and are standardised.

    Raises:
        SamplesError: there is no such file, or its array has a wrong type, shape or range.
    """
    path = local_path(os.fsdecode(path))
    return check_samples(read_samples(path, dataset), dataset, where=str(path))


def check_samples(samples: Any, dataset: Dataset, *, where: str = "samples") -> np.ndarray:
    """Bring an array of samples to the form that `load_samples` describes.

    Args:
        samples: an array of NumPy, torch (on any device) or pandas, or nested lists; images with
            their channels last or, as torch has them, first.
        dataset: the data set that they imitate.
        where: names the array in messages.

    Raises:
        SamplesError: as `load_samples`.
    """
    flat = _flattened(where, channels_last(as_array(samples, where), dataset), dataset)
    check_count(where, len(flat))
    if flat.dtype.kind == "f":
        finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            raise SamplesError(
                f"{where}: {int((~finite).sum()):,} of {len(flat):,} samples hold NaN or infinite "
                f"values, sample {int(np.argmin(finite)):,} (from 0) first. Leave such samples out."
            )
    if dataset.is_image:
        return image_values(where, flat, dataset)
    if dataset.units is not None:
        return dataset.units.standardised(flat)
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and is refused
        return flat.astype(np.float32)


def channels_last(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, c, h, w]` as `[n, h, w, c]`; any other array as it is.

    Where both orders fit the data, as for images of 3x3 pixels, the channels are last.
    """
    if not dataset.is_image or array.ndim != 4 or array.shape[1:] == dataset.shape:
        return array
    height, width, channels = dataset.shape
    return np.moveaxis(array, 1, 3) if array.shape[1:] == (channels, height, width) else array


def check_count(where: str, n_samples: int) -> None:
    """Check that there are enough samples for a score; `where` names them in messages.

    Raises:
        SamplesError: there are fewer than 20.
    """
    if n_samples < MIN_SAMPLES:
        raise SamplesError(
            f"{where}: {count_of(n_samples, 'sample')}. A score needs {MIN_SAMPLES} at least; the "
            "protocol asks for 10,000."
        )


def as_samples(samples: Array, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return generated samples `[n, d]` as a floating-point tensor that can be scored.

    Raises:
        SamplesError: the array has another number of axes, is empty, or holds a NaN, an infinite
            value or one beyond 1e15.
    """
    tensor = as_tensor(samples, device)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise SamplesError(
            f"samples: shape {list(tensor.shape)}. It must be [n, d]: a row a sample."
        )
    # Every comparison with NaN is false, so this finds NaN as well.
    usable = (tensor.abs() <= MAX_ABS).all(dim=1)
    if not usable.all():
        first = int((~usable).nonzero()[0])
        raise SamplesError(
            f"samples: {int((~usable).sum()):,} of {len(tensor):,} hold a NaN, an infinite value "
            f"or one beyond {MAX_ABS:g}, sample {first:,} (from 0) first. Values must be finite."
        )
    return tensor


def as_tensor(array: Array, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return a floating-point tensor on `device`, detached; whole numbers become float32."""
    if isinstance(array, np.ndarray):
        # Torch can't share read-only memory, as Ray's object store hands it out, nor odd strides.
        array = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    array = array.detach().to(device)
    return array if array.is_floating_point() else array.float()


def _flattened(where: str, array: np.ndarray, dataset: Dataset) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        remedy = " Save x.real." if array.dtype.kind == "c" else ""
        raise SamplesError(
            f"{where}: dtype {array.dtype}, which isn't numeric. Samples are float32 in [0, 1] "
            f"or uint8 for images.{remedy}"
        )
    shapes = {(dataset.dim,), dataset.shape}
    if dataset.dim == 1:
        shapes.add(())
    if dataset.is_image and dataset.shape[2] == 1:
        height, width, _ = dataset.shape
        shapes |= {(height, width), (1, height, width)}
    if array.ndim == 0 or array.shape[1:] not in shapes:
        expected = " or ".join(
            f"[{', '.join(map(str, ('n', *shape)))}]" for shape in sorted(shapes, key=len)
        )
        remedy = _remedy_of_shape(array.shape, dataset.shape, shapes)
        raise SamplesError(
            f"{where}: shape {list(array.shape)}. Samples of {dataset.name} have {expected}."
            f"{remedy}"
        )
    return array.reshape(len(array), dataset.dim)


def _remedy_of_shape(
    found: tuple[int, ...], example: tuple[int, ...], shapes: set[tuple[int, ...]]
) -> str:
    """Return a sentence with the line that brings an array of shape `found` to one of `shapes`."""
    if found in shapes:
        return " This is a single sample: a score needs 20 at least, along the first axis."
    for axes in itertools.permutations(range(len(found))) if len(found) <= 4 else ():
        if tuple(found[axis] for axis in axes[1:]) in shapes:
            return f" Transpose it: numpy.transpose(x, {axes})."
    for shape in sorted(shapes, key=len, reverse=True):
        n_axes = len(found) - len(shape)
        if n_axes > 1 and found[n_axes:] == shape:
            return f" Merge the axes before an example: x.reshape{(-1, *shape)}."
    *sides, channels = example
    if len(example) == 3:
        if channels == 1 and found[1:] == (*sides, 3):
            return " The data is grey. If the channels are equal, save x[..., :1]."
        if channels == 1 and found[1:] == (3, *sides):
            return " The data is grey. If the channels are equal, save x[:, 0]."
        if channels == 3 and found[1:] == (*sides, 4):
            return " The data has no alpha channel. Save x[..., :3]."
    return ""
