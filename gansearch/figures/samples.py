"""Pictures of unselected samples: grids, interpolations, completions."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo

from gansearch.artifacts import ConditionalSamples
from gansearch.data.dataset import Dataset
from gansearch.figures.points import path_picture, point_picture
from gansearch.figures.strip_layout import LAYOUT_KEY
from gansearch.figures.style import BLUE, GREY, SKY
from gansearch.figures.tiles import captioned, framed, image_tiles, mosaic

_PAGE_PIXELS = 1200  # a grid is at most this wide
_GAP, _PAIR_GAP = 2, 8
_BAND_PIXELS, _BAND_GAP, _BAR_PIXELS = 42, 14, 10  # under a row of an interpolation
_MAX_ROWS = 20  # of classes


def sample_grid(
    samples: np.ndarray,
    dataset: Dataset,
    *,
    nearest: np.ndarray | None = None,
    n_compared: int | None = None,
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
        n_compared: among how many training images it was sought; None for all.
        columns: samples in a row of the grid; None for eight, or more if there are more than 64
            samples, but never more than fit on a page.
    """
    if not dataset.is_image:
        return point_picture(samples, dataset)
    tiles = image_tiles(samples, dataset)
    caption = f"{len(samples):,} unpicked samples"
    if nearest is not None:
        neighbours = framed(image_tiles(nearest, dataset))
        tiles = np.concatenate([framed(tiles, "white"), neighbours], axis=2)
        among = "training image"
        if n_compared is not None:
            among = f"of {n_compared:,} of the {len(dataset.train):,} training images"
        caption += f", each with its nearest {among} (framed)"
    if columns is None:
        fitting = (_PAGE_PIXELS - _PAIR_GAP) // (tiles.shape[2] + _PAIR_GAP)
        columns = min(fitting, max(8, math.ceil(math.sqrt(len(samples)))))
    return captioned(mosaic(tiles, columns, _PAIR_GAP), caption)


def class_grid(conditional: ConditionalSamples, dataset: Dataset, columns: int = 10) -> Image.Image:
    """Draw `columns` unpicked samples of each class, a row each; of the first 20 classes.

    Args:
        conditional: makes samples of a class.
        dataset: of images, which they imitate.
        columns: samples of each class.
    """
    classes = conditional.classes[:_MAX_ROWS]
    rows = [conditional.samples(label, columns) for label in range(len(classes))]
    tiles = image_tiles(np.concatenate(rows), dataset)
    caption = f"each row: unpicked samples of a class: {', '.join(classes)}"
    if len(classes) < len(conditional.classes):
        caption += f" (the first {len(classes)} of {len(conditional.classes):,})"
    return captioned(mosaic(tiles, columns, _GAP), caption)


def interpolation_picture(
    paths: np.ndarray, dataset: Dataset, *, unit: float | None = None
) -> Image.Image:
    """Draw the samples along straight lines in noise space, one row per line.

    With a `unit`, bars under a row of images say how far each step moves, beside a line at one
    unit: a jump between two modes is a bar that is higher than its neighbours.

    This is Figure 3 of Goodfellow et al. (2014). Points are drawn as paths over training points, by
    their first two coordinates, and one-dimensional ones as curves over the position on the line.

    Args:
        paths: `[rows, steps, d]` as in `sample_grid`, each row from one unpicked sample to another.
        dataset: the data set that they imitate.
        unit: of distances between images (L2): how far a new real one lies from its nearest
            training image; None for no bars.
    """
    n_rows, n_steps, _ = paths.shape
    if not dataset.is_image:
        return path_picture(paths, dataset)
    tiles = image_tiles(paths.reshape(n_rows * n_steps, -1), dataset)
    caption = "each row: a straight line in noise space between two unpicked samples"
    if not unit:
        return captioned(mosaic(tiles, n_steps, _GAP), caption)
    steps = np.linalg.norm(np.diff(np.nan_to_num(paths), axis=1), axis=2) / unit
    scale = max(1.25, float(steps.max()))
    rows = []
    for row, moved in zip(tiles.reshape(n_rows, n_steps, *tiles.shape[1:]), steps, strict=True):
        rows += [
            mosaic(row, n_steps, _GAP)[:-_GAP],
            _bars(moved / scale, 1 / scale, tiles.shape[2]),
        ]
    caption += (
        ". Bars: how far each step moves, at most "
        f"{steps.max():.2g} times as far as the grey line, the median distance from a new real "
        "image to its nearest training image. A bar much higher than those beside it is a jump "
        "between modes"
    )
    return captioned(np.concatenate(rows), caption)


def _bars(shares: np.ndarray, line: float, width: int) -> np.ndarray:
    """Draw a bar between each two images of a row, `width` pixels wide.

    Args:
        shares: of the height, `[n_steps - 1]`.
        line: where a line is drawn, a share of the height.
        width: of an image, in pixels.

    Returns:
        `[h, w, 3]`, as wide as the row.
    """
    pitch = width + _GAP
    band = np.full((_BAND_PIXELS + _GAP, (len(shares) + 1) * pitch + _GAP, 3), 255, np.uint8)
    floor = _BAND_PIXELS - _BAND_GAP
    band[floor - round(line * (floor - _GAP)), :] = ImageColor.getrgb(GREY)
    band[floor, :] = ImageColor.getrgb("#dddddd")
    for i, share in enumerate(shares):
        middle = (i + 1) * pitch + _GAP // 2
        top = floor - round(float(share) * (floor - _GAP))
        band[top:floor, middle - _BAR_PIXELS // 2 : middle + _BAR_PIXELS // 2] = ImageColor.getrgb(
            BLUE
        )
    return band


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
    tiles = image_tiles(examples, dataset)
    shown = visible.reshape(-1, *dataset.shape)[..., 0]
    height, width = tiles.shape[1:3]
    rows = np.arange(height) * shown.shape[1] // height
    columns = np.arange(width) * shown.shape[2] // width
    hiding = np.array(ImageColor.getrgb(SKY), np.uint8)
    asked = np.where(shown[:, rows][:, :, columns][..., None], tiles, hiding)
    made = image_tiles(completions.reshape(-1, dim), dataset).reshape(n, m, *tiles.shape[1:])
    ordered = np.concatenate([tiles[:, None], asked[:, None], made], axis=1)
    caption = "each row: a held-out image, what is visible of it, and unpicked completions"
    return captioned(mosaic(ordered.reshape(-1, *tiles.shape[1:]), m + 2, _GAP), caption)


def comparison_picture(groups: np.ndarray, dataset: Dataset, caption: str) -> Image.Image:
    """Draw images `[n, k, d]` with a caption below, the k of a group side by side.

    Images are as in `sample_grid`. As many groups are in a row as fit on eight columns.
    """
    n, k, _ = groups.shape
    tiles = framed(image_tiles(groups.reshape(n * k, -1), dataset), "white")
    side_by_side = np.concatenate(list(tiles.reshape(n, k, *tiles.shape[1:]).swapaxes(0, 1)), 2)
    return captioned(mosaic(side_by_side, max(1, 8 // k), _PAIR_GAP), caption)


def png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file, with its layout as text if it has one."""
    text = PngInfo()
    if LAYOUT_KEY in image.info:
        text.add_text(LAYOUT_KEY, image.info[LAYOUT_KEY])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()
