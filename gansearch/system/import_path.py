"""Keeps the working directory off the import path of a command, unless PYTHONPATH names it.

`python -m` puts it before all others, and an empty entry of PYTHONPATH means it: a `random.py` or a
`gansearch/` that happens to lie there would run. This module is imported before any other that
could be hidden so, and therefore imports only what Python has loaded by then.
"""

from __future__ import annotations

import os
import sys


def python_path(value: str) -> str:
    """Return a PYTHONPATH without its empty entries.

    They come from lines such as `export PYTHONPATH=$PYTHONPATH:/some/folder`.
    """
    return os.pathsep.join(entry for entry in value.split(os.pathsep) if entry)


def is_working_directory(entry: str) -> bool:
    """Return whether an entry of the path is the working directory, which PYTHONPATH doesn't name.

    There is none where the directory has been deleted.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return False
    named = python_path(os.environ.get("PYTHONPATH", "")).split(os.pathsep)
    return _is(entry, here) and not any(name and _is(name, here) for name in named)


def leave_working_directory_out() -> None:
    """Take the working directory off this process's path, if the process is a `gansearch` command.

    Elsewhere, as in a notebook, it is the user's own choice.
    """
    started_as = sys.argv[0] if sys.argv else ""
    as_module = started_as == "-m" and "gansearch" in sys.orig_argv
    if as_module or os.path.basename(started_as) == "gansearch":
        sys.path[:] = [entry for entry in sys.path if not is_working_directory(entry)]


def _is(entry: str, folder: str) -> bool:
    return os.path.realpath(entry) == os.path.realpath(folder)
