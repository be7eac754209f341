"""With several objectives: how probable it is that a configuration is on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gansearch.pareto import pareto_ranks

_N_DRAWS = 2000


def front_probabilities(seeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return for each configuration the probability that no other dominates it.

    It is the share of bootstrap samples of the seeds in which its mean is on the first front. The
    objectives of a seed stay together. R seeds vary by (R - 1) / R too little in a bootstrap, so
    that the deviations from the mean are drawn out by the root of the inverse. The test examples
    are taken as they are. A configuration with fewer than two seeds is left out, and has NaN.

    Args:
        seeds: of each configuration, the scores `[R, m]` of its replicas; more is better.
    """
    found = dict.fromkeys(seeds, math.nan)
    if compared := {name: scores for name, scores in seeds.items() if len(scores) >= 2}:
        rng = np.random.default_rng(0)
        means = np.stack([_means(scores, rng) for scores in compared.values()], axis=1)
        in_front = np.mean([pareto_ranks(drawn, 1) == 1 for drawn in means], axis=0)
        found |= {name: float(p) for name, p in zip(compared, in_front, strict=True)}
    return found


def _means(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return bootstrap means `[draws, m]` of the scores `[R, m]` of seeds."""
    n = len(scores)
    mean = scores.mean(axis=0)
    drawn = scores[rng.integers(n, size=(_N_DRAWS, n))].mean(axis=1)
    return np.asarray(mean + (drawn - mean) * math.sqrt(n / (n - 1)))
