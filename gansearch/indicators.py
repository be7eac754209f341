"""Three indicators of mode collapse: samples in, numbers out, beside what real data scores.

A log-likelihood forgives missing modes (dropping one digit of MNIST costs 14 nats of 243), and the
mean distance between samples misses serious collapse. Three indicators together do not:

- coverage (Naeem et al. 2020, Equation 5): the share of real points with a generated one inside
  their k-nearest-neighbour ball;
- recall (Kynkaanniemi et al. 2019, Equation 2): the share of real points that lie inside some
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
from gansearch.parzen import Array, as_samples, as_tensor

_BLOCK_BYTES = 8 * 2**20  # of a block of float64 distances


@dataclass(frozen=True)
class Indicators:
    """Coverage and recall, in [0, 1], and the ratio of nearest-neighbour distances, from 0 up."""

    coverage: float
    recall: float
    nn_ratio: float


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
        k: int = 5,
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
        self._real = as_tensor(real[order[:n]], device).double()
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
        """Return the indicators of the first n of `samples` `[>= n, d]`.

        Balls are closed, so that a copy of a real point covers it even among duplicates. Where over
        half of the real points are duplicates, nn_ratio says nothing, and is 1.

        Raises:
            SamplesError: fewer than n samples, another d, or values that aren't finite.
        """
        fake = as_samples(samples, self._real.device)[: self.n].double()
        if fake.shape != self._real.shape:
            raise SamplesError(
                f"samples: shape {list(samples.shape)}. The health indicators need "
                f"[{self.n} or more, {self._real.shape[1]}]."
            )
        nearest, fake_radii = _neighbours(fake, self._k)
        n_covered = n_recalled = 0
        for rows, squared in _squared_distance_blocks(self._real, fake):
            n_covered += int((squared.amin(dim=1) <= self._real_radii[rows]).sum())
            n_recalled += int((squared <= fake_radii).any(dim=1).sum())
        fake_nearest = float(nearest.sqrt().quantile(0.5))
        return Indicators(
            coverage=n_covered / self.n,
            recall=n_recalled / self.n,
            nn_ratio=fake_nearest / self._real_nearest if self._real_nearest > 0 else 1.0,
        )


def _neighbours(points: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each point's squared distances to its nearest and its k-th nearest other, `[n]`."""
    nearest = []
    for rows, squared in _squared_distance_blocks(points, points):
        own = torch.arange(rows.start, rows.stop, device=points.device)
        squared[own - rows.start, own] = math.inf
        nearest.append(squared.topk(k, dim=1, largest=False).values)
    both = torch.cat(nearest)
    return both[:, 0], both[:, -1]


def _squared_distance_blocks(
    a: torch.Tensor, b: torch.Tensor
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield slices of a's rows with their squared distances to all of b, float64.

    What is within rounding of 0 becomes 0, so that copies are seen as such.
    """
    centre = b.mean(dim=0)
    a, b = a - centre, b - centre
    a_norms, b_norms = a.square().sum(dim=1), b.square().sum(dim=1)
    rounding = 1e-13 * float(a_norms.max() + b_norms.max())
    n_rows = max(1, _BLOCK_BYTES // (8 * len(b)))
    for start in range(0, len(a), n_rows):
        rows = slice(start, min(start + n_rows, len(a)))
        squared = torch.addmm(b_norms, a[rows], b.T, alpha=-2).add_(a_norms[rows, None])
        yield rows, squared.masked_fill_(squared < rounding, 0.0)
