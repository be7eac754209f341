"""The range of one searched parameter: integers, floats, or choices.

In a space file: `{int: [1, 5]}`, `{float: [0.003, 0.3], log: true}`, `{choice: [relu, tanh]}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from gansearch.errors import did_you_mean
from gansearch.rules import Config, Rule, short
from gansearch.scheduled import AT, ScheduledConfig, ScheduleFault, parse_schedule
from gansearch.space.yaml_source import SourceValue, shorten

# (parameter, values) pairs, all of which must hold: the parameter has one of the values.
Condition = tuple[tuple[str, tuple[Any, ...]], ...]

# The parameter table of the space's model family.
Table = type[Config]

_KINDS = ("int", "float", "choice")
_POINTS = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+")  # 60.000
_FORMS = "{int: [low, high]}, {float: [low, high], log: true} or {choice: [value, ...]}"


@dataclass(frozen=True)
class IntRange:
    """Integers `low, low + step, …, high`, both ends included; `log`: uniform in the logarithm."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: Condition = ()

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> int:
        """Ask Optuna for a value."""
        return trial.suggest_int(name, self.low, self.high, log=self.log, step=self.step)

    def contains(self, value: Any) -> bool:
        """Return whether `value` can be suggested."""
        return bool(self.low <= value <= self.high and (value - self.low) % self.step == 0)

    def ends(self) -> tuple[int, ...]:
        """Return the smallest and the largest value."""
        return self.low, self.high

    def candidates(self) -> Sequence[int] | None:
        """Return all values."""
        return range(self.low, self.high + 1, self.step)

    def encode(self, value: Any) -> Any:
        """Return `value` as Optuna stores it."""
        return value

    def describe(self) -> str:
        """Return the range in words."""
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"[{self.low}, {self.high}]{steps}"

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a space file."""
        step = {"step": self.step} if self.step > 1 else {}
        return {"int": [self.low, self.high], **_log(self.log), **step, **_when(self.when)}


@dataclass(frozen=True)
class FloatRange:
    """Floats in `[low, high]`; `log`: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    when: Condition = ()

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> float:
        """Ask Optuna for a value."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def contains(self, value: Any) -> bool:
        """Return whether `value` can be suggested."""
        return bool(self.low <= value <= self.high)

    def ends(self) -> tuple[float, ...]:
        """Return the smallest and the largest value."""
        return self.low, self.high

    def candidates(self) -> Sequence[Any] | None:
        """Return None: there is no end of values."""
        return None

    def encode(self, value: Any) -> Any:
        """Return `value` as Optuna stores it."""
        return value

    def describe(self) -> str:
        """Return the range in words."""
        return f"[{self.low:g}, {self.high:g}]"

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a space file."""
        return {"float": [self.low, self.high], **_log(self.log), **_when(self.when)}


@dataclass(frozen=True)
class Choices:
    """One of `values`, which have no order."""

    values: tuple[Any, ...]
    when: Condition = ()

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> Any:
        """Ask Optuna for a value."""
        labels = [self.encode(value) for value in self.values]
        return self.values[labels.index(trial.suggest_categorical(name, labels))]

    def contains(self, value: Any) -> bool:
        """Return whether `value` can be suggested."""
        return value in self.values

    def ends(self) -> tuple[Any, ...]:
        """Return all values: they have no order."""
        return self.values

    def candidates(self) -> Sequence[Any] | None:
        """Return all values."""
        return self.values

    def encode(self, value: Any) -> Any:
        """Return `value` as Optuna stores it: widths as text such as `64-64`."""
        return short(value) if isinstance(value, tuple) else value

    def describe(self) -> str:
        """Return the choice in words."""
        return "the choices " + ", ".join(shorten(value) for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a space file."""
        return {"choice": _lists(self.values), **_when(self.when)}


Range = IntRange | FloatRange | Choices


def parse_value(table: Table, key: str, name: str, item: SourceValue) -> Any:
    """Return one value of parameter `name`; messages call it `key`.

    Raises:
        SpaceError: the value breaks the parameter's rule.
    """
    rule = table.rules()[name]
    if rule.kind == "schedule" and issubclass(table, ScheduledConfig):
        return _parse_schedule(table, key, item)
    return parse_by_rule(rule, key, item)


def _parse_schedule(table: type[ScheduledConfig], key: str, item: SourceValue) -> Any:
    """Return a schedule; messages name the line, the point and the key in it."""
    try:
        points = parse_schedule(table, item.plain())
    except ScheduleFault as fault:
        at = item
        for step in fault.path:
            at = at.value[step]
        key = f"{key}: {fault.words}" if fault.words else key
        if fault.rule is not None:
            raise at.rule_error(key, fault.rule.describe()) from None
        raise at.error(key, fault.fault) from None
    for i, point in enumerate(item.value):
        parse_by_rule(AT, f"{key}: point {i + 1}: at", point.value["at"])  # not 60.000
    return points


def parse_by_rule(rule: Rule, key: str, item: SourceValue) -> Any:
    """Return a value that follows `rule`; messages call it `key`.

    Raises:
        SpaceError: the value breaks the rule.
    """
    if item.name in rule.choices:
        return item.name
    if rule.kind == "int" and item.text and _POINTS.fullmatch(item.text):
        # As a float it would be 60, where 60,000 may be meant.
        raise item.error(
            key, f"found {item.text}. It must be {rule.describe()}. Write it without a point."
        )
    try:
        return rule.parse(item.plain())
    except ValueError:
        raise item.rule_error(key, rule.describe()) from None


def parse_range(table: Table, name: str, item: SourceValue) -> Range:
    """Return the range in the entry of parameter `name` under `search`.

    Raises:
        SpaceError: the entry has another form, or breaks the parameter's rule.
    """
    entry = item.value
    if table.rules()[name].kind == "schedule":
        raise item.error(
            name,
            "a schedule can't be searched. Search the parameters themselves; a schedule that all "
            "trials follow belongs under fixed.",
        )
    if not isinstance(entry, dict):
        raise item.error(
            name,
            f"found {item.show()}. A searched parameter is written {_FORMS}; "
            "a parameter with one value belongs under fixed.",
        )
    kinds = [kind for kind in _KINDS if kind in entry]
    allowed = {"int": ("log", "step"), "float": ("log",), "choice": ()}
    for key, option in entry.items():
        if len(kinds) == 1 and key not in (*kinds, *allowed[kinds[0]], "when"):
            known = (*kinds, *allowed[kinds[0]], "when")
            raise option.error(
                name, f"{key} does not go with {kinds[0]}. {did_you_mean(key, known)}"
            )
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else ", ".join(map(str, entry)) or "nothing"
        raise item.error(name, f"found {found}. One of these is needed: {_FORMS}.")
    condition = _parse_condition(table, name, entry["when"]) if "when" in entry else ()
    if kinds[0] == "choice":
        return Choices(_parse_choices(table, name, entry["choice"]), condition)
    return _parse_interval(table, name, kinds[0], entry, condition)


def _parse_choices(table: Table, name: str, item: SourceValue) -> tuple[Any, ...]:
    if not isinstance(item.value, list) or not item.value:
        raise item.error(name, f"choice: found {item.show()}. It must be a list of values.")
    values: list[Any] = []
    for choice in item.value:
        value = parse_value(table, name, name, choice)
        if value in values:
            raise choice.error(name, f"{shorten(value)} is listed twice. Remove one.")
        values.append(value)
    return tuple(values)


def _parse_interval(
    table: Table, name: str, kind: str, entry: Mapping[str, SourceValue], condition: Condition
) -> IntRange | FloatRange:
    rule = table.rules()[name]
    item = entry[kind]
    if rule.kind != kind:
        raise item.error(name, f"{kind} does not fit. {_describe_form(name, rule)}")
    ends = item.value
    if not isinstance(ends, list) or len(ends) != 2:
        raise item.rule_error(f"{name}: {kind}", "a list [low, high]")
    log = _parse_log(name, entry)
    if log and _is_number(ends[0].value) and ends[0].value <= 0:
        suggestion = "1" if kind == "int" else "1e-5"
        raise ends[0].error(
            name,
            f"low={ends[0].show()} with log: true. A log scale needs low > 0. "
            f"Use low: {suggestion}, or drop log.",
        )
    low, high = (parse_value(table, name, name, end) for end in ends)
    if low >= high:
        raise item.error(
            name,
            f"low={low:g} and high={high:g}. low must be below high. "
            f"Swap or widen them; a single value belongs under fixed: {{{name}: {low:g}}}.",
        )
    if kind == "float":
        return FloatRange(low, high, log, condition)
    return IntRange(low, high, log, _parse_step(name, entry, low, high, log), condition)


def _parse_step(name: str, entry: Mapping[str, SourceValue], low: int, high: int, log: bool) -> int:
    if "step" not in entry:
        return 1
    item = entry["step"]
    step = item.value
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise item.error(name, f"step={item.show()}. It must be a whole number >= 1.")
    if log and step > 1:
        raise item.error(name, f"step={step} with log: true. A log scale has no steps. Drop one.")
    if (high - low) % step:
        nearest = high - (high - low) % step
        advice = (
            f"Use high: {nearest}." if nearest > low else f"Use a step of at most {high - low}."
        )
        raise item.error(name, f"steps of {step} from low={low} never reach high={high}. {advice}")
    return step


def _parse_log(name: str, entry: Mapping[str, SourceValue]) -> bool:
    if "log" not in entry:
        return False
    item = entry["log"]
    if not isinstance(item.value, bool):
        raise item.error(name, f"log: found {item.show()}. It must be true or false.")
    return item.value


def _parse_condition(table: Table, name: str, item: SourceValue) -> Condition:
    key = f"{name}: when"
    rules = table.rules()
    if not isinstance(item.value, dict) or not item.value:
        raise item.error(
            key, f"found {item.show()}. It must be a mapping {{parameter: value or [values]}}."
        )
    condition = []
    for other, wanted in item.value.items():
        if other not in rules:
            raise wanted.error(key, f"unknown parameter {other}. {table.suggest(other)}")
        condition.append((other, _parse_wanted(table, f"{key}: {other}", other, wanted)))
    return tuple(condition)


def _parse_wanted(table: Table, key: str, other: str, item: SourceValue) -> tuple[Any, ...]:
    """Return the values under which a condition holds; a single one may stand without a list."""
    listed = isinstance(item.value, list)
    if listed and table.rules()[other].kind == "widths":
        # Widths are lists themselves: [64, 64] is one value, [[64, 64], [128]] are two.
        listed = all(isinstance(part.value, list) for part in item.value)
    parts: Sequence[SourceValue] = item.value if listed else [item]
    if not parts:
        raise item.error(key, "found []. Give at least one value, or drop the condition.")
    return tuple(parse_value(table, key, other, part) for part in parts)


def _describe_form(name: str, rule: Rule) -> str:
    noun = {"int": "a whole number", "float": "a number", "widths": "a list of widths"}
    form = f"{{{rule.kind}: [low, high]}}" if rule.kind in ("int", "float") else "{choice: [...]}"
    return f"{name} is {noun.get(rule.kind, rule.describe())}. Use {form}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _log(log: bool) -> dict[str, Any]:
    return {"log": True} if log else {}


def _when(condition: Condition) -> dict[str, Any]:
    return {"when": {other: _lists(values) for other, values in condition}} if condition else {}


def _lists(values: Sequence[Any]) -> list[Any]:
    return [list(value) if isinstance(value, tuple) else value for value in values]
