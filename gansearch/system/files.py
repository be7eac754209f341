"""Files that appear whole or not at all, and that tell when they were changed since.

A file is written aside, flushed to the disk and renamed, so that a kill or a loss of power leaves
the old content or the new one. What is read back carries a seal: a checksum of all its bytes, put
where its format has room for a word, which tells what a disk has garbled from what was written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from gansearch.errors import StorageError
from gansearch.system.object_store import STORE_REMEDY, AnyPath, RemotePath

_MARK = b"blake2b:"
_BLANK = _MARK + b"0" * 32
# What a writer puts where the seal is to be; `sealed` fills it in.
BLANK_SEAL = _BLANK.decode()
_SEAL = re.compile(rb"blake2b:[0-9a-f]{32}")


def write_atomically(path: AnyPath, data: bytes) -> None:
    """Write `data` to `path` so that the old or the new content is there whole, whatever happens.

    Folders on the way are made.

    Raises:
        StorageError: the place isn't writable or the disk is full; the old content is intact.
    """
    if isinstance(path, RemotePath):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise unwritable(path, error) from error
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        # Where the folder is none, there is nothing to remove either.
        with suppress(OSError):
            aside.unlink()
        raise unwritable(path, error) from error


def unwritable(path: AnyPath, error: OSError) -> StorageError:
    """Return the error that says why `path` can't be written, and what would mend it."""
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
    """Return `data` with the checksum of all of it in place of its `BLANK_SEAL`."""
    start = data.rindex(_BLANK)
    return data[:start] + _seal_of(data) + data[start + len(_BLANK) :]


def fault_of_seal(data: bytes) -> str | None:
    """Return what is wrong with sealed `data`; None where nothing is, or where it has no seal."""
    start = data.rfind(_MARK)
    if start < 0:
        return None
    if not (found := _SEAL.match(data, start)):
        return "its checksum is none"
    blank = data[:start] + _BLANK + data[found.end() :]
    return None if _seal_of(blank) == found[0] else "its checksum doesn't fit its content"


def set_aside(path: AnyPath) -> AnyPath:
    """Rename a damaged file, out of the way and kept; return its new path.

    An underscore hides it from those who read a folder as one data set.
    """
    aside = path.with_name(f"_{path.name}.damaged")
    n = 1
    while aside.exists():
        n += 1
        aside = path.with_name(f"_{path.name}.damaged-{n}")
    try:
        path.rename(aside)  # type: ignore[arg-type]  # both of one kind
    except OSError as error:
        raise unwritable(aside, error) from error
    return aside


def _seal_of(blank: bytes) -> bytes:
    return _MARK + hashlib.blake2b(blank, digest_size=16).hexdigest().encode()


def _room(folder: Path) -> str:
    """Return in words how much room the file system of `folder` has, as far as it is known."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "Nothing is known of its file system."
    mount = folder.resolve()
    while not mount.is_mount():
        mount = mount.parent
    return f"The file system at {mount} has {free:,} bytes free."


def _flush_folder(path: Path) -> None:
    """Make a renaming in a folder last through a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, which its library reads from files alone."""
    # Eight bytes of header length, then the header as JSON.
    size = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return metadata
