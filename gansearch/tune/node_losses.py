"""Finds the node of a cluster that keeps losing the workers of trials."""

from __future__ import annotations

from collections import Counter

_LEAST_LOSSES = 3


class NodeLosses:
    """Counts the lost workers of each node, and warns of one that loses more than all others."""

    def __init__(self) -> None:
        self._losses: Counter[str] = Counter()
        self._warned: set[str] = set()

    def count(self, node: str) -> str | None:
        """Count a loss on the node of that address; return a warning if it has too many.

        It has too many from the third loss on, if it has more than all others together. There is
        one warning for each node.
        """
        self._losses[node] += 1
        n, others = self._losses[node], self._losses.total() - self._losses[node]
        if node in self._warned or n < _LEAST_LOSSES or n <= others:
            return None
        self._warned.add(node)
        return (
            f"node {node} has lost the workers of trials {n} times, all others together {others}. "
            "Check its memory and its logs. If there are other nodes, remove it from the cluster "
            "by `ray stop` on it."
        )
