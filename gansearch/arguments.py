"""Arguments of the Python interface: converted to what the commands take, or refused by their name.

The commands name their flags in messages. `in_python_terms` names the arguments instead.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import yaml

from gansearch.errors import BadInputError
from gansearch.rules import Rule

# Flags whose argument has another name than theirs.
_ARGUMENTS = {
    "set": "overrides",
    "sigma-grid": "grid",
    "time-budget": "time_budget_seconds",
}
_NESTED = ("budget", "data")  # sections whose entries an override names by `section.entry`


@contextmanager
def in_python_terms() -> Iterator[None]:
    """Let the message of a BadInputError name arguments where it named flags of the commands."""
    try:
        yield
    except BadInputError as error:
        error.args = (_in_python_terms(str(error)),)
        raise


def _in_python_terms(message: str) -> str:
    parts = message.split("`")  # what stands in backticks is a command to type
    for i in range(0, len(parts), 2):
        part = re.sub(r" \(--[a-z-]+\)", "", parts[i])
        parts[i] = re.sub(
            r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)",
            lambda flag: _ARGUMENTS.get(flag[1], flag[1].replace("-", "_")),
            part,
        )
    return "`".join(parts)


def refused(name: str, value: object, rule: str) -> BadInputError:
    """Return the error about argument `name`; `rule` says what it must be, and the remedy."""
    return BadInputError(f"{name}: found {reprlib.repr(value)}. {rule}")


def path_argument(name: str, value: Any) -> Any:
    """Return a path as it is given; raise BadInputError for anything else."""
    # Paths of object stores are gansearch's own.
    if isinstance(value, str | os.PathLike) or hasattr(value, "write_bytes"):
        return value
    raise refused(name, value, "It must be a path: text, or a pathlib.Path.")


def text_argument(name: str, value: Any, example: str) -> str:
    """Return a text; raise BadInputError for anything else."""
    if isinstance(value, str):
        return value
    raise refused(name, value, f"It must be text, such as {example!r}.")


def number_argument(name: str, value: Any, rule: Rule) -> Any:
    """Return a number that obeys the rule; raise BadInputError for anything else."""
    try:
        return rule.parse(value)
    except ValueError:
        raise refused(name, value, f"It must be {rule.describe()}.") from None


def override_arguments(overrides: Any) -> list[str]:
    """Return changes to a space as the list of `key=value` that `--set` takes.

    Args:
        overrides: such a list, one such text, or a mapping of keys to values:
            `{"trials": 5, "k": {"int": [1, 3]}}`.

    Raises:
        BadInputError: they are something else.
    """
    if isinstance(overrides, str):
        return [overrides]
    if isinstance(overrides, Mapping):
        return [f"{key}={_as_yaml(key, value)}" for key, value in _flat(overrides)]
    if isinstance(overrides, Sequence) and all(isinstance(each, str) for each in overrides):
        return list(overrides)
    raise refused(
        "overrides", overrides, 'It must be a list such as ["trials=5"], or {"trials": 5}.'
    )


def _flat(overrides: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in overrides.items():
        if not isinstance(key, str):
            raise refused("overrides", key, 'A key must be a name, such as {"trials": 5}.')
        if key in _NESTED and isinstance(value, Mapping):
            yield from ((f"{key}.{entry}", item) for entry, item in value.items())
        else:
            yield key, value


def _as_yaml(key: str, value: Any) -> str:
    try:
        text: str = yaml.safe_dump(
            _plain(value), default_flow_style=True, sort_keys=False, width=float("inf")
        )
    except yaml.YAMLError:
        raise refused(
            f"overrides: {key}",
            value,
            'It must be a number, text, a list or a range such as {"int": [1, 3]}.',
        ) from None
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    """Return a value in the types of YAML: arrays and tuples are lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
