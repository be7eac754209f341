"""Anybody's images: a folder of files that Pillow reads, all of one size and colour mode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gansearch.data.dataset import Dataset, check_variety
from gansearch.errors import DataError
from gansearch.system.machine import limit_bytes

ENDINGS = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
_SPLITS = ("train", "valid", "test")
_HELD_OUT_SHARE = 0.1  # for validation, and for the test, where the folder has none
_MOST_HELD_OUT = 10_000
_LEAST_IMAGES = {"train": 100, "valid": 20, "test": 20}
_BLOCK = 100  # images that a thread decodes in one go
# Of the machine's memory or the container's; Ray's store and a GPU hold the images once more.
_MEMORY_SHARE = 0.25
# Modes of more than eight bits a channel; all others become grey or RGB without loss to the eye.
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", "La")


def load_folder(folder: Path) -> Dataset:
    """Images below `folder`, grey or RGB as they are, in [0, 1].

    `train/`, `test/` and, if wanted, `valid/` below it are the splits; without them, a tenth of the
    images, drawn with a fixed seed and at most 10,000, is held out for each.
    """
    paths = _split_paths(folder)
    for split, least in _LEAST_IMAGES.items():
        if len(paths[split]) < least:
            raise DataError(
                f"{folder}: {len(paths[split])} images to {_purpose(split)}, of "
                f"{sum(map(len, paths.values())):,}. There must be {least} at least. Add images."
            )
    images, shape = _read_all(folder, [path for split in _SPLITS for path in paths[split]])
    ends = np.cumsum([len(paths[split]) for split in _SPLITS])
    train, valid, test = np.split(images, ends[:-1])
    check_variety(folder, train, "There is nothing to learn from them. Give others.")
    for split, images in (("valid", valid), ("test", test)):
        where = folder / split if (folder / split).is_dir() else folder
        check_variety(
            f"{where}: images to {_purpose(split)}",
            images,
            "A score would say nothing. Give others.",
        )
    return Dataset("folder", train, valid, test, shape=shape, scale=255.0)


def _split_paths(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each split, in an order drawn with a fixed seed."""
    if not folder.is_dir():
        raise DataError(
            f"data set folder: {folder} is {'no folder' if folder.exists() else 'absent'}. "
            "Name a folder of images by --data-dir."
        )
    present = [split for split in _SPLITS if (folder / split).is_dir()]
    if not present:
        rest = _shuffled(_image_paths(folder, {}))
        test, rest = _held_out(rest)
        valid, train = _held_out(rest, n_all=len(test) + len(rest))
        return {"train": train, "valid": valid, "test": test}
    _check_splits(folder, present)
    seen: dict[str, str] = {}
    paths = {split: _shuffled(_image_paths(folder / split, seen)) for split in present}
    if "valid" not in paths:
        paths["valid"], paths["train"] = _held_out(paths["train"])
    return paths


def _check_splits(folder: Path, present: Sequence[str]) -> None:
    for needed in ("train", "test"):
        if needed not in present:
            raise DataError(
                f"{folder}: there is {present[0]}/ but no {needed}/. Make both train/ and test/, "
                "or put all images into one folder, to be split at random."
            )
    others = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in others:
        if name not in present and not _is_hidden(name):
            raise DataError(
                f"{folder}: {name}/ lies beside train/ and test/. Only train/, valid/ and test/ "
                "are read. Rename it, or move it elsewhere."
            )


def _held_out(paths: list[Path], n_all: int | None = None) -> tuple[list[Path], list[Path]]:
    """Return the first paths, a tenth of `n_all` (by default, of these), and the rest."""
    n = min(_MOST_HELD_OUT, round(_HELD_OUT_SHARE * (n_all or len(paths))))
    return paths[:n], paths[n:]


def _shuffled(paths: list[Path]) -> list[Path]:
    """Return the paths in an order that a seed and their number decide.

    Files are sorted by class, and whatever looks at a few images looks at the first.
    """
    return [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]


def _image_paths(folder: Path, seen: dict[str, str]) -> list[Path]:
    """Return the image files at any depth, sorted; hidden files and folders are passed over.

    `seen` gathers the folders that were walked, without links, and the paths that led there.

    Raises:
        DataError: there are none, in the folder or in one of its subfolders, or links lead to a
            folder twice.
    """
    paths: list[Path] = []
    empty: list[str] = []
    # Links are followed: data sets often lie on another disk.
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        # Else a link upwards would multiply the images, and the test would see those of training.
        first = seen.setdefault(os.path.realpath(parent), parent)
        if first != parent:
            raise DataError(
                f"{parent}: the same folder as {first}, by a link. Each image must be there once. "
                "Remove one of the two."
            )
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        found = [Path(parent, name) for name in files if _is_image(name)]
        if not found and not folders:
            empty.append(parent)
        paths += found
    if not paths:
        raise DataError(
            f"{folder}: no images in it, nor in folders below. Their names must end in "
            f"{', '.join(ENDINGS)}. Name another folder by --data-dir."
        )
    if empty:
        raise DataError(
            f"{empty[0]}: no images. Their names must end in {', '.join(ENDINGS)}. Put images "
            "there, or remove the folder."
        )
    return sorted(paths)


def _refuse(error: OSError) -> None:
    # Without this, what can't be opened would be passed over.
    raise DataError(f"{error.filename}: {error.strerror}. Images can't be read there.") from error


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(ENDINGS)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _read_all(folder: Path, paths: list[Path]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the images `[n, d]`, uint8, and the shape of each; several are decoded at a time."""
    first = _read(paths[0])
    n_bytes = len(paths) * first.size
    allowed = _MEMORY_SHARE * limit_bytes()
    height, width, channels = first.shape
    if n_bytes > allowed:
        raise DataError(
            f"{folder}: {len(paths):,} images of {width}x{height}, {n_bytes / 2**30:.1f} GiB, "
            f"where {_MEMORY_SHARE:.0%} of the memory here is {allowed / 2**30:.1f} GiB. All "
            "are held in memory. Make them smaller, or take fewer."
        )
    images = np.empty((len(paths), first.size), np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + _BLOCK, len(paths))):
            image = _read(paths[row])
            if image.shape != first.shape:
                raise _mismatch(paths[0], first.shape, paths[row], image.shape)
            images[row] = image.ravel()

    with ThreadPoolExecutor() as threads:
        for _ in threads.map(fill, range(0, len(paths), _BLOCK)):  # raises the first fault
            pass
    return images, (height, width, channels)


def _read(path: Path) -> np.ndarray:
    """Return an image `[height, width, channels]`, uint8, turned the way a camera held it."""
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode not in _DEEP_MODES:
                upright = ImageOps.exif_transpose(image)
                array = np.asarray(_grey_or_rgb(upright))
    # Each of Pillow's decoders raises errors of its own on a damaged file.
    except Exception as error:
        told = " ".join(str(error).split())
        raise DataError(
            f"{path}: can't be read as an image ({told}). Replace or remove it."
        ) from error
    if mode in _DEEP_MODES:
        raise DataError(
            f"{path}: an image of mode {mode}, with more than 8 bits a channel. Convert all to 8 "
            "bits, for example with ImageMagick: mogrify -depth 8 FILES."
        )
    return array.reshape(*array.shape[:2], -1)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    """Return a grey image as L, any other as RGB; what is transparent is seen on white."""
    target = "L" if image.mode in _GREY_MODES else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(target)


def _mismatch(
    first: Path, expected: tuple[int, ...], path: Path, found: tuple[int, ...]
) -> DataError:
    if found[:2] != expected[:2]:
        rule = "All must be of one size: crop or resize them, for example with ImageMagick: "
        remedy = f"{rule}mogrify -resize {expected[1]}x{expected[0]}! FILES."
        sizes = [f"{width}x{height}" for height, width, _ in (found, expected)]
        return DataError(f"{path}: {sizes[0]}, where {first} is {sizes[1]}. {remedy}")
    kinds = ["colour" if shape[2] == 3 else "grey" for shape in (found, expected)]
    return DataError(
        f"{path}: {kinds[0]}, where {first} is {kinds[1]}. All must be the same: convert them, for "
        "example with ImageMagick: mogrify -colorspace Gray FILES."
    )


def _purpose(split: str) -> str:
    return {"train": "train on", "valid": "validate on", "test": "test on"}[split]
