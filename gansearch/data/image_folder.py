"""A folder of the user's images: files that Pillow reads, all of one size and colour mode."""

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
_HELD_OUT_SHARE = 0.1  # for validation, and for test, if the folder has no split
_MAX_HELD_OUT = 10_000
_MIN_IMAGES = {"train": 100, "valid": 20, "test": 20}
_BLOCK = 100  # images that a thread decodes at a time
# Of the memory of the machine or container; Ray's object store and the GPU hold another copy.
_MEMORY_SHARE = 0.25
# Modes with more than eight bits a channel; the others become grey or RGB without visible loss.
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", "La")


def load_folder(folder: Path) -> Dataset:
    """Return the images below `folder`, grey or RGB.

    The subfolders `train/`, `test/` and, optionally, `valid/` are the splits. Without them, a tenth
    of the images, at most 10,000, drawn with a fixed seed, is held out for each of the two others;
    likewise for `valid/` alone.

    Raises:
        DataError: too few images, an unreadable one, or different sizes or colour modes.
    """
    paths = _split_paths(folder)
    for split, minimum in _MIN_IMAGES.items():
        if len(paths[split]) < minimum:
            raise DataError(
                f"{folder}: found {len(paths[split])} images to {_purpose(split)}, of "
                f"{sum(map(len, paths.values())):,}. There must be at least {minimum}. Add images."
            )
    images, shape = _read_all(folder, [path for split in _SPLITS for path in paths[split]])
    ends = np.cumsum([len(paths[split]) for split in _SPLITS])
    train, valid, test = np.split(images, ends[:-1])
    check_variety(folder, train, "There is nothing to learn from them. Use other images.")
    for split, images in (("valid", valid), ("test", test)):
        where = folder / split if (folder / split).is_dir() else folder
        check_variety(
            f"{where}: images to {_purpose(split)}",
            images,
            "A score would be meaningless. Use other images.",
        )
    return Dataset("folder", train, valid, test, shape=shape, scale=255.0)


def _split_paths(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each split, in an order drawn with a fixed seed."""
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"data set folder: {folder} {found}. Name a folder of images by --data-dir."
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
                f"{folder}: found {present[0]}/ but no {needed}/. Create both train/ and test/, "
                "or put all images into one folder, which is then split at random."
            )
    others = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in others:
        if name not in present and not _is_hidden(name):
            raise DataError(
                f"{folder}: found {name}/ beside train/ and test/. Only train/, valid/ and test/ "
                "are read. Rename it, or move it elsewhere."
            )


def _held_out(paths: list[Path], n_all: int | None = None) -> tuple[list[Path], list[Path]]:
    """Return the first paths, a tenth of `n_all` (by default of `paths`), and the others."""
    n = min(_MAX_HELD_OUT, round(_HELD_OUT_SHARE * (n_all or len(paths))))
    return paths[:n], paths[n:]


def _shuffled(paths: list[Path]) -> list[Path]:
    """Return the paths in an order that depends only on a fixed seed and their number.

    Files are often sorted by class, and some code uses only the first few images.
    """
    return [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]


def _image_paths(folder: Path, seen: dict[str, str]) -> list[Path]:
    """Return the image files at any depth, sorted, without hidden files and folders.

    `seen` collects the real path of each visited folder, with the path under which it was found.

    Raises:
        DataError: the folder or a subfolder has no images, or links lead to a folder twice.
    """
    paths: list[Path] = []
    empty: list[str] = []
    # Links are followed: data sets are often stored on another disk.
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        # Otherwise a link could put the same image into the training and the test set.
        first = seen.setdefault(os.path.realpath(parent), parent)
        if first != parent:
            raise DataError(
                f"{parent}: the same folder as {first}, by a link. Each image must occur once. "
                "Remove one of the two."
            )
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        found = [Path(parent, name) for name in files if _is_image(name)]
        if not found and not folders:
            empty.append(parent)
        paths += found
    if not paths:
        raise DataError(
            f"{folder}: found no images in it or below. Their names must end in "
            f"{', '.join(ENDINGS)}. Name another folder by --data-dir."
        )
    if empty:
        raise DataError(
            f"{empty[0]}: found no images. Their names must end in {', '.join(ENDINGS)}. Add "
            "images, or remove the folder."
        )
    return sorted(paths)


def _refuse(error: OSError) -> None:
    # By default `os.walk` skips folders that can't be opened.
    raise DataError(f"{error.filename}: {error.strerror}. Images can't be read there.") from error


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(ENDINGS)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _read_all(folder: Path, paths: list[Path]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the images `[n, d]`, uint8, and their shape; threads decode them in parallel."""
    first = _read(paths[0])
    n_bytes = len(paths) * first.size
    allowed = _MEMORY_SHARE * limit_bytes()
    height, width, channels = first.shape
    if n_bytes > allowed:
        raise DataError(
            f"{folder}: {len(paths):,} images of {width}x{height} need {n_bytes / 2**30:.1f} GiB. "
            f"The limit is {_MEMORY_SHARE:.0%} of the memory here, {allowed / 2**30:.1f} GiB, "
            "since all are held in memory. Make them smaller, or use fewer."
        )
    images = np.empty((len(paths), first.size), np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + _BLOCK, len(paths))):
            image = _read(paths[row])
            if image.shape != first.shape:
                raise _mismatch(paths[0], first.shape, paths[row], image.shape)
            images[row] = image.ravel()

    with ThreadPoolExecutor() as threads:
        for _ in threads.map(fill, range(0, len(paths), _BLOCK)):  # raises the first error
            pass
    return images, (height, width, channels)


def _read(path: Path) -> np.ndarray:
    """Return an image `[height, width, channels]`, uint8, rotated as its EXIF data says."""
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode not in _DEEP_MODES:
                upright = ImageOps.exif_transpose(image)
                array = np.asarray(_grey_or_rgb(upright))
    # Pillow's decoders raise many types of errors on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: can't be read as an image ({reason}). Replace or remove it."
        ) from error
    if mode in _DEEP_MODES:
        raise DataError(
            f"{path}: found mode {mode}, with more than 8 bits a channel. Convert all images to 8 "
            "bits, for example with ImageMagick: mogrify -depth 8 FILES."
        )
    return array.reshape(*array.shape[:2], -1)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    """Return a grey image as L, any other as RGB; transparent pixels are put on white."""
    target = "L" if image.mode in _GREY_MODES else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(target)


def _mismatch(
    first: Path, expected: tuple[int, ...], path: Path, found: tuple[int, ...]
) -> DataError:
    if found[:2] != expected[:2]:
        rule = "All must have the same size: crop or resize them, for example with ImageMagick: "
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
