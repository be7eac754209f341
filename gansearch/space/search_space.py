"""YAML -> validated `SearchSpace` -> Optuna's define-by-run suggestions -> configuration.

A space names a data set and a budget, says which hyperparameters are searched and over what, and
fixes others; all the rest are the paper's. `docs/spaces.md` teaches the format by example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import yaml

from gansearch.budget import Budget
from gansearch.errors import ConfigError, SpaceError, did_you_mean
from gansearch.family import DEFAULT_FAMILY, ModelFamily
from gansearch.rules import Config, plain
from gansearch.space.conditions import (
    check_conditions,
    fault,
    in_order,
    is_asked_for,
    shown,
    without_dead,
)
from gansearch.space.parse import (
    SECTIONS,
    check_sections,
    parse_budget,
    parse_budget_value,
    parse_dataset,
    parse_family,
    parse_mapping,
    parse_presets,
    parse_search,
    parse_start_from,
    parse_values,
    shown_key,
    split_sections,
)
from gansearch.space.ranges import Range, Table, parse_range, parse_value
from gansearch.space.yaml_source import Located, locate, parse_yaml, read_yaml, shorten


@dataclass(frozen=True)
class SearchSpace:
    """What a search may try, and what it may spend.

    Attributes:
        name: of a built-in space, or the stem of the file.
        family: of the models that are trained.
        dataset: name of the data set that is trained on.
        budget: what the search may spend.
        search: parameter to range, in the order in which Optuna is asked: a parameter comes after
            those that its conditions depend on.
        fixed: parameters that keep one value, other than the paper's.
        presets: name to what a named configuration has otherwise than the paper's and `fixed`.
        start_from: the presets that a search tries first.
    """

    name: str
    family: ModelFamily[Any]
    dataset: str
    budget: Budget
    search: dict[str, Range]
    fixed: dict[str, Any]
    presets: dict[str, dict[str, Any]]
    start_from: tuple[str, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSpace:
        """Return the space that `to_dict` gave, or that a program describes.

        Raises:
            SpaceError: something breaks a rule of the format.
        """
        sections = dict(values)
        name = sections.pop("name", "space")
        if not isinstance(name, str):
            raise SpaceError(f"space: name: found {shorten(name)}. It must be text.")
        return _build(name, locate(sections, name))

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain JSON: the sections of a space file, and its name."""
        return {
            "name": self.name,
            **({} if self.family.name == DEFAULT_FAMILY else {"family": self.family.name}),
            "dataset": self.dataset,
            "budget": self.budget.to_dict(),
            "search": {name: entry.to_dict() for name, entry in self.search.items()},
            "fixed": _plain(self.fixed),
            "presets": {name: _plain(preset) for name, preset in self.presets.items()},
            "start_from": list(self.start_from),
        }

    @property
    def table(self) -> Table:
        """The parameter table of the family."""
        return self.family.config_type

    @property
    def baseline(self) -> Config:
        """The configuration that has the family's defaults, but for what the space gives it."""
        return self.preset(self.family.baseline)

    @property
    def preset_names(self) -> set[str]:
        """The names that `preset` takes: the baseline always exists."""
        return {self.family.baseline, *self.presets}

    def suggest(self, trial: optuna.trial.BaseTrial) -> Config:
        """Ask Optuna for a configuration; a conditional parameter only where it applies.

        A parameter that is not asked for keeps its fixed value, or else the paper's.
        """
        return self._decide(lambda name: self.search[name].suggest(trial, name))

    def preset(self, name: str) -> Config:
        """Return a named configuration: the defaults, then `fixed`, then the preset's own.

        Raises:
            SpaceError: no such preset.
        """
        if name not in self.preset_names:
            hint = did_you_mean(name, self.preset_names)
            raise SpaceError(f"{self.name}: no preset {name}. {hint}")
        return self.table.from_dict(self.fixed | self.presets.get(name, {}))

    def encode(self, config: Config) -> dict[str, Any]:
        """Return the Optuna parameters for which `suggest` returns `config`.

        To be handed to `study.enqueue_trial` or `optuna.trial.FixedTrial`. Parameters that have no
        effect in `config` may come back different: its `config_id` is the same.

        Raises:
            SpaceError: `config` lies outside the space.
        """
        if misfits := self._misfits(config):
            raise SpaceError(f"{self.name}: outside the space: {', '.join(misfits.values())}.")
        return self._encode(config)

    def with_budget(self, **changes: Any) -> SearchSpace:
        """Return the same space with another budget.

        Raises:
            ConfigError: a value against the budget's rules.
        """
        return replace(self, budget=replace(self.budget, **changes))

    def largest(self, size: Callable[[Config], float]) -> Config:
        """Return the configuration of the space that has the largest `size`, as far as is seen.

        One parameter at a time takes the end of its range, or the choice, at which it is largest;
        twice, since some depend on others.
        """
        chosen = {name: entry.ends()[-1] for name, entry in self.search.items()}
        for _ in range(2):
            for name, entry in self.search.items():
                sizes = {
                    end: size(self._decide((chosen | {name: end}).get)) for end in entry.ends()
                }
                chosen[name] = max(sizes, key=sizes.__getitem__)
        return self._decide(chosen.get)

    def shrunk(self, config: Config, name: str) -> list[Config]:
        """Return `config` with the other ends or choices of one searched parameter."""
        values = {n: getattr(config, n) for n in self.search}
        ends = self.search[name].ends()
        return [self._decide((values | {name: end}).get) for end in ends if end != values[name]]

    def variants(self) -> Iterator[Config]:
        """Yield what a search starts from, then this with each end or choice of each range."""
        start = self.table.from_dict(self.fixed)
        yield from (start, self.baseline, *map(self.preset, self.start_from))
        for name in self.search:
            yield from self.shrunk(start, name)

    def describe(self) -> str:
        """Return the space as the text of a space file."""
        sections = self.to_dict()
        lines = [f"# {sections.pop('name')}"]
        for section, content in sections.items():
            if section in ("search", "presets") and content:
                lines += [f"{section}:", *(f"  {k}: {_flow(v)}" for k, v in content.items())]
            else:
                lines.append(f"{section}: {_flow(content)}")
        return "\n".join(lines) + "\n"

    def _decide(self, pick: Callable[[str], Any]) -> Config:
        """Return the configuration in which `pick` decides every searched parameter in turn."""
        values = {
            name: value
            for name, value in {**self.table.defaults(), **self.fixed}.items()
            if name not in self.search
        }
        for name, entry in self.search.items():
            if is_asked_for(self.table, name, entry.when, values):
                values[name] = pick(name)
        return self.table.from_dict(values)

    def _encode(self, config: Config) -> dict[str, Any]:
        params: dict[str, Any] = {}

        def take(name: str) -> Any:
            value = getattr(config, name)
            params[name] = self.search[name].encode(value)
            return value

        self._decide(take)
        return params

    def _misfits(self, config: Config) -> dict[str, str]:
        """Return why `config` lies outside the space, by parameter; empty if it lies inside."""
        misfits = {}
        for name in self._encode(config):
            value, entry = getattr(config, name), self.search[name]
            if not entry.contains(value):
                misfits[name] = f"{name}={shown(value)} is outside {entry.describe()}"
        nearest = self._decide(lambda name: getattr(config, name))
        for name in self.table.rules():
            value, only = getattr(config, name), getattr(nearest, name)
            if config.applies(name) and value != only:
                misfits[name] = f"{name}={shown(value)} where the space has {shown(only)}"
        return misfits


def builtin_spaces() -> dict[str, Path]:
    """Return the files of the spaces that come with gansearch, by name."""
    package = Path(__file__).parents[1]
    folder = package / "search_spaces"
    if not folder.is_dir():  # a checkout: the wheel takes them from beside the package
        folder = package.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(name_or_path: str, overrides: Sequence[str] = ()) -> SearchSpace:
    """Load a built-in space by its name, or a space file by its path, and change it.

    Args:
        name_or_path: without a slash and an ending it is a built-in space's name.
        overrides: changes as `--set` takes them; a later one prevails. `k=3` fixes a parameter, in
            the presets too; `k={int: [1, 9]}` searches it; `trials=10` sets the budget;
            `start_from=[paper]` what is tried first. What the changes make impossible, such as
            the pieces of a maxout that is ruled out, is no longer searched.

    Raises:
        SpaceError: no such space, a fault in its file (with line), or in an override.
    """
    known = builtin_spaces()
    if name_or_path in known:
        path = known[name_or_path]
        item = read_yaml(path, path.name)
    else:
        path = Path(name_or_path)
        if "/" not in name_or_path and not path.suffix:
            raise SpaceError(
                f"--space {name_or_path}: no built-in space is called so. "
                f"{did_you_mean(name_or_path, known)} "
                "The path of a file has a slash or ends in .yaml."
            )
        item = read_yaml(path)
    space = _build(path.stem, item)
    return _override(space, overrides) if overrides else space


def load_config(path: Path, space: SearchSpace) -> Config:
    """Read one configuration; what it leaves out is the space's fixed value, or the paper's.

    The file is a mapping of parameters, or has one under `config`, as the `config.json` of a run.

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
        values = parse_values(space.table, "config", Located(given, item.where))
    except SpaceError as error:
        raise ConfigError(str(error)) from None
    return space.table.from_dict(space.fixed | values)


def _build(name: str, item: Located) -> SearchSpace:
    """Return the space that a file describes, in the order in which its faults are told."""
    sections = split_sections(item)
    family = parse_family(sections["family"])
    table = family.config_type
    check_sections(sections, table)
    space = SearchSpace(
        name=name,
        family=family,
        dataset=parse_dataset(sections["dataset"]),
        budget=parse_budget(sections["budget"]),
        search=parse_search(table, sections["search"]),
        fixed=parse_values(table, "fixed", sections["fixed"]),
        presets=parse_presets(table, sections["presets"]),
        start_from=(),
    )
    places = {name: entry.where for name, entry in (sections["search"].value or {}).items()}
    for key in space.search:
        if key in space.fixed:
            raise fault(places, key, "it stands under both search and fixed. Remove one.")
    check_conditions(table, space.search, space.fixed, places)
    start = sections["start_from"]
    space = replace(
        space,
        search=in_order(table, space.search, places),
        start_from=parse_start_from(start, space.preset_names),
    )
    _check_start(space, dict.fromkeys(table.rules(), start.where))
    if not space.search and not space.start_from:
        raise item.fault(
            "search",
            "there is nothing to search and nothing to start from. "
            "Give search at least one parameter, or start_from: [paper].",
        )
    return space


def _check_start(space: SearchSpace, places: Mapping[str, str], *, by_set: bool = False) -> None:
    """Check that the space holds what it starts from; `places` are where to seek the reason.

    With `by_set` the remedy is a change that `--set` can make.
    """
    misfits = {preset: space._misfits(space.preset(preset)) for preset in space.start_from}
    inside = ", ".join(preset for preset, found in misfits.items() if not found)
    for preset, found in misfits.items():
        remedy = (
            f"or start only from the presets inside it: --set 'start_from=[{inside}]'."
            if by_set
            else f"give presets.{preset} another value, or leave {preset} out of start_from."
        )
        for name, misfit in found.items():
            raise SpaceError(
                f"{places[name]}: start_from: {preset} lies outside the space: {misfit}. "
                f"Widen the search, {remedy}"
            )


def _override(space: SearchSpace, overrides: Sequence[str]) -> SearchSpace:
    """Return the space with the `key=value` changes of `--set`, checked when all are made."""
    changes: dict[str, tuple[str, str]] = {}
    for override in overrides:
        where = f"--set {override}"
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise SpaceError(f"{where}: it must be key=value, such as --set k=3.")
        changes[key.strip()] = (text, where)
    for key, (text, where) in changes.items():
        space = _apply(space, key, parse_yaml(text, where, numbered=False))
    places = {key: where for key, (_, where) in changes.items()}
    search = without_dead(space.table, space.search, space.fixed, keep=places)
    everywhere = (
        dict.fromkeys(space.table.rules(), places.get("start_from", f"--set {overrides[0]}"))
        | places
    )
    check_conditions(space.table, search, space.fixed, everywhere)
    space = replace(space, search=in_order(space.table, search, everywhere))
    _check_start(space, everywhere, by_set=True)
    if not space.search and not space.start_from:
        raise SpaceError(
            f"--set {overrides[-1]}: nothing is left to search or to start from. "
            "To train single configurations, use --only."
        )
    return space


def _apply(space: SearchSpace, key: str, item: Located) -> SearchSpace:
    """Return the space with one change, as yet unchecked against the rest of the space."""
    budget_key = key.removeprefix("budget.")
    if budget_key != key or key in Budget.rules():
        return space.with_budget(**{budget_key: parse_budget_value(budget_key, item)})
    if key == "start_from":
        return replace(space, start_from=parse_start_from(item, space.preset_names))
    if key in ("dataset", "family"):
        noun = "data set" if key == "dataset" else "family"
        raise item.fault(
            key, f"a space belongs to its {noun}. Use another --space, or copy and edit its file."
        )
    if key in SECTIONS:
        raise item.fault(key, "a whole section can't be set. Name a parameter, such as --set k=3.")
    if key not in space.table.rules():
        known = {*space.table.rules(), *Budget.rules(), "start_from"}
        raise item.fault(shown_key(key), f"unknown parameter. {did_you_mean(key, known)}")
    if isinstance(item.value, dict):
        return _searching(space, key, parse_range(space.table, key, item))
    return _fixing(space, key, parse_value(space.table, key, key, item))


def _searching(space: SearchSpace, name: str, entry: Range) -> SearchSpace:
    """Return the space with `name` searched; its presets stay the configurations they were."""
    presets = space.presets
    if name in space.fixed:
        before = {name: space.fixed[name]}
        names = dict.fromkeys([space.family.baseline, *presets])
        presets = {key: before | presets.get(key, {}) for key in names}
    fixed = {key: value for key, value in space.fixed.items() if key != name}
    return replace(space, search={**space.search, name: entry}, fixed=fixed, presets=presets)


def _fixing(space: SearchSpace, name: str, value: Any) -> SearchSpace:
    """Return the space with `name` fixed, in its presets too: the user's word is the last."""
    return replace(
        space,
        search={key: entry for key, entry in space.search.items() if key != name},
        fixed={**space.fixed, name: value},
        presets={
            preset: {key: kept for key, kept in values.items() if key != name}
            for preset, values in space.presets.items()
        },
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


def _flow(value: Any) -> str:
    """Return a value as one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("...\n").strip()
