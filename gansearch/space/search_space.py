"""A validated `SearchSpace`: from YAML, through Optuna's suggestions, to a configuration.

A space names a data set and a budget, lists the hyperparameters that are searched with their
ranges, and fixes others; all the rest have the defaults of the model family. `docs/spaces.md`
teaches the format by example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import yaml

from gansearch.artifacts import Keep
from gansearch.budget import Budget
from gansearch.data.image_options import ImageOptions
from gansearch.data.own_names import located
from gansearch.errors import SpaceError, did_you_mean
from gansearch.family import NO_BASELINE, ModelFamily
from gansearch.own_measures import VALID_LL, Objective, OwnMeasure, references_of
from gansearch.rules import Config, plain
from gansearch.space.conditions import (
    check_conditions,
    format_value,
    is_active,
    parameter_error,
    sort_by_dependency,
)
from gansearch.space.measures_section import parse_measures, parse_objectives
from gansearch.space.parse import (
    check_sections,
    format_key,
    parse_baseline,
    parse_budget,
    parse_data,
    parse_dataset,
    parse_family,
    parse_keep,
    parse_origins,
    parse_presets,
    parse_search,
    parse_start_from,
    parse_values,
    split_sections,
)
from gansearch.space.ranges import Range, Table
from gansearch.space.words import Words
from gansearch.space.yaml_source import SourceValue, attach_source, shorten
from gansearch.system.user_code import given_once, is_reference


@dataclass(frozen=True)
class SearchSpace:
    """The configurations that a search may try, and its budget.

    Attributes:
        name: of a built-in space, or the stem of the file.
        family: the family of the models that are trained.
        dataset: the name of the data set.
        budget: what the search may spend.
        search: the range of each searched parameter, in the order in which Optuna is asked: a
            parameter comes after those that its conditions depend on.
        fixed: parameters that have the same value, other than the default, in every trial.
        presets: named configurations, each as the values in which it differs from the defaults
            and from `fixed`.
        start_from: the presets that a search tries first.
        data: how images that differ are made alike, for the data set `folder`.
        baseline_name: the preset that is trained again beside the best, for comparison; None for
            none.
        measures: of the family and of the user's own, beside those that are always measured.
        objective: what the search and the ranking go by, or several.
        keep: which state of each training is stored, scored and ranked.
        origins: where presets come from, in words, by their names.
    """

    name: str
    family: ModelFamily[Any]
    dataset: str
    budget: Budget
    search: dict[str, Range]
    fixed: dict[str, Any]
    presets: dict[str, dict[str, Any]]
    start_from: tuple[str, ...]
    data: ImageOptions = field(default_factory=ImageOptions)
    baseline_name: str | None = None
    measures: tuple[OwnMeasure, ...] = ()
    objective: Objective = VALID_LL
    keep: Keep = "last"
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSpace:
        """Build a space from the sections of a space file, and `name`; the inverse of `to_dict`.

        Raises:
            SpaceError: a section breaks a rule of the format.
        """
        sections = dict(values)
        name = sections.pop("name", "space")
        if not isinstance(name, str):
            raise SpaceError(f"space: name: found {shorten(name)}. It must be text.")
        return build_space(name, attach_source(sections, name))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the sections of a space file, and `name`."""
        return {
            "name": self.name,
            **self.family.sections,
            "dataset": self.dataset,
            **({"data": options} if (options := self.data.to_dict()) else {}),
            "budget": self.budget.to_dict(),
            "search": {name: entry.to_dict() for name, entry in self.search.items()},
            "fixed": _plain(self.fixed),
            "presets": {name: _plain(preset) for name, preset in self.presets.items()},
            "start_from": list(self.start_from),
            "baseline": self.baseline_name or NO_BASELINE,
            **({"measures": own} if (own := [each.to_dict() for each in self.measures]) else {}),
            **_objective_section(self.objective),
            **({"keep": self.keep} if self.keep != "last" else {}),
            **({"origins": dict(self.origins)} if self.origins else {}),
        }

    @property
    def table(self) -> Table:
        """The parameter table of the family."""
        return self.family.config_type

    @property
    def references(self) -> list[str]:
        """What of the user's own code the space names, as `user_code.load` takes it."""
        own = [self.dataset] if is_reference(self.dataset) else []
        return [*self.code_of_trials, *own]

    @property
    def code_of_trials(self) -> list[str]:
        """Those of them that trials need, which get the data itself."""
        return [*self.family.references, *references_of(self.measures, is_reference)]

    @property
    def baseline(self) -> Config | None:
        """The preset that reports compare with; None for none."""
        return None if self.baseline_name is None else self.preset(self.baseline_name)

    @property
    def baselines(self) -> list[Config]:
        """The baseline as a list, empty where there is none."""
        return [] if self.baseline is None else [self.baseline]

    @property
    def n_finalists(self) -> int:
        """How many configurations a search trains again, at most."""
        return self.budget.top + len(self.baselines)

    @property
    def preset_names(self) -> set[str]:
        """The names of the presets: those of the space, and the family's, which always exists."""
        return {self.family.baseline, *self.presets}

    @property
    def unsearched(self) -> dict[str, Any]:
        """The values of the parameters that aren't searched: fixed, or else the defaults."""
        values = {**self.table.defaults(), **self.fixed}
        return {name: value for name, value in values.items() if name not in self.search}

    def suggest(self, trial: optuna.trial.BaseTrial) -> Config:
        """Ask Optuna for a configuration; for a conditional parameter only where it applies.

        A parameter that is not suggested has its fixed value, or else the default.
        """
        return self._compose(lambda name: self.search[name].suggest(trial, name))

    def preset(self, name: str) -> Config:
        """Return a named configuration: the defaults, then `fixed`, then the preset's values.

        Raises:
            SpaceError: no such preset.
        """
        if name not in self.preset_names:
            hint = did_you_mean(name, self.preset_names)
            raise SpaceError(f"{self.name}: no preset {name}. {hint}")
        return self.table.from_dict(self.fixed | self.presets.get(name, {}))

    def contains(self, config: Config) -> bool:
        """Return whether a configuration lies inside the space."""
        return not self._mismatches(config)

    def encode(self, config: Config) -> dict[str, Any]:
        """Return the Optuna parameters for which `suggest` returns `config`.

        They fit `study.enqueue_trial` and `optuna.trial.FixedTrial`. Parameters that have no effect
        in `config` may come back different; the `config_id` is the same.

        Raises:
            SpaceError: `config` lies outside the space.
        """
        if mismatches := self._mismatches(config):
            raise SpaceError(f"{self.name}: outside the space: {', '.join(mismatches.values())}.")
        return self._encode(config)

    def adapted(self, config: Config) -> Config:
        """Return a configuration with this space's values of all parameters that it doesn't search.

        Searched parameters may lie `outside` their ranges.
        """
        return self._compose(lambda name: getattr(config, name))

    def outside(self, config: Config) -> list[str]:
        """Return the parameters by which a configuration lies outside the space, if it does."""
        return list(self._mismatches(config))

    def with_budget(self, **changes: Any) -> SearchSpace:
        """Return the same space with changes to its budget.

        Raises:
            ConfigError: a value against its rule.
        """
        return replace(self, budget=replace(self.budget, **changes))

    def largest(self, size: Callable[[Config], float]) -> Config:
        """Return the configuration of the space with (approximately) the largest `size`.

        Coordinate ascent: each parameter in turn takes the end of its range, or the choice, at
        which `size` is largest. Two rounds, since some parameters depend on others.
        """
        chosen = {name: entry.ends()[-1] for name, entry in self.search.items()}
        for _ in range(2):
            for name, entry in self.search.items():
                sizes = {
                    end: size(self._compose((chosen | {name: end}).get)) for end in entry.ends()
                }
                chosen[name] = max(sizes, key=sizes.__getitem__)
        return self._compose(chosen.get)

    def shrunk(self, config: Config, name: str) -> list[Config]:
        """Return copies of `config` with each other end or choice of searched parameter `name`."""
        values = {n: getattr(config, n) for n in self.search}
        ends = self.search[name].ends()
        return [self._compose((values | {name: end}).get) for end in ends if end != values[name]]

    def variants(self) -> Iterator[Config]:
        """Yield the defaults, the presets to start from, then each end or choice of each range."""
        start = self.table.from_dict(self.fixed)
        yield from (start, *self.baselines, *map(self.preset, self.start_from))
        values = {name: getattr(start, name) for name in self.search}
        for name, entry in self.search.items():
            for end in entry.ends():
                yield self._compose((values | self._enabling(name) | {name: end}).get)

    def _enabling(self, name: str) -> dict[str, Any]:
        """Return values of searched parameters under which the conditions of `name` hold."""
        values: dict[str, Any] = {}
        for other, wanted in self.search[name].when:
            if other in self.search:
                values |= self._enabling(other) | {other: wanted[0]}
        return values

    def describe(self) -> str:
        """Return the space as the text of a space file."""
        sections = self.to_dict()
        lines = [f"# {format_key(sections.pop('name'))}"]
        for section, content in sections.items():
            if section in ("search", "presets", "origins") and content:
                lines += [f"{section}:", *(f"  {_flow(k)}: {_flow(v)}" for k, v in content.items())]
            else:
                lines.append(f"{section}: {_flow(content)}")
        return "\n".join(lines) + "\n"

    def _compose(self, pick: Callable[[str], Any]) -> Config:
        """Return the configuration in which `pick` gives every searched parameter that applies."""
        values = self.unsearched
        for name, entry in self.search.items():
            if is_active(self.table, name, entry.when, values):
                values[name] = pick(name)
        return self.table.from_dict(values)

    def _encode(self, config: Config) -> dict[str, Any]:
        """Return the Optuna parameters of `config`, inside the space or not."""
        params: dict[str, Any] = {}

        def take(name: str) -> Any:
            value = getattr(config, name)
            params[name] = self.search[name].encode(value)
            return value

        self._compose(take)
        return params

    def _mismatches(self, config: Config) -> dict[str, str]:
        """Return, by parameter, why `config` lies outside the space; empty if it lies inside."""
        mismatches = {}
        for name in self._encode(config):
            value, entry = getattr(config, name), self.search[name]
            if not entry.contains(value):
                mismatches[name] = f"{name}={format_value(value)} is outside {entry.describe()}"
        nearest = self._compose(lambda name: getattr(config, name))
        for name in self.table.rules():
            value, only = getattr(config, name), getattr(nearest, name)
            if config.applies(name) and value != only:
                mismatches[name] = (
                    f"{name}={format_value(value)} where the space has {format_value(only)}"
                )
        return mismatches


@given_once()
def build_space(name: str, item: SourceValue, folder: Path | None = None) -> SearchSpace:
    """Build the space `name` from the content of its file; checks in the order of the sections.

    Files that it names are named from `folder`; None for the working directory.

    Raises:
        SpaceError: a section breaks a rule of the format.
    """
    sections = split_sections(item)
    folder = Path() if folder is None else folder
    family = parse_family(sections, folder)
    table = family.config_type
    check_sections(sections, table)
    measures = parse_measures(sections["measures"], folder, family.measures)
    dataset = located(parse_dataset(sections["dataset"]), folder)
    space = SearchSpace(
        name=name,
        family=family,
        dataset=dataset,
        data=parse_data(dataset, sections["data"]),
        budget=parse_budget(sections["budget"], Words(table, dataset)),
        search=parse_search(table, sections["search"]),
        fixed=parse_values(table, "fixed", sections["fixed"]),
        presets=parse_presets(table, sections["presets"]),
        start_from=(),
        measures=measures,
        objective=parse_objectives(sections["objective"], sections["objectives"], measures, folder),
        keep=parse_keep(sections["keep"]),
    )
    sources = {name: entry.where for name, entry in (sections["search"].value or {}).items()}
    for key in space.search:
        if key in space.fixed:
            raise parameter_error(
                sources, key, "it stands under both search and fixed. Remove one."
            )
    check_conditions(table, space.search, space.fixed, sources)
    start = sections["start_from"]
    space = replace(
        space,
        search=sort_by_dependency(table, space.search, sources),
        start_from=parse_start_from(start, space.preset_names, family.baseline),
        origins=parse_origins(sections["origins"], space.preset_names),
        baseline_name=parse_baseline(sections["baseline"], space.preset_names, family, dataset),
    )
    check_start(space, dict.fromkeys(table.rules(), start.where))
    if not space.search and not space.start_from:
        raise item.error(
            "search",
            "there is nothing to search and nothing to start from. "
            f"Give search at least one parameter, or start_from: [{family.baseline}].",
        )
    return space


def drop_outside(space: SearchSpace) -> SearchSpace:
    """Return the space without those of `start_from` that lie outside and whose origin is known.

    What an earlier search found is a hint for the space that it searched.
    """
    return replace(
        space,
        start_from=tuple(
            preset
            for preset in space.start_from
            if preset not in space.origins or not space._mismatches(space.preset(preset))
        ),
    )


def check_start(space: SearchSpace, sources: Mapping[str, str], *, by_set: bool = False) -> None:
    """Check that the presets of `start_from` lie inside the space.

    Args:
        space: the space, complete.
        sources: where each parameter is written, for the message.
        by_set: whether the remedy must be a change that `--set` can make.

    Raises:
        SpaceError: a preset lies outside.
    """
    mismatches = {preset: space._mismatches(space.preset(preset)) for preset in space.start_from}
    inside = ", ".join(preset for preset, found in mismatches.items() if not found)
    for preset, found in mismatches.items():
        remedy = (
            f"or start only from the presets inside it: --set 'start_from=[{inside}]'."
            if by_set
            else f"give presets.{preset} another value, or leave {preset} out of start_from."
        )
        for name, mismatch in found.items():
            raise SpaceError(
                f"{sources[name]}: start_from: {preset} lies outside the space: {mismatch}. "
                f"Widen the search, {remedy}"
            )


def _objective_section(objective: Objective) -> dict[str, Any]:
    """Return the section that names an objective other than the default, or several."""
    if objective.is_several:
        return {"objectives": [each.name for each in objective.all]}
    return {"objective": objective.name} if objective.measure else {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


def _flow(value: Any) -> str:
    """Return a value as one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("...\n").strip()
