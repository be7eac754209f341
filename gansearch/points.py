"""Synthetic data sets: points of Gaussian mixtures, whose modes are known."""

from __future__ import annotations

import numpy as np

from gansearch.dataset import Dataset


def load_ring() -> Dataset:
    """Eight Gaussians on the unit circle, sd .01 (Lin et al. 2018, "PacGAN", section 4.1)."""
    angles = 2 * np.pi * np.arange(8) / 8  # not linspace(0, 2 pi, 8): its two ends coincide
    return _mixture("ring", np.stack([np.cos(angles), np.sin(angles)], axis=1), sd=0.01)


def load_grid() -> Dataset:
    """Twenty-five Gaussians on {-4, -2, 0, 2, 4}^2, sd .05 (Lin et al. 2018, "PacGAN")."""
    ticks = np.arange(-4.0, 5.0, 2.0)
    return _mixture("grid", np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2), sd=0.05)


def load_gaussian() -> Dataset:
    """N(1, .5^2) on the line, for the game of Goodfellow et al. (2014), Figure 1."""
    return _mixture("gaussian", np.array([[1.0]]), sd=0.5)


def _mixture(name: str, modes: np.ndarray, sd: float) -> Dataset:
    """Points of an equally weighted mixture of Gaussians around `modes`, `[n_modes, d]`."""

    def draw(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        centres = modes[rng.integers(len(modes), size=n)]
        return (centres + sd * rng.standard_normal(centres.shape)).astype(np.float32)

    return Dataset(
        name,
        train=draw(100_000, seed=0),
        valid=draw(10_000, seed=1),
        test=draw(10_000, seed=2),
        shape=(modes.shape[1],),
        scale=1.0,
        modes=modes,
        mode_sd=sd,
    )
