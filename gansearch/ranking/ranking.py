"""Ranks configurations by the test log-likelihoods of their replicas, and says which are tied.

A configuration's score is its mean over replicas, each a training on a seed of its own, of the mean
log-likelihood of the test examples. Both sources of variation count here: the seeds, few and not
shared between configurations, and the test examples, many and the same for all. With s^2 the
variance of R seeds' scores, and v the variance of the mean over the test examples of what is
compared (a score, or the difference of two scores example by example), the interval at level 1 - p
is

    mean +- sqrt(t^2 s^2 / R + z^2 v),

t and z the 1 - p/2 quantiles of Student's distribution with 7/8 (R - 1) degrees of freedom and of
the normal one: seeds' effects are skewed, most trainings ending near their best and a few far
below, so that s^2 is known less well than from R normal ones. For a difference, in which skews
cancel, s^2 / R is the sum of the two, and the degrees of freedom are those of Welch (1947). Adding
squared half-widths is the rule of Zou and Donner (2008). Three to ten seeds are too few to
resample: `docs/ranking.md` has the coverage of this and of the bootstrap.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from gansearch.errors import ResultsError
from gansearch.measures import columns
from gansearch.runs.tables import ResultsWarning

LEVEL = 0.95
_SMALLEST_P = 1e-100
# Of the degrees of freedom of R - 1 normal seeds; see the module's docstring.
_DEGREES_SHARE = 7 / 8


@dataclass(frozen=True)
class Difference:
    """A difference of two configurations' scores, in nats, with its 95 % interval.

    `p_value` is that of no difference, two-sided. All but `mean` are NaN when either configuration
    has only one seed, because the variance over seeds is then unknown.
    """

    mean: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class _Scored:
    """One configuration for the statistics: `[R]` scores, and `[n]` means over seeds."""

    seed_means: np.ndarray
    per_example: np.ndarray

    @classmethod
    def of(cls, test_lls: Sequence[np.ndarray]) -> _Scored:
        stacked = np.stack(test_lls)
        return cls(stacked.mean(axis=1), stacked.mean(axis=0))

    @property
    def mean(self) -> float:
        return float(self.seed_means.mean())

    @property
    def seed_variance(self) -> float:
        """Variance of the mean over seeds; NaN with one seed."""
        n_seeds = len(self.seed_means)
        return float(self.seed_means.var(ddof=1) / n_seeds) if n_seeds > 1 else math.nan


def rank(
    replicas: pd.DataFrame,
    test_lls: Mapping[str, np.ndarray],
    *,
    paper_config_id: str | None,
) -> pd.DataFrame:
    """Rank the replicated configurations; a row each, the best first.

    Args:
        replicas: rows of `trials.parquet`; those of other phases than replica are ignored.
        test_lls: each completed replica's log-likelihoods (nats) of the test examples, `[n]`, by
            trial id.
        paper_config_id: the configuration that `is_paper` marks.

    Returns:
        The columns of `ranking.parquet`. The rank is by mean `test_ll`; `tied_with` has the
        configurations that Holm's test of all pairs, at 5 %, can't distinguish from this one.
        `n_seeds` counts the replicas that have a score and `n_failed` those that ended without
        one. With one seed there is no interval, and a tie with all others. A configuration without
        any score comes last, unranked.

    A completed replica counts as failed, with a `ResultsWarning`, if its log-likelihoods are
    absent, not finite, or of another number of examples than those of the others.
    """
    replicas = replicas[replicas["phase"] == "replica"]
    usable = _usable(replicas, test_lls)
    groups = {str(config_id): group for config_id, group in replicas.groupby("config_id")}
    scored = {
        config_id: _Scored.of(lls)
        for config_id, group in groups.items()
        if (lls := [usable[trial_id] for trial_id in group["trial_id"] if trial_id in usable])
    }
    order = sorted(scored, key=lambda config_id: -scored[config_id].mean)
    ties = _ties({config_id: scored[config_id] for config_id in order})
    rows = []
    for place, config_id in enumerate([*order, *sorted(groups.keys() - scored.keys())], start=1):
        has_score = config_id in scored
        row = _counts_and_means(groups[config_id], usable)
        row |= _score(scored[config_id]) if has_score else {}
        row["rank"] = place if has_score else math.nan
        row["tied_with"] = ties.get(config_id, [])
        row["is_paper"] = config_id == paper_config_id
        rows.append(row)
    return pd.DataFrame(rows, columns=_columns(replicas))


def compare(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Difference:
    """Return by how much configuration `a` is better than `b`, with paired test examples.

    Args:
        a: log-likelihoods (nats) of the test examples, `[n]` for each seed.
        b: the same for the other configuration, with the examples in the same order; its seeds are
            not those of `a`.

    Raises:
        ResultsError: no seed at all, or numbers of examples that differ.
    """
    lengths = {len(lls) for lls in (*a, *b)}
    if not a or not b or len(lengths) != 1:
        raise ResultsError(
            f"compare: found {len(a)} and {len(b)} seeds, with {sorted(lengths)} test examples. "
            f"Both configurations need a seed, and all the same test examples. Pass those."
        )
    first, second = _Scored.of(a), _Scored.of(b)
    pair = np.stack([first.per_example, second.per_example])
    return _difference(first, second, _variance_of_mean(pair[0] - pair[1]))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number by Holm's (1979) step-down rule, in their order."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def _usable(replicas: pd.DataFrame, test_lls: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the log-likelihoods of the completed replicas, by trial id, all of one length."""
    completed = replicas.loc[replicas["status"] == "completed", "trial_id"]
    found = {trial_id: test_lls[trial_id] for trial_id in completed if trial_id in test_lls}
    lengths = [len(lls) for lls in found.values()]
    n_examples = max(lengths, key=lengths.count, default=0)
    usable = {}
    for trial_id in completed:
        if trial_id not in found:
            problem = "it has no test log-likelihoods"
        elif len(found[trial_id]) != n_examples:
            problem = f"it has {len(found[trial_id])} test examples, the others {n_examples}"
        elif not np.isfinite(found[trial_id]).all():
            problem = "some of its test log-likelihoods are not finite"
        else:
            usable[trial_id] = found[trial_id]
            continue
        warnings.warn(
            f"replica {trial_id}: {problem}. It counts as failed.", ResultsWarning, stacklevel=3
        )
    return usable


def _counts_and_means(group: pd.DataFrame, usable: Mapping[str, np.ndarray]) -> dict[str, Any]:
    has_score = group["trial_id"].isin(list(usable))
    has_ended = group["status"] != "running"
    return {
        "config_id": group["config_id"].iloc[0],
        "n_seeds": int(has_score.sum()),
        "n_failed": int((has_ended & ~has_score).sum()),
        **{name: group.loc[has_score, name].mean() for name in columns("ranking") if name in group},
        **{name: group[name].iloc[0] for name in _config_columns(group)},
    }


def _score(scored: _Scored) -> dict[str, float]:
    examples = _variance_of_mean(scored.per_example)
    degrees = _DEGREES_SHARE * (len(scored.seed_means) - 1)
    half = _half_width(1 - LEVEL, scored.seed_variance, degrees, examples)
    return {
        "test_ll": scored.mean,
        "test_ll_se": math.sqrt(scored.seed_variance + examples),
        "test_ll_low": scored.mean - half,
        "test_ll_high": scored.mean + half,
    }


def _ties(scored: Mapping[str, _Scored]) -> dict[str, list[str]]:
    """Return for each configuration those that can't be told from it, in the order of `scored`."""
    if not scored:
        return {}
    names = list(scored)
    means = np.stack([score.per_example for score in scored.values()])
    covariance = np.atleast_2d(np.cov(means)) / means.shape[1]
    p_values = {}
    for i, j in combinations(range(len(names)), 2):
        examples = max(0.0, covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
        p_values[i, j] = _difference(scored[names[i]], scored[names[j]], examples).p_value
    testable = [pair for pair, p in p_values.items() if not math.isnan(p)]
    adjusted = holm([p_values[pair] for pair in testable])
    apart = {pair for pair, p in zip(testable, adjusted, strict=True) if p <= 1 - LEVEL}
    return {
        name: [
            other for j, other in enumerate(names) if i != j and (min(i, j), max(i, j)) not in apart
        ]
        for i, name in enumerate(names)
    }


def _difference(a: _Scored, b: _Scored, example_variance: float) -> Difference:
    mean = a.mean - b.mean
    variances = np.array([a.seed_variance, b.seed_variance])
    seeds = float(variances.sum())
    if math.isnan(seeds + example_variance):
        return Difference(mean, math.nan, math.nan, math.nan)
    counts = np.array([len(a.seed_means), len(b.seed_means)])
    # By shares, because the square of a small variance may underflow.
    degrees = 1 / float(((variances / seeds) ** 2 / (counts - 1)).sum()) if seeds else math.inf
    half = _half_width(1 - LEVEL, seeds, degrees, example_variance)
    p_value = _p_value(abs(mean), seeds, degrees, example_variance)
    return Difference(mean, mean - half, mean + half, p_value)


def _half_width(p: float, seed_variance: float, degrees: float, example_variance: float) -> float:
    """Return the half-width of the interval at level 1 - p; see the module's docstring."""
    t, z = stdtrit(degrees, p / 2), ndtri(p / 2)
    return math.sqrt(t**2 * seed_variance + z**2 * example_variance)


def _p_value(
    distance: float, seed_variance: float, degrees: float, example_variance: float
) -> float:
    """Return the p at which the interval reaches just as far as `distance`."""

    def beyond(log_p: float) -> float:
        half = _half_width(math.exp(log_p), seed_variance, degrees, example_variance)
        return half - distance

    lowest = math.log(_SMALLEST_P)
    if distance == 0:
        return 1.0
    if beyond(lowest) <= 0:
        return _SMALLEST_P
    # Imported here: it takes half a second, which showing a finished run doesn't need.
    from scipy.optimize import brentq

    return math.exp(brentq(beyond, lowest, 0.0))


def _variance_of_mean(per_example: np.ndarray) -> float:
    n = len(per_example)
    return float(per_example.var(ddof=1) / n) if n > 1 else math.nan


def _config_columns(replicas: pd.DataFrame) -> list[str]:
    return [name for name in replicas.columns if name.startswith("config.")]


def _columns(replicas: pd.DataFrame) -> list[str]:
    first = ["rank", "tied_with", "config_id", "n_seeds", "n_failed", "test_ll", "test_ll_se"]
    known = [
        *first,
        *("valid_ll", "coverage", "recall"),
        *_config_columns(replicas),
        *("test_ll_low", "test_ll_high", "nn_ratio", "sigma", "is_paper"),
    ]
    return [*known, *(name for name in columns("ranking") if name not in known)]
