"""Images as tiles of a picture: enlarged, framed, laid out, and captioned."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from gansearch.data.dataset import Dataset
from gansearch.figures.style import GREY, ORANGE

_TILE_PIXELS = 48  # an image is drawn at least this high
_MAX_TILE_PIXELS = 96  # and at most this high and wide
_FONT_PIXELS = 13
_LABEL_PIXELS = 11
_TICK_PIXELS, _BAND_PIXELS = 3, 22  # of an axis
_FRAME = 2
_CAPTION_LEFT = 8
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def image_tiles(images: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, d]` as RGB tiles `[n, h, w, 3]`, large enough to see.

    Small ones are enlarged by an integer factor, so that their pixels stay square.
    """
    height, width, channels = dataset.shape
    pixels = (dataset.to_pixels(np.nan_to_num(images)) * 255).round().astype(np.uint8)
    tiles = pixels.reshape(-1, height, width, channels)
    if channels == 1:
        tiles = tiles.repeat(3, axis=3)
    side = max(height, width)
    if side > _MAX_TILE_PIXELS:
        size = [max(1, round(length * _MAX_TILE_PIXELS / side)) for length in (width, height)]
        return np.stack([_resized(tile, (size[0], size[1])) for tile in tiles])
    factor = max(1, min(-(-_TILE_PIXELS // height), _MAX_TILE_PIXELS // width))
    enlarged: np.ndarray = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    return enlarged


def _resized(tile: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS))


def framed(tiles: np.ndarray, colour: str = ORANGE) -> np.ndarray:
    """Return tiles `[n, h, w, 3]` with a frame of 2 pixels around each, `[n, h + 4, w + 4, 3]`."""
    n, height, width, _ = tiles.shape
    bordered = np.empty((n, height + 2 * _FRAME, width + 2 * _FRAME, 3), np.uint8)
    bordered[:] = ImageColor.getrgb(colour)
    bordered[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = tiles
    return bordered


def mosaic(tiles: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Lay out tiles `[n, h, w, 3]` row by row on white, `gap` pixels apart."""
    n, height, width, _ = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, tile in enumerate(tiles):
        top = gap + i // columns * (height + gap)
        left = gap + i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def with_axis(picture: np.ndarray, centres: Sequence[float], labels: Sequence[str]) -> np.ndarray:
    """Return a picture `[h, w, 3]` with ticks below and labels at as many of them as fit.

    The last tick always has its label.

    Args:
        picture: RGB.
        centres: of the ticks from the left, in pixels, evenly spaced.
        labels: of the ticks.
    """
    height, width, _ = picture.shape
    image = Image.new("RGB", (width, height + _BAND_PIXELS), "white")
    image.paste(Image.fromarray(picture))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_LABEL_PIXELS)
    pitch = centres[1] - centres[0] if len(centres) > 1 else width
    widest = max(font.getlength(label) for label in labels)
    step = max(1, math.ceil((widest + _CAPTION_LEFT) / pitch))
    for i, (x, label) in enumerate(zip(centres, labels, strict=True)):
        draw.line((x, height, x, height + _TICK_PIXELS - 1), GREY)
        if (len(labels) - 1 - i) % step == 0:
            half = font.getlength(label) / 2
            middle = min(max(x, half), width - half)
            draw.text((middle, height + _TICK_PIXELS + 1), label, "black", font, anchor="ma")
    return np.asarray(image)


def with_label(picture: Image.Image, label: str) -> Image.Image:
    """Return a picture with a line below it; as it is if the line is empty."""
    return captioned(np.asarray(picture), label) if label else picture


def captioned(picture: np.ndarray, caption: str) -> Image.Image:
    """Return a picture `[h, w, 3]` with a caption below, in as many lines as it takes."""
    return Image.fromarray(np.concatenate([picture, text_block(caption, picture.shape[1])]))


def text_block(text: str, width: int, font_pixels: int = _FONT_PIXELS) -> np.ndarray:
    """Return a text in lines as a picture `[h, width, 3]`."""
    font = ImageFont.load_default(font_pixels)
    lines = _lines(text, width - 2 * _CAPTION_LEFT, font)
    image = Image.new("RGB", (width, len(lines) * (font_pixels + 4) + 4), "white")
    position = (_CAPTION_LEFT, 0)
    ImageDraw.Draw(image).multiline_text(position, "\n".join(lines), "black", font, spacing=4)
    return np.asarray(image)


def _lines(text: str, width: int, font: _Font) -> list[str]:
    """Break a text into lines of at most so many pixels, or of few letters where that is little."""
    letters = max(12, int(1.2 * width * len(text) / max(1.0, font.getlength(text))))
    lines = textwrap.wrap(text, letters)
    while letters > 4 and max(map(font.getlength, lines), default=0) > width:
        letters -= 1
        lines = textwrap.wrap(text, letters)
    return lines


def padded(picture: np.ndarray, width: int, height: int = 0) -> np.ndarray:
    """Return a picture `[h, w, 3]` with white to its right and below, of at least this size."""
    right, below = max(0, width - picture.shape[1]), max(0, height - picture.shape[0])
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=255)
