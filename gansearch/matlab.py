"""Arrays of numbers from MATLAB's MAT files, of versions 5 to 7.

SciPy's reader crashes the whole process on some damaged files; this one raises. The format is that
of MathWorks, "MAT-File Format" (R2019b), chapter 1: a header, then elements within elements.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

_HEADER_BYTES = 128
_HDF5 = 0x0200  # the version in the header of files of version 7.3
_MATRIX, _COMPRESSED = 14, 15
# What is stored (an element's type), and what it is to become (an array's class).
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_COMPLEX = 0x0800


def read_matlab(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Return those variables of the file among `names` that are arrays of real numbers.

    Raises:
        ValueError: the file is damaged, of version 7.3, or no MAT file.
    """
    content = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None:
        raise ValueError("its header is not that of a MAT file of version 5 or later")
    (version,) = struct.unpack_from(f"{order}H", content, 124)
    if version == _HDF5:
        raise ValueError("it is of version 7.3; in MATLAB, load it and save it again with -v7")
    arrays = {}
    for kind, element in _elements(content[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            try:
                inflated = memoryview(zlib.decompress(element))
            except zlib.error as error:
                raise ValueError(f"a variable can't be decompressed: {error}") from error
            kind, element = next(_elements(inflated, order), (0, inflated))
        found = _numbers(element, order, names) if kind == _MATRIX else None
        if found is not None:
            arrays[found[0]] = found[1]
    return arrays


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Return type and data of each element in turn."""
    at = 0
    while at < len(content):
        if len(content) - at < 8:
            raise ValueError("it ends within an element's first bytes")
        kind, n_bytes = struct.unpack_from(f"{order}II", content, at)
        start = at + 8
        if kind >> 16:  # a small one: type and size share a word, and the data has the next
            kind, n_bytes, start = kind & 0xFFFF, kind >> 16, at + 4
        if n_bytes > len(content) - start:
            raise ValueError(
                f"an element of {n_bytes:,} bytes begins where {len(content) - start:,} are left"
            )
        yield kind, content[start : start + n_bytes]
        n_used = start + n_bytes - at
        # All but compressed elements are filled up to a multiple of eight bytes.
        at += n_used if kind == _COMPRESSED else -(-n_used // 8) * 8


def _numbers(
    element: memoryview, order: str, names: Collection[str]
) -> tuple[str, np.ndarray] | None:
    """Return name and array of a variable, None where it is another or not one of numbers."""
    parts = _elements(element, order)
    header = [data for _, data in (next(parts, (0, element[:0])) for _ in range(3))]
    flags, dims, name = header
    text = bytes(name).decode("latin-1")
    if text not in names or len(flags) < 4:
        return None
    (word,) = struct.unpack_from(f"{order}I", flags)
    dtype = _CLASSES.get(word & 0xFF)
    if dtype is None or word & _COMPLEX:
        return None
    kind, data = next(parts, (0, element[:0]))
    stored = _TYPES.get(kind)
    if stored is None or len(data) % int(stored[1]) or len(dims) % 4:
        raise ValueError(f"{text}: its numbers are of no known type, or broken off")
    numbers = np.frombuffer(data, order + stored)
    shape = np.frombuffer(dims, f"{order}i4").tolist()
    if min(shape, default=-1) < 0 or math.prod(shape) != len(numbers):
        raise ValueError(f"{text}: {len(numbers):,} numbers, where the shape is {shape}")
    return text, numbers.reshape(shape, order="F").astype(dtype, order="C")
