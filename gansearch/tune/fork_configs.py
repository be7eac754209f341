"""The configuration of a fork: its donor's with a point of its schedule more.

So it says what the whole training did: trained from scratch with the same seed it comes to the same
weights, and replicas on fresh seeds train it like any other configuration.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence
from typing import Any

from gansearch.rules import Point
from gansearch.scheduled import ScheduledConfig
from gansearch.space.conditions import is_active
from gansearch.space.ranges import Choices, FloatRange, IntRange, Range
from gansearch.space.search_space import SearchSpace

# As in Jaderberg et al. 2017: a value is multiplied by one of the factors, or drawn anew.
_FACTORS = (0.8, 1.25)
_DRAWN_ANEW = 0.25


def perturbed_parameters(space: SearchSpace) -> list[str]:
    """Return the searched parameters that a fork may change, which have more than one value."""
    schedulable = getattr(space.table, "schedulable", ())
    return [name for name, entry in space.search.items() if name in schedulable and _is_free(entry)]


def perturbed(
    space: SearchSpace, config: ScheduledConfig, updates: int, seed: int
) -> ScheduledConfig:
    """Return a configuration that trains on otherwise after so many updates.

    Each searched parameter that can change in mid-training, and applies then, has another value
    within its range.

    Args:
        space: the searched space.
        config: of a training up to there.
        updates: after which the values change.
        seed: decides the new values.
    """
    rng = random.Random(seed)
    present = config.at(updates)
    changes: dict[str, Any] = {}
    for name in perturbed_parameters(space):
        values = {each: getattr(present, each) for each in space.table.rules()} | changes
        if is_active(space.table, name, space.search[name].when, values):
            changes[name] = _perturbed(space.search[name], values[name], rng)
    return with_point(config, updates, changes)


def with_point(
    config: ScheduledConfig, updates: int, changes: Mapping[str, Any]
) -> ScheduledConfig:
    """Return a configuration with changes after so many updates; later points stay."""
    present = config.at(updates)
    before = [point for point in config.schedule if point.at < updates]
    after = [point for point in config.schedule if point.at > updates]
    merged = {
        name: value
        for point in config.schedule
        if point.at == updates
        for name, value in point.values
    }
    changed = {name: value for name, value in changes.items() if getattr(present, name) != value}
    merged |= changed
    if not merged:
        return config
    return config.replaced(schedule=(*before, Point(updates, tuple(merged.items())), *after))


def _is_free(entry: Range) -> bool:
    return len(set(map(str, entry.ends()))) > 1


def _perturbed(entry: Range, value: Any, rng: random.Random) -> Any:
    """Return another value of a range: a step away, inwards at its end, or any other."""
    if rng.random() < _DRAWN_ANEW:
        return _drawn(entry, value, rng)
    up = rng.random() < 0.5
    if isinstance(entry, FloatRange):
        new = min(max(value * _FACTORS[up], entry.low), entry.high)
        return _drawn(entry, value, rng) if new == value else new
    options = _sorted(entry)
    if options is None:  # they have no order
        return _drawn(entry, value, rng)
    # A rescue may have led to a value that is none of them.
    below, above = bisect.bisect_left(options, value) - 1, bisect.bisect_right(options, value)
    up = below < 0 or (up and above < len(options))
    if isinstance(entry, IntRange):
        beyond = bisect.bisect_left(options, value * _FACTORS[up])
        return options[min(max(beyond, above), len(options) - 1) if up else min(beyond, below)]
    return options[above if up else below]


def _sorted(entry: IntRange | Choices) -> Sequence[Any] | None:
    """Return the values of a range in their order, None if they have none."""
    if isinstance(entry, IntRange):
        return entry.candidates()
    are_numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in entry.values
    )
    return sorted(entry.values) if are_numbers else None


def _drawn(entry: Range, value: Any, rng: random.Random) -> Any:
    """Return any other value of a range, uniformly, in the logarithm where it says so."""
    if isinstance(entry, Choices):
        return rng.choice([each for each in entry.values if each != value])
    while True:
        drawn = _uniform(entry, rng)
        new = _int_near(entry, drawn) if isinstance(entry, IntRange) else drawn
        if new != value:
            return new


def _uniform(entry: IntRange | FloatRange, rng: random.Random) -> float:
    if not entry.log:
        return rng.uniform(entry.low, entry.high)
    drawn = entry.low * (entry.high / entry.low) ** rng.random()
    return float(min(max(drawn, entry.low), entry.high))


def _int_near(entry: IntRange, value: float) -> int:
    return entry.low + round((value - entry.low) / entry.step) * entry.step
