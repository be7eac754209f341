"""Pictures of samples that are points, by their first two coordinates, over the training points."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from gansearch.data.dataset import Dataset
from gansearch.figures.figure1 import x_grid
from gansearch.figures.style import BLUE, GREY, SKY, VERMILION, figure_png, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_PIXELS = 144  # of a panel of many, a multiple of the bins
_N_BINS = 36
_MAX_POINTS = 5000
_MAX_PANEL_POINTS = 2000  # of training
_Box = tuple[np.ndarray, np.ndarray]  # its corners, `[2]` each


def point_panels(
    sets: Sequence[np.ndarray], dataset: Dataset, side: int = PANEL_PIXELS
) -> np.ndarray:
    """Draw sets of points `[n, d]`, each in a panel over the training points and the true modes.

    Dots are translucent, so that dense places are darker. One-dimensional points become densities,
    of which a peak above twice the highest of the training points is cut off. Points outside the
    training data's box, widened by a fifth, are not seen.

    Returns:
        `[n_sets, side, side, 3]`, RGB, uint8.
    """
    box = _training_box(dataset)
    train = dataset.train[:: max(1, len(dataset.train) // _MAX_PANEL_POINTS)]
    if dataset.dim == 1:
        panels = [_density_panel(points[:, 0], train[:, 0], box, side) for points in sets]
    else:
        paper = _paper(train, dataset.modes, box, side)
        panels = [_dotted(paper, points, box, BLUE, 0.45) for points in sets]
    return np.stack(panels).round().astype(np.uint8)


def _paper(train: np.ndarray, modes: np.ndarray | None, box: _Box, side: int) -> np.ndarray:
    """Return a panel `[side, side, 3]` with training points, and the modes as rings."""
    blank = np.full((side, side, 3), 255.0)
    paper = _dotted(blank, train, box, GREY, 0.12)
    if modes is None:
        return paper
    image = Image.fromarray(paper.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for x, y in _pixels(modes, box, side):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), outline=VERMILION)
    return np.asarray(image, np.float64)


def _dotted(
    paper: np.ndarray, points: np.ndarray, box: _Box, colour: str, alpha: float
) -> np.ndarray:
    """Return a panel with a translucent dot of 3 by 3 pixels at each of the points `[n, d]`."""
    side = len(paper)
    x, y = _pixels(points, box, side).round().astype(int).T
    counts = np.zeros((side, side))
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            column, row = x + right, y + down
            inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
            np.add.at(counts, (row[inside], column[inside]), 1)
    return _blended(paper, colour, 1 - (1 - alpha) ** counts)


def _density_panel(points: np.ndarray, train: np.ndarray, box: _Box, side: int) -> np.ndarray:
    """Return a panel `[side, side, 3]` of the density of points `[n]` over that of training."""
    edges = np.linspace(box[0][0], box[1][0], _N_BINS + 1)
    real, made = (np.histogram(x, edges)[0] / max(1, len(x)) for x in (train, points))
    panel = np.full((side, side, 3), 255.0)
    bins = np.arange(side) * _N_BINS // side
    above_floor = side - 1 - np.arange(side)[:, None]
    for shares, colour, alpha in ((real, GREY, 0.5), (made, BLUE, 0.5)):
        heights = shares / max(2 * real.max(), 1e-12) * side
        panel = _blended(panel, colour, alpha * (above_floor < heights[bins]))
    return panel


def _blended(panel: np.ndarray, colour: str, alpha: np.ndarray) -> np.ndarray:
    """Return a panel `[h, w, 3]` under a colour of the opacities `[h, w]`."""
    opacity = alpha[..., None]
    blended: np.ndarray = panel * (1 - opacity) + np.array(ImageColor.getrgb(colour)) * opacity
    return blended


def _pixels(points: np.ndarray, box: _Box, side: int) -> np.ndarray:
    """Return the positions of points `[n, d]` on a panel, `[n, 2]`, clipped to outside it."""
    low, high = box
    share = (_first_two(np.nan_to_num(points)) - low) / (high - low)
    share[:, 1] = 1 - share[:, 1]
    pixels: np.ndarray = share.clip(-0.5, 1.5) * side
    return pixels


def _first_two(points: np.ndarray) -> np.ndarray:
    """Return the first two coordinates of points `[n, d]`; the second is 0 where d is 1."""
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    return points[:, :2].astype(np.float64)


def _training_box(dataset: Dataset) -> _Box:
    """Return the corners of the training data's box, each `[2]`, widened by a fifth."""
    points = _first_two(dataset.train)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.2 * (high - low), 1.0)
    return low - margin, high + margin


def point_picture(samples: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw points `[n, d]` over training points and modes, or a histogram where d is 1."""
    low, high = _training_box(dataset)
    train = _thinned_training(dataset)
    if samples.shape[1] == 1:
        figure, axes = new_figure(6, 4)
        _draw_histograms(axes, samples[:, 0], train[:, 0], low[0], high[0])
    else:
        figure, axes = new_figure(6, 6)
        _draw_scatter(axes, samples, train, dataset.modes)
        _name_columns(axes, samples.shape[1])
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    drawn = _first_two(samples)
    n_outside = int((~((drawn >= low) & (drawn <= high)).all(axis=1)).sum())
    outside = f", {n_outside:,} of them outside the frame" if n_outside else ""
    kind = _kind(dataset)
    axes.set_title(f"{len(samples):,} unpicked {kind}samples{outside}", fontsize=10, loc="left")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return Image.open(io.BytesIO(figure_png(figure))).convert("RGB")


def _name_columns(axes: Axes, n_columns: int) -> None:
    """Say which columns are drawn, where there are more."""
    if n_columns > 2:
        axes.set(xlabel=f"first of {n_columns} columns", ylabel="second column")


def _kind(dataset: Dataset) -> str:
    return "standardised " if dataset.units is not None else ""


def _thinned_training(dataset: Dataset) -> np.ndarray:
    return dataset.train[:: max(1, len(dataset.train) // _MAX_POINTS)]


def path_picture(paths: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw paths `[rows, steps, d]` over training points, or as curves where d is 1."""
    low, high = _training_box(dataset)
    if paths.shape[2] == 1:
        figure, axes = new_figure(6, 4)
        _draw_lines(axes, paths[:, :, 0])
        axes.set(ylim=x_grid(dataset)[[0, -1]])
    else:
        figure, axes = new_figure(6, 6)
        _draw_paths(axes, paths, _thinned_training(dataset), dataset.modes)
        _name_columns(axes, paths.shape[2])
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_title(
        f"{len(paths)} straight lines in noise space between unpicked {_kind(dataset)}samples, "
        "in equal steps:\ndots far apart mark a jump",
        fontsize=10,
        loc="left",
    )
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return Image.open(io.BytesIO(figure_png(figure))).convert("RGB")


def _draw_lines(axes: Axes, paths: np.ndarray) -> None:
    """Draw one-dimensional paths `[rows, steps]` over the position between their ends, 0 to 1."""
    position = np.linspace(0, 1, paths.shape[1])
    axes.plot(position, paths.T, ".-", color=BLUE, alpha=0.6, linewidth=1, markersize=2)
    ends = np.stack([np.repeat([0, 1], len(paths)), paths[:, [0, -1]].T.ravel()])
    axes.plot(*ends, "o", color=VERMILION, markersize=4, label="samples")
    axes.set(xlabel="position along the line in noise space", ylabel="x", xlim=(-0.02, 1.02))


def _draw_paths(axes: Axes, paths: np.ndarray, train: np.ndarray, modes: np.ndarray | None) -> None:
    _draw_scatter(axes, paths[:, [0, -1]].reshape(-1, paths.shape[2]), train, modes)
    for i, path in enumerate(paths):
        x, y = _first_two(path).T
        label = "along the lines" if i == 0 else None
        axes.plot(x, y, ".-", color=SKY, linewidth=1, markersize=3, zorder=0.9, label=label)


def _draw_histograms(
    axes: Axes, samples: np.ndarray, train: np.ndarray, low: float, high: float
) -> None:
    edges = np.linspace(low, high, 61).tolist()
    axes.hist(train, edges, density=True, color=GREY, label="training points")
    axes.hist(samples, edges, density=True, histtype="step", color=BLUE, label="samples")
    axes.set(xlabel="x", ylabel="density", xlim=(low, high))


def _draw_scatter(
    axes: Axes, samples: np.ndarray, train: np.ndarray, modes: np.ndarray | None
) -> None:
    x, y = _first_two(train).T
    axes.scatter(x, y, s=4, color="#cccccc", label="training points")
    x, y = _first_two(samples).T
    axes.scatter(x, y, s=9, color=BLUE, alpha=0.5, linewidths=0, label="samples")
    if modes is not None:
        x, y = _first_two(modes).T
        axes.scatter(x, y, s=90, marker="+", color=VERMILION, label="modes")
