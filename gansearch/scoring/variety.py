"""How various samples are beside as many real examples: statistics, each with its p-value.

Each compares samples with real examples in a way that needs no model of either: if the samples were
real, both would be exchangeable. All look at no more than 2,000 samples, drawn at random since a
file may be sorted, and at their first principal components, where noise on pixels weighs little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.scoring.classifier import as_images
from gansearch.scoring.samples import Array, as_tensor

_MAX_POINTS = 2000
_N_REAL = 5000
_N_COMPONENTS = 50
_N_BINS, _N_PER_BIN = 50, 20
_N_LLOYD_STEPS = 10
_LEAST_EXPECTED = 5  # in a cell of a chi-squared test
# How far the laws of two parts of real data may be apart, as a Kolmogorov-Smirnov statistic. The
# two halves of MNIST's test set, by other writers, are .23 apart in sharpness.
_TOLERANCE = 0.15
_CERTAIN = 1.95  # of a Kolmogorov-Smirnov statistic times the root of n: p = .001
# A sample is a copy if this many others lie nearer than this share of the distance to its second
# nearest real example. The second, since the first may be the original. Noisy copies lie farther
# apart, but many together.
_COPIES = ((1, 0.5), (3, 0.7))
# How many times as many images all copies may be of as the largest heaps with half of the samples.
_ALL_TO_HALF = 2.6
# Samples that vary less than this, relative to real ones, are copies of one image; others are
# copies only if they are close relative to their own variety, since blur shrinks all distances.
_ONE_IMAGE = 0.25
# Copies lie in heaps with room between them: on one of these steps outwards a heap hardly grows.
# Samples of a young generator may lie as close, but evenly.
_STEPS, _MOST_GROWTH = (0.5, 0.7, 1.0, 1.4), 1.3
_CLOSE = 0.02  # share of real examples that count as close to another


@dataclass(frozen=True)
class Variety:
    """What `RealExamples.compare` has found.

    Attributes:
        p_values: of each statistic, by its name.
        n_images: about how many images half of the samples are copies of; infinite if fewer are.
        copies: the share of the samples that are copies of others, [0, 1].
        spread: which share of the training set the samples spread over, by k-means bins, (0, 1].
    """

    p_values: dict[str, float]
    n_images: float
    copies: float
    spread: float


@dataclass(frozen=True)
class _Space:
    """Examples seen in one way, by their principal components there.

    Attributes:
        see: from examples `[n, d]` to what is seen of them, `[n, e]`.
        centre, basis: `[e]` and `[e, q]`.
        real: training examples, `[m, q]`.
    """

    see: Callable[[Tensor], Tensor]
    centre: Tensor
    basis: Tensor
    real: Tensor

    @classmethod
    def of(cls, train: Tensor, see: Callable[[Tensor], Tensor]) -> _Space:
        seen = see(train)
        centre = seen.mean(dim=0)
        basis = _components(seen - centre)
        return cls(see, centre, basis, (seen - centre) @ basis)

    def project(self, examples: Tensor) -> Tensor:
        return (self.see(examples) - self.centre) @ self.basis


class RealExamples:
    """Training and validation examples that samples are compared with."""

    def __init__(self, dataset: Dataset) -> None:
        self._shape = dataset.shape
        self._is_image = dataset.is_image
        train = _floats(dataset, dataset.train)
        self._valid = _floats(dataset, dataset.valid)
        self._space = _Space.of(train, self._small if self._is_image else lambda values: values)
        self._spaces = [self._space]
        if self._is_image:
            self._spaces.append(_Space.of(train, self._spectrum))
        self._centroids = _centroids(self._space.real)
        self._bins = [self._count_bins(examples) for examples in (train, self._valid)]
        self._traits = [self._trait(examples) for examples in (train, self._valid)]

    def compare(self, samples: Array) -> Variety:
        """Compare samples `[n, d]`, in random order, with the real examples."""
        values = as_tensor(samples, "cpu").float()
        some = values[:_MAX_POINTS]
        bins = self._count_bins(values)
        found = [_find_copies(space.project(some), space.real) for space in self._spaces]
        p_values = {"bins": homogeneity_p(bins, *reversed(self._bins))}
        p_values["trait"] = _same_law_p(self._trait(values), *self._traits)
        p_values |= {f"close {i}": each.p for i, each in enumerate(found)}
        closest = min(found, key=lambda each: (each.n_images, -each.share))
        return Variety(p_values, closest.n_images, closest.share, spread(bins, self._bins[0]))

    def _small(self, values: Tensor) -> Tensor:
        return as_images(values, self._shape).flatten(1)

    def _spectrum(self, values: Tensor) -> Tensor:
        """Return the amplitudes of the images' frequencies, which don't change as they shift."""
        frequencies: Tensor = torch.fft.rfft2(as_images(values, self._shape), norm="ortho")
        return frequencies.abs().flatten(1)

    def _count_bins(self, examples: Tensor) -> np.ndarray:
        nearest = torch.cdist(self._space.project(examples), self._centroids).argmin(dim=1)
        return torch.bincount(nearest, minlength=len(self._centroids)).numpy()

    def _trait(self, examples: Tensor) -> np.ndarray:
        """Return the sharpness of images, or the distance of points to the centre of their bin."""
        if self._is_image:
            return sharpness(examples, self._shape)
        return torch.cdist(self._space.project(examples), self._centroids).amin(dim=1).numpy()


def sharpness(values: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Return the squared differences of neighbouring pixels over the variance of all, `[n]`."""
    images = values.reshape(-1, *shape)
    differences = images.diff(dim=1).square().sum(dim=(1, 2, 3)) + images.diff(dim=2).square().sum(
        dim=(1, 2, 3)
    )
    variance = (images - images.mean(dim=(1, 2, 3), keepdim=True)).square().sum(dim=(1, 2, 3))
    return (differences / variance.clamp(min=1e-9)).numpy()


def homogeneity_p(
    counts: np.ndarray, of_real: np.ndarray, of_others: np.ndarray | None = None
) -> float:
    """Return the p-value of the chi-squared test that two rows of counts have the same shares.

    The rarest cells are taken together, until each has five expected examples. Where the shares of
    other real examples are known to differ, samples may differ by as much: the law of the statistic
    is then a noncentral chi-squared one.
    """
    statistic, n_free, n_eff = _chi_squared(counts, of_real)
    if n_free == 0:
        return 1.0
    tolerance = 0.0
    if of_others is not None:
        of_split, n_free_split, n_eff_split = _chi_squared(of_others, of_real)
        tolerance = max(of_split - n_free_split, 0.0) / n_eff_split * n_eff
    if tolerance > 0:
        return float(stats.ncx2.sf(statistic, n_free, tolerance))
    return float(stats.chi2.sf(statistic, n_free))


def same_memberships_p(found: np.ndarray, of_real: np.ndarray) -> float:
    """Return the p-value of «the same shares of classes», by the probabilities of the classes.

    Hotelling's statistic of both means, by the covariance of all rows. Where each row is certain it
    is the chi-squared test of `homogeneity_p`; doubts cost it less than counts of the likeliest
    class. Rare classes are taken together as there.

    Args:
        found: `[n, k]`, rows that sum to 1.
        of_real: the same of real examples, `[m, k]`.
    """
    cells = _cells(
        np.stack([found.sum(axis=0), of_real.sum(axis=0)]), np.array([len(found), len(of_real)])
    )
    n_free = int(cells.max())
    if n_free == 0:
        return 1.0
    merged = np.eye(n_free + 1)[cells][:, 1:]
    a, b = found @ merged, of_real @ merged
    difference = a.mean(axis=0) - b.mean(axis=0)
    covariance = np.cov(np.concatenate([a, b]), rowvar=False, bias=True).reshape(n_free, n_free)
    n_eff = len(a) * len(b) / (len(a) + len(b))
    statistic = n_eff * difference @ np.linalg.pinv(covariance, hermitian=True) @ difference
    return float(stats.chi2.sf(statistic, n_free))


def spread(counts: np.ndarray, of_real: np.ndarray) -> float:
    """Return which share of the data samples spread over: exp(-KL(samples, data)), in (0, 1].

    With k of n equally frequent classes in equal parts it is k / n.
    """
    shares, real = counts / counts.sum(), of_real / of_real.sum()
    is_hit = (shares > 0) & (real > 0)
    return float(np.exp(-(shares[is_hit] * np.log(shares[is_hit] / real[is_hit])).sum()))


def _floats(dataset: Dataset, stored: np.ndarray) -> Tensor:
    return torch.from_numpy(dataset.to_float(stored[:_N_REAL]))


def _chi_squared(counts: np.ndarray, of_real: np.ndarray) -> tuple[float, int, float]:
    """Return the statistic of two rows of counts, its degrees of freedom, and their common size."""
    both = np.stack([counts, of_real]).astype(float)
    sizes = both.sum(axis=1)
    cells = _cells(both, sizes)
    merged = np.stack([np.bincount(cells, weights=row) for row in both])
    pooled = merged.sum(axis=0) / sizes.sum()
    fitted = sizes[:, None] * pooled
    statistic = float(((merged - fitted) ** 2 / fitted).sum())
    return statistic, merged.shape[1] - 1, float(sizes.prod() / sizes.sum())


def _cells(both: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the cell of each column of two rows of counts, from 0: the rarest are together."""
    expected = both.sum(axis=0) * sizes.min() / sizes.sum()
    cells = np.zeros(len(expected), int)
    cell, of_cell = 0, 0.0
    for column in np.argsort(expected):
        if of_cell >= _LEAST_EXPECTED:
            cell, of_cell = cell + 1, 0.0
        cells[column] = cell
        of_cell += expected[column]
    if of_cell < _LEAST_EXPECTED:
        cells[cells == cell] = max(cell - 1, 0)
    return cells


def _same_law_p(found: np.ndarray, of_real: np.ndarray, of_others: np.ndarray) -> float:
    """Return the p-value of the Kolmogorov-Smirnov test that two rows have the same law.

    They may differ by as much as two parts of the real data certainly do.
    """
    statistic, n_eff = _distance_of_laws(found, of_real)
    of_split, n_eff_split = _distance_of_laws(of_others, of_real)
    certain = of_split if np.sqrt(n_eff_split) * of_split > _CERTAIN else 0.0
    tolerance = max(certain, _TOLERANCE)
    return float(stats.kstwobign.sf(np.sqrt(n_eff) * max(statistic - tolerance, 0.0)))


def _distance_of_laws(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    n_eff = len(a) * len(b) / (len(a) + len(b))
    return float(stats.ks_2samp(a, b, method="asymp").statistic), n_eff


def _components(centred: Tensor) -> Tensor:
    """Return the first principal components, `[d, q]`; of few values, all of them."""
    if centred.shape[1] <= _N_COMPONENTS:
        return torch.eye(centred.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.svd_lowrank(centred, q=min(_N_COMPONENTS, len(centred)), niter=2)[2]


def _centroids(points: Tensor) -> Tensor:
    n = max(2, min(_N_BINS, len(points) // _N_PER_BIN))
    centroids = points[:n].clone()
    for _ in range(_N_LLOYD_STEPS):
        nearest = torch.cdist(points, centroids).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=n)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None], centroids)
    return centroids


@dataclass(frozen=True)
class _Copies:
    """How many samples are copies, of how many images, and whether real ones lie as close."""

    share: float
    n_images: float
    p: float


def _find_copies(some: Tensor, real: Tensor) -> _Copies:
    m = min(len(some), len(real))
    some, real = some[:m], real[:m]
    within = torch.cdist(some, some).fill_diagonal_(torch.inf)
    of_real = torch.cdist(real, real).fill_diagonal_(torch.inf).topk(2, largest=False).values
    scale = torch.cdist(some, real).topk(2, largest=False).values[:, 1]
    variety = float((some.var(dim=0).sum() / real.var(dim=0).sum().clamp(min=1e-12)).sqrt())
    if variety > _ONE_IMAGE:
        scale = scale.clamp(max=variety * float(of_real[:, 1].median()))
    share, n_images = 0.0, math.inf
    are_heaps = _lie_in_heaps(within / scale[:, None].clamp(min=1e-12))
    for n_others, radius in _COPIES:
        n_near = (within <= radius * scale[:, None]).sum(dim=1)
        sizes = 1 + n_near[n_near >= n_others].sort(descending=True).values
        share = max(share, len(sizes) / m)
        if are_heaps and 2 * len(sizes) >= m:
            # The largest heaps are so by chance too, where few samples are copies of many images.
            of_half, of_all = (float((1 / part).sum()) for part in (sizes[: -(-m // 2)], sizes))
            n_images = min(n_images, max(of_half, of_all / _ALL_TO_HALF))
    return _Copies(share, n_images, _close_p(within.amin(dim=1), of_real[:, 0]))


def _lie_in_heaps(distances: Tensor) -> bool:
    """Return whether most samples lie in heaps, given their distances over their scales."""
    sizes = [1 + (distances <= step).sum(dim=1) for step in _STEPS]
    return any(
        float(inner.float().median()) > 1 and float((outer / inner).median()) <= _MOST_GROWTH
        for inner, outer in itertools.pairwise(sizes)
    )


def _close_p(of_samples: Tensor, of_real: Tensor) -> float:
    """Return the p-value of «no more samples lie close to another than real examples do»."""
    limit = of_real.quantile(_CLOSE)
    # Two that are close are each other's nearest: pairs are independent, their halves are not.
    counts = [int((each <= limit).sum()) for each in (of_samples, of_real)]
    rows = np.array([[n // 2, (len(of_samples) - n) // 2] for n in counts])
    return float(stats.fisher_exact(rows, alternative="greater").pvalue)
