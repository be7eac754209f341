"""Samples as a NumPy array, from whatever holds them: a `.npy` file, a tensor, nested lists."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch

from gansearch.errors import SamplesError

_NPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK"
_REMEDY = "Save an array with numpy.save: float32 in [0, 1] or uint8 for images."
_RULE = (
    "Samples are an array of numbers [n, d]: of NumPy, torch or pandas, nested lists, or the path "
    "of a file or folder."
)


def is_path(samples: object) -> bool:
    """Whether `samples` names a file."""
    return isinstance(samples, str | os.PathLike)


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the array of a `.npy` file, as a memory map.

    Raises:
        SamplesError: it can't be read, isn't a `.npy` file, or holds more than one array.
    """
    path = Path(os.fsdecode(path))
    try:
        with path.open("rb") as file:
            magic = file.read(len(_NPY_MAGIC))
        if magic != _NPY_MAGIC:
            if not magic:
                raise SamplesError(f"{path}: an empty file. {_REMEDY}")
            archive = (
                "It is a zip archive: an array of numpy.savez must end in .npz, a tensor of "
                "torch.save in .pt. "
            ) * magic.startswith(_ZIP_MAGIC)
            raise SamplesError(f"{path}: not a .npy file. {archive}{_REMEDY}")
        # A memory map, so that a header can't ask for more memory than the file has bytes.
        array: np.memmap = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_end(path, array)
    except OSError as error:
        raise SamplesError(f"{path}: {error.strerror or error}. It must be a .npy file.") from error
    # TokenError: a truncated header; OverflowError: a shape that no memory could hold.
    except (ValueError, EOFError, OverflowError, TokenError) as error:
        raise SamplesError(f"{path}: {_fault(path, error)}. {_REMEDY}") from error
    return array


def _fault(path: Path, error: Exception) -> str:
    """Return what is wrong with a `.npy` file that NumPy refuses."""
    n_bytes = f"{path.stat().st_size:,} bytes"
    if isinstance(error, EOFError | TokenError) or "EOF" in str(error):
        return f"cut off within its header, after {n_bytes}"
    if "greater than file size" in str(error):
        return f"cut off after {n_bytes}: its header announces a larger array"
    if "Python objects" in str(error):
        return "it holds Python objects, which aren't read"
    return f"can't be read: {str(error).rstrip('.')}"


def as_array(samples: Any, where: str = "samples") -> np.ndarray:
    """Return samples in memory as a NumPy array, from wherever they are; `where` names them.

    Raises:
        SamplesError: they are no array, or one with masked values.
    """
    if isinstance(samples, np.ma.MaskedArray):
        if n_masked := int(np.ma.getmaskarray(samples).sum()):
            raise SamplesError(
                f"{where}: {n_masked:,} of {samples.size:,} values are masked. Every value counts "
                "in a score. Leave such samples out, or fill them in."
            )
        return np.ma.getdata(samples)
    try:
        if isinstance(samples, torch.Tensor):
            return _of_tensor(samples)
        if _is_list_of_tensors(samples):
            return _of_tensor(torch.stack(list(samples)))
        if isinstance(samples, list | tuple) or hasattr(samples, "__array__"):
            return np.asarray(samples)
    # Whatever the library of the array raises, for rows of different lengths for example.
    except Exception as error:
        raise SamplesError(
            f"{where}: a {type(samples).__name__} that can't be made an array ({error}). {_RULE}"
        ) from error
    found = "None" if samples is None else f"a {type(samples).__name__}, {reprlib.repr(samples)}"
    raise SamplesError(f"{where}: found {found}. {_RULE}")


def _of_tensor(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor of any device, layout or precision; NumPy has no bfloat16."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float64, torch.float16):
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array


def _is_list_of_tensors(samples: Any) -> bool:
    return (
        isinstance(samples, list | tuple)
        and bool(samples)
        and all(isinstance(sample, torch.Tensor) for sample in samples)
    )


def _check_end(path: Path, array: np.memmap) -> None:
    """Raise SamplesError if bytes follow the array in its file, which nobody would read."""
    end = array.offset + array.nbytes
    n_after = path.stat().st_size - end
    if n_after <= 0:
        return
    with path.open("rb") as file:
        file.seek(end)
        is_array = file.read(len(_NPY_MAGIC)) == _NPY_MAGIC
    if is_array:
        raise SamplesError(
            f"{path}: another array follows the first one, of shape {list(array.shape)}: "
            "numpy.save was called more than once on one open file. A file holds one array. Read "
            "each with numpy.load from the open file, and save numpy.concatenate of them."
        )
    raise SamplesError(
        f"{path}: {n_after:,} bytes follow the array, of shape {list(array.shape)}. A file holds "
        "one array and nothing else: it was changed or damaged. Save the array again."
    )
