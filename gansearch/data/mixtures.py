"""Synthetic data sets: Gaussian mixtures, whose modes are known."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from gansearch.data.dataset import Dataset, Labels


def load_ring() -> Dataset:
    """Eight Gaussians on the unit circle, sd .01 (Lin et al. 2018, "PacGAN", section 4.1)."""
    angles = 2 * np.pi * np.arange(8) / 8  # not linspace(0, 2 pi, 8): its two ends coincide
    return _mixture("ring", np.stack([np.cos(angles), np.sin(angles)], axis=1), sd=0.01)


def load_grid() -> Dataset:
    """Twenty-five Gaussians on {-4, -2, 0, 2, 4}^2, sd .05 (Lin et al. 2018, "PacGAN")."""
    ticks = np.arange(-4.0, 5.0, 2.0)
    return _mixture("grid", np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2), sd=0.05)


def load_gaussian() -> Dataset:
    """N(1, .5^2) in one dimension, for Figure 1 of Goodfellow et al. (2014)."""
    return _mixture("gaussian", np.array([[1.0]]), sd=0.5)


def nearest_modes(dataset: Dataset, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the nearest mode of each sample, `[n]`, and whether it is high-quality.

    A sample is high-quality if it lies within three standard deviations of its nearest mode (Lin et
    al. 2018, "PacGAN", section 4.1). `samples` is `[n, d]`.

    Raises:
        ValueError: the modes of the data set are unknown.
    """
    if dataset.modes is None or dataset.mode_sd is None:
        raise ValueError(f"{dataset.name}: its modes are unknown, so they can't be counted.")
    distances = cdist(samples, dataset.modes)
    return distances.argmin(axis=1), distances.min(axis=1) <= 3 * dataset.mode_sd


def modes_hit(dataset: Dataset, samples: np.ndarray) -> tuple[int, float]:
    """Return the number of modes that samples `[n, d]` hit, and their high-quality share in [0, 1].

    A mode is hit if it is the nearest of a high-quality sample (Lin et al. 2018, "PacGAN", section
    4.1, who draw 2,500 samples). In the plane, the samples of a perfect generator are high-quality
    with probability 1 - exp(-9/2) = .989.

    Raises:
        ValueError: the modes of the data set are unknown.
    """
    nearest, is_good = nearest_modes(dataset, samples)
    return len(np.unique(nearest[is_good])), float(is_good.mean())


def _mixture(name: str, modes: np.ndarray, sd: float) -> Dataset:
    """Points of an equally weighted mixture of Gaussians around `modes`, `[n_modes, d]`."""

    def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        mode = rng.integers(len(modes), size=n)
        centres = modes[mode]
        return (centres + sd * rng.standard_normal(centres.shape)).astype(np.float32), mode

    train, of_train = draw(100_000, seed=0)
    valid, of_valid = draw(10_000, seed=1)
    test, of_test = draw(10_000, seed=2)
    names = [f"({', '.join(f'{value:.3g}' for value in mode + 0.0)})" for mode in modes.round(3)]
    return Dataset(
        name,
        train,
        valid,
        test,
        shape=(modes.shape[1],),
        scale=1.0,
        modes=modes,
        mode_sd=sd,
        labels=Labels.of(names, train=of_train, valid=of_valid, test=of_test),
    )
