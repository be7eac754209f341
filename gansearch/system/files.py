"""Atomic writes, and files that carry their own checksum.

A file is written under a temporary name, flushed to the disk and renamed, so that a kill or a loss
of power leaves the old content or the new one. Files that are read back carry a seal: a checksum
of all their bytes, in a field that their format allows, which reveals later damage.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from gansearch.errors import StorageError
from gansearch.system.object_store import STORE_REMEDY, AnyPath, RemotePath

_MARK = b"blake2b:"
_BLANK = _MARK + b"0" * 32
# The placeholder that a writer puts into the file; `sealed` replaces it by the checksum.
BLANK_SEAL = _BLANK.decode()
_SEAL = re.compile(rb"blake2b:[0-9a-f]{32}")


def write_atomically(path: AnyPath, data: bytes) -> None:
    """Write `data` to `path` atomically: a crash leaves the old or the new content, whole.

    Missing parent folders are created.

    Raises:
        StorageError: the folder isn't writable or the disk is full; the old content is intact.
    """
    if isinstance(path, RemotePath):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise unwritable(path, error) from error
        return
    save_atomically(path, lambda file: file.write(data))


def save_atomically(path: Path, save: Callable[[BinaryIO], Any]) -> None:
    """Let `save` write `path` atomically: a crash leaves the old or the new content, whole.

    Missing parent folders are created.

    Raises:
        StorageError: as `write_atomically`.
    """
    # Of a long name only a part, so that the name aside isn't too long.
    aside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        # Without the folder there is nothing to remove either.
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def unwritable(path: AnyPath, error: OSError) -> StorageError:
    """Return the error that says why `path` can't be written, and the remedy."""
    where = f"{path}: can't be written: {error.strerror or error}."
    if isinstance(path, RemotePath):
        return StorageError(f"{where} What was there before is kept. {STORE_REMEDY}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{where} {_room(path.parent)} What was there before is kept. Make room."
        )
    return StorageError(
        f"{where} What was there before is kept. Make the folder writable, or use another."
    )


def sealed(data: bytes) -> bytes:
    """Return `data` with its checksum in place of the last `BLANK_SEAL`."""
    start = data.rindex(_BLANK)
    return data[:start] + _seal_of(data) + data[start + len(_BLANK) :]


def fault_of_seal(data: bytes) -> str | None:
    """Return what is wrong with sealed `data`; None if it is intact or has no seal."""
    start = data.rfind(_MARK)
    if start < 0:
        return None
    if not (found := _SEAL.match(data, start)):
        return "its checksum is malformed"
    blank = data[:start] + _BLANK + data[found.end() :]
    return None if _seal_of(blank) == found[0] else "its checksum doesn't fit its content"


def set_aside(path: AnyPath) -> AnyPath:
    """Rename a damaged file, so that it is kept but no longer read; return its new path.

    The underscore hides it from programs that read a folder as one Parquet data set.
    """
    aside = path.with_name(f"_{path.name}.damaged")
    n = 1
    while aside.exists():
        n += 1
        aside = path.with_name(f"_{path.name}.damaged-{n}")
    try:
        path.rename(aside)  # type: ignore[arg-type]  # both are of one type
    except OSError as error:
        raise unwritable(aside, error) from error
    return aside


def _seal_of(blank: bytes) -> bytes:
    return _MARK + hashlib.blake2b(blank, digest_size=16).hexdigest().encode()


def _room(folder: Path) -> str:
    """Return a sentence with the free space of the file system of `folder`, if it is known."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "The free space of its file system is unknown."
    mount = folder.resolve()
    while not mount.is_mount():
        mount = mount.parent
    return f"The file system at {mount} has {free:,} bytes free."


def _flush_folder(path: Path) -> None:
    """Flush a folder to the disk, so that a rename in it survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file from its bytes; the library reads only paths."""
    # Eight bytes of header length, then the header as JSON.
    size = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return metadata
