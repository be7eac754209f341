"""Where Ray's workers import from: where the driver does, and never first from where one stands.

Ray puts the working directory before all others on the path of its workers, whether it is on the
driver's or not: a `torch.py` or a `gansearch/` that lies there would train there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

import gansearch
from gansearch.system.import_path import is_working_directory

HOME = str(Path(gansearch.__file__).parents[1])  # the folder that gansearch is imported from


def worker_path(path: Sequence[str], *, home: str = HOME) -> list[str]:
    """Return the import path of workers on this machine, for a driver with `path`.

    It has the same entries in the same order. But the working directory, which Python puts first
    where somebody types into it, comes last unless PYTHONPATH names it: a family of one's own is
    found there, and nothing there hides a package.

    Args:
        path: `sys.path` of the driver.
        home: the folder from which the driver imports gansearch.
    """
    entries = list(dict.fromkeys(map(os.path.abspath, path)))
    here = [entry for entry in entries if is_working_directory(entry)]
    entries = [entry for entry in entries if entry not in here] + here
    found = PathFinder.find_spec("gansearch", entries)
    if found is None or found.origin is None:
        return [*entries, home]
    ours = Path(home, "gansearch", "__init__.py")
    return entries if Path(found.origin).resolve() == ours.resolve() else [home, *entries]


def shared_path(path: Sequence[str]) -> list[str]:
    """Return what the import path of a cluster's workers begins with, for a driver with `path`.

    Each node has an interpreter with its packages. Of the driver's path it gets the folders of the
    user's own modules only, which the nodes may share.
    """
    prefixes = [str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)]
    entries = dict.fromkeys(map(os.path.abspath, path))
    return [
        entry
        for entry in entries
        if not is_working_directory(entry)
        and not any(_is_below(entry, prefix) for prefix in prefixes)
    ]


def _is_below(entry: str, folder: str) -> bool:
    return Path(entry).resolve().is_relative_to(folder)
