"""Shares of few trials: their interval, and whether two of them differ."""

from __future__ import annotations

from math import comb

from scipy.special import betaincinv

LEVEL = 0.95


def jeffreys(n_survived: int, n_trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Jeffreys' prior, as Brown, Cai and DasGupta advise.

    "Interval estimation for a binomial proportion", Statistical Science 16 (2001), section 4.1.2:
    its ends are 0 where none of the trials survived, and 1 where all did.
    """
    tail = (1 - LEVEL) / 2
    a, b = n_survived + 0.5, n_trials - n_survived + 0.5
    low = 0.0 if n_survived == 0 else float(betaincinv(a, b, tail))
    high = 1.0 if n_survived == n_trials else float(betaincinv(a, b, 1 - tail))
    return low, high


def p_value_of_shares(more: tuple[int, int], fewer: tuple[int, int]) -> float:
    """Return Fisher's exact p-value of equal shares, twice that of the larger one being larger.

    Args:
        more: successes and trials of the one with the larger share.
        fewer: those of the other.
    """
    (k, n), (j, m) = more, fewer
    tail = sum(comb(n, i) * comb(m, k + j - i) for i in range(k, min(n, k + j) + 1))
    return min(1.0, 2 * tail / comb(n + m, k + j))
