"""Data sets that torchvision downloads: whole files or none, and never a long silence."""

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

_PATIENCE_SECONDS = 10.0  # for a server's first answer, and for each read after it


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
    """Make sure that `folder` holds the files `names`: download them where any is absent.

    Args:
        folder: where the files belong.
        names: of the files.
        fetch: downloads into the folder that it is given, and returns where in it the files lie.
        urls: gives those of which one must answer before anything is downloaded.
        download: whether downloading is allowed.
        data_set: the data set's name, for the error.
        remedy: the ways out, for the error.

    Raises:
        DataError: a file is absent and could not be downloaded.
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
            # Torchvision's own text spans several lines, and repeats itself for each mirror.
            reason = f"downloading failed: {' '.join(str(error).split())}"
    raise DataError(f"data set {data_set}: {folder} lacks {', '.join(missing)}; {reason}. {remedy}")


def _download(
    folder: Path, names: Sequence[str], fetch: Callable[[Path], Path], urls: Sequence[str]
) -> None:
    """Fetch through torchvision; only whole, checked files ever appear in `folder`."""
    if not _any_answers(urls):
        raise OSError(f"no answer from {' or '.join(urls)}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
        # Torchvision sets no time limit of its own, and draws a progress bar on stderr.
        with _socket_timeout(_PATIENCE_SECONDS), contextlib.redirect_stderr(io.StringIO()):
            fetched = fetch(Path(temporary))
        for name in names:
            (fetched / name).replace(folder / name)


def _any_answers(urls: Sequence[str]) -> bool:
    """Return whether any server answers within the patience, its name's look-up included.

    A look-up, or a host with many addresses behind a silent firewall, can take minutes, and no
    socket timeout bounds it; so daemon threads ask, which are left behind when time is up.
    """
    answered = threading.Event()
    pending = threading.Semaphore(0)

    def ask(url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS):
                answered.set()
        except (OSError, HTTPException):  # unknown, unreachable, refused: no use as a mirror
            pass
        finally:
            pending.release()

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    for _ in urls:
        if not pending.acquire(timeout=_PATIENCE_SECONDS) or answered.is_set():
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
