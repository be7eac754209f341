"""A section of a report, and the columns of its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gansearch.measures import MEASURES

# Columns of numbers, of sentences or lists, and those whose cells are never wrapped.
TABLE_MEASURES = [m for m in MEASURES if m.heading is not None and m.table == "score"]
MORE_MEASURES = [m for m in MEASURES if m.heading is not None and m.table == "more"]
HEADINGS = [str(measure.heading) for measure in TABLE_MEASURES]
MORE_HEADINGS = [str(measure.heading) for measure in MORE_MEASURES]
_NUMBER_COLUMNS = (
    *("rank", "updates", "valid LL", "number", "worst", "updates/success"),
    *("classes", "collapsed p", "p recovers"),
    *(*HEADINGS, *MORE_HEADINGS),
)
PROSE_COLUMNS = (
    "parameters",
    "reason",
    "source",
    "test LL of every seed",
    "test of every seed",
    "missing classes",
)
UNWRAPPED_COLUMNS = ("test LL", "test")
# A column's name and the alignment of its cells.
Column = tuple[str, Literal["left", "right"]]


@dataclass(frozen=True)
class Section:
    """A part of a report: text, then a table, then notes on the table."""

    key: str
    title: str
    text: Sequence[str] = ()
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()


def make_columns(*names: str) -> list[Column]:
    """Return columns of these names; those of numbers are aligned to the right."""
    return [(name, "right" if name in _NUMBER_COLUMNS else "left") for name in names]
