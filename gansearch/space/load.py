"""Loads a space by its name or path, and a single configuration from its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gansearch.errors import ConfigError, SpaceError, did_you_mean
from gansearch.rules import Config
from gansearch.space.builtin import builtin_spaces
from gansearch.space.overrides import apply_overrides
from gansearch.space.parse import parse_mapping, parse_values
from gansearch.space.search_space import SearchSpace, build_space
from gansearch.space.yaml_source import SourceValue, attach_source, read_yaml
from gansearch.system.paths import local_path

_RUN_FILE = "run.json"  # which has the space of a run


def load_space(
    name_or_path: str,
    overrides: Sequence[str] = (),
    *,
    sections: Mapping[str, Any] | None = None,
) -> SearchSpace:
    """Load a built-in space by its name, or a space file by its path, and apply `overrides`.

    Args:
        name_or_path: the name of a built-in space, or a path, which has a slash or a suffix; that
            of a run's `run.json` for the space of the run.
        overrides: changes as `--set` takes them; of several to one key the last counts. `k=3`
            fixes a parameter, also in the presets; `k={int: [1, 9]}` searches it; `trials=10` sets
            the budget; `start_from=[paper]` the presets that are tried first. Parameters that
            the changes leave without effect, such as `maxout_pieces` where there is no maxout, are
            no longer searched.
        sections: take the place of those of the file.

    Raises:
        SpaceError: no such space, or an error in its file (with line) or in an override.
    """
    path, item = _read(name_or_path)
    name = path.stem
    if path.name == _RUN_FILE and isinstance(item.value, dict):
        name = str(item.value.pop("name", SourceValue(name, item.where)).value)
    if sections and isinstance(item.value, dict):
        given = {name: attach_source(value, name) for name, value in sections.items()}
        item = replace(item, value=item.value | given)
    # A name goes into files and reports, which bytes that aren't UTF-8 can't.
    space = build_space(os.fsencode(name).decode(errors="replace"), item, path.parent)
    return apply_overrides(space, overrides) if overrides else space


def given_sections(name_or_path: str) -> dict[str, Any]:
    """Return the sections that are written in a space, as plain values; see `load_space`.

    Raises:
        SpaceError: no such space, or no YAML.
    """
    _, item = _read(name_or_path)
    sections = item.plain()
    return sections if isinstance(sections, dict) else {}


def _read(name_or_path: str) -> tuple[Path, SourceValue]:
    """Return the file of a space, and its content."""
    known = builtin_spaces()
    if name_or_path in known:
        path = known[name_or_path]
        return path, read_yaml(path, path.name)
    path = local_path(name_or_path)
    if "/" not in name_or_path and not path.suffix:
        raise SpaceError(
            f"space {name_or_path or repr('')}: no built-in space has this name. "
            f"{did_you_mean(name_or_path, known)} "
            "A path must have a slash or end in .yaml."
        )
    return path, _space_of_run(path) if path.name == _RUN_FILE else read_yaml(path)


def _space_of_run(path: Path) -> SourceValue:
    """Return the space in a run's description, with its name; any other file as it is."""
    item = read_yaml(path)
    space = item.value.get("space") if isinstance(item.value, dict) else None
    return item if space is None else space


def load_config(path: Path, space: SearchSpace) -> Config:
    """Read one configuration; parameters left out have the space's fixed value, or the default.

    The file is a mapping of parameters, or has one under `config`, like the `config.json` of a run.

    Raises:
        ConfigError: the file can't be read, or a name or value breaks a rule.
    """
    try:
        item = read_yaml(path)
        if isinstance(item.value, dict) and "config" in item.value:
            item = item.value["config"]
        # A stored configuration has null where a parameter does not apply.
        given = {
            name: value
            for name, value in parse_mapping("config", item).items()
            if value.value is not None or name not in space.table.rules()
        }
        values = parse_values(space.table, "config", SourceValue(given, item.where))
    except SpaceError as error:
        raise ConfigError(str(error)) from None
    return space.table.from_dict(space.fixed | values)
