"""Local paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from gansearch.errors import BadInputError


def local_path(text: str | os.PathLike[str]) -> Path:
    """Return a path with `~` expanded, as a shell does: not after `=`, in quotes or in Python.

    The path of an unknown user, `~nobody/x`, stays as it is.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises RuntimeError


def cache_folder() -> Path | None:
    """Return the folder of what commands keep for each other; None if there is no home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG base directory specification says to ignore a relative path.
        cache = Path(given) if Path(given).is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return cache / "gansearch"


def nearest_existing(path: Path) -> Path:
    """Return the nearest of `path` and its parents that exists."""
    return next((p for p in (path, *path.absolute().parents) if os.path.lexists(p)), path)


def require_working_folder() -> None:
    """Check that the current folder exists: libraries of torch end a process in a deleted one.

    Raises:
        BadInputError: it doesn't.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise BadInputError(
            f"the current folder can't be used ({error.strerror}). It may have been deleted. "
            "Change to another, such as `cd ~`."
        ) from None
