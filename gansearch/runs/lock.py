"""The lock of a run: one process at a time writes, on a file system or in an object store."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gansearch.errors import ResultsError
from gansearch.runs.lease import Lease, is_leased, leased
from gansearch.system.files import unwritable
from gansearch.system.object_store import AnyPath, RemotePath

_N_RETRIES, _RETRY_SECONDS = 5, 0.05


def is_held(path: AnyPath) -> bool:
    """Return whether a live process holds the lock at `path`; nothing is written.

    Raises:
        OSError, StorageError: it can't be read.
    """
    if isinstance(path, RemotePath):
        return is_leased(path)
    try:
        with path.open() as file:
            # Most often the holder is a process here: of one that has ended, the lock isn't tried,
            # which could be in the way of one that is just beginning.
            return not _has_ended(file.read()) and not _is_free(file.fileno())
    except FileNotFoundError:
        return False


def _has_ended(holder: str) -> bool:
    """Return whether what a lock says of its holder names a process here that has ended."""
    match = re.fullmatch(r"process (\d+) on (.+)\n", holder)
    if match is None or match[2] != socket.gethostname():
        return not holder
    try:
        os.kill(int(match[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _take(descriptor: int) -> None:
    """Take the lock; `is_held` of another process may hold it for a moment.

    Raises:
        OSError: a process holds it, or there are no locks.
    """
    # Not filelock: it does not name the holder, and without flock any file is its lock.
    for _ in range(_N_RETRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_RETRY_SECONDS)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: AnyPath) -> Iterator[Lease | None]:
    """Hold the lock at `path` for this process alone; the lock of a dead process is released.

    Yields the lease of a run in an object store, which may expire; None on a file system.

    Raises:
        StorageError: the folder can't be written.
        ResultsError: another live process holds it, or the file system does not support locks.
    """
    if isinstance(path, RemotePath):
        with leased(path) as lease:
            yield lease
        return
    try:
        file = path.open("a+")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        try:
            _take(file.fileno())
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ResultsError(
                f"{path.parent}: {holder} is at work on this run. Two at once would damage it. "
                f"Wait for the other or stop it, or start a new run under another --name."
            ) from None
        except OSError as error:
            raise ResultsError(
                f"{path}: can't be locked: {error.strerror}. A run needs a file system with "
                f"locks. Choose another place with --results."
            ) from error
        try:
            file.truncate(0)
            # Unbuffered: on a full disk, closing would raise what a buffer still holds.
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            yield None
        finally:
            # Closing is not enough: a child process may hold a copy of the descriptor.
            fcntl.flock(file, fcntl.LOCK_UN)
