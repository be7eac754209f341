"""The standard streams of a process, made fit for whatever it was started with."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

_NAMES = {1: "standard output", 2: "standard error"}


def prepare_standard_streams() -> None:
    """Make `sys.stdout` and `sys.stderr` usable, and leave none of descriptors 0, 1 and 2 closed.

    A character that the encoding lacks is written as `\\xe9`, and a descriptor that doesn't block,
    as a parent process may leave it, is waited for. What can't be written raises an OSError that
    has the stream's name.
    """
    occupy_closed_descriptors()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _prepared(sys.stdout, 1), _prepared(sys.stderr, 2)


def forget_impossible_size() -> None:
    """Drop a size of the terminal from the environment that rich takes for a number and isn't."""
    for name in ("COLUMNS", "LINES"):
        text = os.environ.get(name, "1")
        if not text.isascii() or not text.isdigit() or int(text) == 0:
            del os.environ[name]


def occupy_closed_descriptors() -> None:
    """Open the null device as descriptors 0, 1 and 2, where they are closed.

    Otherwise the next file that is opened gets such a number, and Ray and C libraries write their
    messages into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def discard_unwritten(stream: TextIO) -> None:
    """Flush a stream; if that fails, drop what it holds, which would fail again at exit."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


class _PatientFile(io.FileIO):
    """A descriptor that is waited for where it doesn't block; its errors have a name."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)

    def write(self, data: Any) -> int:
        written: int | None
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            raise OSError(error.errno, error.strerror, _NAMES[self.fileno()]) from None
        return written


def _prepared(stream: Any, descriptor: int) -> Any:
    """Return a stream to the descriptor, as `stream` was; one of another kind as it is."""
    if stream is not None and not _is_plain(stream, descriptor):
        return stream
    binary: Any = _PatientFile(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(binary),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=stream.line_buffering if stream else True,
        write_through=stream.write_through if stream else False,
    )


def _is_plain(stream: Any, descriptor: int) -> bool:
    """Return whether a stream is what Python makes of a descriptor, not what tests replace it by"""
    if type(stream) is not io.TextIOWrapper:
        return False
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return type(raw) is io.FileIO and raw.fileno() == descriptor
