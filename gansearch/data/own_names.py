"""What names the user's own data: `rows.npz`, `my_data.py:load`, or `given` from Python."""

from __future__ import annotations

from pathlib import Path

from gansearch.system import user_code
from gansearch.system.paths import local_path

ENDINGS = (".npz", ".npy")
GIVEN = "given"  # the name of a data set that was given from Python


def is_own(name: str) -> bool:
    """Whether a name stands for the user's own data: a file, or a function in one or a module."""
    return name.endswith(ENDINGS) or user_code.is_reference(name)


def located(name: str, folder: Path) -> str:
    """Return the name of a data set; the path of a file, relative to `folder`, made absolute."""
    if user_code.is_reference(name):
        return user_code.resolved(name, folder)
    if name.endswith(ENDINGS):
        return str(user_code.absolute(folder / local_path(name)))
    return name


def short_name(name: str) -> str:
    """Return a name of data as messages and files show it, without the folders of its file."""
    return user_code.shown(name) if user_code.is_reference(name) else Path(name).name
