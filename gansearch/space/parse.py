"""Parses the sections of a space file, one function each: source values in, validated out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gansearch.budget import Budget
from gansearch.data.image_options import ImageOptions
from gansearch.data.registry import DATASETS, check_takes_options
from gansearch.errors import BadInputError, DataError, SpaceError, did_you_mean
from gansearch.family import DEFAULT_FAMILY, ModelFamily, load_family
from gansearch.rules import Rule
from gansearch.space.ranges import Range, Table, parse_by_rule, parse_range, parse_value
from gansearch.space.yaml_source import SourceValue, shorten

SECTIONS = ("family", "dataset", "data", "budget", "search", "fixed", "presets", "start_from")


def split_sections(item: SourceValue) -> dict[str, SourceValue]:
    """Return all sections of a file; the value of an absent or empty one is None.

    Raises:
        SpaceError: not a mapping.
    """
    if item.value is None:
        raise SpaceError(f"{item.where}: the file is empty. A space needs a dataset and a search.")
    if not isinstance(item.value, dict):
        raise SpaceError(
            f"{item.where}: found {item.show()}. A space is a mapping with {', '.join(SECTIONS)}."
        )
    absent = SourceValue(None, item.where)
    return {key: item.value.get(key, absent) for key in [*SECTIONS, *item.value]}


def check_sections(sections: Mapping[str, SourceValue], table: Table) -> None:
    """Check that every key is a section; the message for any other says where it belongs.

    Raises:
        SpaceError: an unknown key.
    """
    for key, section in sections.items():
        if key not in SECTIONS:
            raise section.error(
                format_key(key),
                f"no section of a space has this name. {_suggest_section(key, table)}",
            )


def parse_family(item: SourceValue) -> ModelFamily[Any]:
    """Return the model family; `DEFAULT_FAMILY` where none is named.

    Raises:
        SpaceError: not a name, or no such family.
    """
    if item.value is None:
        return load_family(DEFAULT_FAMILY)
    if not isinstance(item.value, str):
        raise item.error("family", f"found {item.show()}. It must be the name of a family.")
    try:
        return load_family(item.value)
    except BadInputError as error:
        raise SpaceError(f"{item.where}: {error}") from error


def parse_dataset(item: SourceValue) -> str:
    """Return the name of the data set.

    Raises:
        SpaceError: missing or unknown.
    """
    if item.value is None:
        raise item.error("dataset", f"missing. Name the data set: {', '.join(DATASETS)}.")
    return _parse_name(DATASETS, "dataset", "data set", item)


def parse_data(dataset: str, item: SourceValue) -> ImageOptions:
    """Return the options of the data set; entries that are left out have their defaults.

    Raises:
        SpaceError: an unknown name, a value against its rule, or a data set without options.
    """
    given = parse_mapping("data", item)
    rules = ImageOptions.rules()
    options = ImageOptions(
        **{name: parse_entry("data", rules, name, value) for name, value in given.items()}
    )
    return checked_options(dataset, options, item)


def checked_options(dataset: str, options: ImageOptions, item: SourceValue) -> ImageOptions:
    """Return the options; raise SpaceError if the data set takes none."""
    try:
        check_takes_options(dataset, options)
    except DataError as error:
        raise SpaceError(f"{item.where}: {error}") from None
    return options


def parse_budget(item: SourceValue) -> Budget:
    """Return the budget; entries that are left out have their defaults.

    Raises:
        SpaceError: an unknown name, or a value against its rule.
    """
    given = parse_mapping("budget", item)
    rules = Budget.rules()
    return Budget(
        **{name: parse_entry("budget", rules, name, value) for name, value in given.items()}
    )


def parse_entry(section: str, rules: Mapping[str, Rule], name: str, item: SourceValue) -> Any:
    """Return the value of one entry of the section budget or data.

    Raises:
        SpaceError: an unknown name, or a value against its rule.
    """
    key = f"{section}.{format_key(name)}"
    if name not in rules:
        raise item.error(key, f"unknown. {did_you_mean(name, rules)}")
    return parse_by_rule(rules[name], key, item)


def parse_search(table: Table, item: SourceValue) -> dict[str, Range]:
    """Return the searched parameters.

    Raises:
        SpaceError: an unknown parameter, or an entry that breaks a rule.
    """
    search = {}
    for name, entry in parse_mapping("search", item).items():
        _check_parameter(table, name, name, entry)
        search[name] = parse_range(table, name, entry)
    return search


def parse_values(table: Table, section: str, item: SourceValue) -> dict[str, Any]:
    """Return a mapping of parameters to values.

    Raises:
        SpaceError: an unknown parameter, or a value against its rule.
    """
    values = {}
    for name, value in parse_mapping(section, item).items():
        key = f"{section}.{name}"
        _check_parameter(table, f"{section}.{format_key(name)}", name, value)
        values[name] = parse_value(table, key, name, value)
    return values


def parse_presets(table: Table, item: SourceValue) -> dict[str, dict[str, Any]]:
    """Return the named configurations, each as the values that it changes.

    Raises:
        SpaceError: as `parse_values`.
    """
    presets = parse_mapping("presets", item)
    return {
        name: parse_values(table, f"presets.{format_key(name)}", preset)
        for name, preset in presets.items()
    }


def parse_start_from(item: SourceValue, presets: Collection[str], baseline: str) -> tuple[str, ...]:
    """Return the names of the presets that are tried first.

    Args:
        item: the section.
        presets: the names that exist.
        baseline: the one that a message gives as an example.

    Raises:
        SpaceError: not a list, or a name that is unknown or given twice.
    """
    if item.value is None:
        return ()
    if not isinstance(item.value, list):
        raise item.error(
            "start_from",
            f"found {item.show()}. It must be a list of presets, such as [{baseline}].",
        )
    names: list[str] = []
    for entry in item.value:
        name = _parse_name(presets, "start_from", "preset", entry)
        if name in names:
            raise entry.error("start_from", f"{name} is listed twice. Remove one.")
        names.append(name)
    return tuple(names)


def parse_mapping(section: str, item: SourceValue) -> dict[str, SourceValue]:
    """Return the entries of a section; an empty dict where it is absent or empty.

    Raises:
        SpaceError: not a mapping.
    """
    if item.value is None:
        return {}
    if not isinstance(item.value, dict):
        raise item.error(section, f"found {item.show()}. It must be a mapping of names to values.")
    return item.value


def format_key(key: str) -> str:
    """Return a key as messages show it: unchanged if it is short and printable."""
    return key if key.isprintable() and 0 < len(key) <= 60 else shorten(key)


def _parse_name(known: Collection[str], key: str, noun: str, item: SourceValue) -> str:
    if item.name is None or item.name not in known:
        shown = item.show() if item.name is None else shorten(item.name)
        raise item.error(
            key, f"no {noun} is called {shown}. {did_you_mean(item.name or '', known)}"
        )
    return item.name


def _check_parameter(table: Table, key: str, name: str, item: SourceValue) -> None:
    if name not in table.rules():
        raise item.error(key, f"unknown parameter. {did_you_mean(name, table.rules())}")


def _suggest_section(key: str, table: Table) -> str:
    """Return the advice for a key that was found among the sections."""
    if key in table.rules():
        return "It belongs under search or fixed."
    if key in Budget.rules():
        return "It belongs under budget."
    if key in ImageOptions.rules():
        return "It belongs under data."
    return did_you_mean(key, SECTIONS)
