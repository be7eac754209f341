"""Names of folders that mean a split: `train`, `valid` and `test`, and those that look like them.

A split under another name would be pooled with all other images, the test images with the training
images, and no score would show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gansearch.data.dataset import SPLITS
from gansearch.data.file_names import format_path, format_paths
from gansearch.errors import DataError

_WORDS = {
    "train": "train|training|trn",
    "valid": "val|valid|validate|validation|dev|devel|development|eval|evaluation",
    "test": "test|tests|testing|tst|holdout|heldout",
}
# Such as `trainset`, `test_images` and, of image translation, `trainA`.
_PATTERNS = {
    split: re.compile(rf"({words})(set|split|data|images|imgs|a|b)?")
    for split, words in _WORDS.items()
}
_SPLIT_RULE = "Splits are read from train/, test/ and, optionally, valid/."


def split_of(name: str) -> str | None:
    """Return the split that a folder of this name holds, whatever its case; None for no split."""
    return name.lower() if name.lower() in SPLITS else None


def similar_split(name: str, *, partly: bool = False) -> str | None:
    """Return the split that a name seems to mean: test for `Test 2017`; `partly` for `seg_test`."""
    words = _words(name)
    for text in ["".join(words), *(words if partly else ())]:
        for split, pattern in _PATTERNS.items():
            if pattern.fullmatch(text) or sorted(text) == sorted(split):
                return split
    return None


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]


def split_folders(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the subfolder of each split, of those in `folder`; none if the folder has no splits.

    Raises:
        DataError: a split lacks its counterpart or has two folders, a folder stands beside the
            splits, or a name only looks like one of a split.
    """
    found: dict[str, str] = {}
    for name in names:
        split = split_of(name)
        if split is not None and found.setdefault(split, name) != name:
            raise DataError(
                f"{format_path(folder)}: found {found[split]}/ and {name}/. Each split has one "
                "folder. Move the images of one into the other."
            )
    others = [name for name in names if name not in found.values()]
    if not found:
        _refuse_similar(folder, names)
        return {}
    for needed in ("train", "test"):
        if needed not in found:
            raise DataError(
                f"{format_path(folder)}: found {next(iter(found.values()))}/ but no {needed}/. "
                f"{_suggestion(others, needed)}Create both train/ and test/, or "
                f"{_pool(folder, names)}."
            )
    for name in others:
        raise DataError(
            f"{format_path(folder)}: found {format_path(name)}/ beside {found['train']}/ and "
            f"{found['test']}/. {_suggestion([name])}Only train/, valid/ and test/ are read. "
            "Rename it, or move it elsewhere."
        )
    return {split: found[split] for split in SPLITS if split in found}


def _pool(folder: Path, names: Sequence[str]) -> str:
    """Return how the images of these subfolders get a random split."""
    if len(names) > 1:
        return "put all images into one folder, which is then split at random"
    only = format_path(folder / names[0])
    return f"name {only} by --data-dir, whose images are then split at random"


def _refuse_similar(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError if one name certainly means a split, or several seem to."""
    certain = any(similar_split(name) for name in names)
    similar = [name for name in names if similar_split(name, partly=True)]
    if certain or _are_counterparts(similar):
        listed = " and ".join(f"{format_path(name)}/" for name in similar[:3])
        raise DataError(
            f"{format_path(folder)}: found {listed}. {_suggestion(similar)}{_SPLIT_RULE} All other "
            "images are split at random. Rename the folders to these names, or to others that "
            "don't resemble them."
        )


def _are_counterparts(names: Iterable[str]) -> bool:
    """Return whether two names mean different splits of one thing, as `seg_train`, `seg_test` do.

    `toy_train` and `test_tube` do not: such classes are read, and said.
    """
    splits: dict[str, set[str | None]] = {}
    for name in names:
        others = "".join(word for word in _words(name) if not similar_split(word))
        splits.setdefault(others, set()).add(similar_split(name, partly=True))
    return any(len(found) > 1 for found in splits.values())


def _suggestion(names: Iterable[str], needed: str | None = None) -> str:
    meant = dict.fromkeys(similar_split(name, partly=True) for name in names)
    splits = [split for split in SPLITS if split in meant and needed in (None, split)]
    return f"Did you mean {' and '.join(f'{s}/' for s in splits)}? " if splits else ""


def check_deeper(folder: Path, below: Sequence[Path]) -> list[str]:
    """Check the folders below a split, or below a folder without splits, for names of splits.

    Args:
        folder: that the user has named.
        below: all folders whose images are read as one split.

    Returns:
        A sentence on names that may mean a split, but need not.

    Raises:
        DataError: names of several splits are among them, such as cats/train and cats/test.
    """
    meant: dict[str, list[Path]] = {}
    for path in below:
        if split := similar_split(path.name, partly=True):
            meant.setdefault(split, []).append(path)
    if _are_counterparts(path.name for paths in meant.values() for path in paths):
        examples = [paths[0] for paths in meant.values()]
        listed = " and ".join(f"{format_path(path.relative_to(folder))}/" for path in examples)
        parents = {path.parent for path in examples}
        remedy = (
            f"Name {format_path(parents.pop())} by --data-dir, or put"
            if len(parents) == 1 and folder not in parents
            else "Put"
        )
        raise DataError(
            f"{format_path(folder)}: found {listed}, whose images would be mixed. {_SPLIT_RULE} "
            f"They must lie in the folder that --data-dir names. {remedy} train/ and test/ there, "
            "with the folders of the classes in them."
        )
    return [
        f"{format_paths([p.relative_to(folder) for p in paths])}: read like any other folder. If "
        f"it holds images to keep apart, move them into a folder {split}/ beside the other splits."
        for split, paths in meant.items()
    ]


def check_file_names(paths: Iterable[Path]) -> list[str]:
    """Return a sentence if files without splits are named as if they belonged to several."""
    meant: dict[str, list[Path]] = {}
    for path in paths:
        if split := similar_split(path.stem, partly=True):
            meant.setdefault(split, []).append(path)
    if len(meant) < 2:
        return []
    listed = " and ".join(format_path(paths[0].name) for paths in meant.values())
    return [
        f"Names of files such as {listed} are not taken for splits: the images are split at "
        f"random. {_SPLIT_RULE}"
    ]
