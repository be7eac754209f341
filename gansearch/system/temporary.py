"""A private folder for the sockets, logs and spilled objects of a run's own Ray."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gansearch.errors import BadInputError
from gansearch.system.signals import deferred

_PREFIX = "gan-"  # short: the paths of sockets are limited
_LOCK = "lock"
# What Ray appends to the folder, at its longest; 107 bytes is the limit on Linux.
_SOCKET = f"r/session_2026-01-01_00-00-00_000000_{'9' * 7}/sockets/plasma_store"
_MIN_FREE_BYTES = 32 * 2**20
_SYSTEM_FOLDERS = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class TemporaryRoot:
    """The folder in which a run's private folder is made.

    Attributes:
        path: of the folder.
        refused: why those can't be used that the environment names and that come before it.
    """

    path: Path
    refused: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What to say of it; empty where it is the folder that the environment names."""
        return f"{'; '.join(self.refused)}. Ray's files go to {self.path}." if self.refused else ""


def temporary_root() -> TemporaryRoot:
    """Return the first usable folder: RAY_TMPDIR, then TMPDIR, then the system's.

    Raises:
        BadInputError: none can be used; the message says why.
    """
    refused: list[str] = []
    for name, path in _candidates():
        if (why := _unusable(path)) is None:
            return TemporaryRoot(path, tuple(refused))
        refused.append(f"{name}{path}: {why}")
    raise BadInputError(
        f"no folder for the temporary files of Ray: {'; '.join(refused)}. Set TMPDIR to a folder "
        "that can be written, on a disk with some room, whose path is short."
    )


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that no other user reads; delete it at the end, and those of killed runs.

    Yields one in it: Ray gives everybody access to the folder that it is told to use.
    """
    root = temporary_root().path
    _delete_abandoned(root)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    with (path / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield path / "r"
        finally:
            with deferred():
                shutil.rmtree(path, ignore_errors=True)


def _candidates() -> Iterator[tuple[str, Path]]:
    """Yield the folders in the order of preference, each with what names it."""
    for variable in ("RAY_TMPDIR", "TMPDIR"):
        if value := os.environ.get(variable):
            yield f"{variable}=", Path(value)
    for folder in _SYSTEM_FOLDERS:
        yield "", Path(folder)


def _unusable(root: Path) -> str | None:
    """Return why Ray can't keep its files in a folder, or None."""
    if not root.is_absolute():
        return "not an absolute path"
    try:
        if shutil.disk_usage(root).free < _MIN_FREE_BYTES:
            return "its disk is full"
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as folder:
            path = Path(folder, _SOCKET)
            path.parent.mkdir(parents=True)
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(str(path))
    except OSError as error:
        # The socket module has its own error, without a number, for a path that is too long.
        return "too long a path for a socket" if error.errno is None else str(error.strerror)
    return None


def _delete_abandoned(root: Path) -> None:
    """Delete this user's folders whose process has died: it held a lock as long as it lived."""
    for path in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            with (path / _LOCK).open("r+") as lock:  # none in a folder that was just made
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
