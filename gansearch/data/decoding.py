"""One image file becomes pixels: which formats are read, and what their colour modes become."""

from __future__ import annotations

import io
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

ENDINGS = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff"),
    ".webp",
)
GREY_MODES = ("1", "L", "LA", "La")
# Formats whose further frames are images of their own. A .jpg of a camera has a preview.
_WITH_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MAX_REASON = 100
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Grey by its colour mode, grey by all its pixels though it is stored as colour, or neither.
Kind = Literal["grey", "grey as colour", "colour"]


class UnreadableImageError(Exception):
    """A file can't be read as an image; the message says why in a few words."""


class DeepImageError(Exception):
    """A grey image has more than sixteen bits a pixel; the message is its mode."""


@dataclass(frozen=True)
class DecodedImage:
    """An image as it is seen.

    Attributes:
        pixels: `[height, width, channels]`, uint8, rotated as its EXIF data says; transparent
            areas are white. One channel if `kind` is "grey", else three.
        kind: whether it is grey, and how that is stored.
        has_more_frames: whether it is the first of several frames or pages.
        lost_metadata: whether it has metadata that can't be read, so that it may lie on its side.
        is_deep: whether it is grey with sixteen bits a pixel, of which eight are left.
    """

    pixels: np.ndarray
    kind: Kind
    has_more_frames: bool
    lost_metadata: bool
    is_deep: bool = False


def decode(path: Path) -> DecodedImage:
    """Read an image file.

    Raises:
        DeepImageError: it is grey, with more than sixteen bits a pixel.
        UnreadableImageError: it can't be read.
    """
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImageError("not a file")
        try:
            return _decode(path, lost_metadata=False)
        except (SyntaxError, ValueError, OSError, EOFError, struct.error):
            # Pillow gives up a PNG file whose metadata is damaged, though the pixels are not.
            if (content := _png_without_metadata(path)) is None:
                raise
            return _decode(io.BytesIO(content), lost_metadata=True)
    except (DeepImageError, UnreadableImageError):
        raise
    # Pillow's decoders raise many types of errors on damaged files.
    except Exception as error:
        raise UnreadableImageError(_reason(path, error)) from error


def is_image_by_content(path: Path) -> bool:
    """Return whether a file of any name begins like an image of a common format."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return True
    return start.startswith((_PNG_SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"))


def _decode(source: Path | io.BytesIO, *, lost_metadata: bool) -> DecodedImage:
    with Image.open(source) as image:
        has_more = image.format in _WITH_FRAMES and bool(getattr(image, "is_animated", False))
        is_deep = _is_deep(image)
        is_grey = is_deep or image.mode in GREY_MODES
        if is_deep and image.mode.startswith("I"):
            pixels = _reduced(image)
        else:
            pixels = np.asarray(on_white(image, "L" if is_grey else "RGB"))
        turn, is_broken = _turn(image)
    upright = pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))
    upright = upright.reshape(*upright.shape[:2], -1)
    kind: Kind = "colour"
    if is_grey:
        kind = "grey"
    elif (upright == upright[:, :, :1]).all():
        kind = "grey as colour"
    return DecodedImage(upright, kind, has_more, lost_metadata or is_broken, is_deep)


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image is grey with sixteen bits a pixel.

    Raises:
        DeepImageError: it has more, so that nobody knows what white is.
    """
    # Pillow gives 16 bits of a PGM as 32, on the scale of 16.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return True
    if image.mode == "F" or image.mode.startswith("I"):
        raise DeepImageError(image.mode)
    # Pillow gives grey with alpha of 16 bits as eight bits of red, green, blue and alpha.
    tiles = getattr(image, "tile", None)
    return bool(tiles and tiles[0][3] == "LA;16B")


def _reduced(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image of sixteen bits as eight, of which 65,535 is 255."""
    deep = np.asarray(image).astype(np.int64)
    pixels = ((deep + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    return np.where(deep == transparent, 255, pixels) if isinstance(transparent, int) else pixels


def on_white(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in another colour mode; transparent areas become white."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _turn(image: Image.Image) -> tuple[Image.Transpose | None, bool]:
    """Return how an image must be turned to stand upright, and whether it can't be told."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)), False
    except Exception:  # damaged EXIF data raises many types of errors
        return None, True


def _png_without_metadata(path: Path) -> bytes | None:
    """Return a PNG file with only the chunks that its pixels need; None if it isn't a whole one."""
    content = path.read_bytes()
    if not content.startswith(_PNG_SIGNATURE):
        return None
    kept, start, kind = [_PNG_SIGNATURE], len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(content):
            return None
        (length,) = struct.unpack_from(">I", content, start)
        kind = content[start + 4 : start + 8]
        if kind in _PNG_PIXELS:
            kept.append(content[start : start + length + 12])
        start += length + 12
    return b"".join(kept)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        return "an empty file" if path.stat().st_size == 0 else "no image of a known format"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."
