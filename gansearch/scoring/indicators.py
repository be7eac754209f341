"""Indicators of mode collapse and of fidelity: samples in, numbers out, beside those of real data.

A log-likelihood forgives missing modes (dropping one digit of MNIST costs 14 nats of 243), and the
mean distance between samples misses serious collapse. Three indicators of collapse together do not:

- coverage (Naeem et al. 2020, Equation 5): the share of real points with a generated one inside
  their k-nearest-neighbour ball;
- recall (Kynkäänniemi et al. 2019, Equation 2): the share of real points that lie inside some
  generated point's k-nearest-neighbour ball;
- nn_ratio: the median distance to the nearest neighbour within the generated points over that
  within the real ones; near 0 where a few images come again and again.

Precision, clipped density and clipped coverage (see `fidelity`) come from the same distances. All
but the clipped ones depend on n, so they are read as fractions of their null: what other real
points score.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from gansearch.errors import SamplesError
from gansearch.measures import Fidelity, Indicators
from gansearch.scoring.fidelity import calibrated_coverage, clipped_share
from gansearch.scoring.samples import Array, as_samples, as_tensor

N_NEIGHBOURS = 5  # k of the balls
_BLOCK_BYTES = 8 * 2**20  # of a block of float64 distances
_ROUNDING = 1e-13  # of a squared distance, as a share of the two points' squared norms
# A value that isn't finite, or too large for a score, makes the sum of squared norms at least this.
_SUSPICIOUS = 1e29


@dataclass(frozen=True)
class _Points:
    """Points less the reference's mean, `[n, d]` float64, with their squared norms, `[n]`."""

    values: torch.Tensor
    norms: torch.Tensor


class HealthReference:
    """A fixed set of n real points that generated ones are held against.

    Attributes:
        n: how many generated points `indicators` uses.
        null: the indicators of n other real points, the mean of `n_draws` draws.
        null_fidelity: precision, clipped density and clipped coverage of the same.
    """

    def __init__(
        self,
        real: Array,
        n: int,
        *,
        k: int = N_NEIGHBOURS,
        n_draws: int = 4,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draw n points of `real` `[m, d]`, m >= 2 n > 2 k, and the null's from the others.

        Raises:
            SamplesError: there are fewer than 2 n real points, or n <= k.
        """
        if not k < n <= len(real) // 2:
            raise SamplesError(
                f"health: n={n} of {len(real):,} real points at k={k}. It needs n > k, and n real "
                "points for the reference beside n others for its null."
            )
        self.n = n
        self._k = k
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(real), generator=generator).numpy()
        others = real[order[n:]]
        reference = as_tensor(real[order[:n]], device)
        # All points are seen from here. Those far away lose precision, and only they.
        self._centre = reference.mean(dim=0, dtype=torch.float64)
        self._real = self._centred(reference)
        nearest, self._real_radii = _neighbours(self._real, k)
        self._real_nearest = float(nearest.sqrt().quantile(0.5))
        # The balls of outliers are too large for a density.
        self._clipped_radii = self._real_radii.clamp(max=self._real_radii.quantile(0.5))
        self._real_density = float(clipped_share(self._balls_around_real(), k))
        draws = [torch.randperm(len(others), generator=generator)[:n] for _ in range(n_draws)]
        null = [self.measure(others[draw.numpy()]) for draw in draws]
        self.null = Indicators(*_means([indicators for indicators, _ in null]))
        self.null_fidelity = Fidelity(*_means([fidelity for _, fidelity in null]))

    def indicators(self, samples: Array) -> Indicators:
        """Return the indicators of collapse alone; see `measure`."""
        return self.measure(samples)[0]

    def measure(self, samples: Array) -> tuple[Indicators, Fidelity]:
        """Measure the first n of `samples` `[>= n, d]`; others are not looked at.

        Balls are closed, so that a copy of a real point covers it even among duplicates. Where over
        half of the real points are duplicates, nn_ratio says nothing, and is 1. On a GPU the
        numbers are waited for once, at the end.

        Raises:
            SamplesError: fewer than n samples, another d, or values that aren't finite.
        """
        given = as_tensor(samples, self._centre.device)[: self.n]
        if given.shape != self._real.values.shape:
            raise SamplesError(
                f"samples: shape {list(samples.shape)}. The health indicators need "
                f"[{self.n} or more, {len(self._centre)}]."
            )
        fake = self._centred(given)
        nearest, fake_radii = _neighbours(fake, self._k)
        recalled = torch.zeros((), dtype=torch.float64, device=given.device)
        of_real = torch.zeros(self.n, dtype=torch.int64, device=given.device)
        of_fake, of_fake_clipped = of_real.clone(), of_real.clone()
        for rows, squared in _squared_distance_blocks(self._real, fake):
            in_ball = squared <= self._real_radii[rows, None]
            of_real[rows] = in_ball.sum(dim=1)
            of_fake += in_ball.sum(dim=0)
            of_fake_clipped += (squared <= self._clipped_radii[rows, None]).sum(dim=0)
            recalled += (squared <= fake_radii).any(dim=1).sum()
        found = torch.stack(
            [
                clipped_share(of_real, 1),  # coverage
                recalled / self.n,
                nearest.sqrt().quantile(0.5),
                clipped_share(of_fake, 1),  # precision
                clipped_share(of_fake_clipped, self._k),
                clipped_share(of_real, self._k),
                fake.norms.sum(),
            ]
        ).tolist()
        if not found[-1] < _SUSPICIOUS:
            as_samples(given)  # raises where there are such values, and says which
        return self._indicators(*found[:3]), self._fidelity(*found[3:-1])

    def _indicators(self, coverage: float, recall: float, nearest: float) -> Indicators:
        nn_ratio = nearest / self._real_nearest if self._real_nearest > 0 else 1.0
        return Indicators(coverage, recall, nn_ratio)

    def _fidelity(self, precision: float, density: float, coverage: float) -> Fidelity:
        calibrated = calibrated_coverage(coverage, n_real=self.n, n_samples=self.n, k=self._k)
        return Fidelity(precision, min(1.0, density / self._real_density), calibrated)

    def _balls_around_real(self) -> torch.Tensor:
        """Return how many other real points' clipped balls hold each real point, `[n]`."""
        counts = torch.full_like(self._real.norms, -1, dtype=torch.int64)  # less its own
        for rows, squared in _squared_distance_blocks(self._real, self._real):
            squared.diagonal(rows.start).fill_(0)
            counts += (squared <= self._clipped_radii[rows, None]).sum(dim=0)
        return counts

    def _centred(self, points: torch.Tensor) -> _Points:
        values = points - self._centre  # float64, as the centre is
        return _Points(values, torch.einsum("nd,nd->n", values, values))


def _means(measured: Sequence[Indicators] | Sequence[Fidelity]) -> list[float]:
    """Return the mean of each field."""
    fields = zip(*map(dataclasses.astuple, measured), strict=True)
    return [math.fsum(values) / len(values) for values in fields]


def _neighbours(points: _Points, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each point's squared distances to its nearest and its k-th nearest other, `[n]`."""
    # Filled rather than gathered: what is kept from between large blocks fragments the memory.
    nearest, radii = torch.empty_like(points.norms), torch.empty_like(points.norms)
    for rows, squared in _squared_distance_blocks(points, points):
        squared.diagonal(rows.start).fill_(math.inf)
        smallest = squared.topk(k, dim=1, largest=False).values
        nearest[rows], radii[rows] = smallest[:, 0], smallest[:, -1]
    return nearest, radii


def _squared_distance_blocks(a: _Points, b: _Points) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield slices of a's rows with their squared distances to all of b, float64.

    What is within rounding of 0 becomes 0, so that copies are seen as such. The bound is each
    pair's own: one sample that is far off must not hide the distances between the others.
    """
    a_norms, b_norms = (1 - _ROUNDING) * a.norms, (1 - _ROUNDING) * b.norms
    n_rows = max(1, _BLOCK_BYTES // (8 * len(b_norms)))
    for start in range(0, len(a_norms), n_rows):
        rows = slice(start, min(start + n_rows, len(a_norms)))
        squared = torch.addmm(b_norms, a.values[rows], b.values.T, alpha=-2)
        yield rows, squared.add_(a_norms[rows, None]).clamp_(min=0)
