"""Pictures of unselected samples: grids, strips over a training, and interpolations."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from gansearch.artifacts import ConditionalSamples
from gansearch.data.dataset import Dataset
from gansearch.figures.points import path_picture, point_picture, point_tile
from gansearch.figures.style import ORANGE, SKY, evenly_spaced

_TILE_PIXELS = 48  # an image is drawn at least this high
_MAX_TILE_PIXELS = 96  # and at most this high and wide
_PAGE_PIXELS = 1200  # a grid is at most this wide
_FONT_PIXELS = 13
_FRAME, _GAP, _PAIR_GAP = 2, 2, 8
_MAX_STRIP = 20
_MAX_ROWS = 20  # of classes


def sample_grid(
    samples: np.ndarray,
    dataset: Dataset,
    *,
    nearest: np.ndarray | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draw all of `samples`, each with its nearest training image to its right if given.

    This is Figure 2 of Goodfellow et al. (2014), with a neighbour for each sample. Points are drawn
    over training points and the true modes instead, by their first two coordinates, and
    one-dimensional ones as a histogram.

    Args:
        samples: `[n, d]`, images as `Dataset.to_float` gives them, or points.
        dataset: the data set that they imitate.
        nearest: `[n, d]`, the training image that is nearest to each sample; ignored for points.
        columns: samples in a row of the grid; None for eight, or more if there are more than 64
            samples, but never more than fit on a page.
    """
    if not dataset.is_image:
        return point_picture(samples, dataset)
    tiles = _image_tiles(samples, dataset)
    caption = f"{len(samples):,} unpicked samples"
    if nearest is not None:
        neighbours = _framed(_image_tiles(nearest, dataset))
        tiles = np.concatenate([_framed(tiles, "white"), neighbours], axis=2)
        caption += ", each with its nearest training image (framed)"
    if columns is None:
        fitting = (_PAGE_PIXELS - _PAIR_GAP) // (tiles.shape[2] + _PAIR_GAP)
        columns = min(fitting, max(8, math.ceil(math.sqrt(len(samples)))))
    return _captioned(_mosaic(tiles, columns, _PAIR_GAP), caption)


def class_grid(conditional: ConditionalSamples, dataset: Dataset, columns: int = 10) -> Image.Image:
    """Draw `columns` unpicked samples of each class, a row each; of the first 20 classes.

    Args:
        conditional: makes samples of a class.
        dataset: of images, which they imitate.
        columns: samples of each class.
    """
    classes = conditional.classes[:_MAX_ROWS]
    rows = [conditional.samples(label, columns) for label in range(len(classes))]
    tiles = _image_tiles(np.concatenate(rows), dataset)
    caption = f"each row: unpicked samples of a class: {', '.join(classes)}"
    if len(classes) < len(conditional.classes):
        caption += f" (the first {len(classes)} of {len(conditional.classes):,})"
    return _captioned(_mosaic(tiles, columns, _GAP), caption)


def strip(samples_by_update: Sequence[np.ndarray], dataset: Dataset) -> Image.Image:
    """Draw samples of the same noise over a training, left to right.

    Args:
        samples_by_update: one `[n, d]` per evaluation, as in `sample_grid`; at least one. Of
            many, evenly spaced ones are drawn, always including the last.
        dataset: the data set that they imitate.
    """
    chosen = [samples_by_update[i] for i in evenly_spaced(len(samples_by_update), _MAX_STRIP)]
    if not dataset.is_image:
        tiles = np.stack([point_tile(samples, dataset) for samples in chosen])
        return _captioned(
            _mosaic(tiles, len(chosen), _GAP), "from the first evaluation to the last"
        )
    by_sample = np.stack(chosen, axis=1).reshape(-1, dataset.dim)
    tiles = _image_tiles(by_sample, dataset)
    caption = "from the first evaluation to the last; each row has the same noise"
    return _captioned(_mosaic(tiles, len(chosen), _GAP), caption)


def interpolation_picture(paths: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw the samples along straight lines in noise space, one row per line.

    This is Figure 3 of Goodfellow et al. (2014). Points are drawn as paths over training points, by
    their first two coordinates, and one-dimensional ones as curves over the position on the line.

    Args:
        paths: `[rows, steps, d]` as in `sample_grid`, each row from one unpicked sample to another.
        dataset: the data set that they imitate.
    """
    n_rows, n_steps, _ = paths.shape
    if not dataset.is_image:
        return path_picture(paths, dataset)
    tiles = _image_tiles(paths.reshape(n_rows * n_steps, -1), dataset)
    caption = "each row: a straight line in noise space between two unpicked samples"
    return _captioned(_mosaic(tiles, n_steps, _GAP), caption)


def completion_picture(
    examples: np.ndarray, visible: np.ndarray, completions: np.ndarray, dataset: Dataset
) -> Image.Image:
    """Draw images, what is visible of each, and completions of it, one row for each.

    Args:
        examples: `[n, d]`, as in `sample_grid`.
        visible: `[n, d]`, bool, which of their values are.
        completions: `[n, m, d]`.
        dataset: the data set that they are of.
    """
    n, m, dim = completions.shape
    tiles = _image_tiles(examples, dataset)
    shown = visible.reshape(-1, *dataset.shape)[..., 0]
    height, width = tiles.shape[1:3]
    rows = np.arange(height) * shown.shape[1] // height
    columns = np.arange(width) * shown.shape[2] // width
    hiding = np.array(ImageColor.getrgb(SKY), np.uint8)
    asked = np.where(shown[:, rows][:, :, columns][..., None], tiles, hiding)
    made = _image_tiles(completions.reshape(-1, dim), dataset).reshape(n, m, *tiles.shape[1:])
    ordered = np.concatenate([tiles[:, None], asked[:, None], made], axis=1)
    caption = "each row: a held-out image, what is visible of it, and unpicked completions"
    return _captioned(_mosaic(ordered.reshape(-1, *tiles.shape[1:]), m + 2, _GAP), caption)


def comparison_picture(groups: np.ndarray, dataset: Dataset, caption: str) -> Image.Image:
    """Draw images `[n, k, d]` with a caption below, the k of a group side by side.

    Images are as in `sample_grid`. As many groups are in a row as fit on eight columns.
    """
    n, k, _ = groups.shape
    tiles = _framed(_image_tiles(groups.reshape(n * k, -1), dataset), "white")
    side_by_side = np.concatenate(list(tiles.reshape(n, k, *tiles.shape[1:]).swapaxes(0, 1)), 2)
    return _captioned(_mosaic(side_by_side, max(1, 8 // k), _PAIR_GAP), caption)


def png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _image_tiles(images: np.ndarray, dataset: Dataset) -> np.ndarray:
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


def _framed(tiles: np.ndarray, colour: str = ORANGE) -> np.ndarray:
    n, height, width, _ = tiles.shape
    framed = np.empty((n, height + 2 * _FRAME, width + 2 * _FRAME, 3), np.uint8)
    framed[:] = ImageColor.getrgb(colour)
    framed[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = tiles
    return framed


def _mosaic(tiles: np.ndarray, columns: int, gap: int) -> np.ndarray:
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


def _captioned(picture: np.ndarray, caption: str) -> Image.Image:
    height, width, _ = picture.shape
    letters = max(12, int(width / (0.55 * _FONT_PIXELS)))
    lines = textwrap.wrap(caption, letters)
    image = Image.new("RGB", (width, height + len(lines) * (_FONT_PIXELS + 4) + 4), "white")
    image.paste(Image.fromarray(picture))
    font = ImageFont.load_default(_FONT_PIXELS)
    position = (_PAIR_GAP, height)
    ImageDraw.Draw(image).multiline_text(position, "\n".join(lines), "black", font, spacing=4)
    return image
