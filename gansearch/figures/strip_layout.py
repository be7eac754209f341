"""Where in the picture of a strip each evaluation stands: a PNG text, as JSON.

It is read for pages of reports, which otherwise need no library for pictures.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

# Its key in `Image.info` and in the text of a PNG file.
LAYOUT_KEY = "gansearch"
_KEYS = ("updates", "frames")

Frame = tuple[int, int, int, int]


@dataclass(frozen=True)
class StripLayout:
    """Where the frames of a strip stand in its picture.

    Attributes:
        size: width and height of the picture, in pixels.
        updates: of each frame, ascending.
        frames: left, top, width and height of each, in pixels: all samples of one evaluation.
    """

    size: tuple[int, int]
    updates: tuple[int, ...]
    frames: tuple[Frame, ...]


def layout_text(updates: Sequence[int], frames: Sequence[Frame]) -> str:
    """Return the text that `strip_layout` reads from a file."""
    return json.dumps(dict(zip(_KEYS, (updates, frames), strict=True)))


def strip_layout(png: bytes) -> StripLayout | None:
    """Return where the frames of a strip stand; None for older pictures and damaged files.

    Args:
        png: the content of `strip.png`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            size, text = image.size, image.info.get(LAYOUT_KEY)
        found: Any = json.loads(text) if isinstance(text, str) else None
    except Exception:  # damaged files raise many types of errors, and are only not shown
        return None
    updates, frames = (found.get(key) if isinstance(found, dict) else None for key in _KEYS)
    if not _are_counts(updates) or not isinstance(frames, list) or len(frames) != len(updates):
        return None
    if not all(_is_inside(frame, size) for frame in frames):
        return None
    return StripLayout(size, tuple(updates), tuple((f[0], f[1], f[2], f[3]) for f in frames))


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    if not isinstance(values, list) or not values:
        return False
    return all(type(value) is int and value >= 0 for value in values)


def _is_inside(frame: Any, size: tuple[int, int]) -> bool:
    if not _are_counts(frame) or len(frame) != 4:
        return False
    left, top, width, height = frame
    return width > 0 and height > 0 and left + width <= size[0] and top + height <= size[1]
