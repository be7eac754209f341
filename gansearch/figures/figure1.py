"""The game in one dimension, through a training: Figure 1 of Goodfellow et al. (2014).

A trial on one-dimensional data keeps, from its start to its end, a few times what a panel of the
picture shows: D over the range of the data, samples, and where G takes evenly spread noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gansearch.data.dataset import Dataset

_N_PANELS = 6
_N_GRID = 200
_N_ESTIMATE = 10_000  # training points from which an unknown density is estimated


@dataclass(frozen=True)
class Moment:
    """What a panel shows of one report.

    Attributes:
        updates: parameter updates done by then.
        d: D(x) over `grid_of`, `[n_grid]`, in [0, 1], without dropout.
        samples: `[n]`.
        arrows: G(z) of evenly spread z, `[n_arrows]`; empty where noise has several dimensions, NaN
            while z does not enter G yet (`pretraining`).
    """

    updates: int
    d: np.ndarray
    samples: np.ndarray
    arrows: np.ndarray


def is_line(dataset: Dataset) -> bool:
    """Return whether the game on this data set has one dimension, and so can be drawn."""
    return dataset.shape == (1,)


def grid_of(dataset: Dataset) -> np.ndarray:
    """Return where D is kept, `[n_grid]`, float32: the data's range, widened by a third."""
    low, high = np.quantile(dataset.train[:, 0], [0.001, 0.999])
    margin = (high - low) / 3 or 1.0
    return np.linspace(low - margin, high + margin, _N_GRID, dtype=np.float32)


def kept(moments: Sequence[Moment], marks: Sequence[int]) -> list[Moment]:
    """Return the moments that the picture still needs, of a trial that reports at `marks`.

    These are the first to reach each of a few marks, evenly chosen, the start among them, and
    always the last: a trial may end at any report.
    """
    marks = [0, *marks]
    chosen = np.linspace(0, len(marks) - 1, min(len(marks), _N_PANELS)).round().astype(int)
    reached = [sum(marks[i] <= moment.updates for i in chosen) for moment in moments]
    return [
        moment
        for i, moment in enumerate(moments)
        if i == len(moments) - 1 or reached[i] > max(reached[:i], default=0)
    ]


def to_arrays(moments: Sequence[Moment]) -> dict[str, np.ndarray]:
    """Return moments as arrays to keep in a checkpoint; none without moments."""
    names = [field.name for field in dataclasses.fields(Moment)] if moments else []
    return {f"game.{name}": np.stack([getattr(m, name) for m in moments]) for name in names}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> list[Moment]:
    """Return the moments that `to_arrays` made arrays of."""
    if "game.updates" not in arrays:
        return []
    columns = {field.name: arrays[f"game.{field.name}"] for field in dataclasses.fields(Moment)}
    rows = zip(*columns.values(), strict=True)
    return [Moment(int(updates), *rest) for updates, *rest in rows]


def estimated_density(points: np.ndarray, x: np.ndarray, width: float) -> np.ndarray:
    """Return the mean of Gaussians of this standard deviation on each of `points`, `[len(x)]`."""
    scaled = (x[:, None].astype(np.float64) - points[None].astype(np.float64)) / width
    density: np.ndarray = np.exp(-0.5 * scaled**2).mean(axis=1) / (width * np.sqrt(2 * np.pi))
    return density


def data_density(dataset: Dataset, x: np.ndarray, width: float = 0.0) -> np.ndarray:
    """Return the density of the data at `x`, `[len(x)]`, smoothed by a Gaussian of this width.

    It is exact where the data set knows its modes, and estimated from training points elsewhere.
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
    """Return D*(x) = p_data / (p_data + p_g), the best answer to G (Proposition 1)."""
    optimum: np.ndarray = p_data / (p_data + p_g)
    return optimum
