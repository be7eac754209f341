"""Configurations of which some values change at points of the training: `schedule`.

A schedule is what a search by populations produces, and what its ranking trains again.
"""

from __future__ import annotations

import bisect
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

from gansearch.errors import ConfigError
from gansearch.rules import Config, Point, Rule, parameter, short

AT = Rule("int", "parameter updates after which a point is reached", low=1, high=10**12)
_SCHEDULE = "schedule"  # the parameter, and the kind of its rule


class ScheduleFault(ValueError):  # noqa: N818  # a ValueError like those of `Rule.parse`
    """What is wrong with a schedule.

    Attributes:
        path: where in its plain value: the number of the point and a key of it, or less.
        fault: the message on what stands there.
        rule: of a number that breaks it; None for other faults.
    """

    def __init__(self, path: Sequence[int | str], fault: str, rule: Rule | None = None) -> None:
        words = [f"point {step + 1}" if isinstance(step, int) else step for step in path]
        self.words = ": ".join(words)
        super().__init__(f"{self.words}: {fault}" if words else fault)
        self.path, self.fault, self.rule = tuple(path), fault, rule


@dataclass(frozen=True)
class ScheduledConfig(Config):
    """A table of parameters of which those in `schedulable` may change in mid-training.

    All others have the values that hold until the first point of `schedule`.

    Class attributes:
        schedulable: names of parameters, also of some that a table may lack.
    """

    schedulable: ClassVar[tuple[str, ...]]

    schedule: tuple[Point, ...] = parameter(
        (),
        _SCHEDULE,
        "points of the training from which on parameters have other values: {at: 5000, "
        "discriminator_lr: 0.02} from the first iteration on that begins after 5000 parameter "
        "updates or more; [] for none. It can't be searched",
    )

    @classmethod
    def parsed(cls, name: str, value: object) -> Any:
        """Return a parameter's value; a schedule from its points, or their plain values.

        Raises:
            ValueError: it breaks its rule; the message is the offending value.
            ConfigError: a schedule breaks one.
        """
        if cls.rules()[name].kind != _SCHEDULE:
            return super().parsed(name, value)
        try:
            return parse_schedule(cls, value)
        except ScheduleFault as fault:
            raise ConfigError(f"{cls._what}: {name}: {fault}") from None

    def applies(self, name: str) -> bool:
        """Return whether a parameter has any effect, be it from a point of the schedule on."""
        if self.rules()[name].kind == _SCHEDULE:
            return bool(self.schedule)
        if not self.schedule:
            return super().applies(name)
        return any(Config.applies(stage, name) for stage in self.stages)

    @property
    def config_id(self) -> str:
        """As that of `Config`; what a point sets without any effect doesn't count."""
        points = []
        for point, before in zip(self.schedule, self.stages, strict=False):
            new = [(n, v) for n, v in point.values if self.applies(n) and v != getattr(before, n)]
            if new:
                points.append(Point(point.at, tuple(new)))
        if tuple(points) == self.schedule:
            return super().config_id
        return self.replaced(schedule=tuple(points)).config_id

    @property
    def stages(self) -> tuple[Self, ...]:
        """What holds at the start and from each point on: configurations without a schedule."""
        return _stages(self) if self.schedule else (self,)

    def at(self, updates: int) -> Self:
        """Return what holds in an iteration that begins after `updates`, without a schedule."""
        if not self.schedule:
            return self
        return self.stages[bisect.bisect_right([point.at for point in self.schedule], updates)]

    def until(self, updates: int) -> Self:
        """Return the configuration with the points that are reached by the end of an iteration.

        A training has taken no other to its state: two of the same `until` are the same up to here.

        Args:
            updates: that were done when the iteration began.
        """
        reached = tuple(point for point in self.schedule if point.at <= updates)
        return self if reached == self.schedule else self.replaced(schedule=reached)

    def replaced(self, **values: Any) -> Self:
        """Return the configuration with some values in place of its own."""
        return type(self)(**{name: getattr(self, name) for name in self.rules()} | values)


@lru_cache(maxsize=1000)
def _stages(config: Any) -> tuple[Any, ...]:
    stages = [config.replaced(schedule=())]
    for point in config.schedule:
        stages.append(stages[-1].replaced(**dict(point.values)))
    return tuple(stages)


def schedule_in_words(config: Config) -> str | None:
    """Return what changes when in a training; None where nothing does.

    >>> @dataclass(frozen=True)
    ... class Table(ScheduledConfig):
    ...     schedulable = ("lr",)
    ...     lr: float = parameter(0.1, "float", "learning rate")
    >>> schedule_in_words(Table(schedule=[{"at": 500, "lr": 0.02}, {"at": 9000, "lr": 0.01}]))
    'lr 0.1 -> 0.02 at 500; lr 0.02 -> 0.01 at 9,000'
    """
    if not isinstance(config, ScheduledConfig) or not config.schedule:
        return None
    points = []
    for point, before in zip(config.schedule, config.stages, strict=False):
        new = (f"{n} {short(getattr(before, n))} -> {short(value)}" for n, value in point.values)
        points.append(f"{', '.join(new)} at {point.at:,}")
    return "; ".join(points)


def parse_schedule(table: type[ScheduledConfig], value: object) -> tuple[Point, ...]:
    """Return the points of a schedule, given as such or as their plain values.

    Raises:
        ScheduleFault: a point, or their order, breaks a rule.
    """
    if not isinstance(value, list | tuple):
        needed = table.rules()[_SCHEDULE]
        raise ScheduleFault(
            (), f"found {reprlib.repr(value)}. It must be {needed.describe()}.", needed
        )
    points: list[Point] = []
    for i, given in enumerate(value):
        point = _parse_point(table, i, given.to_dict() if isinstance(given, Point) else given)
        if points and point.at <= points[-1].at:
            raise ScheduleFault(
                (i, "at"),
                f"found {point.at}, after {points[-1].at}. The points must be in ascending order, "
                "one for each number of updates. Sort them, and join those of the same number.",
            )
        points.append(point)
    return tuple(points)


def _parse_point(table: type[ScheduledConfig], i: int, given: object) -> Point:
    if not isinstance(given, Mapping):
        raise ScheduleFault(
            (i,),
            f"found {reprlib.repr(given)}. It must be a point such as {{at: 5000, momentum: 0.5}}.",
        )
    if "at" not in given:
        raise ScheduleFault(
            (i,), "it has no at: the parameter updates after which it is reached, such as at: 5000."
        )
    at = _parse_value(AT, (i, "at"), given["at"])
    values = {name: value for name, value in given.items() if name != "at"}
    if not values:
        raise ScheduleFault(
            (i,), f"it changes nothing. Give a new value, such as {{at: {at}, momentum: 0.5}}."
        )
    rules = table.rules()
    for name in values:
        if name not in rules:
            raise ScheduleFault((i, name), f"unknown parameter. {table.suggest(name)}")
        if name not in table.schedulable:
            known = [each for each in table.schedulable if each in rules]
            raise ScheduleFault(
                (i, name),
                f"it can't change in mid-training. These can: {', '.join(known)}.",
            )
    parsed = {
        name: _parse_value(rules[name], (i, name), values[name]) for name in rules if name in values
    }
    return Point(at, tuple(parsed.items()))


def _parse_value(rule: Rule, path: tuple[int, str], value: object) -> Any:
    try:
        return rule.parse(value)
    except ValueError as found:
        raise ScheduleFault(path, f"found {found}. It must be {rule.describe()}.", rule) from None
