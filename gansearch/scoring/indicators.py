"""Three indicators of mode collapse: samples in, numbers out, beside what real data scores.

A log-likelihood forgives missing modes (dropping one digit of MNIST costs 14 nats of 243), and the
mean distance between samples misses serious collapse. Three indicators together do not:

- coverage (Naeem et al. 2020, Equation 5): the share of real points with a generated one inside
  their k-nearest-neighbour ball;
- recall (Kynkäänniemi et al. 2019, Equation 2): the share of real points that lie inside some
  generated point's k-nearest-neighbour ball;
- nn_ratio: the median distance to the nearest neighbour within the generated points over that
  within the real ones; near 0 where a few images come again and again.

All depend on n, so they are read as fractions of their null: what other real points score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gansearch.errors import SamplesError
from gansearch.measures import Indicators
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
        draws = [torch.randperm(len(others), generator=generator)[:n] for _ in range(n_draws)]
        null = [self.indicators(others[draw.numpy()]) for draw in draws]
        self.null = Indicators(
            coverage=math.fsum(draw.coverage for draw in null) / n_draws,
            recall=math.fsum(draw.recall for draw in null) / n_draws,
            nn_ratio=math.fsum(draw.nn_ratio for draw in null) / n_draws,
        )

    def indicators(self, samples: Array) -> Indicators:
        """Return the indicators of the first n of `samples` `[>= n, d]`; others are not looked at.

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
        covered = torch.zeros((), dtype=torch.float64, device=given.device)
        recalled = covered.clone()
        for rows, squared in _squared_distance_blocks(self._real, fake):
            covered += (squared.amin(dim=1) <= self._real_radii[rows]).sum()
            recalled += (squared <= fake_radii).any(dim=1).sum()
        fake_nearest = nearest.sqrt().quantile(0.5)
        found = torch.stack([covered, recalled, fake_nearest, fake.norms.sum()]).tolist()
        if not found[-1] < _SUSPICIOUS:
            as_samples(given)  # raises where there are such values, and says which
        return Indicators(
            coverage=found[0] / self.n,
            recall=found[1] / self.n,
            nn_ratio=found[2] / self._real_nearest if self._real_nearest > 0 else 1.0,
        )

    def _centred(self, points: torch.Tensor) -> _Points:
        values = points - self._centre  # float64, as the centre is
        return _Points(values, torch.einsum("nd,nd->n", values, values))


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
