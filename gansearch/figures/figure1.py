"""Figure 1 of Goodfellow et al. (2014): densities, D and G of a training on one-dimensional data.

A trial keeps a few snapshots from its start to its end, one per panel of the picture: D over the
range of the data, samples, and G(z) of evenly spaced z.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.figures.style import BLACK, BLUE, DPI, GREEN, GREY, VERMILION, figure_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_N_PANELS = 6
_N_GRID = 200
_N_ESTIMATE = 10_000  # training points from which an unknown density is estimated
_PANELS_IN_A_ROW = 3
_LEAST_DENSITY = 0.03  # share of the greatest below which the optimal D is noise


@dataclass(frozen=True)
class Snapshot:
    """What a panel shows of a training at one evaluation.

    Attributes:
        updates: parameter updates done by then.
        d: D(x) over `x_grid`, `[n_grid]`, in [0, 1], without dropout.
        samples: `[n]`.
        arrows: G(z) of evenly spaced z, `[n_arrows]`; empty where noise has several dimensions, NaN
            while z is not yet an input of G (`pretraining`).
    """

    updates: int
    d: np.ndarray
    samples: np.ndarray
    arrows: np.ndarray


def x_grid(dataset: Dataset) -> np.ndarray:
    """Return the x at which D is drawn, `[n_grid]`, float32: the data's range and a third more."""
    low, high = np.quantile(dataset.train[:, 0], [0.001, 0.999])
    margin = (high - low) / 3 or 1.0
    return np.linspace(low - margin, high + margin, _N_GRID, dtype=np.float32)


def select_snapshots(snapshots: Sequence[Snapshot], marks: Sequence[int]) -> list[Snapshot]:
    """Return the snapshots that the picture needs of a trial that is evaluated at `marks`.

    These are the first to reach each of a few evenly spaced marks, the start included, and
    always the last one: a trial may end at any evaluation.
    """
    marks = [0, *marks]
    chosen = np.linspace(0, len(marks) - 1, min(len(marks), _N_PANELS)).round().astype(int)
    reached = [sum(marks[i] <= snapshot.updates for i in chosen) for snapshot in snapshots]
    return [
        snapshot
        for i, snapshot in enumerate(snapshots)
        if i == len(snapshots) - 1 or reached[i] > max(reached[:i], default=0)
    ]


def to_arrays(snapshots: Sequence[Snapshot]) -> dict[str, np.ndarray]:
    """Return snapshots as the arrays `game.*` of a checkpoint; no arrays without snapshots."""
    names = [field.name for field in dataclasses.fields(Snapshot)] if snapshots else []
    return {f"game.{name}": np.stack([getattr(s, name) for s in snapshots]) for name in names}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> list[Snapshot]:
    """Return the snapshots in the arrays of a checkpoint; the inverse of `to_arrays`."""
    if "game.updates" not in arrays:
        return []
    columns = {field.name: arrays[f"game.{field.name}"] for field in dataclasses.fields(Snapshot)}
    rows = zip(*columns.values(), strict=True)
    return [Snapshot(int(updates), *rest) for updates, *rest in rows]


def estimated_density(points: np.ndarray, x: np.ndarray, width: float) -> np.ndarray:
    """Return the mean of Gaussians of this standard deviation on each of `points`, `[len(x)]`."""
    scaled = (x[:, None].astype(np.float64) - points[None].astype(np.float64)) / width
    density: np.ndarray = np.exp(-0.5 * scaled**2).mean(axis=1) / (width * np.sqrt(2 * np.pi))
    return density


def data_density(dataset: Dataset, x: np.ndarray, width: float = 0.0) -> np.ndarray:
    """Return the density of the data at `x`, `[len(x)]`, smoothed by a Gaussian of this width.

    It is exact if the modes of the data set are known; otherwise it is estimated from training
    points.
    """
    if dataset.modes is not None and dataset.mode_sd is not None:
        return estimated_density(dataset.modes[:, 0], x, float(np.hypot(dataset.mode_sd, width)))
    points = dataset.train[:_N_ESTIMATE, 0]
    return estimated_density(points, x, max(width, bandwidth(points, x)))


def bandwidth(points: np.ndarray, x: np.ndarray) -> float:
    """Return Silverman's (1986, Equation 3.31) bandwidth of `[n]` points, at least x's spacing."""
    quarters = np.quantile(points, [0.25, 0.75])
    spread = min(points.std(), (quarters[1] - quarters[0]) / 1.34)
    return float(max(0.9 * spread * len(points) ** -0.2, x[1] - x[0]))


def optimal_discriminator(p_data: np.ndarray, p_g: np.ndarray) -> np.ndarray:
    """Return D*(x) = p_data / (p_data + p_g), the optimal D for a given G (Proposition 1)."""
    optimum: np.ndarray = p_data / (p_data + p_g)
    return optimum


def figure1_picture(snapshots: Sequence[Snapshot], dataset: Dataset, noise: np.ndarray) -> bytes:
    """Draw Figure 1 of the paper, one panel per snapshot; PNG.

    Above are the densities of data and samples, D, and the optimal D. The optimum is computed
    from the estimated density of the samples and that of the data, smoothed by the same amount; it
    is left out where both are close to zero. Below, lines lead from z on its own axis to x = G(z).

    Args:
        snapshots: at least one.
        dataset: of one dimension.
        noise: the z of `Snapshot.arrows`, `[n_arrows]`, ascending, or empty.
    """
    from matplotlib.figure import Figure

    columns = min(_PANELS_IN_A_ROW, len(snapshots))
    n_rows = -(-len(snapshots) // columns)
    size = (0.6 + 3.1 * columns, 0.7 + (3.2 if len(noise) else 2.5) * n_rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(n_rows, columns)
    for i, snapshot in enumerate(snapshots):
        cell = grid[i // columns, i % columns].subgridspec(2, 1, height_ratios=[3, 1], hspace=0)
        upper = figure.add_subplot(cell[0] if len(noise) else cell[:])
        probability = _draw_panel(upper, snapshot, dataset)
        if i % columns == 0:
            upper.set_ylabel("density", fontsize=9)
        else:
            upper.set_yticklabels([])
        if i % columns == columns - 1 or i == len(snapshots) - 1:
            probability.set_ylabel("D", fontsize=9)
        else:
            probability.set_yticklabels([])
        if len(noise):
            _draw_arrows(figure.add_subplot(cell[1]), snapshot, dataset, noise)
    lines = [*upper.get_lines(), *probability.get_lines()]
    figure.legend(handles=lines, loc="outside upper center", ncols=4, fontsize=9)
    return figure_png(figure)


def _draw_panel(axes: Axes, snapshot: Snapshot, dataset: Dataset) -> Axes:
    """Draw a panel's densities and, on a second axis, which is returned, D and its optimum."""
    x = x_grid(dataset)
    width = bandwidth(snapshot.samples, x)
    p_data, p_g = data_density(dataset, x), estimated_density(snapshot.samples, x, width)
    smoothed = data_density(dataset, x, width)
    certain = np.maximum(smoothed, p_g) > _LEAST_DENSITY * smoothed.max()
    optimum = np.where(certain, optimal_discriminator(smoothed, p_g), np.nan)
    axes.plot(x, p_data, ":", color=BLACK, linewidth=2, label="density of the data")
    axes.plot(x, p_g, color=GREEN, linewidth=2, label="density of the samples")
    # The density of a collapsed generator is a narrow peak; it is cut off.
    axes.set(ylim=(0, 2.5 * p_data.max()), xlim=(x[0], x[-1]))
    title = f"update {snapshot.updates:,}" if snapshot.updates else "before training"
    axes.set_title(title, fontsize=9)
    probability = axes.twinx()
    probability.plot(x, optimum, color=VERMILION, linewidth=1, label="the optimal D(x)")
    probability.plot(x, snapshot.d, "--", color=BLUE, linewidth=1.5, label="D(x)")
    probability.set(ylim=(0, 1))
    for either in (axes, probability):
        either.spines["top"].set_visible(False)
        either.tick_params(labelsize=8)
    return probability


def _draw_arrows(axes: Axes, snapshot: Snapshot, dataset: Dataset, noise: np.ndarray) -> None:
    """Draw lines up from each z, on an axis scaled to the width of the panel, to G(z)."""
    x = x_grid(dataset)
    place = np.interp(
        noise, (noise[0], noise[-1]), (x[0] + 0.15 * np.ptp(x), x[-1] - 0.15 * np.ptp(x))
    )
    axes.plot(np.stack([place, snapshot.arrows]), [[0], [1]], color=GREY, linewidth=0.7)
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), yticks=[0, 1], yticklabels=["z", "x"])
    axes.spines[["left", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, left=False)
    axes.set_xticks([])
