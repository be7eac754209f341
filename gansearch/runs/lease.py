"""The lock of a run in an object store: an object that its holder renews, and that expires.

An object store has no locks that end with their process. A process that finds a recent object does
not start; one that was not renewed for a minute, or whose process on this machine is dead, is
replaced. Two processes that start within the same second look again after a short time, and the one
whose token is in the object continues. The clocks of machines that share a store must agree to
within some seconds.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gansearch.errors import ResultsError, StorageError
from gansearch.system.files import unwritable, write_atomically
from gansearch.system.object_store import RemotePath

_RENEW_SECONDS = 15.0
_EXPIRE_SECONDS = 60.0
_SETTLE_SECONDS = 1.0


class Lease:
    """One holder's hold on a run.

    Attributes:
        fault: why the lease was lost; None while it holds.
    """

    def __init__(self, path: RemotePath) -> None:
        self.fault: str | None = None
        self._path = path
        self._token = secrets.token_hex(8)
        self._renewed = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Acquire the run.

        Raises:
            ResultsError: another live process holds it.
            StorageError: the store can't be written.
        """
        if (other := self._other()) is not None:
            raise _held(self._path, other)
        self._write()
        time.sleep(_SETTLE_SECONDS)
        if (other := self._other()) is not None:
            raise _held(self._path, other)
        self._thread.start()

    def release(self) -> None:
        """Release the run for others."""
        self._end.set()
        self._thread.join()
        with suppress(OSError, StorageError):  # it expires by itself
            if self._other() is None:
                self._path.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._end.wait(_RENEW_SECONDS) and self.fault is None:
            try:
                if (other := self._other()) is not None:
                    self.fault = f"{_name(other)} has taken the run over"
                    return
                self._write()
                self._renewed = time.monotonic()
            except Exception as error:
                if time.monotonic() - self._renewed > _EXPIRE_SECONDS:
                    self.fault = f"the store can't be reached: {error}"

    def _write(self) -> None:
        holder = {"word": self._token, "host": socket.gethostname(), "process": os.getpid()}
        write_atomically(self._path, json.dumps(holder | {"renewed_at": time.time()}).encode())

    def _other(self) -> dict[str, Any] | None:
        """Return the other live holder of the run, if there is one."""
        try:
            found = json.loads(self._path.read_bytes())
            age = time.time() - found["renewed_at"]
            if found["word"] == self._token or age > _EXPIRE_SECONDS or _is_dead(found):
                return None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(self._path, error) from error
        except (ValueError, KeyError, TypeError):
            return None  # damaged: held by no process
        return dict(found)


@contextmanager
def leased(path: RemotePath) -> Iterator[Lease]:
    """Hold a run in an object store by the lock at `path`."""
    lease = Lease(path)
    lease.acquire()
    try:
        yield lease
    finally:
        lease.release()


def is_leased(path: RemotePath) -> bool:
    """Return whether a live process holds the run with the lock at `path`.

    Raises:
        StorageError: the store can't be read.
    """
    return Lease(path)._other() is not None


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder was a process of this machine that has ended."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["process"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder['process']} on {holder['host']}"


def _held(path: RemotePath, holder: dict[str, Any]) -> ResultsError:
    return ResultsError(
        f"{path.parent}: {_name(holder)} is at work on this run, or was within the last minute. "
        "Two at once would damage it. Wait for the other or stop it, or start a new run under "
        "another --name."
    )
