"""Intervals of scores and of their differences, over training seeds and test examples.

A configuration's score is its mean over replicas, each a training on a seed of its own, of the mean
log-likelihood of the test examples. Both sources of variation count: the seeds, few and not shared
between configurations, and the test examples, many and the same for all. With s^2 the variance of R
seeds' scores, and v the variance of the mean over the test examples of what is compared (a score,
or the difference of two scores example by example), an interval at level 1 - p reaches

    sqrt(t^2 s^2 / R + z^2 v)

from the mean, t and z the 1 - p/2 quantiles of Student's distribution and of the normal one. Adding
squared half-widths is the rule of Zou and Donner (2008). For a difference, s^2 / R is the sum of
the two, and the degrees of freedom are those of Welch (1947).

Few seeds do not show the rare one that ends far below the others. So the end of an interval at
which a configuration looks worst counts **one more seed**, `_BAD_SEED` standard deviations below
the mean of the others: the lower end of a score and, in a difference, the end at which the better
one's lead is smallest. There each failed replica of the better one lowers its mean like such a
seed, too. `docs/ranking.md` has what this mends in simulations, and what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
# How far below the mean of a configuration's seeds an unseen one may lie, in their standard
# deviations. With 5, a risky configuration is called better than an equal stable one in at most
# 6.4 % of the simulated studies of `docs/ranking.md`, but in up to 22.5 % where its good seeds lie
# close together; more would cost the power to tell any apart.
_BAD_SEED = 5.0
_SMALLEST_P = 1e-100
# Of the degrees of freedom of R - 1 normal seeds, at the upper end of a score: skewed seeds show
# their variance less well than normal ones.
_DEGREES_SHARE = 7 / 8


@dataclass(frozen=True)
class Difference:
    """By how much one configuration's score is better than another's, with its 95 % interval.

    In nats, or in the unit of the objective.
    `p_value` is that of no difference, two-sided. All but `mean` are NaN when either configuration
    has only one seed, because the variance over seeds is then unknown.
    """

    mean: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Scored:
    """One configuration for the statistics.

    Attributes:
        seed_means: `[R]`, the score of each seed.
        per_example: `[n]`, the mean over seeds of each test example.
        n_failed: replicas that ended without a score.
    """

    seed_means: np.ndarray
    per_example: np.ndarray
    n_failed: int = 0

    @classmethod
    def of(cls, test_lls: Sequence[np.ndarray], n_failed: int = 0) -> Scored:
        """Return the configuration whose replicas have these log-likelihoods, `[n]` each."""
        stacked = np.stack(test_lls)
        return cls(stacked.mean(axis=1), stacked.mean(axis=0), n_failed)

    @classmethod
    def of_seeds(cls, scores: Sequence[float] | np.ndarray, n_failed: int = 0) -> Scored:
        """Return the configuration whose replicas have these scores, and none by example."""
        return cls(np.asarray(scores, float), np.zeros(2), n_failed)

    @property
    def mean(self) -> float:
        """The score."""
        return float(self.seed_means.mean())

    @property
    def seed_variance(self) -> float:
        """Variance of the mean over seeds; NaN with one seed."""
        n_seeds = len(self.seed_means)
        return float(self.seed_means.var(ddof=1) / n_seeds) if n_seeds > 1 else math.nan

    @property
    def example_variance(self) -> float:
        """Variance of the mean over test examples; NaN with one example."""
        return variance_of_mean(self.per_example)

    def with_bad_seeds(self, n: int) -> Scored:
        """Return the configuration with n more seeds far below its mean."""
        if len(self.seed_means) < 2:
            return self
        bad = self.mean - _BAD_SEED * float(self.seed_means.std(ddof=1))
        return replace(self, seed_means=np.append(self.seed_means, [bad] * n))


def score_interval(scored: Scored) -> tuple[float, float]:
    """Return the 95 % interval of a score, NaN with one seed."""
    worse, degrees = scored.with_bad_seeds(1), len(scored.seed_means) - 1
    below = _half_width(1 - LEVEL, worse.seed_variance, degrees, scored.example_variance)
    above = _half_width(
        1 - LEVEL, scored.seed_variance, _DEGREES_SHARE * degrees, scored.example_variance
    )
    return worse.mean - below, scored.mean + above


def seeds_interval(scores: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of seeds' scores `[R]` alone, NaN with one seed.

    For measures that have no value for each test example; more must be better.
    """
    return score_interval(Scored(scores, np.zeros(2)))


def difference(a: Scored, b: Scored, example_variance: float) -> Difference:
    """Return by how much `a` is better than `b`.

    `example_variance` is that of the mean over test examples of their difference.
    """
    mean = a.mean - b.mean
    if math.isnan(a.seed_variance + b.seed_variance + example_variance):
        return Difference(mean, math.nan, math.nan, math.nan)
    of_a, of_b = Lead.of(a, b, example_variance), Lead.of(b, a, example_variance)
    p_value = 1.0 if mean == 0 else (of_a if mean > 0 else of_b).p_value()
    # Rounding must not put an end of no width beyond the mean.
    low, high = of_a.smallest(1 - LEVEL), -of_b.smallest(1 - LEVEL)
    return Difference(mean, min(low, mean), max(high, mean), p_value)


def variance_of_mean(per_example: np.ndarray) -> float:
    """Return the variance of the mean of `[n]` values; NaN of one."""
    n = len(per_example)
    return float(per_example.var(ddof=1) / n) if n > 1 else math.nan


@dataclass(frozen=True)
class Lead:
    """A lead of one configuration over another where it has bad seeds that were not seen."""

    mean: float
    seed_variance: float
    degrees: float
    example_variance: float

    @classmethod
    def of(cls, a: Scored, b: Scored, example_variance: float) -> Lead:
        """Return the lead of `a` over `b`; see `difference`."""
        mean = a.with_bad_seeds(1 + a.n_failed).mean - b.mean
        variances = np.array([a.with_bad_seeds(1).seed_variance, b.seed_variance])
        counts = np.array([len(a.seed_means), len(b.seed_means)])
        seeds = float(variances.sum())
        # By shares, because the square of a small variance may underflow.
        degrees = 1 / float(((variances / seeds) ** 2 / (counts - 1)).sum()) if seeds else math.inf
        return cls(mean, seeds, degrees, example_variance)

    def smallest(self, p: float) -> float:
        """Return the end of the interval at level 1 - p at which the lead is smallest."""
        half = _half_width(p, self.seed_variance, self.degrees, self.example_variance)
        return self.mean - half

    def p_value(self) -> float:
        """Return the p at which the interval just reaches 0; 1 if it always does."""
        if self.mean <= 0:
            return 1.0
        if self.smallest(_SMALLEST_P) >= 0:
            return _SMALLEST_P
        # Imported here: it takes half a second, which showing a finished run doesn't need.
        from scipy.optimize import brentq

        root = brentq(lambda log_p: self.smallest(math.exp(log_p)), math.log(_SMALLEST_P), 0.0)
        return math.exp(root)


def _half_width(p: float, seed_variance: float, degrees: float, example_variance: float) -> float:
    """Return the half-width of the interval at level 1 - p; see the module's docstring."""
    t, z = stdtrit(degrees, p / 2), ndtri(p / 2)
    return math.sqrt(t**2 * seed_variance + z**2 * example_variance)
