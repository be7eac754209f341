"""Rules for parameters, and base classes of the frozen dataclasses that they validate.

A parameter is a field with its rule beside it, so that one table has each parameter's values,
default, condition and meaning. Space files, command-line flags, `run.json` and the documentation
are all checked against these tables.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from gansearch.errors import ConfigError, did_you_mean

# What a value must be, of kinds without a range.
_PLAIN_KINDS = {"bool": "true or false", "str": "text"}


@dataclass(frozen=True)
class Point:
    """Values that parameters have from a point of the training on.

    Attributes:
        at: the point, in parameter updates.
        values: the new values with the names of their parameters.
    """

    at: int
    values: tuple[tuple[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `at`, and the new values by name."""
        return {"at": self.at, **dict(self.values)}


@dataclass(frozen=True)
class Rule:
    """The values that a parameter may have, when it applies, and what it means.

    Attributes:
        kind: int, float, bool, str (one of `choices`, or any text where there are none), widths: a
            list of ints, one for each layer, or schedule: `Point`s (see `scheduled`).
        doc: the meaning, as the documentation has it.
        low, high: the range of a number, or of each entry of widths, both ends included.
        low_is_open: whether `low` itself is excluded.
        choices: the values of a str, or of an int that has few.
        may_be_empty: whether widths may be an empty list.
        when: (parameter, value) pairs; the parameter applies where any of them holds, or always if
            there are none.
    """

    kind: str
    doc: str
    low: float = -math.inf
    high: float = math.inf
    low_is_open: bool = False
    choices: tuple[str, ...] | tuple[int, ...] = ()
    may_be_empty: bool = False
    when: tuple[tuple[str, str | float], ...] = ()

    def describe(self) -> str:
        """Return the rule in words, for error messages and the documentation."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        # Fifteen digits: the default of six would write ten million as 1e+07.
        low, high = f"{self.low:.15g}", f"{self.high:.15g}"
        if self.kind == "widths":
            none = "; [] for none" if self.may_be_empty else ""
            within = f" in [{low}, {high}], one for each layer" if math.isfinite(self.low) else ""
            return f"a list of whole numbers{within}{none}"
        if self.kind in _PLAIN_KINDS:
            return _PLAIN_KINDS[self.kind]
        if self.kind == "schedule":
            return "a list of points such as {at: 5000, discriminator_lr: 0.02}"
        noun = "a whole number" if self.kind == "int" else "a number"
        if self.low == -math.inf and self.high == math.inf:
            return noun
        if self.high == math.inf:
            return f"{noun} {'>' if self.low_is_open else '>='} {low}"
        return f"{noun} in {'(' if self.low_is_open else '['}{low}, {high}]"

    def parse(self, value: object) -> Any:
        """Return `value` converted to the parameter's type.

        Raises:
            ValueError: it breaks the rule; the message is the offending value.
        """
        if self.kind == "widths":
            if not isinstance(value, list | tuple) or not (value or self.may_be_empty):
                raise ValueError(f"{value!r}")
            return tuple(self._number(width, whole=True) for width in value)
        if self.choices:
            if isinstance(value, bool) or value not in self.choices:
                raise ValueError(f"{value!r}")
            return value
        if self.kind in _PLAIN_KINDS:
            if not isinstance(value, bool if self.kind == "bool" else str):
                raise ValueError(f"{value!r}")
            return value
        return self._number(value, whole=self.kind == "int")

    def _number(self, value: object, *, whole: bool) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(f"{value!r}")
        try:
            number = float(value)
        except OverflowError:  # an int beyond the range of floats
            number = math.inf
        below = number <= self.low if self.low_is_open else number < self.low
        if not math.isfinite(number) or below or number > self.high:
            raise ValueError(f"{value!r}")
        if whole and number != int(number):
            raise ValueError(f"{value!r}")
        return int(number) if whole else number


def parameter(default: Any, kind: str, doc: str, **rule: Any) -> Any:
    """Return a field of a `Validated` dataclass: its default, and the arguments of its `Rule`."""
    return field(default=default, metadata={"rule": Rule(kind=kind, doc=doc, **rule)})


class Validated:
    """Base of frozen dataclasses of parameters, which are validated when they are created.

    Raises:
        ConfigError: a value breaks its rule.
    """

    _what: ClassVar[str]
    _rules: ClassVar[Mapping[str, Rule]]
    # What other tools call the parameters, in lower case with underscores: their names here, or
    # sentences where none does the same. A parameter of the table itself always counts first.
    other_words: ClassVar[Mapping[str, tuple[str, ...] | str]] = {}

    def __post_init__(self) -> None:
        for name, rule in self.rules().items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, self.parsed(name, value))
            except ValueError as found:
                raise ConfigError(
                    f"{self._what}: {name}: found {found}. It must be {rule.describe()}."
                ) from None

    @classmethod
    def rules(cls) -> Mapping[str, Rule]:
        """Return the rule of every parameter, by name, in the order of definition."""
        if "_rules" not in vars(cls):
            # Read-only, since all callers share it.
            cls._rules = MappingProxyType({f.name: f.metadata["rule"] for f in fields(cls)})  # type: ignore[arg-type]
        return cls._rules

    @classmethod
    def parsed(cls, name: str, value: object) -> Any:
        """Return a parameter's value as `Rule.parse` does, with its errors."""
        return cls.rules()[name].parse(value)

    @classmethod
    def answer_to(cls, name: str) -> str | None:
        """Return the answer to a word of other tools, without its last full stop; None if unknown.

        >>> class Table(Config):
        ...     other_words = {"nz": ("noise_dim",), "wd": "Weight decay is not there."}
        ...     _rules = {"noise_dim": Rule("int", "dimension of z")}
        >>> Table.answer_to("nZ"), Table.answer_to("wd"), Table.answer_to("lr")
        ('Here it is noise_dim', 'Weight decay is not there', None)
        """
        answer = cls.other_words.get(name.strip().lower().replace("-", "_"))
        if isinstance(answer, tuple):
            known = [other for other in answer if other in cls.rules()]
            answer = f"Here it is {' and '.join(known)}" if known else None
        return answer and answer.removesuffix(".")

    @classmethod
    def suggest(cls, name: str) -> str:
        """Return the end of a message about an unknown parameter, as `did_you_mean` does."""
        answer = cls.answer_to(name)
        return f"{answer}." if answer else did_you_mean(name, cls.rules())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; missing and None entries have the default.

        Raises:
            ConfigError: an unknown name, or a value that breaks its rule.
        """
        rules = cls.rules()
        for name in values:
            if name not in rules:
                raise ConfigError(f"{cls._what}: unknown parameter {name}. {cls.suggest(name)}")
        return cls(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class Config(Validated):
    """Base of configurations: a subclass is the parameter table of a model family.

    It must be a frozen dataclass whose fields are made by `parameter`. Instances have a value for
    every parameter, whether or not it applies. Values are converted, so that equal configurations
    compare equal.

    >>> @dataclass(frozen=True)
    ... class MyConfig(Config):
    ...     depth: int = parameter(2, "int", "hidden layers", low=1, high=8)
    >>> MyConfig.from_dict({"depth": 3})
    MyConfig(depth=3)
    """

    _what: ClassVar[str] = "configuration"
    _defaults: ClassVar[Mapping[str, Any]]

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """Return the default of every parameter, by name."""
        if "_defaults" not in vars(cls):
            default = cls()
            cls._defaults = MappingProxyType({name: getattr(default, name) for name in cls.rules()})
        return cls._defaults

    def applies(self, name: str) -> bool:
        """Return whether parameter `name` has any effect in this configuration."""
        when = self.rules()[name].when
        return not when or any(getattr(self, other) == value for other, value in when)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None where a parameter does not apply; widths as lists."""
        return {
            name: plain(getattr(self, name)) if self.applies(name) else None
            for name in self.rules()
        }

    @property
    def config_id(self) -> str:
        """Eight hex digits: the same for configurations that train the same.

        A hash of the values that apply and differ from the defaults, so that parameters added in a
        later version do not change it.
        """
        differs = {
            name: plain(value)
            for name, default in self.defaults().items()
            if self.applies(name) and (value := getattr(self, name)) != default
        }
        canonical = json.dumps(differs, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def kind_of(values: Iterable[Any]) -> str:
    """Return the kind of a `Rule` that all these plain values obey.

    >>> kind_of([1, 0.5]), kind_of([[64, 64], [128]])
    ('float', 'widths')

    Raises:
        ValueError: they are of several kinds, or of none; the message is the offending value.
    """
    kinds: set[str] = set()
    for value in values:
        for kind in ("bool", "str", "int", "float", "widths"):
            try:
                if kind == "int" and isinstance(value, float | np.floating):
                    continue
                Rule(kind, "", may_be_empty=True).parse(value)
            except ValueError:
                continue
            kinds.add(kind)
            break
        else:
            raise ValueError(f"{value!r}")
        if len(kinds - {"int", "float"}) + bool(kinds & {"int", "float"}) > 1:
            raise ValueError(f"{value!r}")
    return "float" if "float" in kinds else kinds.pop()


def extended(base: type[Config], added: Mapping[str, tuple[Any, Rule]]) -> type[Config]:
    """Return a class of configurations with the parameters of `base` and further ones.

    The names of the latter may have dots, such as `generator.width`; `getattr` reads them. The
    class is no dataclass, since a field can't have such a name.

    Args:
        base: `Config` itself, or a table.
        added: the default and the rule of each further parameter, by name.
    """
    rules = MappingProxyType({**base.rules(), **{name: rule for name, (_, rule) in added.items()}})
    defaults = {name: default for name, (default, _) in added.items()}

    def __init__(self: Config, **values: Any) -> None:  # noqa: N807
        for name, default in defaults.items():
            object.__setattr__(self, name, values.pop(name, default))
        base.__init__(self, **values)

    def __eq__(self: Config, other: object) -> bool:  # noqa: N807
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self: Config) -> int:  # noqa: N807
        return hash(tuple(getattr(self, name) for name in rules))

    def __repr__(self: Config) -> str:  # noqa: N807
        return f"Config({', '.join(f'{name}={getattr(self, name)!r}' for name in rules)})"

    methods = (__init__, __eq__, __hash__, __repr__)
    return type(
        "ExtendedConfig",
        (base,),
        {"_rules": rules, **{method.__name__: method for method in methods}},
    )


def count_of(n: float, noun: str) -> str:
    """Return a number with its noun.

    >>> count_of(1.0, "core"), count_of(1200, "trial")
    ('1 core', '1,200 trials')
    """
    number = f"{n:,}".removesuffix(".0")
    return f"{number} {noun}" if n == 1 else f"{number} {noun}s"


def short(value: Any) -> str:
    """Return a parameter's value as reports show it: `0.0307`, `64-64` for widths.

    A schedule may be given by its plain values.

    >>> short([{"at": 500, "lr": 0.02}, {"at": 900, "lr": 0.01}])
    '{at: 500, lr: 0.02}, {at: 900, lr: 0.01}'
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        points = [each for each in plain(tuple(value)) if isinstance(each, dict)]
        return ", ".join(map(_flow, points)) or "-".join(map(str, value)) or "none"
    return str(value)


def plain(value: Any) -> Any:
    """Return a parameter's value as plain JSON: widths and points as a list."""
    if isinstance(value, tuple):
        return [each.to_dict() if isinstance(each, Point) else each for each in value]
    return value


def _flow(values: Mapping[str, Any]) -> str:
    """Return a point as YAML has it on one line."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"
