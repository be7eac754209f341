"""Which node of a cluster keeps losing the workers of trials."""

from __future__ import annotations

from collections import Counter

_LEAST_LOSSES = 3


class NodeLosses:
    """Counts the lost workers of each node, and names the one that loses most of all."""

    def __init__(self) -> None:
        self._losses: Counter[str] = Counter()
        self._named: set[str] = set()

    def count(self, node: str) -> str | None:
        """Count a loss on the node of that address; return a warning where it is one too many.

        That is at the third at the earliest, and where the node has more than all others together.
        A node is named once.
        """
        self._losses[node] += 1
        n, others = self._losses[node], self._losses.total() - self._losses[node]
        if node in self._named or n < _LEAST_LOSSES or n <= others:
            return None
        self._named.add(node)
        return (
            f"node {node} has lost the workers of trials {n} times, all others together {others}. "
            "Look at its memory and its logs; where there are other nodes, take it out of the "
            "cluster: ray stop, there."
        )
