"""Reading samples from a file, and checking the shape and the values of an array of them.

`check_samples` brings a user's array to the scale of its data set; `as_samples` checks, wherever
samples are scored, that they are finite and `[n, d]`.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError

Array = np.ndarray | torch.Tensor

MIN_SAMPLES = 20  # of a score
_MAX_ABS = 1e15  # beyond it a squared distance might overflow in float32
_NPY_MAGIC = b"\x93NUMPY"


def load_samples(path: Path, dataset: Dataset) -> np.ndarray:
    """Read samples of `dataset` from a `.npy` file, as float32 `[n, d]`, images in [0, 1].

    The array is `[n, d]`, `[n, *shape]` or, of grey images, `[n, height, width]`. Whole numbers are
    divided by the data set's scale; floating-point images must lie in [0, 1] already. Where the
    data set is contrast normalised, so are the samples, unless negative values show that they
    have been.

    Raises:
        SamplesError: there is no such file, or its array has a wrong type, shape or range.
    """
    return check_samples(_read_npy(path), dataset, where=str(path))


def check_samples(array: np.ndarray, dataset: Dataset, *, where: str = "samples") -> np.ndarray:
    """Bring an array of samples to the form that `load_samples` describes.

    `where` names the array in messages.

    Raises:
        SamplesError: as `load_samples`.
    """
    flat = _flattened(where, array, dataset)
    check_count(where, len(flat))
    if flat.dtype.kind == "f":
        finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            raise SamplesError(
                f"{where}: {int((~finite).sum()):,} of {len(flat):,} samples hold NaN or infinite "
                f"values, sample {int(np.argmin(finite)):,} (from 0) first. Leave such samples out."
            )
    if dataset.is_bounded:
        return _image_values(where, flat, dataset)
    if dataset.is_image:
        return _normalised_values(where, flat, dataset)
    return flat.astype(np.float32)


def check_count(where: str, n_samples: int) -> None:
    """Check that there are enough samples for a score; `where` names them in messages.

    Raises:
        SamplesError: there are fewer than 20.
    """
    if n_samples < MIN_SAMPLES:
        raise SamplesError(
            f"{where}: {n_samples} samples. A score needs {MIN_SAMPLES} at least; the protocol "
            "asks for 10,000."
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
    usable = (tensor.abs() <= _MAX_ABS).all(dim=1)
    if not usable.all():
        first = int((~usable).nonzero()[0])
        raise SamplesError(
            f"samples: {int((~usable).sum()):,} of {len(tensor):,} hold a NaN, an infinite value "
            f"or one beyond {_MAX_ABS:g}, sample {first:,} (from 0) first. Values must be finite."
        )
    return tensor


def as_tensor(array: Array, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return a floating-point tensor on `device`, detached; whole numbers become float32."""
    if isinstance(array, np.ndarray):
        # Torch can't share read-only memory, as Ray's object store hands it out, nor odd strides.
        array = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    array = array.detach().to(device)
    return array if array.is_floating_point() else array.float()


def _read_npy(path: Path) -> np.ndarray:
    remedy = "Save an array with numpy.save: float32 in [0, 1] or uint8 for images."
    try:
        with path.open("rb") as file:
            magic = file.read(len(_NPY_MAGIC))
        if magic != _NPY_MAGIC:
            raise SamplesError(f"{path}: not a .npy file. {remedy}")
        # A memory map, so that a header can't ask for more memory than the file has bytes.
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SamplesError(f"{path}: {error.strerror or error}. It must be a .npy file.") from error
    except (ValueError, EOFError, TokenError) as error:  # TokenError: a truncated header
        raise SamplesError(f"{path}: can't be read: {error}. {remedy}") from error
    return array


def _flattened(where: str, array: np.ndarray, dataset: Dataset) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise SamplesError(
            f"{where}: dtype {array.dtype}, which isn't numeric. Samples are float32 in [0, 1] "
            "or uint8 for images."
        )
    shapes = {(dataset.dim,), dataset.shape}
    if dataset.is_image and dataset.shape[2] == 1:
        height, width, _ = dataset.shape
        shapes |= {(height, width), (1, height, width)}
    if array.shape[1:] not in shapes:
        expected = " or ".join(
            f"[n, {', '.join(map(str, shape))}]" for shape in sorted(shapes, key=len)
        )
        raise SamplesError(
            f"{where}: shape {list(array.shape)}. Samples of {dataset.name} have {expected}."
        )
    return array.reshape(len(array), dataset.dim)


def _normalised_values(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, d]` as they are trained on: pixels normalised, others as they are."""
    if flat.dtype.kind == "f" and flat.min() < 0:
        return flat.astype(np.float32)
    return dataset.to_float(_image_values(where, flat, dataset) * np.float32(dataset.scale))


def _image_values(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return image values `[n, d]` as float32 in [0, 1], or raise with the likely remedy."""
    low, high = float(flat.min()), float(flat.max())
    whole = flat.dtype.kind in "iu"
    top = dataset.scale if whole else 1.0
    if whole and high == 1 and low == 0:
        remedy = "If 1 is white, save them as float32."
    elif low >= 0 and high <= top:
        return flat.astype(np.float32) / np.float32(top)
    elif whole or high > 2:
        remedy = "If they run from 0 to 255, save (x / 255).astype('float32')."
    elif low < -0.5:
        remedy = "If they run from -1 to 1, save (x + 1) / 2."
    else:
        remedy = "Save numpy.clip(x, 0, 1)."
    raise SamplesError(
        f"{where}: {flat.dtype} values from {low:g} to {high:g}. Images of {dataset.name} need "
        f"floating-point values in [0, 1], or whole numbers from 0 to {dataset.scale:g}. {remedy}"
    )
