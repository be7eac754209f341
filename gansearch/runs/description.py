"""`run.json`: the description of a run: its space, its settings and its state."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import UnionType
from typing import Any, TypeVar

from gansearch.budget import Budget
from gansearch.data.fingerprint import Fingerprint
from gansearch.errors import BadInputError, ConfigError, escape_unprintable
from gansearch.family import DEFAULT_FAMILY, NO_BASELINE, ModelFamily, family_of, load_family
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.own_measures import (
    BuiltInMeasure,
    Objective,
    OwnMeasure,
    stored_measures,
    stored_objective,
)
from gansearch.rules import Config
from gansearch.runs.tables import unreadable
from gansearch.system.files import BLANK_SEAL, fault_of_seal, sealed
from gansearch.system.object_store import AnyPath

MeasureT = TypeVar("MeasureT", bound=OwnMeasure)

# A run's description, and the copy that is read if it is damaged.
DESCRIPTION_FILES = ("run.json", "run.json.copy")
# The keys of run.json and the types of their values; the optional ones are not in every version's.
_KINDS: dict[str, type | UnionType] = {
    "name": str,
    "space": dict,
    "seed": int,
    "only": list | None,
    "paper_config_id": str | None,
    "started_at": str,
    "state": str,
    "wall_seconds": int | float,
}
_OPTIONAL: dict[str, type | UnionType] = {
    "settings": dict,
    "search_is_over": bool,
    "recorder_seconds": int | float,
    "training_report": dict,
    "data": dict,
    "environments": list,
    "data_notes": list,
    "n_configurations": int | None,
    "n_evaluation_samples": int,
    "trials_per_gpu": int | None,
    "code": dict,
    "warm_start": list,
    "former_spaces": list,
    "cut_replicas": list,
}
_LEFT_OUT_IF_EMPTY = (
    *("training_report", "data", "environments", "code"),
    *("warm_start", "former_spaces"),
)
_TEXTS = {"data_notes", "cut_replicas"}  # tuples of text
_UNFINISHED = ("searching", "replicating")
_LONGEST_NAME = 40  # of a preset, in tables and figures


@dataclass(frozen=True)
class RunDescription:
    """What `run.json` says of a run.

    Attributes:
        name: of the run's folder.
        space: the search space, as `SearchSpace.to_dict` returns it.
        seed: of the run.
        only: the configurations that are compared without a search; None for a search.
        paper_config_id: id of the baseline, such as the paper's configuration; None without one.
        started_at: date and time in UTC, in ISO 8601.
        state: "searching", "replicating", "finished", "interrupted" or "failed".
        wall_seconds: time that the run has taken so far, over all its sessions.
        settings: how it uses the machine, the fields of `Settings`.
        search_is_over: whether nothing is left to search.
        recorder_seconds: time spent on writing results.
        training_report: `name`, `n_samples` and `valid_ll` of training examples, scored as a
            trial's samples are; None in runs of older versions.
        data: what the run learns from, the fields of `Fingerprint`; None in runs of older versions.
        environments: the software and the machine of each session, where they differ from the
            previous one's; none in runs of older versions.
        data_notes: sentences on the data that a reader of its scores must know.
        n_configurations: how many the space has; None if there is no end of them, and in runs of
            older versions.
        n_evaluation_samples: how many samples each evaluation of a trial uses.
        code: where in the run's folder the texts of the user's own files lie, by their paths.
        warm_start: what the run has taken of earlier runs, an entry for each; none for most.
        former_spaces: an entry for each change of the space by a resume, oldest first: the former
            `space`, the number `n_trials` of trials before, and the trials `outside` the new one.
        trials_per_gpu: how many share a GPU, if that was found and not given; else None.
        cut_replicas: the ids of the replicas that the time budget had no room for.
        facts: the machine, the versions and the command, and keys of other versions.
    """

    name: str
    space: Mapping[str, Any]
    seed: int
    only: list[dict[str, Any]] | None
    paper_config_id: str | None
    started_at: str
    state: str
    wall_seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    search_is_over: bool = False
    recorder_seconds: float = 0.0
    training_report: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    environments: Sequence[Mapping[str, Any]] = ()
    data_notes: tuple[str, ...] = ()
    n_configurations: int | None = None
    n_evaluation_samples: int = N_EVALUATION_SAMPLES
    trials_per_gpu: int | None = None
    code: Mapping[str, str] = field(default_factory=dict)
    warm_start: Sequence[Mapping[str, Any]] = ()
    former_spaces: Sequence[Mapping[str, Any]] = ()
    cut_replicas: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> ModelFamily[Any]:
        """The model family of the run's space."""
        return family_of(self.space)

    @property
    def measures(self) -> tuple[OwnMeasure, ...]:
        """The measures of the user's own."""
        return stored_measures(self.space)

    @property
    def objective(self) -> Objective:
        """What the search and the ranking go by, or several."""
        return stored_objective(self.space)

    @property
    def keeps_best(self) -> bool:
        """Whether the best state of each training is stored and ranked in place of its last."""
        return bool(self.space.get("keep") == "best")

    @property
    def budget(self) -> Budget:
        """What the run may spend.

        Raises:
            ConfigError: a value breaks its rule.
        """
        return Budget.from_dict(self.space["budget"])

    @property
    def baseline_name(self) -> str | None:
        """The preset that is trained again beside the best; None for none.

        Older versions trained the family's own in every run.
        """
        name = self.space.get("baseline", self.family.baseline)
        return None if name == NO_BASELINE else name

    @property
    def baseline_title(self) -> str:
        """What reports call the baseline."""
        name = self.baseline_name
        return self.family.baseline_title if name == self.family.baseline else f"the preset {name}"

    @property
    def baseline(self) -> Config | None:
        """The configuration that the best are compared with; None for none.

        Raises:
            ConfigError: a value breaks its rule.
        """
        return None if self.baseline_name is None else self._preset(self.baseline_name)

    @property
    def full_space(self) -> dict[str, Any]:
        """The sections of the space with those that older versions took for granted."""
        return {"baseline": self.baseline_name or NO_BASELINE, **self.space}

    def _preset(self, name: str) -> Config:
        values = {**self.space["fixed"], **self.space["presets"].get(name, {})}
        config: Config = self.family.config_type.from_dict(values)
        return config

    @property
    def names(self) -> dict[str, str]:
        """The names of the space's presets, and of the baseline, by the id of the configuration.

        Of several names for one configuration, the baseline's or else the first counts.
        """
        names: dict[str, str] = {}
        first = (self.baseline_name, self.family.baseline)
        for name in filter(None, dict.fromkeys((*first, *self.space["presets"]))):
            with suppress(ConfigError, TypeError):  # what can't be read needs no name
                shown = escape_unprintable(name)[:_LONGEST_NAME]
                names.setdefault(self._preset(name).config_id, shown)
        return names

    def has_tried_all(self, n_tried: int) -> bool:
        """Whether the space has no configuration beside `n_tried` distinct ones."""
        return self.n_configurations is not None and n_tried >= self.n_configurations

    @property
    def shown_state(self) -> str:
        """The state in the words of lists: "running" while the run has not stopped."""
        return "running" if self.is_going_on else self.state

    @property
    def is_going_on(self) -> bool:
        """Whether the run has not stopped yet, according to its description."""
        return self.state in _UNFINISHED

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; what a run of an older version did not record is left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        facts = values.pop("facts")
        for name in _LEFT_OUT_IF_EMPTY:
            if not values[name]:
                del values[name]
        for name in _TEXTS & values.keys():
            values[name] = list(values[name])
        return {**values, **facts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunDescription:
        """Build a description from what `to_dict` returned, in this version or an older one.

        Raises:
            ValueError: a key is absent or its value has the wrong type.
        """
        if why := _fault(values):
            raise ValueError(why)
        names = [f.name for f in dataclasses.fields(cls) if f.name != "facts"]
        own = {name: values[name] for name in names if name in values}
        own |= {name: tuple(map(str, values.get(name, ()))) for name in _TEXTS}
        return cls(**own, facts={key: v for key, v in values.items() if key not in names})

    def encode(self) -> bytes:
        """Return the content of `run.json`, with its seal."""
        content = {**self.to_dict(), "seal": BLANK_SEAL}
        return sealed((json.dumps(content, indent=2) + "\n").encode())


def read_description(path: AnyPath) -> RunDescription:
    """Read a `run.json` or a copy of it.

    Raises:
        ResultsError: it is absent, isn't a JSON object, or lacks a key.
        BadInputError: its model family can't be imported here.
    """
    try:
        content = path.read_bytes()
        values = json.loads(content)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(values, dict):
        raise unreadable(path, f"found {type(values).__name__} where an object must be")
    seal_fault = fault_of_seal(content)
    values.pop("seal", None)
    try:
        description = RunDescription.from_dict(values)
    except ValueError as error:
        raise unreadable(path, error) from error
    except BadInputError as error:  # the family's name is as it was written, unless damaged
        if seal_fault:
            raise unreadable(path, error) from error
        raise
    if seal_fault:
        raise unreadable(path, f"{seal_fault} (if you changed it on purpose, remove its seal)")
    return description


def described_family(paths: Iterable[AnyPath]) -> ModelFamily[Any]:
    """Return the family that the first readable of a run's descriptions names, or the default.

    So a run's tables open even if its description is damaged or lacks other keys.
    """
    for path in paths:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return family_of(json.loads(path.read_bytes())["space"])
    return load_family(DEFAULT_FAMILY)


def described_measures(paths: Iterable[AnyPath]) -> tuple[OwnMeasure, ...]:
    """Return the measures of the user's own that the first readable of a run's descriptions has."""
    return _described(paths, stored_measures)


def described_objectives(paths: Iterable[AnyPath]) -> tuple[BuiltInMeasure, ...]:
    """Return the objectives that gansearch measures in every run, read as `described_measures`."""
    return _described(paths, lambda space: stored_objective(space).built_in)


def _described(
    paths: Iterable[AnyPath], read: Callable[[Mapping[str, Any]], tuple[MeasureT, ...]]
) -> tuple[MeasureT, ...]:
    for path in paths:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            return read(json.loads(path.read_bytes())["space"])
    return ()


def _fault(values: Mapping[str, Any]) -> str | None:
    """Return what is absent from a run's description, or of the wrong type; None if nothing is."""
    if absent := [key for key in _KINDS if key not in values]:
        return f"it lacks {', '.join(absent)}"
    for key, kind in (_KINDS | _OPTIONAL).items():
        if key in values and (
            not isinstance(values[key], kind)
            or (isinstance(values[key], bool) and kind is not bool)
        ):
            return f"found {str(values[key])[:40]!r} for {key}"
    try:
        datetime.fromisoformat(values["started_at"])
    except ValueError as error:
        return f"started_at: {error}"
    if not 0 <= values["wall_seconds"] < math.inf:
        return f"found {values['wall_seconds']} for wall_seconds"
    if why := _fault_of_training_report(values.get("training_report")):
        return why
    if why := _fault_of_provenance(values):
        return why
    for earlier in values.get("warm_start", ()):
        if not isinstance(earlier, dict):
            return f"warm_start: found {str(earlier)[:40]!r}"
    for former in values.get("former_spaces", ()):
        entry = former if isinstance(former, dict) else {}
        if not isinstance(entry.get("n_trials"), int) or not isinstance(entry.get("outside"), list):
            return f"former_spaces: found {str(former)[:40]!r}"
    return _fault_of_space(values["space"])


def _fault_of_training_report(report: Mapping[str, Any] | None) -> str | None:
    """Return what is wrong with the score of training examples; runs of old versions have none."""
    if report is None:
        return None
    for key, kind in {"name": str, "n_samples": int, "valid_ll": float}.items():
        if not isinstance(report.get(key), kind):
            return f"training_report: found {str(report.get(key))[:40]!r} for {key}"
    if not math.isfinite(report["valid_ll"]):
        return f"training_report: found {report['valid_ll']} for valid_ll"
    return None


def _fault_of_provenance(values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the record of the data and the software, which is optional."""
    for environment in values.get("environments", ()):
        versions = environment.get("versions", {}) if isinstance(environment, dict) else None
        if not isinstance(versions, dict):
            return f"environments: found {str(environment)[:40]!r}"
    if (data := values.get("data")) is not None:
        try:
            Fingerprint.from_dict(data)
        except ValueError as error:
            return str(error)
    return None


def _fault_of_space(space: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the parts of a space that a report reads.

    `SearchSpace` checks all of it.
    """
    for section in ("name", "dataset"):
        if not isinstance(space.get(section), str):
            return f"space: {section}: found {str(space.get(section))[:40]!r}"
    for section in ("budget", "search", "fixed", "presets"):
        if not isinstance(space.get(section), dict):
            return f"space: {section}: found {str(space.get(section))[:40]!r}"
    if not isinstance(space.get("baseline", ""), str):
        return f"space: baseline: found {str(space['baseline'])[:40]!r}"
    if not isinstance(space.get("data", {}), dict):
        return f"space: data: found {str(space['data'])[:40]!r}"
    for section in ("family", "generator", "discriminator", "trainable"):
        if not isinstance(space.get(section, ""), str):
            return f"space: {section}: found {str(space[section])[:40]!r}"
    try:
        stored_measures(space)
    except (TypeError, AttributeError):
        return f"space: measures: found {str(space['measures'])[:40]!r}"
    if not _are_names(space.get("objectives", ["valid_ll", "coverage"])):
        return f"space: objectives: found {str(space['objectives'])[:40]!r}"
    known = family_of(space).config_type.rules()
    for name, entry in space["search"].items():
        if name not in known or not isinstance(entry, dict) or not _is_range(entry, known):
            return f"space: search: found {name}: {str(entry)[:40]}"
    return None


def _are_names(objectives: Any) -> bool:
    return isinstance(objectives, list) and all(isinstance(name, str) for name in objectives)


def _is_range(entry: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    kinds = [entry[kind] for kind in ("int", "float", "choice") if kind in entry]
    when = entry.get("when", {})
    return (
        len(kinds) == 1
        and isinstance(kinds[0], list)
        and isinstance(when, dict)
        and set(when) <= set(known)
        and all(isinstance(wanted, list) for wanted in when.values())
    )
