"""A contact sheet: unpicked samples of many trainings on one page, a row a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.figures.points import point_panels
from gansearch.figures.style import VERMILION
from gansearch.figures.tiles import captioned, framed, image_tiles, mosaic, padded, text_block

_PAGE_PIXELS = 1200
_GAP, _CELL_GAP, _ROW_GAP = 2, 8, 10
_N_DOWN, _MOST_ACROSS = 2, 5  # images of a cell
_N_POINTS = 400
_LABEL_PIXELS, _LEAST_PIXELS = 11, 500
_BORDER, _BLANK_GREY = "#dddddd", 240
MOST_CELLS = 8  # in a row


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        label: below its samples.
        samples: `[n, d]`, as in `sample_grid`; None where there are none.
        is_sound: whether they have not collapsed; others are framed.
    """

    label: str
    samples: np.ndarray | None
    is_sound: bool = True


@dataclass(frozen=True)
class SheetRow:
    """One configuration, with a title above its trainings; at least one."""

    title: str
    cells: Sequence[Cell]


def n_in_cell(n_cells: int, dataset: Dataset) -> int:
    """Return how many samples of each training a row of so many trainings shows."""
    if not dataset.is_image:
        return _N_POINTS
    (tile,) = image_tiles(np.zeros((1, dataset.dim), np.float32), dataset)
    room = _PAGE_PIXELS // n_cells - _CELL_GAP - 2 * _GAP
    return _N_DOWN * max(1, min(_MOST_ACROSS, room // (len(tile[0]) + _GAP)))


def contact_sheet(rows: Sequence[SheetRow], dataset: Dataset, caption: str) -> Image.Image:
    """Draw the samples of all trainings: images in two lines each, points in a panel each.

    Args:
        rows: at least one; all samples of one number.
        dataset: the data set that they imitate.
        caption: below all of them.
    """
    most = max(len(row.cells) for row in rows)
    nothing = np.zeros((n_in_cell(most, dataset), dataset.dim), np.float32)
    blank = np.full_like(_block(nothing, dataset), _BLANK_GREY)
    drawn = [_row(row, dataset, blank) for row in rows]
    width = max(picture.shape[1] for picture in drawn)
    parts = [padded(picture, width, picture.shape[0] + _ROW_GAP) for picture in drawn]
    return captioned(np.concatenate(parts), caption)


def _row(row: SheetRow, dataset: Dataset, blank: np.ndarray) -> np.ndarray:
    cells = []
    for cell in row.cells:
        block = blank if cell.samples is None else _block(cell.samples, dataset)
        (bordered,) = framed(block[None], _BORDER if cell.is_sound else VERMILION)
        label = text_block(cell.label, bordered.shape[1], _LABEL_PIXELS)
        cells.append(np.concatenate([bordered, label]))
    height = max(len(cell) for cell in cells)
    beside = [padded(cell, cell.shape[1] + _CELL_GAP, height) for cell in cells]
    width = max(_LEAST_PIXELS, sum(cell.shape[1] for cell in beside))
    title = text_block(row.title, width)
    return np.concatenate([title, padded(np.concatenate(beside, axis=1), width)])


def _block(samples: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the samples of one training as a picture `[h, w, 3]`."""
    if not dataset.is_image:
        return np.concatenate(list(point_panels([samples], dataset)))
    return mosaic(image_tiles(samples, dataset), -(-len(samples) // _N_DOWN), _GAP)
