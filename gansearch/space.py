"""YAML -> validated `SearchSpace` -> Optuna's define-by-run suggestions -> `TrialConfig`.

A space names a data set and a budget, says which hyperparameters are searched and over what, and
fixes others; all the rest are the paper's. `docs/spaces.md` teaches the format by example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import yaml

from gansearch.config import Budget, Rule, TrialConfig
from gansearch.data import DATASETS
from gansearch.errors import ConfigError, SpaceError, did_you_mean
from gansearch.located import Located, locate, parse_yaml, read_yaml, shorten
from gansearch.ranges import Condition, Range, parse_range, parse_value

# Valid in a space file besides the data sets that `data.py` loads.
_OTHER_DATASETS = ("cifar10", "tfd", "folder")
_SECTIONS = ("dataset", "budget", "search", "fixed", "presets", "start_from")
_PAPER = "paper"


@dataclass(frozen=True)
class SearchSpace:
    """What a search may try, and what it may spend.

    Attributes:
        name: of a built-in space, or the stem of the file.
        dataset: name of the data set that is trained on.
        budget: what the search may spend.
        search: parameter to range, in the order in which Optuna is asked: a parameter comes after
            those that its conditions depend on.
        fixed: parameters that keep one value, other than the paper's.
        presets: name to what a named configuration has otherwise than the paper's and `fixed`.
        start_from: the presets that a search tries first.
    """

    name: str
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
            "dataset": self.dataset,
            "budget": self.budget.to_dict(),
            "search": {name: entry.to_dict() for name, entry in self.search.items()},
            "fixed": _plain(self.fixed),
            "presets": {name: _plain(preset) for name, preset in self.presets.items()},
            "start_from": list(self.start_from),
        }

    def suggest(self, trial: optuna.trial.BaseTrial) -> TrialConfig:
        """Ask Optuna for a configuration; a conditional parameter only where it applies.

        A parameter that is not asked for keeps its fixed value, or else the paper's.
        """
        return self._decide(lambda name: self.search[name].suggest(trial, name))

    def preset(self, name: str) -> TrialConfig:
        """Return a named configuration: the paper's values, then `fixed`, then the preset's own.

        `paper` always exists.

        Raises:
            SpaceError: no such preset.
        """
        if name != _PAPER and name not in self.presets:
            known = {_PAPER, *self.presets}
            raise SpaceError(f"{self.name}: no preset {name}. {did_you_mean(name, known)}")
        return TrialConfig.from_dict(self.fixed | self.presets.get(name, {}))

    def encode(self, config: TrialConfig) -> dict[str, Any]:
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

    def _decide(self, pick: Callable[[str], Any]) -> TrialConfig:
        """Return the configuration in which `pick` decides every searched parameter in turn."""
        values = {**_DEFAULTS, **self.fixed}
        for name in self.search:
            del values[name]
        for name, entry in self.search.items():
            if _holds(entry.when, values) and _has_effect(name, {**_DEFAULTS, **values}):
                values[name] = pick(name)
        return TrialConfig.from_dict(values)

    def _encode(self, config: TrialConfig) -> dict[str, Any]:
        params: dict[str, Any] = {}

        def take(name: str) -> Any:
            value = getattr(config, name)
            params[name] = self.search[name].encode(value)
            return value

        self._decide(take)
        return params

    def _misfits(self, config: TrialConfig) -> dict[str, str]:
        """Return why `config` lies outside the space, by parameter; empty if it lies inside."""
        asked = self._encode(config)
        misfits = {
            name: f"{name}={_show(getattr(config, name))} is outside {self.search[name].describe()}"
            for name in asked
            if not self.search[name].contains(getattr(config, name))
        }
        nearest = self._decide(lambda name: getattr(config, name))
        for name in _RULES:
            value, only = getattr(config, name), getattr(nearest, name)
            if config.applies(name) and value != only:
                misfits[name] = f"{name}={_show(value)} where the space has {_show(only)}"
        return misfits


def builtin_spaces() -> dict[str, Path]:
    """Return the files of the spaces that come with gansearch, by name."""
    package = Path(__file__).parent
    folder = package / "search_spaces"
    if not folder.is_dir():  # a checkout: the wheel takes them from beside the package
        folder = package.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(name_or_path: str, overrides: Sequence[str] = ()) -> SearchSpace:
    """Load a built-in space by its name, or a space file by its path, and change it.

    Args:
        name_or_path: a name without slash or ending is a built-in space's.
        overrides: changes, the last of them first in rank: `k=3` fixes a parameter, also in the
            presets; `k={int: [1, 9]}` searches it; `trials=10` sets the budget;
            `start_from=[paper]` what is tried first.

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
                f"--space {name_or_path}: no built-in space has this name. "
                f"{did_you_mean(name_or_path, known)} The path of a file has a slash or ends in "
                ".yaml."
            )
        item = read_yaml(path)
    space = _build(path.stem, item)
    return _override(space, overrides) if overrides else space


def load_config(path: Path, space: SearchSpace) -> TrialConfig:
    """Read one configuration; what it leaves out is the space's fixed value, or the paper's.

    The file is a mapping of parameters, or has one under `config`, as the `config.json` of a run.

    Raises:
        ConfigError: the file can't be read, or a name or value breaks a rule.
    """
    try:
        item = read_yaml(path)
        if isinstance(item.value, dict) and isinstance(item.value.get("config"), Located):
            item = item.value["config"]
        given = {
            name: value
            for name, value in _mapping(item, "configuration").items()
            # A stored configuration has null where a parameter does not apply.
            if value.value is not None or name not in _RULES
        }
        values = _values("configuration", Located(given, item.where))
    except SpaceError as error:
        raise ConfigError(str(error)) from None
    return TrialConfig.from_dict(space.fixed | values)


_RULES: dict[str, Rule] = TrialConfig.rules()
_DEFAULTS: dict[str, Any] = {name: getattr(TrialConfig(), name) for name in _RULES}


def _build(name: str, item: Located) -> SearchSpace:
    """Return the space that the sections of a file describe, in the order of their checking."""
    sections = _sections(item)
    search_item = sections.get("search", Located({}, item.where))
    places = {key: entry.where for key, entry in _mapping(search_item, "search").items()}
    space = SearchSpace(
        name=name,
        dataset=_dataset(sections, item),
        budget=_budget(sections),
        search=_search(search_item),
        fixed=_values("fixed", sections.get("fixed", Located({}, item.where))),
        presets=_presets(sections),
        start_from=(),
    )
    for key in space.search:
        if key in space.fixed:
            raise _fault(places, key, "stands under both search and fixed. Remove one.")
    space = _checked(space, places)
    start = sections.get("start_from", Located([], item.where))
    space = replace(space, start_from=_start_from(space, start))
    _check_start(space, dict.fromkeys(_RULES, start.where))
    if not space.search and not space.start_from:
        raise item.fault(
            "search",
            "nothing to search and nothing to start from. "
            "Give search at least one parameter, or start_from: [paper].",
        )
    return space


def _sections(item: Located) -> dict[str, Located]:
    """Return the file's sections; those that are left empty count as absent."""
    if item.value is None:
        raise SpaceError(f"{item.where}: the file is empty. A space needs a dataset and a search.")
    if not isinstance(item.value, dict):
        raise SpaceError(
            f"{item.where}: found {item.show()}. A space is a mapping with {', '.join(_SECTIONS)}."
        )
    for key, section in item.value.items():
        if key in _SECTIONS:
            continue
        home = "search or fixed" if key in _RULES else "budget" if key in Budget.rules() else None
        remedy = f"It belongs under {home}." if home else did_you_mean(key, _SECTIONS)
        raise section.fault(_show_key(key), f"no section of a space has this name. {remedy}")
    return {key: section for key, section in item.value.items() if section.value is not None}


def _dataset(sections: Mapping[str, Located], whole: Located) -> str:
    known = (*DATASETS, *_OTHER_DATASETS)
    if "dataset" not in sections:
        raise whole.fault("dataset", f"missing. Name the data set: {', '.join(known)}.")
    item = sections["dataset"]
    if item.value not in known:
        name = item.value if isinstance(item.value, str) else item.show()
        raise item.fault("dataset", f"unknown: {item.show()}. {did_you_mean(name, known)}")
    return str(item.value)


def _budget(sections: Mapping[str, Located]) -> Budget:
    given = _mapping(sections.get("budget", Located({}, "")), "budget")
    return Budget(**{name: _budget_value(name, item) for name, item in given.items()})


def _budget_value(name: str, item: Located) -> Any:
    rules = Budget.rules()
    if name not in rules:
        raise item.fault(f"budget.{_show_key(name)}", f"unknown. {did_you_mean(name, rules)}")
    try:
        return rules[name].parse(item.plain())
    except ValueError:
        raise item.fault(
            f"budget.{name}", f"found {item.show()}. It must be {rules[name].describe()}."
        ) from None


def _search(item: Located) -> dict[str, Range]:
    search = {}
    for name, entry in _mapping(item, "search").items():
        _check_parameter(name, name, entry)
        search[name] = parse_range(name, entry)
    return search


def _values(section: str, item: Located) -> dict[str, Any]:
    """Return a mapping of parameters to values, validated."""
    values = {}
    for name, value in _mapping(item, section).items():
        key = f"{section}.{name}" if "." in section or section == "fixed" else name
        _check_parameter(key, name, value)
        values[name] = parse_value(key, name, value)
    return values


def _presets(sections: Mapping[str, Located]) -> dict[str, dict[str, Any]]:
    presets = _mapping(sections.get("presets", Located({}, "")), "presets")
    return {name: _values(f"presets.{name}", item) for name, item in presets.items()}


def _start_from(space: SearchSpace, item: Located) -> tuple[str, ...]:
    if not isinstance(item.value, list):
        raise item.fault(
            "start_from", f"found {item.show()}. It must be a list of presets, such as [paper]."
        )
    names: list[str] = []
    known = {_PAPER, *space.presets}
    for entry in item.value:
        name = entry.value
        if not isinstance(name, str) or name not in known:
            text = name if isinstance(name, str) else entry.show()
            raise entry.fault(
                "start_from", f"no preset {entry.show()}. {did_you_mean(text, known)}"
            )
        if name in names:
            raise entry.fault("start_from", f"{name} is listed twice. Remove one.")
        names.append(name)
    return tuple(names)


def _mapping(item: Located, section: str) -> dict[str, Located]:
    if item.value is None:
        return {}
    if not isinstance(item.value, dict):
        raise item.fault(section, f"found {item.show()}. It must be a mapping of names to values.")
    return item.value


def _check_parameter(key: str, name: str, item: Located) -> None:
    if name not in _RULES:
        raise item.fault(_show_key(key), f"unknown parameter. {did_you_mean(name, _RULES)}")


def _checked(space: SearchSpace, places: Mapping[str, str]) -> SearchSpace:
    """Return the space with its parameters in the order of asking, after checking conditions."""
    for name, entry in space.search.items():
        for other, values in entry.when:
            _check_condition(space, places, name, other, values)
        if not _can_have_effect(space, name, entry.when):
            needs = " or ".join(f"{other} is {value}" for other, value in _RULES[name].when)
            raise _fault(
                places,
                name,
                f"it only has an effect where {needs}, which never happens here. "
                "Drop it, or let that happen.",
            )
    return replace(space, search=_in_order(space.search, places))


def _check_condition(
    space: SearchSpace, places: Mapping[str, str], name: str, other: str, values: tuple[Any, ...]
) -> None:
    if other not in space.search and other not in space.fixed:
        raise _fault(
            places,
            name,
            f"when: {other} is neither searched nor fixed in this space. "
            "Add it there, or drop the condition.",
        )
    for value in values:
        if not _can_be(space, other, value):
            taken = (
                space.search[other].describe()
                if other in space.search
                else f"fixed to {_show(space.fixed[other])}"
            )
            raise _fault(
                places,
                name,
                f"when: {other} is never {_show(value)}: it is {taken}. Correct the condition.",
            )


def _in_order(search: Mapping[str, Range], places: Mapping[str, str]) -> dict[str, Range]:
    """Return the parameters in the order of `TrialConfig`, each after those it depends on.

    The order does not depend on the file's, so that a seed proposes the same in any spelling.
    """
    waiting = [name for name in _RULES if name in search]
    ordered: dict[str, Range] = {}
    while waiting:
        ready = (n for n in waiting if not _dependencies(n, search[n].when) & set(waiting))
        name = next(ready, None)
        if name is None:
            raise _fault(
                places,
                waiting[0],
                f"when: circular: {', '.join(waiting)} wait for one another. "
                "Drop one of the conditions.",
            )
        ordered[name] = search[name]
        waiting.remove(name)
    return ordered


def _dependencies(name: str, when: Condition) -> set[str]:
    return {other for other, _ in when} | {other for other, _ in _RULES[name].when}


def _holds(when: Condition, values: Mapping[str, Any]) -> bool:
    """Return whether a condition holds; not, where it asks for a parameter that isn't in use."""
    return all(other in values and values[other] in wanted for other, wanted in when)


def _has_effect(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether parameter `name` does anything, by its own rule."""
    when = _RULES[name].when
    return not when or any(values[other] == value for other, value in when)


def _can_be(space: SearchSpace, name: str, value: Any) -> bool:
    if name in space.search:
        return space.search[name].contains(value)
    return bool(space.fixed.get(name, _DEFAULTS[name]) == value)


def _can_have_effect(space: SearchSpace, name: str, when: Condition) -> bool:
    asked = dict(when)
    rule = _RULES[name].when
    return not rule or any(
        _can_be(space, other, value) and value in asked.get(other, (value,))
        for other, value in rule
    )


def _check_start(space: SearchSpace, places: Mapping[str, str]) -> None:
    for preset in space.start_from:
        misfits = space._misfits(space.preset(preset))
        for name, misfit in misfits.items():
            raise SpaceError(
                f"{places[name]}: start_from: {preset} lies outside the space: {misfit}. Widen the "
                f"search, give presets.{preset} another value, or leave {preset} out of start_from."
            )


def _override(space: SearchSpace, overrides: Sequence[str]) -> SearchSpace:
    """Return the space with the `key=value` changes of `--set`, checked when all are made."""
    places: dict[str, str] = {}
    for override in overrides:
        where = f"--set {override}"
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SpaceError(f"{where}: it must be key=value, such as --set k=3.")
        space = _apply(space, key, parse_yaml(text, where, numbered=False))
        places[key] = where
    space = _checked(_without_dead_conditions(space, places), places)
    first = f"--set {overrides[0]}"
    _check_start(space, {name: places.get("start_from", first) for name in _RULES} | places)
    if not space.search and not space.start_from:
        raise SpaceError(
            f"{first}: nothing is left to search or to start from. "
            "To train one configuration, use --only."
        )
    return space


def _apply(space: SearchSpace, key: str, item: Located) -> SearchSpace:
    budget_key = key.removeprefix("budget.")
    if budget_key in Budget.rules() or key.startswith("budget."):
        return space.with_budget(**{budget_key: _budget_value(budget_key, item)})
    if key == "dataset":
        raise item.fault(
            "dataset",
            "a space belongs to its data set. Use --space with another space, or copy the file.",
        )
    if key == "start_from":
        return replace(space, start_from=_start_from(space, item))
    if key in _SECTIONS:
        raise item.fault(key, "it can't be set as a whole. Name a parameter, such as --set k=3.")
    if key not in _RULES:
        known = {*_RULES, *(f"budget.{name}" for name in Budget.rules()), "start_from"}
        remedy = did_you_mean(key, known)
        # All the names at once are too many for one line.
        remedy = remedy if remedy.startswith("Did") else "docs/parameters.md lists them."
        raise item.fault(_show_key(key), f"no parameter has this name. {remedy}")
    if isinstance(item.value, dict):
        return _searching(space, key, parse_range(key, item))
    return _fixing(space, key, parse_value(key, key, item))


def _searching(space: SearchSpace, name: str, entry: Range) -> SearchSpace:
    """Return the space with `name` searched; its presets stay the configurations they were."""
    presets = space.presets
    if name in space.fixed:
        before = {name: space.fixed[name]}
        presets = {key: before | presets.get(key, {}) for key in dict.fromkeys([_PAPER, *presets])}
    fixed = {key: value for key, value in space.fixed.items() if key != name}
    return replace(space, search={**space.search, name: entry}, fixed=fixed, presets=presets)


def _fixing(space: SearchSpace, name: str, value: Any) -> SearchSpace:
    """Return the space with `name` fixed, also in its presets: the user's word is the last."""
    return replace(
        space,
        search={key: entry for key, entry in space.search.items() if key != name},
        fixed={**space.fixed, name: value},
        presets={
            preset: {key: kept for key, kept in values.items() if key != name}
            for preset, values in space.presets.items()
        },
    )


def _without_dead_conditions(space: SearchSpace, keep: Mapping[str, str]) -> SearchSpace:
    """Return the space without conditions and parameters that the overrides made impossible.

    Those in `keep`, which the user asked for in an override, stay, and are checked as in a file.
    """
    search: dict[str, Range] = {}
    for name, entry in space.search.items():
        if name in keep:
            search[name] = entry
            continue
        when = tuple(
            (other, tuple(value for value in values if _can_be(space, other, value)))
            for other, values in entry.when
            if other in space.search or other in space.fixed
        )
        alive = len(when) == len(entry.when) and all(values for _, values in when)
        if alive and _can_have_effect(space, name, when):
            search[name] = replace(entry, when=when)
    if search == space.search:
        return space
    return _without_dead_conditions(replace(space, search=search), keep)


def _fault(places: Mapping[str, str], name: str, message: str) -> SpaceError:
    where = places.get(name) or next(iter(places.values()))
    return SpaceError(f"{where}: {name}: {message}")


def _flow(value: Any) -> str:
    """Return a value as one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("...\n").strip()


def _show(value: Any) -> str:
    return str(value) if isinstance(value, str) else shorten(value)


def _show_key(key: str) -> str:
    return key if key.isprintable() and len(key) <= 60 else shorten(key)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
