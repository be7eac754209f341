"""Samples in files of other kinds than `.npy`: archives, tensors, folders of images."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.decoding import (
    ENDINGS,
    DecodedImage,
    DeepImageError,
    UnreadableImageError,
    decode,
)
from gansearch.data.file_names import format_path, format_paths, shorten_list
from gansearch.errors import SamplesError
from gansearch.rules import count_of
from gansearch.scoring.arrays import as_array, read_npy

_NAMES = ("samples", "arr_0")  # of the array that holds the samples, among several
_RULE = (
    "Samples are a .npy or .npz array, a .pt or .safetensors tensor, or a folder of images such as "
    "PNG files."
)


def read_samples(path: Path, dataset: Dataset) -> np.ndarray:
    """Return the samples of a file as they are stored, or the images of a folder in [0, 1].

    Raises:
        SamplesError: there is no such file, it can't be read, or it holds no single array.
    """
    if path.is_dir():
        return _of_folder(path, dataset)
    readers = {
        ".npz": _of_archive,
        ".pt": _of_torch,
        ".pth": _of_torch,
        ".safetensors": _of_tensors,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return read_npy(path)
    try:
        return as_array(_samples_among(reader(path), path), str(path))
    except OSError as error:
        raise SamplesError(f"{path}: {error.strerror or error}. {_RULE}") from error


def _samples_among(found: Any, path: Path) -> Any:
    """Return the only array of a mapping, or the one that is called samples."""
    if not isinstance(found, Mapping):
        return found
    named = [name for name in _NAMES if name in found]
    if named or len(found) == 1:
        return found[named[0] if named else next(iter(found))]
    listed = ", ".join(map(str, found)) or "nothing"
    raise SamplesError(
        f"{path}: holds {listed}. The samples must be the only array, or be called samples. Save "
        "them alone."
    )


def _of_archive(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            names = [name for name in _NAMES if name in archive.files] or archive.files
            return {name: archive[name] for name in names}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise SamplesError(
                f"{path}: it holds Python objects, which aren't read. Save an array of numbers."
            ) from error
        raise SamplesError(
            f"{path}: can't be read ({error}). Save it again by numpy.savez(path, samples=x)."
        ) from error


def _of_torch(path: Path) -> Any:
    """Return what `torch.save` wrote: tensors, and nothing that could run code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the protocol of files that are then refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise SamplesError(
            f"{path}: can't be read as tensors alone ({type(error).__name__}). Files that may hold "
            "code aren't read. Save the tensor: torch.save(samples, path)."
        ) from error


def _of_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise SamplesError(
            f"{path}: not a safetensors file ({error}). Save it again by "
            'safetensors.torch.save_file({"samples": x}, path).'
        ) from error


def _of_folder(folder: Path, dataset: Dataset) -> np.ndarray:
    """Return the images below a folder, at any depth, sorted by path: float32 in [0, 1]."""
    if not dataset.is_image:
        raise SamplesError(
            f"{format_path(folder)}: a folder, of images. {dataset.name} has vectors of "
            f"{dataset.dim}. Save its samples as a .npy array [n, {dataset.dim}]."
        )
    paths = sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    )
    if not paths:
        raise SamplesError(
            f"{format_path(folder)}: found no images in it or below. Their names must end in "
            f"{', '.join(ENDINGS)}."
        )
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:
        warnings.simplefilter("ignore")  # Pillow warns of large and of damaged files
        images = list(threads.map(_decoded, paths))
    _check_images(folder, paths, images, dataset)
    channels = dataset.shape[2]
    pixels = np.empty((len(paths), *dataset.shape), np.float32)
    for row, image in zip(pixels, images, strict=True):
        assert isinstance(image, DecodedImage)
        row[:] = image.pixels[..., :channels]  # grey fills all channels
    return pixels / np.float32(255)


def _decoded(path: Path) -> DecodedImage | str:
    """Return an image, or why it can't be read."""
    try:
        return decode(path)
    except UnreadableImageError as error:
        return str(error)
    except DeepImageError as error:
        return f"more bits a pixel than are read, mode {error}"


def _check_images(
    folder: Path, paths: list[Path], images: list[DecodedImage | str], dataset: Dataset
) -> None:
    """Raise SamplesError, which lists all faults, unless the images fit the data set."""
    height, width, channels = dataset.shape
    names = [path.relative_to(folder) for path in paths]
    unreadable = [
        f"{format_path(name)} ({image})"
        for name, image in zip(names, images, strict=True)
        if isinstance(image, str)
    ]
    read = [
        (name, image)
        for name, image in zip(names, images, strict=True)
        if isinstance(image, DecodedImage)
    ]
    sizes = [name for name, image in read if image.pixels.shape[:2] != (height, width)]
    coloured = [name for name, image in read if channels == 1 and image.kind == "colour"]
    faults = []
    if unreadable:
        faults.append(
            f"{len(unreadable):,} can't be read: {shorten_list(unreadable, len(unreadable))}"
        )
    if sizes:
        faults.append(f"{len(sizes):,} aren't of {width}x{height} pixels: {format_paths(sizes)}")
    if coloured:
        faults.append(f"{len(coloured):,} are in colour: {format_paths(coloured)}")
    if faults:
        kind = "grey images" if channels == 1 else "images"
        raise SamplesError(
            f"{format_path(folder)}: of {count_of(len(paths), 'image')} {'; '.join(faults)}. "
            f"Samples of {dataset.name} are {kind} of {width}x{height} pixels. Convert them, or "
            "move what is no sample elsewhere."
        )
