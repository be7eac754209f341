"""Applies the `key=value` changes of `--set` to a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gansearch.budget import Budget
from gansearch.data.image_options import ImageOptions
from gansearch.errors import SpaceError
from gansearch.family import FAMILY_SECTIONS
from gansearch.space.conditions import check_conditions, drop_impossible, sort_by_dependency
from gansearch.space.measures_section import parse_objectives
from gansearch.space.parse import (
    SECTIONS,
    checked_options,
    format_key,
    parse_baseline,
    parse_budget_entry,
    parse_entry,
    parse_keep,
    parse_start_from,
)
from gansearch.space.ranges import Range, parse_range, parse_value
from gansearch.space.search_space import SearchSpace, check_start, drop_outside
from gansearch.space.words import Words
from gansearch.space.yaml_source import SourceValue, parse_yaml


def apply_overrides(space: SearchSpace, overrides: Sequence[str]) -> SearchSpace:
    """Return the space with the `key=value` changes of `--set`, checked once all are made.

    Raises:
        SpaceError: a change breaks a rule, or the changed space does.
    """
    changes = _split_overrides(overrides)
    for key, item in changes.items():
        space = _apply_change(space, key, item)
    sources = {key: item.where for key, item in changes.items()}
    search = drop_impossible(space.table, space.search, space.fixed, keep=sources)
    everywhere = (
        dict.fromkeys(space.table.rules(), sources.get("start_from", f"--set {overrides[0]}"))
        | sources
    )
    check_conditions(space.table, search, space.fixed, everywhere)
    space = replace(space, search=sort_by_dependency(space.table, search, everywhere))
    if "start_from" not in changes:
        space = drop_outside(space)
    check_start(space, everywhere, by_set=True)
    if not space.search and not space.start_from:
        raise SpaceError(
            f"--set {overrides[-1]}: nothing is left to search or to start from. "
            "To train single configurations, use --only."
        )
    return space


def data_options(dataset: str, overrides: Sequence[str]) -> ImageOptions:
    """Return the options of a data set that `--set data.KEY=VALUE` gives where there is no space.

    Raises:
        SpaceError: another key, a value against its rule, or a data set without options.
    """
    options = ImageOptions()
    for key, item in _split_overrides(overrides).items():
        name = key.removeprefix("data.")
        if name == key:
            known = ", ".join(f"data.{name}" for name in ImageOptions.rules())
            raise item.error(
                format_key(key), f"samples belong to no space. Only the data is set: {known}."
            )
        options = _change_data(options, dataset, name, item)
    return options


def _split_overrides(overrides: Sequence[str]) -> dict[str, SourceValue]:
    """Return the value of each key; of several to one key the last counts."""
    changes: dict[str, SourceValue] = {}
    for override in overrides:
        where = f"--set {override}"
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise SpaceError(f"{where}: it must be key=value, such as --set k=3.")
        changes[key.strip()] = parse_yaml(text, where, numbered=False)
    return changes


def _apply_change(space: SearchSpace, key: str, item: SourceValue) -> SearchSpace:
    """Return the space with one change, not yet checked against the rest of the space."""
    words = Words(space.table, space.dataset, space.unsearched)
    budget_key = key.removeprefix("budget.")
    if budget_key != key or key in Budget.rules():
        return space.with_budget(**{budget_key: parse_budget_entry(budget_key, item, words)})
    data_key = key.removeprefix("data.")
    if data_key != key:
        return replace(space, data=_change_data(space.data, space.dataset, data_key, item))
    if key == "start_from":
        return replace(
            space, start_from=parse_start_from(item, space.preset_names, space.family.baseline)
        )
    if key == "baseline":
        names, family = space.preset_names, space.family
        return replace(space, baseline_name=parse_baseline(item, names, family, space.dataset))
    if key == "keep":
        return replace(space, keep=parse_keep(item))
    if key == "objectives":
        none = SourceValue(None, item.where)
        return replace(space, objective=parse_objectives(none, item, space.measures, Path()))
    if key == "dataset" or key in FAMILY_SECTIONS:
        noun = "data set" if key == "dataset" else "networks"
        raise item.error(
            key, f"a space belongs to its {noun}. Use another --space, or copy and edit its file."
        )
    if key in SECTIONS:
        raise item.error(key, "a whole section can't be set. Name a parameter, such as --set k=3.")
    if key not in space.table.rules():
        known = {
            *space.table.rules(),
            *Budget.rules(),
            "start_from",
            "baseline",
            "keep",
            "objectives",
        }
        known |= {f"data.{name}" for name in ImageOptions.rules()}
        answer = words.of_parameter(key, known, item.value)
        raise item.error(format_key(key), f"unknown parameter. {answer}")
    if isinstance(item.value, dict):
        return _search_over(space, key, parse_range(space.table, key, item))
    return _fix_value(space, key, parse_value(space.table, key, key, item))


def _change_data(options: ImageOptions, dataset: str, name: str, item: SourceValue) -> ImageOptions:
    value = parse_entry("data", ImageOptions.rules(), name, item)
    return checked_options(dataset, replace(options, **{name: value}), item)


def _search_over(space: SearchSpace, name: str, entry: Range) -> SearchSpace:
    """Return the space with `name` searched; its presets remain the same configurations."""
    presets = space.presets
    if name in space.fixed:
        before = {name: space.fixed[name]}
        names = dict.fromkeys([space.family.baseline, *presets])
        presets = {key: before | presets.get(key, {}) for key in names}
    fixed = {key: value for key, value in space.fixed.items() if key != name}
    return replace(space, search={**space.search, name: entry}, fixed=fixed, presets=presets)


def _fix_value(space: SearchSpace, name: str, value: Any) -> SearchSpace:
    """Return the space with `name` fixed, also in its presets: `--set` overrides the file."""
    return replace(
        space,
        search={key: entry for key, entry in space.search.items() if key != name},
        fixed={**space.fixed, name: value},
        presets={
            preset: {key: other for key, other in values.items() if key != name}
            for preset, values in space.presets.items()
        },
    )
