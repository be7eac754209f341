"""The searcher that gives Tune the replicas: it asks which of them may begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import Searcher

from gansearch.trial.messages import TrialSpec
from gansearch.tune.stateless_searcher import StatelessSearcher


class ReplicaQueue(StatelessSearcher):
    """Gives Tune the replicas, one after the other, as long as they may begin.

    Args:
        specs: of the replicas, in their order.
        allowed: which of those that wait may begin now.
    """

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        allowed: Callable[[Sequence[TrialSpec]], Sequence[TrialSpec]],
    ) -> None:
        super().__init__()
        self._waiting = list(specs)
        self._allowed = allowed
        self._open: set[str] = set()

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next replica for Tune's `trial_id`; None while there may be one later."""
        allowed = self._allowed(self._waiting)
        if not allowed:
            return None if self._waiting and self._open else Searcher.FINISHED
        self._waiting.remove(allowed[0])
        self._open.add(trial_id)
        return allowed[0].to_tune()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tune's hook: a replica has ended."""
        self._open.discard(trial_id)
