"""Statistics on results: replicas, paired differences, ties, stability, importance."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.ranking.ranking import compare

__all__ = ["compare"]

__getattr__, __dir__ = attributes(__name__, {"compare": "ranking"})
