"""Strips: samples of the same noise over a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.figures.points import PANEL_PIXELS, point_panels
from gansearch.figures.strip_layout import LAYOUT_KEY, Frame, layout_text
from gansearch.figures.style import evenly_spaced, short_count
from gansearch.figures.tiles import captioned, image_tiles, mosaic, padded, with_axis

_MAX_FRAMES = 20
_PANELS_IN_A_ROW = 7
_OVERVIEW_PIXELS = 360
_BORDER_GREY = 221
_GAP = 2
_LEAST_PIXELS = 400  # of the width, so that a caption of few frames stands in few lines
_N_IMAGES, _N_POINTS = 8, 400
_MAX_VALUES = 2**15  # of an evaluation, which every checkpoint holds


def strip_size(dataset: Dataset) -> int:
    """Return how many samples of each evaluation a strip of this data shows."""
    if dataset.is_image:
        return _N_IMAGES
    return max(_N_IMAGES, min(_N_POINTS, _MAX_VALUES // dataset.dim))


def strip(
    samples_by_update: Sequence[np.ndarray], updates: Sequence[int], dataset: Dataset
) -> Image.Image:
    """Draw samples of the same noise over a training, left to right, above an axis of updates.

    Images have a column an evaluation; points a panel, in rows. The picture's layout is in its
    `info`, and `samples.png` writes it to the file, where `strip_layout` finds it.

    Args:
        samples_by_update: one `[n, d]` per evaluation, as in `sample_grid`; at least one. Of
            many, evenly spaced ones are drawn, always including the last.
        updates: of each evaluation.
        dataset: the data set that they imitate.
    """
    chosen = evenly_spaced(len(samples_by_update), _MAX_FRAMES)
    drawn = [samples_by_update[i] for i in chosen]
    shown = [int(updates[i]) for i in chosen]
    labels = [short_count(n) for n in shown]
    draw = _columns if dataset.is_image else _panels
    picture, frames = draw(drawn, labels, dataset)
    image = captioned(
        padded(picture, _LEAST_PIXELS), _caption(drawn, len(samples_by_update), dataset)
    )
    image.info[LAYOUT_KEY] = layout_text(shown, frames)
    return image


def _columns(
    drawn: Sequence[np.ndarray], labels: Sequence[str], dataset: Dataset
) -> tuple[np.ndarray, list[Frame]]:
    """Draw images, a column an evaluation and a row a noise; return where each column stands."""
    n = len(drawn)
    tiles = image_tiles(np.stack(drawn, axis=1).reshape(-1, dataset.dim), dataset)
    height, width = tiles.shape[1:3]
    picture = mosaic(tiles, n, _GAP)
    lefts = [_GAP + i * (width + _GAP) for i in range(n)]
    column = (width, len(drawn[0]) * (height + _GAP) - _GAP)
    frames = [(left, _GAP, *column) for left in lefts]
    return with_axis(picture, [left + width / 2 for left in lefts], labels), frames


def _panels(
    drawn: Sequence[np.ndarray], labels: Sequence[str], dataset: Dataset
) -> tuple[np.ndarray, list[Frame]]:
    """Draw points, a panel an evaluation, in rows; return where each panel stands."""
    panels = _bordered(point_panels(drawn, dataset))
    n_rows = -(-len(drawn) // _PANELS_IN_A_ROW)
    n_columns = -(-len(drawn) // n_rows)
    lefts = [_GAP + i * (PANEL_PIXELS + _GAP) for i in range(n_columns)]
    rows: list[np.ndarray] = []
    frames: list[Frame] = []
    for start in range(0, len(drawn), n_columns):
        row = panels[start : start + n_columns]
        centres = [left + PANEL_PIXELS / 2 for left in lefts[: len(row)]]
        top = sum(len(each) for each in rows) + _GAP
        frames += [(left, top, PANEL_PIXELS, PANEL_PIXELS) for left in lefts[: len(row)]]
        picture = with_axis(mosaic(row, len(row), _GAP), centres, labels[start : start + n_columns])
        rows.append(padded(picture, lefts[-1] + PANEL_PIXELS + _GAP))
    return np.concatenate(rows), frames


def _bordered(panels: np.ndarray) -> np.ndarray:
    """Return panels `[n, h, w, 3]` with a line of one pixel around each, within its size."""
    inside = panels[:, 1:-1, 1:-1]
    return np.pad(inside, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=_BORDER_GREY)


def _caption(drawn: Sequence[np.ndarray], n_evaluations: int, dataset: Dataset) -> str:
    n = len(drawn[0])
    what = "unpicked samples of the same noise, a row each"
    if not dataset.is_image:
        what = _content(n, dataset)
    which = "each evaluation"
    if len(drawn) < n_evaluations:
        which = f"{len(drawn)} of {n_evaluations:,} evaluations"
    return f"{what}; below: the updates at {which}"


def _content(n: int, dataset: Dataset) -> str:
    """Say what a panel shows of n points."""
    if dataset.dim == 1:
        return f"density of {n:,} unpicked samples (blue) over the training points (grey)"
    columns = "" if dataset.dim == 2 else f"first two of {dataset.dim:,} columns: "
    modes = "" if dataset.modes is None else "; rings: the modes"
    return f"{columns}{n:,} unpicked samples (blue) over training points (grey){modes}"


def points_overview(samples: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw points `[n, d]` in one panel like those of a strip, but larger; without Matplotlib."""
    panel = _bordered(point_panels([samples], dataset, _OVERVIEW_PIXELS))
    return captioned(mosaic(panel, 1, _GAP), _content(len(samples), dataset))
