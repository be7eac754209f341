"""The lock of a run: one process at a time writes, wherever the run lies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gansearch.errors import ResultsError
from gansearch.runs.lease import Lease, leased
from gansearch.system.files import unwritable
from gansearch.system.object_store import AnyPath, RemotePath


@contextmanager
def locked(path: AnyPath) -> Iterator[Lease | None]:
    """Hold the lock at `path` for this process alone; that of a process that died does not hold.

    Yields the lease of a run in an object store, which may run out; None elsewhere.

    Raises:
        StorageError: the folder can't be written.
        ResultsError: another live process holds it, or the file system knows no locks.
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
            # Not by filelock: it names no holder, and takes a mere file for want of flock.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ResultsError(
                f"{path.parent}: {holder} is at work on this run. Two at once would spoil it. "
                f"Wait for the other or stop it, or start a new run under another --name."
            ) from None
        except OSError as error:
            raise ResultsError(
                f"{path}: can't be locked: {error.strerror}. A run needs a file system with "
                f"locks. Choose another place with --results."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield None
        finally:
            # Not left to the closing: a child process may hold a copy of the descriptor.
            fcntl.flock(file, fcntl.LOCK_UN)
