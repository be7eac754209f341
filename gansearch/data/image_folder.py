"""A folder of the user's images: all of one size, grey or colour, each on one side of the split."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from gansearch.data.dataset import SPLITS, Dataset, Labels, check_variety
from gansearch.data.decoding import DeepImageError, UnreadableImageError, decode
from gansearch.data.duplicates import (
    MAX_SHARED,
    MIN_EXAMPLES,
    PURPOSES,
    Overlap,
    identities,
    n_distinct,
    note_copies,
    note_shared,
    overlaps,
    take,
    with_held_out,
)
from gansearch.data.file_names import format_path
from gansearch.data.image_faults import ImageFile, check_files, fault_of_deep
from gansearch.data.image_files import ALL, find_images
from gansearch.data.image_options import ImageOptions
from gansearch.errors import DataError
from gansearch.rules import count_of
from gansearch.system.machine import limit_bytes

_N_PAIRS = 3  # shown of identical images
_N_FIRST = 20  # images that say what size to expect
_BLOCK = 100  # images that a thread decodes at a time
# Of the memory of the machine or container; Ray's object store and the GPU hold another copy.
_MEMORY_SHARE = 0.25


@dataclass(frozen=True)
class _Images:
    """The images of a folder in one array.

    Attributes:
        paths: of the files.
        splits: the split that each file belongs to, or `ALL`.
        pixels: `[n, d]`, uint8.
        shape: height, width and channels.
        notes: sentences on how the files were read.
    """

    paths: list[Path]
    splits: np.ndarray
    pixels: np.ndarray
    shape: tuple[int, int, int]
    notes: list[str]


def load_folder(folder: Path, options: ImageOptions | None = None) -> Dataset:
    """Return the images below `folder`, grey or RGB.

    The subfolders `train/`, `test/` and, optionally, `valid/` are the splits. Without them, a tenth
    of the images, at most 10,000, drawn with a fixed seed, is held out for each of the two others,
    identical ones on the same side; likewise for `valid/` alone.

    Raises:
        DataError: too few images, some that can't be read, different sizes or colour modes, or
            images that are in two splits.
    """
    if options and options.fit == "pad" and not options.image_size:
        raise DataError(
            "data.fit: pad has no effect without a size. Give data.image_size too, such as 64, or "
            "leave data.fit out."
        )
    found = find_images(folder)
    paths = [path for split in found.paths.values() for path in split]
    splits = np.repeat(list(found.paths), [len(split) for split in found.paths.values()])
    images = _read_all(folder, paths, splits, options or ImageOptions())
    ids = identities(images.pixels)
    rows = {
        "train" if split == ALL else split: np.flatnonzero(images.splits == split)
        for split in found.paths
    }
    notes = _check_shared(folder, overlaps(rows, ids), images.paths)
    rows = with_held_out(rows, ids)
    _check_numbers(folder, rows, ids)
    parts = {split: take(images.pixels, rows[split]) for split in SPLITS}
    for split, part in parts.items():
        why = "There is nothing to learn from them" if split == "train" else "No score can use them"
        where = f"{format_path(folder)}: images to {PURPOSES[split]}"
        check_variety(where, part, f"{why}. Use other images.")
    return Dataset(
        "folder",
        parts["train"],
        parts["valid"],
        parts["test"],
        shape=images.shape,
        scale=255.0,
        notes=(*found.notes, *images.notes, *notes, *note_copies(rows, ids)),
        labels=_labels(folder, images, rows),
    )


def _labels(folder: Path, images: _Images, rows: Mapping[str, np.ndarray]) -> Labels | None:
    """Return the classes: the folders in which the images of a split lie, below those they share.

    None if there are none, or if images lie beside the folders.
    """
    below = [
        path.relative_to(folder).parts[(split != ALL) : -1]
        for path, split in zip(images.paths, images.splits, strict=True)
    ]
    first, last = min(below), max(below)  # what these share, all share
    pairs = zip(first, last, strict=False)
    n_shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    if any(len(parts) == n_shared for parts in below):
        return None
    names, classes = np.unique([parts[n_shared] for parts in below], return_inverse=True)
    if len(names) > np.iinfo(np.int16).max:
        return None  # a folder for almost each image is no class
    shown = [format_path(name) for name in names.tolist()]
    return Labels.of(shown, **{split: classes[rows[split]] for split in SPLITS})


def _check_numbers(folder: Path, rows: Mapping[str, np.ndarray], ids: np.ndarray) -> None:
    n_all, n_different = len(ids), len(np.unique(ids))
    for split, minimum in MIN_EXAMPLES.items():
        n = n_distinct(rows[split], ids)
        if n >= minimum:
            continue
        distinct = "distinct " if n_different < n_all else ""
        among = f"of {n_all:,}"
        if distinct:
            among = f"of {n_different:,} in {n_all:,} files, the others being copies"
        raise DataError(
            f"{format_path(folder)}: found {count_of(n, f'{distinct}image')} to {PURPOSES[split]}, "
            f"{among}. There must be at least {minimum}. Add images."
        )


def _check_shared(folder: Path, shared: Sequence[Overlap], paths: Sequence[Path]) -> list[str]:
    """Return sentences on images of one split that are in another; raise if they are many."""
    lines = []
    for overlap in shared:
        pairs = [
            f"{format_path(paths[a].relative_to(folder))} = "
            f"{format_path(paths[b].relative_to(folder))}"
            for a, b in zip(overlap.rows[:_N_PAIRS], overlap.other_rows[:_N_PAIRS], strict=True)
        ]
        more = ", ..." if len(overlap.rows) > _N_PAIRS else ""
        lines.append(f"{overlap.describe()} ({', '.join(pairs)}{more})")
    if any(len(overlap.rows) > MAX_SHARED * overlap.n for overlap in shared):
        raise DataError(
            f"{format_path(folder)}: {'; '.join(lines)}. Scores would reward generators that copy. "
            f"At most {MAX_SHARED:.0%} of a split may be in another. Remove them from one of the "
            "two, or put all images into one folder, which is then split at random."
        )
    return [note_shared(line) for line in lines]


def _read_all(
    folder: Path, paths: Sequence[Path], splits: np.ndarray, options: ImageOptions
) -> _Images:
    """Read the files; threads decode them in parallel.

    Raises:
        DataError: some can't be used together, or they need too much memory.
    """

    def fill(start: int) -> list[ImageFile]:
        block = paths[start : start + _BLOCK]
        return [_read_into(pixels[start + i], path, options) for i, path in enumerate(block)]

    # Pillow warns of large and of damaged files, on the terminal and once for each.
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:
        warnings.simplefilter("ignore")
        shape = _common_shape(paths, options)
        _check_memory(folder, len(paths), shape)
        pixels = np.empty((len(paths), *shape), np.uint8)
        blocks = threads.map(fill, range(0, len(paths), _BLOCK))
        files = [file for block in blocks for file in block]
    notes = check_files(folder, files, options)
    is_read = np.array([file.fault is None for file in files])
    if not is_read.all():
        pixels = pixels[is_read]
    if not options.channels and not any(file.kind == "colour" for file in files if not file.fault):
        pixels, shape = np.ascontiguousarray(pixels[..., :1]), (*shape[:2], 1)
    return _Images(
        paths=[path for path, is_whole in zip(paths, is_read, strict=True) if is_whole],
        splits=splits[is_read],
        pixels=pixels.reshape(len(pixels), -1),
        shape=shape,
        notes=notes,
    )


def _read_into(row: np.ndarray, path: Path, options: ImageOptions) -> ImageFile:
    """Store an image in `row`, `[height, width, channels]`, if it has this size."""
    try:
        image = decode(path)
    except UnreadableImageError as error:
        return ImageFile(path, str(error))
    except DeepImageError as error:
        return ImageFile(path, fault_of_deep(str(error)))
    pixels = options.apply(image.pixels)
    if pixels.shape[:2] == row.shape[:2]:
        row[:] = pixels[..., : row.shape[2]]  # grey fills all channels
    return ImageFile.of(path, image)


def _common_shape(paths: Sequence[Path], options: ImageOptions) -> tuple[int, int, int]:
    """Return the size that most of the first images have, and the channels that hold all of them.

    Files that can't be read don't count.
    """
    shapes = []
    for path in paths:
        with suppress(UnreadableImageError, DeepImageError):
            shapes.append(options.apply(decode(path).pixels).shape)
        if len(shapes) == _N_FIRST:
            break
    if not shapes:
        return 1, 1, 1
    (height, width), _ = Counter(shape[:2] for shape in shapes).most_common(1)[0]
    return height, width, min(shape[2] for shape in shapes)


def _check_memory(folder: Path, n: int, shape: tuple[int, int, int]) -> None:
    n_bytes = n * math.prod(shape)
    allowed = _MEMORY_SHARE * limit_bytes()
    height, width, _ = shape
    if n_bytes > allowed:
        raise DataError(
            f"{format_path(folder)}: {n:,} images of {width}x{height} need {n_bytes / 2**30:.1f} "
            f"GiB. The limit is {_MEMORY_SHARE:.0%} of the memory here, {allowed / 2**30:.1f} GiB, "
            "since all are held in memory. Make them smaller, such as by --set "
            "data.image_size=64, or use fewer."
        )
