"""How many configurations a space has, and all of them where no float is searched."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from gansearch.rules import Config
from gansearch.space.conditions import dependencies, is_active
from gansearch.space.ranges import Choices, FloatRange, Range
from gansearch.space.search_space import SearchSpace

N_POINTS = 5  # of each float on a grid


def n_configurations(space: SearchSpace) -> int | None:
    """Return the number of distinct configurations; None if there is no end of them.

    A parameter counts where its conditions hold. Large ranges are counted without trying each
    value: only the values that a condition names make a difference to the parameters that follow.
    """
    table, search = space.table, space.search
    names = list(search)
    # By which of the parameters before it the rest is decided.
    needed = [
        set[str]().union(*(dependencies(table, name, search[name].when) for name in names[i:]))
        for i in range(len(names) + 1)
    ]
    named = _values_in_conditions(space)

    @cache
    def count(i: int, chosen: frozenset[tuple[str, Any]]) -> float:
        """Return the number of ways to go on from parameter i, given those chosen before it."""
        if i == len(names):
            return 1
        name, entry = names[i], search[names[i]]
        kept = frozenset(pair for pair in chosen if pair[0] in needed[i + 1])
        if not is_active(table, name, entry.when, {**space.unsearched, **dict(chosen)}):
            return count(i + 1, kept)
        values = entry.candidates()
        if values is None:
            return math.inf
        if name not in needed[i + 1]:
            return len(values) * count(i + 1, kept)
        return sum(
            n * count(i + 1, kept | {(name, value)})
            for value, n in _classes(values, named.get(name, ()))
        )

    found = count(0, frozenset())
    return None if found == math.inf else int(found)


def configurations(space: SearchSpace) -> Iterator[Config]:
    """Yield all configurations of a space whose number is finite, each once."""
    for values in _assignments(space, list(space.search), space.unsearched):
        yield space.table.from_dict(values)


def grid_of(space: SearchSpace) -> SearchSpace:
    """Return the space with N_POINTS values in place of each range of floats, its ends included.

    The values are evenly spaced, where the range is logarithmic by their logarithms. Without a
    range of floats it is the space itself.
    """
    if not any(isinstance(entry, FloatRange) for entry in space.search.values()):
        return space
    search: dict[str, Range] = {
        name: Choices(_points(entry), entry.when) if isinstance(entry, FloatRange) else entry
        for name, entry in space.search.items()
    }
    return replace(space, search=search)


def _points(entry: FloatRange) -> tuple[float, ...]:
    shares = [i / (N_POINTS - 1) for i in range(1, N_POINTS - 1)]
    low, high = entry.low, entry.high
    inner = [
        low * (high / low) ** share if entry.log else low + (high - low) * share for share in shares
    ]
    return (low, *inner, high)


def _assignments(
    space: SearchSpace, names: Sequence[str], values: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    if not names:
        yield values
        return
    name, *rest = names
    entry = space.search[name]
    if not is_active(space.table, name, entry.when, values):
        yield from _assignments(space, rest, values)
        return
    for value in entry.candidates() or ():
        yield from _assignments(space, rest, {**values, name: value})


def _values_in_conditions(space: SearchSpace) -> dict[str, set[Any]]:
    """Return the values that conditions of searched parameters name, by parameter."""
    named: dict[str, set[Any]] = {}
    for name, entry in space.search.items():
        for other, wanted in entry.when:
            named.setdefault(other, set()).update(wanted)
        for other, value in space.table.rules()[name].when:
            named.setdefault(other, set()).add(value)
    return named


def _classes(values: Sequence[Any], named: Collection[Any]) -> Iterator[tuple[Any, int]]:
    """Yield each named value among `values`, and one for all others, with their numbers."""
    special = [value for value in named if value in values]
    yield from ((value, 1) for value in special)
    if len(values) > len(special):
        other = next(value for value in values if value not in named)
        yield other, len(values) - len(special)
