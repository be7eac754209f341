"""Downloads through torchvision, with time limits; partial files never appear."""

from __future__ import annotations

import contextlib
import io
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path

from gansearch.errors import DataError

_TIMEOUT_SECONDS = 10.0  # for a server's first answer, and for each read after it


def obtain(
    folder: Path,
    names: Sequence[str],
    fetch: Callable[[Path], Path],
    *,
    urls: Callable[[], Sequence[str]],
    download: bool,
    data_set: str,
    remedy: str,
) -> None:
    """Make sure that `folder` has the files `names`: download them if any is missing.

    Args:
        folder: where the files belong.
        names: of the files.
        fetch: downloads into a given folder, and returns the folder below it that has the files.
        urls: returns the mirrors; one must answer before anything is downloaded.
        download: whether downloading is allowed.
        data_set: the data set's name, for the error.
        remedy: the remedies, for the error.

    Raises:
        DataError: a file is missing and could not be downloaded.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    reason = "downloading is switched off"
    if download:
        try:
            _download(folder, names, fetch, urls())
            return
        except (OSError, RuntimeError, HTTPException) as error:
            # Torchvision's message has several lines, one for each mirror.
            reason = f"downloading failed: {' '.join(str(error).split())}"
    raise DataError(f"data set {data_set}: {folder} lacks {', '.join(missing)}; {reason}. {remedy}")


def _download(
    folder: Path, names: Sequence[str], fetch: Callable[[Path], Path], urls: Sequence[str]
) -> None:
    """Download through torchvision; only complete, checked files appear in `folder`."""
    if not _any_answers(urls):
        raise OSError(f"no answer from {' or '.join(urls)}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
        # Torchvision sets no time limit of its own, and draws a progress bar on stderr.
        with _socket_timeout(_TIMEOUT_SECONDS), contextlib.redirect_stderr(io.StringIO()):
            fetched = fetch(Path(temporary))
        for name in names:
            (fetched / name).replace(folder / name)


def _any_answers(urls: Sequence[str]) -> bool:
    """Return whether any server answers within `_TIMEOUT_SECONDS`, name resolution included.

    Name resolution, or a host with many addresses behind a silent firewall, can take minutes, and
    no socket timeout limits it. So daemon threads make the requests, and are abandoned when the
    time is up.
    """
    answered = threading.Event()
    pending = threading.Semaphore(0)

    def ask(url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
                answered.set()
        except (OSError, HTTPException):  # unknown, unreachable or refused: the mirror is useless
            pass
        finally:
            pending.release()

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    for _ in urls:
        if not pending.acquire(timeout=_TIMEOUT_SECONDS) or answered.is_set():
            break
    return answered.is_set()


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
