"""Finds the image files of a folder: of each split, or all where there are no splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansearch.data.decoding import ENDINGS, is_image_by_content
from gansearch.data.file_names import format_path, format_paths, shorten_list
from gansearch.data.split_names import check_deeper, check_file_names, similar_split, split_folders
from gansearch.errors import DataError

ALL = "all"  # the key of a folder without splits
# Of images, and of films, that are not read. Another program can convert them.
_OTHER_IMAGES = (
    *(".ai", ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".emf", ".eps", ".exr", ".fits", ".hdr"),
    *(".heic", ".heif", ".icns", ".ico", ".j2c", ".jpf", ".jpx", ".jxl", ".jxr", ".mp4", ".nef"),
    *(".nii", ".npy", ".npz", ".orf", ".pdf", ".pfm", ".psd", ".raf", ".raw", ".rw2", ".svg"),
    *(".svgz", ".wmf", ".xbm", ".xcf", ".xpm"),
)
_RULE = f"Their names must end in {', '.join(ENDINGS)}."


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder.

    Attributes:
        folder: that was searched.
        paths: the files of each split, in an order drawn with a fixed seed, by `train`, `valid` and
            `test`, or by `ALL` if the folder has no splits.
        notes: sentences on files and folders that may not be read as they were meant.
    """

    folder: Path
    paths: dict[str, list[Path]]
    notes: tuple[str, ...]


def find_images(folder: Path) -> ImageFiles:
    """Find the images below `folder`, at any depth, without hidden files and folders.

    Raises:
        DataError: there are none, a subfolder has none, links lead to a folder twice, or names of
            folders resemble those of splits.
    """
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"data set folder: {format_path(folder)} {found}. Name a folder of images by "
            "--data-dir."
        )
    splits = split_folders(folder, _visible_folders(folder))
    seen: dict[str, str] = {}
    skipped: list[Path] = []
    notes: list[str] = []
    paths: dict[str, list[Path]] = {}
    for split, name in (splits or {ALL: "."}).items():
        found_paths, below = _walk(folder / name, seen, skipped)
        paths[split] = _shuffled(found_paths)
        notes += check_deeper(folder, [path for path in below if similar_split(path.name) != split])
    if splits:
        notes += _note_beside(folder, list(splits.values()))
    else:
        notes += check_file_names(paths[ALL])
    return ImageFiles(folder, paths, (*notes, *_note_skipped(skipped)))


def _visible_folders(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and not _is_hidden(p.name))
    except OSError as error:
        _refuse(error)
        raise


def _walk(folder: Path, seen: dict[str, str], skipped: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the image files at any depth, sorted, and the folders below.

    `seen` collects the real path of each visited folder, with the path under which it was found;
    `skipped` the other files.
    """
    paths: list[Path] = []
    below: list[Path] = []
    empty: list[str] = []
    # Links are followed: data sets are often stored on another disk.
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        # Otherwise a link could lead round in a circle.
        first = seen.setdefault(os.path.realpath(parent), parent)
        if first != parent:
            raise DataError(
                f"{format_path(parent)}: the same folder as {format_path(first)}, by a link. Each "
                "image must occur once. Remove one of the two."
            )
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        below += [Path(parent, name) for name in folders]
        found = [Path(parent, name) for name in files if _is_image(name)]
        skipped += [
            Path(parent, name) for name in files if not (_is_hidden(name) or _is_image(name))
        ]
        if not found and not folders:
            empty.append(parent)
        paths += found
    if not paths:
        raise DataError(
            f"{format_path(folder)}: found no images in it or below{_but(skipped)}. {_RULE} Name "
            "another folder by --data-dir."
        )
    if empty:
        inside = [path for path in skipped if path.parent == Path(empty[0])]
        raise DataError(
            f"{format_path(empty[0])}: found no images{_but(inside)}. {_RULE} Add images, or "
            "remove the folder."
        )
    return sorted(paths), below


def _shuffled(paths: list[Path]) -> list[Path]:
    """Return the paths in an order that depends only on a fixed seed and their number.

    Files are often sorted by class, and some code uses only the first few images.
    """
    return [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]


def _note_beside(folder: Path, splits: Sequence[str]) -> list[str]:
    beside = [path for path in folder.iterdir() if path.is_file() and _is_image(path.name)]
    if not beside:
        return []
    folders = ", ".join(f"{name}/" for name in splits)
    return [f"Images beside {folders} are not read: {format_paths([p.name for p in beside])}."]


def _note_skipped(paths: Sequence[Path]) -> list[str]:
    found = _other_images(paths)
    if not found:
        return []
    return [
        f"Images that are not read, by their endings: {found}. Convert them, for example to PNG, "
        "or give them their usual ending."
    ]


def _but(paths: Iterable[Path]) -> str:
    found = _other_images(paths)
    return f", but {found}" if found else ""


def _other_images(paths: Iterable[Path]) -> str:
    """Return how many of these files are images all the same, by ending, in words."""
    kinds = Counter(
        path.suffix.lower() or "without an ending"
        for path in paths
        if path.suffix.lower() in _OTHER_IMAGES or is_image_by_content(path)
    )
    listed = [f"{n:,} {format_path(kind)}" for kind, n in kinds.most_common()]
    return shorten_list(listed, len(listed))


def _refuse(error: OSError) -> None:
    # By default `os.walk` skips folders that can't be opened.
    raise DataError(
        f"{format_path(str(error.filename))}: {error.strerror}. Images can't be read there."
    ) from error


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(ENDINGS)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))
