"""How far two spaces agree, so that a search can say what trials of another are worth to it."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

from gansearch.space.ranges import Choices, FloatRange, Range
from gansearch.space.search_space import SearchSpace


def likeness(one: SearchSpace, other: SearchSpace) -> float:
    """Return the mean agreement of two spaces' parameters, from 0 to 1.

    It is over the parameters that either searches, or that have different single values; what both
    leave at the same value says nothing. Ranges agree by what they share over what they span
    together, in the logarithm where either has `log`; a range and a single value don't agree.
    """
    names = [
        name
        for name in one.table.rules()
        if name in one.search
        or name in other.search
        or one.unsearched[name] != other.unsearched[name]
    ]
    agreed = (_agreement(one.search.get(n), other.search.get(n)) for n in names)
    return math.fsum(agreed) / len(names) if names else 1.0


def _agreement(one: Range | None, other: Range | None) -> float:
    """Return what two ranges share, over what they span together; 0 for other single values."""
    if one is None or other is None:
        return 0.0
    if isinstance(one, Choices) or isinstance(other, Choices):
        values, others = _values(one), _values(other)
        if values is None or others is None:
            return 0.0
        return len(values & others) / len(values | others)
    lows, highs = (one.low, other.low), (one.high, other.high)
    log = (one.log or other.log) and min(lows) > 0
    return _width(max(lows), min(highs), log) / _width(min(lows), max(highs), log)


def _values(entry: Range) -> Set[Any] | None:
    return None if isinstance(entry, FloatRange) else set(entry.candidates() or ())


def _width(low: float, high: float, log: bool) -> float:
    if high < low:
        return 0.0
    return math.log(high / low) if log else high - low
