"""Real examples and samples of the checks of Räisä et al. (2025), arXiv 2505.22450; not a script.

A check varies one thing of the samples, or of both sides, along a curve; most do so in several
dimensions. `measure_checks.py` measures the points and says what is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

N_REAL = 4  # sets of n real examples at each point
_N_MODES = 10
_MODE_SDS = {1: 1 / 6, 8: 1 / 3, 64: 1.0}
# In the plane, all far apart. The first five are the data's, the others are invented.
_FAR_MODES = np.random.default_rng(0).normal(scale=12, size=(_N_MODES, 2))
_OVERLAP = 0.2  # of the volumes of two hypercubes


@dataclass(frozen=True)
class Point:
    """One point of a curve: real examples `[4 n, d]`, which points may share, and samples `[n, d]`.

    Attributes:
        variant: the curve, such as its dimension.
        x: what is varied.
        real: the examples.
        samples: as many as a set of them.
    """

    variant: str
    x: float
    real: np.ndarray
    samples: np.ndarray


Curves = Callable[[int, np.random.Generator], Iterator[Point]]


def mean_difference(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Gaussians of unit variance whose means differ in all dimensions."""
    for dim, reach in ((1, 6), (8, 3), (64, 1)):
        real = rng.normal(size=(N_REAL * n, dim))
        for mean in np.linspace(-reach, reach, 7):
            yield Point(f"{dim}-d", mean, real, rng.normal(mean, size=(n, dim)))


def mean_difference_with_outlier(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """The same with one outlier in each real set, or among the samples, where the curve ends."""
    for dim, reach in ((1, 6), (8, 3), (64, 1)):
        real = rng.normal(size=(N_REAL * n, dim))
        real_outlier = real.copy()
        real_outlier[::n] = reach
        for mean in np.linspace(-reach, reach, 5):
            samples = rng.normal(mean, size=(n, dim))
            yield Point(f"{dim}-d, real", mean, real_outlier, samples)
            with_outlier = samples.copy()
            with_outlier[0] = reach
            yield Point(f"{dim}-d, generated", mean, real, with_outlier)


def sd_difference(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Gaussians whose standard deviations differ."""
    for dim, decades in ((1, 3), (8, 1), (64, 0.5)):
        real = rng.normal(size=(N_REAL * n, dim))
        for sd in 10 ** np.linspace(-decades, decades, 7):
            yield Point(f"{dim}-d", sd, real, rng.normal(scale=sd, size=(n, dim)))


def simultaneous_dropping(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Ten modes on a line, of which nine are seen less and less often."""
    for dim in _MODE_SDS:
        real = _modes(N_REAL * n, dim, np.ones(_N_MODES), rng)
        for share in (0, 0.3, 0.6, 0.8, 0.95, 1):
            weights = np.where(np.arange(_N_MODES) == 0, 1, 1 - share)
            yield Point(f"{dim}-d", share, real, _modes(n, dim, weights, rng))


def sequential_dropping(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Ten modes on a line, of which the last ones are missing."""
    for dim in _MODE_SDS:
        real = _modes(N_REAL * n, dim, np.ones(_N_MODES), rng)
        for n_dropped in (0, 2, 4, 7, 9):
            kept = np.arange(_N_MODES) < _N_MODES - n_dropped
            yield Point(f"{dim}-d", n_dropped, real, _modes(n, dim, kept, rng))


def dropping_and_invention(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Five modes in the plane; samples have the first 1 to 10 of five more."""
    real = _far_modes(N_REAL * n, 5, rng)
    for n_modes in (1, 3, 5, 7, 10):
        yield Point("2-d", n_modes, real, _far_modes(n, n_modes, rng))


def sphere_surface(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Surfaces of spheres whose radii differ."""
    for dim in (2, 16, 128):
        real = _on_sphere(N_REAL * n, dim, rng)
        for radius in (0.1, 0.4, 0.7, 1, 1.3, 1.6, 1.9):
            yield Point(f"{dim}-d", radius, real, radius * _on_sphere(n, dim, rng))


def hypercubes(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Cubes that share a fifth of their volumes, with up to four times as many examples."""
    for dim in (1, 8, 64):
        start = 1 - _OVERLAP ** (1 / dim)
        for size in (n // 2, n, int(1.4 * n), 2 * n, int(2.8 * n), 4 * n):
            real = rng.uniform(size=(N_REAL * size, dim))
            yield Point(f"{dim}-d", size, real, start + rng.uniform(size=(size, dim)))


def sphere_and_torus(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """A ball within a torus that doesn't touch it, with growing numbers of examples."""
    for real_of, samples_of, name in ((_ball, _torus, "ball"), (_torus, _ball, "torus")):
        for size in (n // 2, n, 2 * n):
            yield Point(f"real {name}", size, real_of(N_REAL * size, rng), samples_of(size, rng))


def one_mode_for_two(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Two modes that move apart, and one wide one in their place."""
    for dim in (1, 8, 64):
        for gap in np.linspace(0, 5, 6):
            signs = rng.choice([-0.5, 0.5], size=(N_REAL * n, 1))
            real = rng.normal(signs * gap, size=(N_REAL * n, dim))
            yield Point(f"{dim}-d", gap, real, rng.normal(0, np.sqrt(1 + gap**2), (n, dim)))


def scaled_dimension(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Separate Gaussians in the plane; the dimension in which they agree is scaled."""
    for scale in 10.0 ** np.arange(-3, 4):
        real, samples = rng.normal(size=(N_REAL * n, 2)), rng.normal(size=(n, 2))
        yield Point("2-d", scale, real * (1, scale), (samples + np.array([6, 0])) * (1, scale))


def mean_difference_with_pareto(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Gaussians whose means differ, beside a dimension with a heavy tail."""
    real = np.stack([rng.normal(size=N_REAL * n), 1 + rng.pareto(1.01, N_REAL * n)], axis=1)
    for mean in np.linspace(-6, 6, 7):
        samples = np.stack([rng.normal(mean, size=n), 1 + rng.pareto(1.01, n)], axis=1)
        yield Point("2-d", mean, real, samples)


def one_disjoint_dimension(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Gaussians that are separate in one dimension and agree in 1 to 1,000 others."""
    for n_others in (1, 10, 100, 1000):
        real = rng.normal(size=(N_REAL * n, 1 + n_others))
        samples = rng.normal(size=(n, 1 + n_others))
        samples[:, 0] += 6
        yield Point("", n_others, real, samples)


def discrete_samples(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Samples rounded to whole numbers; the wider the law, the less that matters."""
    for scale in 10 ** np.linspace(0, 3, 5):
        real, samples = (scale * rng.normal(size=(m, 1)) for m in (N_REAL * n, n))
        yield Point("", scale, real, samples.round())


def discrete_data(n: int, rng: np.random.Generator) -> Iterator[Point]:
    """Real examples rounded to whole numbers."""
    for scale in 10 ** np.linspace(0, 3, 5):
        real, samples = (scale * rng.normal(size=(m, 1)) for m in (N_REAL * n, n))
        yield Point("", scale, real.round(), samples)


def _modes(n: int, dim: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    modes = rng.choice(_N_MODES, size=n, p=weights / weights.sum())
    return rng.normal(np.linspace(0, 10, _N_MODES)[modes, None], _MODE_SDS[dim], size=(n, dim))


def _far_modes(n: int, n_modes: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(_FAR_MODES[rng.integers(n_modes, size=n)], 0.25)


def _on_sphere(n: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    directions = rng.normal(size=(n, dim))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _ball(n: int, rng: np.random.Generator, dim: int = 3, radius: float = 0.8) -> np.ndarray:
    return radius * rng.uniform(size=(n, 1)) ** (1 / dim) * _on_sphere(n, dim, rng)


def _torus(n: int, rng: np.random.Generator) -> np.ndarray:
    angles, section = rng.uniform(0, 2 * np.pi, n), _ball(n, rng, dim=2, radius=0.1)
    distance = 1 + section[:, 0]
    return np.stack([distance * np.cos(angles), distance * np.sin(angles), section[:, 1]], axis=1)
