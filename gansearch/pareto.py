"""Which of several scores dominate which: fronts by non-dominated sorting, and an order on them.

A score dominates another if it is at least as good in every objective and better in one. The first
front is what nothing dominates, the second what is dominated from the first alone, and so on (Deb
et al. 2002, NSGA-II). Within a front nothing is better than anything else, so the order there is
one of variety, an epsilon-net: each next one is the farthest from all before it, as in
multi-objective ASHA (Schmucker et al. 2021, section 3.2).
"""

from __future__ import annotations

import numpy as np

_LARGEST = 1e300  # in place of infinity, where there are distances


def pareto_ranks(scores: np.ndarray, n_first: int | None = None) -> np.ndarray:
    """Return the number of the front, from 1, of each of the scores `[n, m]`; more is better.

    Equal scores share a front. With `n_first`, only as many fronts are told apart as are needed to
    place so many scores; the rest share the next number.
    """
    losses = -np.asarray(scores, float)
    order = np.lexsort(losses.T[::-1])  # nothing dominates what stands before it
    losses = losses[order]
    is_new = np.append(True, (losses[1:] != losses[:-1]).any(axis=1))[: len(losses)]
    losses, counts = losses[is_new], np.diff(np.append(np.flatnonzero(is_new), len(order)))
    fronts = np.zeros(len(losses), int)
    left, front, n_placed = np.arange(len(losses)), 1, 0
    while len(left):
        fronts[left] = front
        if n_first is not None and n_placed >= n_first:
            break
        is_first = _is_first_front(losses[left])
        n_placed += int(counts[left[is_first]].sum())
        left, front = left[~is_first], front + 1
    ranks = np.empty(len(order), int)
    ranks[order] = np.repeat(fronts, counts)
    return ranks


def pareto_order(scores: np.ndarray, n_first: int | None = None) -> np.ndarray:
    """Return the indices of the scores `[n, m]`, the best first: by front, then by variety.

    The first of a front is the best by the first objective. With `n_first`, only so many indices.
    """
    scores = np.asarray(scores, float)
    n_first = len(scores) if n_first is None else n_first
    ranks = pareto_ranks(scores, n_first)
    order: list[int] = []
    for rank in np.unique(ranks):
        if len(order) >= n_first:
            break
        front = np.flatnonzero(ranks == rank)
        order += [int(front[i]) for i in _by_variety(scores[front], n_first - len(order))]
    return np.array(order[:n_first], int)


def is_among_best(scores: np.ndarray, place: int, n_best: int) -> bool:
    """Return whether the score at an index is one of the first `n_best` of `pareto_order`."""
    scores = np.asarray(scores, float)
    ranks = pareto_ranks(scores, n_best)
    n_before, is_beside = int((ranks < ranks[place]).sum()), ranks == ranks[place]
    n_left = n_best - n_before
    if n_left <= 0 or int(is_beside.sum()) <= n_left:
        return n_left > 0
    front = np.flatnonzero(is_beside)
    return place in front[_by_variety(scores[front], n_left)]


def _is_first_front(losses: np.ndarray) -> np.ndarray:
    """Return which of the losses `[n, m]`, all different and in lexical order, nothing dominates.

    The first one left is always of the front.
    """
    is_first = np.zeros(len(losses), bool)
    rest = losses[:, 1:]
    if rest.shape[1] == 0:  # one objective
        is_first[0] = True
        return is_first
    if rest.shape[1] == 1:  # two objectives: what is better than all before it by the second
        best = np.minimum.accumulate(rest[:, 0])
        is_first[0], is_first[1:] = True, rest[1:, 0] < best[:-1]
        return is_first
    left = np.arange(len(losses))
    while len(left):
        is_first[left[0]] = True
        left = left[(rest[left] < rest[left[0]]).any(axis=1)]
    return is_first


def _by_variety(front: np.ndarray, n: int) -> list[int]:
    """Return up to n indices of a front `[k, m]`, each the farthest from all before it.

    Distances are Euclidean, in units of the front's range in each objective.
    """
    front = np.clip(front, -_LARGEST, _LARGEST)
    span = front.max(axis=0) - front.min(axis=0)
    places = front / np.where(span > 0, span, 1.0)
    chosen = [int(np.lexsort(-front.T[::-1])[0])]
    distances = np.full(len(front), np.inf)
    while len(chosen) < min(n, len(front)):
        distances = np.minimum(distances, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        distances[chosen] = -1.0
        chosen.append(int(distances.argmax()))
    return chosen
