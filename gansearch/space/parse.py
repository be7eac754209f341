"""Parses the sections of a space file, one function each: source values in, validated out."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from gansearch.artifacts import Keep
from gansearch.budget import Budget
from gansearch.data.image_options import ImageOptions
from gansearch.data.own_names import GIVEN, is_own
from gansearch.data.registry import COMMON, DATASETS, check_takes_options
from gansearch.errors import BadInputError, DataError, SpaceError, did_you_mean
from gansearch.family import (
    DEFAULT_FAMILY,
    FAMILY_SECTIONS,
    NO_BASELINE,
    ModelFamily,
    family_of,
    load_family,
)
from gansearch.loop import options_of
from gansearch.rules import Rule
from gansearch.space.own_parameters import (
    Arguments,
    Parameters,
    arguments_of,
    find_parameters,
    parse_parameters,
    to_dict,
)
from gansearch.space.ranges import Range, Table, parse_by_rule, parse_range, parse_value
from gansearch.space.words import Words
from gansearch.space.yaml_source import SourceValue, shorten
from gansearch.system.user_code import is_reference, load, reference_of, resolved, shown

# Sections that name code.
_OF_CODE = ("generator", "discriminator", "trainable")
SECTIONS = (
    *FAMILY_SECTIONS,
    "dataset",
    "data",
    "budget",
    "search",
    "fixed",
    "presets",
    "start_from",
    "baseline",
    "measures",
    "objective",
    "objectives",
    "keep",
    "origins",
)


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


def parse_family(sections: Mapping[str, SourceValue], folder: Path) -> ModelFamily[Any]:
    """Return the model family; `DEFAULT_FAMILY` where none is named.

    Args:
        sections: of the space.
        folder: that files of the user's own code are named from.

    Raises:
        SpaceError: not a name, no such family, or code that can't be used.
    """
    given = [name for name in FAMILY_SECTIONS if sections[name].value is not None]
    if not given:
        return load_family(DEFAULT_FAMILY)
    _check_family_sections(given, sections)
    item = sections[given[0]]
    try:
        if "family" in given:
            return load_family(parse_reference("family", item, folder))
        names = [name for name in given if name in _OF_CODE]
        references = {name: parse_reference(name, sections[name], folder) for name in names}
        own: dict[str, Any] = {**references}
        if "output_range" in given:
            own["output_range"] = _parse_output_range(sections["output_range"])
        own["parameters"] = to_dict(_own_parameters(references, sections))
        return family_of(own)
    except SpaceError:
        raise
    except BadInputError as error:
        raise SpaceError(f"{item.where}: {error}") from error


def parse_reference(key: str, item: SourceValue, folder: Path) -> str:
    """Return a reference to the user's own code, its file made absolute, or the name as it is.

    Raises:
        SpaceError: it is neither text nor a function or class.
    """
    if callable(item.value):
        return reference_of(item.value)
    if not isinstance(item.value, str):
        raise item.error(
            key, f"found {item.show()}. It must be the name of code, such as my_nets.py:Generator."
        )
    if key != "family" and not is_reference(item.value):
        raise item.error(
            key, f"found {item.show()}. It must be FILE.py:NAME, such as my_nets.py:Generator."
        )
    return resolved(item.value, folder) if is_reference(item.value) else item.value


def _check_family_sections(given: Sequence[str], sections: Mapping[str, SourceValue]) -> None:
    """Check that the sections that say what is trained go together."""
    goes_with = {
        "family": (),
        "trainable": ("parameters",),
        "generator": ("discriminator", "output_range", "parameters"),
    }
    first = next((name for name in goes_with if name in given), None)
    if first is None:
        lacks = "discriminator" if "discriminator" in given else given[0]
        raise sections[lacks].error(
            lacks, "there is no generator. Name both: generator: my_nets.py:Generator."
        )
    for name in given:
        if name not in (first, *goes_with[first]):
            raise sections[name].error(
                name,
                f"it does not go with {first}. A space has either a family, or a generator and a "
                "discriminator, or a trainable.",
            )
    if first == "generator" and "discriminator" not in given:
        raise sections[first].error(
            first, "there is no discriminator. Name both: discriminator: my_nets.py:Discriminator."
        )


def _own_parameters(
    references: Mapping[str, str], sections: Mapping[str, SourceValue]
) -> Parameters:
    """Return the parameters of the user's own code, as the space lists them or from the code."""
    if sections["parameters"].value is not None:
        return parse_parameters(sections["parameters"])
    own = [
        _arguments_of_loop(reference) if name == "trainable" else arguments_of(reference, name)
        for name, reference in references.items()
    ]
    return find_parameters(own, sections)


def _arguments_of_loop(reference: str) -> Arguments:
    function = load(reference)
    if (fault := _fault_of_loop(function)) is not None:
        raise BadInputError(
            f"{shown(reference)}: {fault}. trainable must be a function (config, data, trial), "
            "or another object that is called so."
        )
    defaults = options_of(function).defaults
    return Arguments(reference, "", defaults, is_open=not defaults)


def _fault_of_loop(function: Any) -> str | None:
    """Return why this can't be a training loop; None if it may be one."""
    if inspect.isclass(function):
        return "found a class, whose objects train nothing by being made"
    if not callable(function):
        return f"found {shorten(function)}, which can't be called"
    if inspect.iscoroutinefunction(function):
        return "found a function that is async, which nothing awaits"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions in C
        return None
    try:
        signature.bind(None, None, None)
    except TypeError:
        return f"it takes {signature}"
    return None


def _parse_output_range(item: SourceValue) -> list[float]:
    ends = item.plain()
    is_pair = isinstance(ends, list) and len(ends) == 2
    if not is_pair or not all(type(end) in (int, float) for end in ends) or ends[0] >= ends[1]:
        raise item.error(
            "output_range", f"found {item.show()}. It must be two numbers, such as [-1, 1]."
        )
    return [float(end) for end in ends]


def parse_dataset(item: SourceValue) -> str:
    """Return the name of the data set, or what names the user's own: a file, or a function.

    Raises:
        SpaceError: missing or unknown.
    """
    if item.value is None:
        raise item.error("dataset", f"missing. Name the data set: {', '.join(DATASETS)}.")
    if item.name is not None and (item.name == GIVEN or is_own(item.name)):
        return item.name
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


def parse_budget(item: SourceValue, words: Words) -> Budget:
    """Return the budget; entries that are left out have their defaults.

    `words` answers names that the budget doesn't have.

    Raises:
        SpaceError: an unknown name, or a value against its rule.
    """
    given = parse_mapping("budget", item)
    return Budget(**{name: parse_budget_entry(name, value, words) for name, value in given.items()})


def parse_budget_entry(name: str, item: SourceValue, words: Words) -> Any:
    """Return the value of one entry of the budget.

    Raises:
        SpaceError: an unknown name, or a value against its rule.
    """
    if name not in Budget.rules():
        raise item.error(
            f"budget.{format_key(name)}", f"unknown. {words.of_budget(name, item.value)}"
        )
    return parse_entry("budget", Budget.rules(), name, item)


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


def parse_origins(item: SourceValue, presets: Collection[str]) -> dict[str, str]:
    """Return where presets come from, in words, by their names.

    Raises:
        SpaceError: not a mapping, an unknown preset, or no text.
    """
    origins = {}
    for name, entry in parse_mapping("origins", item).items():
        if name not in presets:
            raise entry.error(
                "origins",
                f"no preset is called {format_key(name)}. {did_you_mean(name, presets)}",
            )
        if entry.name is None or not entry.name.strip():
            raise entry.error(
                f"origins.{name}",
                f"found {entry.show()}. It must be text that says where the preset comes from.",
            )
        origins[name] = entry.name
    return origins


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


def parse_baseline(
    item: SourceValue, presets: Collection[str], family: ModelFamily[Any], dataset: str
) -> str | None:
    """Return the name of the preset that is trained again beside the best; None for none.

    Where the section is absent, it is the family's own, on data for which that was published.

    Raises:
        SpaceError: an unknown name.
    """
    if item.value is None:
        return family.baseline if family.has_paper and dataset in COMMON else None
    if item.name == NO_BASELINE:
        return None
    return _parse_name({*presets, NO_BASELINE}, "baseline", "preset", item)


def parse_keep(item: SourceValue) -> Keep:
    """Return which state of a training counts; the last by default.

    Raises:
        SpaceError: neither "best" nor "last".
    """
    if item.value is None:
        return "last"
    if item.value not in get_args(Keep):
        raise item.error("keep", f"found {item.show()}. It must be best or last.")
    return cast("Keep", item.value)


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
        raise item.error(key, f"unknown parameter. {Words(table).of_parameter(name)}")


def _suggest_section(key: str, table: Table) -> str:
    """Return the advice for a key that was found among the sections."""
    if key in table.rules():
        is_searched = table.rules()[key].kind != "schedule"
        return f"It belongs under {'search or ' if is_searched else ''}fixed."
    if key in Budget.rules():
        return "It belongs under budget."
    if key in ImageOptions.rules():
        return "It belongs under data."
    return Words(table).of_section(key) or did_you_mean(key, SECTIONS)
