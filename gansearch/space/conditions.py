"""Conditional parameters: a searched parameter is suggested only where it is active.

Two conditions can apply to a parameter: the `when` of its entry in the space file, and the `when`
of its rule in the family's table (Adam's decay has no effect under SGD). It is active where both
hold. A space with a parameter that can never be active is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gansearch.errors import SpaceError
from gansearch.rules import plain
from gansearch.space.ranges import Condition, Range, Table
from gansearch.space.yaml_source import shorten


def is_active(table: Table, name: str, when: Condition, values: Mapping[str, Any]) -> bool:
    """Return whether parameter `name` is suggested, given the values of those before it.

    An inactive searched parameter is absent from `values`. A `when` that names it does not hold;
    the rule of `name` sees its default, which it will have in the configuration.
    """
    holds = all(other in values and values[other] in wanted for other, wanted in when)
    rule = table.rules()[name].when
    has_effect = not rule or any(
        values.get(other, table.defaults()[other]) == value for other, value in rule
    )
    return holds and has_effect


def check_conditions(
    table: Table,
    search: Mapping[str, Range],
    fixed: Mapping[str, Any],
    sources: Mapping[str, str],
) -> None:
    """Check that every searched parameter can be active.

    Args:
        table: the parameter table of the family.
        search: the searched parameters.
        fixed: the fixed ones.
        sources: where each searched parameter is written, for the message.

    Raises:
        SpaceError: a condition names an absent parameter, or a value that it never has, or the
            parameter never has an effect.
    """
    for name, entry in search.items():
        for other, values in entry.when:
            if other not in search and other not in fixed:
                raise parameter_error(
                    sources,
                    name,
                    f"when: {other} is neither searched nor fixed here. "
                    "Search or fix it, or drop the condition.",
                )
            for value in values:
                if not _can_be(table, other, value, search, fixed):
                    raise parameter_error(
                        sources,
                        name,
                        f"when: {other} is never {format_value(value)}; it is "
                        f"{_describe_values(other, search, fixed)}. Correct the condition.",
                    )
        if not _can_have_effect(table, name, entry.when, search, fixed):
            needs = " or ".join(f"{other} is {value}" for other, value in table.rules()[name].when)
            raise parameter_error(
                sources,
                name,
                f"it only has an effect where {needs}, which never happens here. "
                "Drop it, or let that happen.",
            )


def sort_by_dependency(
    table: Table, search: Mapping[str, Range], sources: Mapping[str, str]
) -> dict[str, Range]:
    """Return the parameters in the order of the table, each after those it depends on.

    The order in the file has no influence: a seed gives the same proposals for any order.

    Raises:
        SpaceError: circular conditions.
    """
    waiting = [name for name in table.rules() if name in search]
    ordered: dict[str, Range] = {}
    while waiting:
        ready = (n for n in waiting if not dependencies(table, n, search[n].when) & set(waiting))
        name = next(ready, None)
        if name is None:
            circle = _circle(table, waiting, search)
            needs = ", which needs ".join([*circle[1:], circle[0]])
            raise parameter_error(
                sources,
                circle[0],
                f"when: circular: {circle[0]} needs {needs}. Drop one of the conditions.",
            )
        ordered[name] = search[name]
        waiting.remove(name)
    return ordered


def drop_impossible(
    table: Table,
    search: Mapping[str, Range],
    fixed: Mapping[str, Any],
    keep: Mapping[str, str],
) -> dict[str, Range]:
    """Return `search` without the parameters that can't be active, and without impossible values
    in the conditions of the others.

    Parameters in `keep` are not changed.
    """
    alive: dict[str, Range] = {}
    for name, entry in search.items():
        when = tuple(
            (other, tuple(v for v in values if _can_be(table, other, v, search, fixed)))
            for other, values in entry.when
        )
        if name in keep:
            alive[name] = entry
        elif all(values for _, values in when) and _can_have_effect(
            table, name, when, search, fixed
        ):
            alive[name] = replace(entry, when=when)
    return alive if alive == search else drop_impossible(table, alive, fixed, keep)


def dependencies(table: Table, name: str, when: Condition) -> set[str]:
    """Return the parameters on which it depends whether parameter `name` is active."""
    return {other for other, _ in when} | {other for other, _ in table.rules()[name].when}


def parameter_error(sources: Mapping[str, str], name: str, message: str) -> SpaceError:
    """Return the error with `message` about parameter `name`, at the line where it is written."""
    return SpaceError(f"{sources[name]}: {name}: {message}")


def format_value(value: Any) -> str:
    """Return a parameter's value as messages show it."""
    return value if isinstance(value, str) else shorten(plain(value))


def _circle(table: Table, waiting: list[str], search: Mapping[str, Range]) -> list[str]:
    """Return parameters of which each depends on the next, and the last on the first."""
    path = waiting[:1]
    while True:
        needed = dependencies(table, path[-1], search[path[-1]].when)
        after = next(name for name in waiting if name in needed)
        if after in path:
            return path[path.index(after) :]
        path.append(after)


def _can_be(
    table: Table, name: str, value: Any, search: Mapping[str, Range], fixed: Mapping[str, Any]
) -> bool:
    if name in search:
        return search[name].contains(value)
    return bool(fixed.get(name, table.defaults()[name]) == value)


def _describe_values(name: str, search: Mapping[str, Range], fixed: Mapping[str, Any]) -> str:
    if name in search:
        return f"searched over {search[name].describe()}"
    return f"fixed to {format_value(fixed[name])}"


def _can_have_effect(
    table: Table,
    name: str,
    when: Condition,
    search: Mapping[str, Range],
    fixed: Mapping[str, Any],
) -> bool:
    wanted = dict(when)
    rule = table.rules()[name].when
    return not rule or any(
        _can_be(table, other, value, search, fixed) and value in wanted.get(other, (value,))
        for other, value in rule
    )
