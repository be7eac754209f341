"""Precision, clipped density and clipped coverage, from counts of points within balls.

Precision (Kynkäänniemi et al. 2019, Equation 3) is the share of samples that lie within the
k-nearest-neighbour ball of some real point. A ball around an outlier is large, and one sample in it
counts in full, so precision and coverage are no shares of good samples. The clipped measures (Salvy
et al. 2025, arXiv 2507.01761) are, within the error of n points: each falls linearly from 1 to 0 as
good samples are replaced by ones far from the data.

- clipped density: how many real balls hold a sample, in units of k and at most 1, on average over
  samples, relative to the same of real points. Radii are clipped at their median.
- clipped coverage: how many samples a real ball holds, in units of k and at most 1, on average over
  real points; then calibrated: it is the share of n samples that must be as good as real data to
  give this average.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch


def clipped_share(counts: torch.Tensor, k: int) -> torch.Tensor:
    """Return the mean of min(count, k) / k over `counts` `[n]`, in [0, 1], a float64 scalar."""
    return counts.clamp(max=k).double().mean() / k


def calibrated_coverage(average: float, *, n_real: int, n_samples: int, k: int) -> float:
    """Return the share of `n_samples` that must be good for this average of clipped balls.

    Args:
        average: the mean of min(samples within a real ball, k) / k over real points.
        n_real: how many real points there are.
        n_samples: how many samples.
        k: the balls reach to the k-th nearest other real point.

    Returns:
        A share in [0, 1]; 1 too where chance gave more than real data does on average.
    """
    expected = _expected_averages(n_real, n_samples, k)
    # The original takes the next of the n_samples + 1 shares; this lies between two of them.
    return float(np.interp(average, expected, np.arange(n_samples + 1) / n_samples))


@lru_cache(maxsize=8)
def _expected_averages(n_real: int, n_samples: int, k: int) -> np.ndarray:
    """Return what the average is expected to be with m = 0 .. n_samples good samples.

    The number of good samples within a ball is beta-binomial (m, k, n_real - k): good samples and
    other real points are in random order by their distance. So the expectation of min(number, k) is
    k less the sum over i < k of (k - i) P(number = i).
    """
    m = torch.arange(n_samples + 1, dtype=torch.float64)
    a, b = m.new_tensor(k), m.new_tensor(n_real - k)
    expected = torch.full_like(m, float(k))
    for i in range(min(k, n_samples + 1)):
        chosen = torch.lgamma(m[i:] + 1) - torch.lgamma(m[i:] - i + 1) - math.lgamma(i + 1)
        logs = chosen + _log_beta(a + i, b + m[i:] - i) - _log_beta(a, b)
        expected[i:] -= (k - i) * logs.exp()
    averages: np.ndarray = (expected / k).clamp(min=0).numpy()
    return averages


def _log_beta(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
