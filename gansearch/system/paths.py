"""Local paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def local_path(text: str | os.PathLike[str]) -> Path:
    """Return a path with `~` expanded, as a shell does: not after `=`, in quotes or in Python.

    The path of an unknown user, `~nobody/x`, stays as it is.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises RuntimeError
