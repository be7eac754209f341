"""The parameters of networks or a training loop of the user's own, found from code and space.

What the user's functions and classes take, with its default, is read from their signatures; its
kind from the default and from the values that the space gives it. `parameters` in a space file
writes the same out: `{width: {int: 64}, name: {kind: default}}`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gansearch.errors import BadInputError, did_you_mean
from gansearch.rules import Rule, kind_of, plain
from gansearch.space.yaml_source import SourceValue, shorten
from gansearch.system import user_code

KINDS = ("int", "float", "bool", "str", "widths")
# What the makers of networks may take that is no parameter of a search.
GIVEN_ARGUMENTS = ("config", "shape", "noise_dim")
_OF_SEARCH = ("int", "float", "choice")

# The default and the rule of a parameter, by name.
Parameters = dict[str, tuple[Any, Rule]]


@dataclass(frozen=True)
class Arguments:
    """What a function or class of the user's own takes.

    Attributes:
        reference: to it.
        prefix: of its parameters in a space, such as `generator.`.
        defaults: by name, without the prefix; `inspect.Parameter.empty` for none.
        is_open: whether it takes further ones of any name.
    """

    reference: str
    prefix: str
    defaults: Mapping[str, Any]
    is_open: bool


def arguments_of(reference: str, section: str) -> Arguments:
    """Return what the networks of section `generator` or `discriminator` take.

    Raises:
        BadInputError: there is no such class or function, or it can't be called.
    """
    found = user_code.load(reference)
    if not inspect.isclass(found) and hasattr(found, "state_dict"):
        raise BadInputError(
            f"{user_code.shown(reference)}: a network that is made already. Every trial makes its "
            f"own: {section} must be its class, or a function that returns a new one."
        )
    try:
        taken = inspect.signature(found).parameters
    except (TypeError, ValueError) as error:
        raise BadInputError(
            f"{user_code.shown(reference)}: a {type(found).__name__}, which can't be called. "
            f"{section} must be a class derived from torch's nn.Module, or a function that returns "
            "such a module."
        ) from error
    kinds = {name: each.kind for name, each in taken.items()}
    named = {
        name: each.default
        for name, each in taken.items()
        if kinds[name] not in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY)
        and name not in GIVEN_ARGUMENTS
    }
    is_open = "config" in taken or inspect.Parameter.VAR_KEYWORD in kinds.values()
    return Arguments(reference, f"{section}.", named, is_open)


def find_parameters(own: list[Arguments], sections: Mapping[str, SourceValue]) -> Parameters:
    """Return the parameters of own code, of which those with a prefix belong to one of several.

    Raises:
        SpaceError: the space gives a parameter values of several kinds, or one that nothing takes,
            or gives none to one that has no default.
    """
    values = _values_by_name(sections)
    found: Parameters = {}
    for arguments in own:
        names = [arguments.prefix + name for name in arguments.defaults]
        if arguments.is_open:
            names += [name for name in values if _belongs(name, arguments.prefix)]
        for name in dict.fromkeys(names):
            default = arguments.defaults.get(
                name.removeprefix(arguments.prefix), inspect.Parameter.empty
            )
            if name in values or _is_plain(default):
                found[name] = _parameter(name, default, values.get(name, []))
            elif default is inspect.Parameter.empty:
                raise sections[arguments.prefix.removesuffix(".")].error(
                    name,
                    f"an argument of {user_code.shown(arguments.reference)} without a default. "
                    "Search it, or give it a value under fixed.",
                )
    for arguments in own:
        _refuse_unknown(arguments, values, found)
    return found


def parse_parameters(item: SourceValue) -> Parameters:
    """Return the parameters that the section `parameters` lists.

    Raises:
        SpaceError: it isn't a mapping of names to `{kind: default}`.
    """
    if not isinstance(item.value, dict):
        raise item.error("parameters", f"found {item.show()}. It must be a mapping. {_FORM}")
    return {name: _declared(name, entry) for name, entry in item.value.items()}


def to_dict(parameters: Mapping[str, tuple[Any, Rule]]) -> dict[str, Any]:
    """Return the section `parameters` as plain JSON values: what `parse_parameters` reads."""
    return {name: {rule.kind: plain(default)} for name, (default, rule) in parameters.items()}


def from_dict(values: Mapping[str, Mapping[str, Any]]) -> Parameters:
    """Return what `to_dict` gave.

    Raises:
        ValueError: a kind is unknown, or a default isn't of it.
    """
    found = {}
    for name, entry in values.items():
        ((kind, default),) = entry.items()
        rule = _rule(kind)
        found[name] = rule.parse(default), rule
    return found


_FORM = "Such as {width: {int: 64}}: a kind (int, float, bool, str, widths) and the default."


def _declared(name: str, entry: SourceValue) -> tuple[Any, Rule]:
    if not isinstance(entry.value, dict) or len(entry.value) != 1:
        raise entry.error(f"parameters: {name}", f"found {entry.show()}. {_FORM}")
    ((kind, default),) = entry.value.items()
    if kind not in KINDS:
        raise default.error(f"parameters: {name}", f"{kind}: no such kind. {_FORM}")
    rule = _rule(kind)
    try:
        return rule.parse(default.plain()), rule
    except ValueError:
        raise default.rule_error(f"parameters: {name}: {kind}", rule.describe()) from None


def _rule(kind: str) -> Rule:
    if kind not in KINDS:
        raise ValueError(f"no such kind: {kind}")
    return Rule(kind, "a parameter of the user's own", may_be_empty=True)


def _parameter(name: str, default: Any, values: list[SourceValue]) -> tuple[Any, Rule]:
    """Return a parameter's default, its first value if it has none, and its rule."""
    plains = [value.plain() for value in values]
    if not _is_plain(default):
        default = plains[0]
    try:
        rule = _rule(kind_of([default, *plains]))
    except ValueError as found:
        listed = ", ".join(shorten(each) for each in [default, *plains])
        where = next((v for v in values if shorten(v.plain()) == str(found)), None) or values[0]
        raise where.error(
            name,
            f"values of several kinds: {listed}. They must all be numbers, or text, "
            "true and false, or lists of whole numbers.",
        ) from None
    return rule.parse(default), rule


def _is_plain(default: Any) -> bool:
    if default is None or default is inspect.Parameter.empty:
        return False
    try:
        kind_of([default])
    except ValueError:
        return False
    return True


def _values_by_name(sections: Mapping[str, SourceValue]) -> dict[str, list[SourceValue]]:
    """Return all values that a space gives each parameter."""
    found: dict[str, list[SourceValue]] = {}
    for name, value in _given(sections):
        found.setdefault(name, []).append(value)
    return found


def _given(sections: Mapping[str, SourceValue]) -> Iterator[tuple[str, SourceValue]]:
    for name, entry in _entries(sections["search"]):
        for kind, values in _entries(entry):
            if kind in _OF_SEARCH and isinstance(values.value, list):
                yield from ((name, _of_kind(kind, value)) for value in values.value)
    yield from _entries(sections["fixed"])
    for _, preset in _entries(sections["presets"]):
        yield from _entries(preset)


def _of_kind(kind: str, item: SourceValue) -> SourceValue:
    """Return an end of a range; whole numbers are ends of ranges of floats too."""
    is_whole = kind == "float" and type(item.value) is int
    return replace(item, value=float(item.value)) if is_whole else item


def _entries(item: SourceValue) -> list[tuple[str, SourceValue]]:
    return list(item.value.items()) if isinstance(item.value, dict) else []


def _belongs(name: str, prefix: str) -> bool:
    return name.startswith(prefix) if prefix else "." not in name


def _refuse_unknown(
    arguments: Arguments, values: Mapping[str, list[SourceValue]], found: Parameters
) -> None:
    for name, given in values.items():
        if arguments.prefix and name.startswith(arguments.prefix) and name not in found:
            known = [each for each in found if each.startswith(arguments.prefix)]
            hint = did_you_mean(name, known) if known else "It takes none."
            raise given[0].error(
                name, f"{user_code.shown(arguments.reference)} takes no such argument. {hint}"
            )
