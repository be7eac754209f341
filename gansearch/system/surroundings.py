"""Checks of what the environment names: temporary files, the home, a Ray cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

from gansearch.errors import BadInputError
from gansearch.system.checks import Check
from gansearch.system.paths import cache_folder, nearest_existing
from gansearch.system.temporary import temporary_root

_GIB = 2**30
_RAY_DISK_SHARE = 0.95  # of the disk in use; above it Ray refuses to spill objects


def surroundings() -> list[Check]:
    """Check the temporary files of Ray, the cache in the home, and RAY_ADDRESS."""
    return [*_temporary_files(), _cache(), *_ray_address()]


def _temporary_files() -> Iterator[Check]:
    """Check the folder of Ray's own files, and its disk, which Ray fills only up to a limit."""
    try:
        root = temporary_root()
    except BadInputError as error:
        found, _, remedy = str(error).partition(". ")
        yield Check("temporary files", "problem", found, remedy)
        return
    if root.refused:
        remedy = "Set TMPDIR to a folder that can be written and has a short path, or unset it."
        yield Check("temporary files", "warning", root.note.rstrip("."), remedy)
    usage = shutil.disk_usage(root.path)
    share = 1 - usage.free / usage.total
    found = f"{root.path}: {usage.free / _GIB:.1f} GiB free, {share:.0%} in use"
    if share > _RAY_DISK_SHARE:
        yield Check(
            "disk of Ray",
            "warning",
            found,
            "Ray writes no more objects there above 95 %. Free some space, or set RAY_TMPDIR to a "
            "folder on another disk.",
        )
    else:
        yield Check("disk of Ray", "ok", found)


def _cache() -> Check:
    """Check the folder of what is kept between commands: data sets and reference lines."""
    folder = cache_folder()
    if folder is None:
        return _no_cache("there is no home folder")
    found = nearest_existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=found, prefix=".gansearch-"):
            pass
    except OSError as error:
        return _no_cache(f"{folder}: can't be written ({os.strerror(error.errno or 0)})")
    return Check("cache", "ok", f"{folder}: writable")


def _no_cache(found: str) -> Check:
    return Check(
        "cache",
        "warning",
        f"{found}; reference lines are computed anew by each command",
        "Set XDG_CACHE_HOME to a folder that can be written; downloaded data sets go to the folder "
        "of --data-dir or GANSEARCH_DATA.",
    )


def _ray_address() -> Iterator[Check]:
    """Say that a cluster which the environment names is joined on request only."""
    if address := os.environ.get("RAY_ADDRESS"):
        yield Check(
            "RAY_ADDRESS",
            "ok",
            f"{address}; without --address a run has a Ray of its own on this machine",
        )
