"""What all our searchers tell Tune: that they need nothing of it to be restored."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher


class StatelessSearcher(Searcher):
    """A searcher that a resumed run makes anew, from the run's folder."""

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Tune's hook: a searcher knows by itself what is searched, and for which objective."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Tune's hook: there is nothing to add."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune's hook: there is nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore, which gansearch never uses.
        return {}
