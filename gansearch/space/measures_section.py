"""Parses `measures`, `objective` and `objectives`: built-in measures, and the user's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from gansearch.errors import BadInputError, SpaceError, did_you_mean
from gansearch.measures import MEASURES, N_FINAL_SAMPLES, Measure
from gansearch.own_measures import (
    BUILT_IN_OBJECTIVES,
    DIRECTIONS,
    INCEPTION,
    PIXELS,
    VALID_LL,
    Objective,
    OwnMeasure,
    several,
)
from gansearch.rules import Rule
from gansearch.space.yaml_source import SourceValue
from gansearch.system.user_code import (
    absolute,
    is_reference,
    load,
    reference_of,
    resolved,
    shown,
)

_FORM = "Such as [coverage, my_metrics.py:fid]."
_NAME = re.compile(r"[A-Za-z_]\w*")
_TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript")
_ENDINGS = ("_test", "_low", "_high")  # of columns that belong to another measure
_N_SAMPLES = Rule("int", "samples of an evaluation", low=20, high=N_FINAL_SAMPLES)
_KEYS = tuple(field.name for field in fields(OwnMeasure) if field.name != "at_end")
_BUILT_IN = {measure.column for measure in MEASURES}
_FEWEST_OBJECTIVES, _MOST_OBJECTIVES = 2, 4


def parse_measures(
    item: SourceValue, folder: Path, of_family: Sequence[OwnMeasure] = ()
) -> tuple[OwnMeasure, ...]:
    """Return the measures of the family, and then those of the user's own.

    Built-in ones and the family's may be listed, and are always measured. No code is imported where
    an entry says all of a measure, as in `run.json`.

    Args:
        item: the section.
        folder: that files are named from.
        of_family: the measures of the space's family.

    Raises:
        SpaceError: not a list, an unknown or repeated name, or code that can't be used.
    """
    found = {measure.name: measure for measure in of_family}
    if item.value is None:
        return tuple(of_family)
    if not isinstance(item.value, list):
        raise item.error("measures", f"found {item.show()}. It must be a list. {_FORM}")
    for entry in item.value:
        if (own := _parse_entry(entry, folder, {measure.name for measure in of_family})) is None:
            continue
        if own.name in found:
            raise entry.error(
                "measures",
                f"two are called {own.name}. Give one another name: "
                f"{{function: {shown(own.function)}, name: {own.name}_2}}.",
            )
        found[own.name] = own
    return tuple(found.values())


def parse_objective(item: SourceValue, measures: Sequence[OwnMeasure], folder: Path) -> Objective:
    """Return what the search goes by: one of the user's own measures, or by default `valid_ll`.

    Raises:
        SpaceError: it is none of these.
    """
    if item.value is None or item.value == VALID_LL.name:
        return VALID_LL
    named = item.value
    if callable(named) or is_reference(named):
        named = _reference(item, folder)
    for measure in measures:
        if named in (measure.name, measure.function):
            if measure.at_end:
                raise item.error(
                    "objective",
                    f"{measure.name} is measured at the end of a replica only, and a search needs "
                    f"values before. Take another one, such as {VALID_LL.name}.",
                )
            return Objective(measure)
    names = [VALID_LL.name, *(measure.name for measure in measures)]
    raise item.error(
        "objective",
        f"found {item.show()}. It must be {VALID_LL.name}, a measure of the space's family, or one "
        "of your own measures, which the space lists under measures. "
        f"{did_you_mean(str(item.value), names)}",
    )


def parse_objectives(
    one: SourceValue, more: SourceValue, measures: Sequence[OwnMeasure], folder: Path
) -> Objective:
    """Return what the search goes by, from the sections `objective` and `objectives`.

    Raises:
        SpaceError: both are given, one is unknown, or `objectives` is no list of two to four.
    """
    if more.value is None:
        return parse_objective(one, measures, folder)
    if one.value is not None:
        raise more.error(
            "objectives",
            "the space has an objective too. Keep one of the two: objective for one, objectives "
            "for several.",
        )
    entries = more.value
    if not isinstance(entries, list) or not _FEWEST_OBJECTIVES <= len(entries) <= _MOST_OBJECTIVES:
        raise more.error(
            "objectives",
            f"found {more.show()}. It must be a list of {_FEWEST_OBJECTIVES} to "
            f"{_MOST_OBJECTIVES} measures, such as [valid_ll, coverage]. For one, write "
            "objective: valid_ll.",
        )
    found = [_one_of_several(entry, measures, folder) for entry in entries]
    for i, entry in enumerate(entries):
        if found[i] in found[:i]:
            raise entry.error("objectives", f"{found[i].name} stands there twice. Remove one.")
    return several(found)


def _one_of_several(item: SourceValue, measures: Sequence[OwnMeasure], folder: Path) -> Objective:
    """Return one of several objectives, which may be a built-in measure that trials report."""
    named = item.value
    if isinstance(named, str) and named in BUILT_IN_OBJECTIVES:
        return Objective(BUILT_IN_OBJECTIVES[named])
    is_own = callable(named) or is_reference(named)
    names = [VALID_LL.name, *BUILT_IN_OBJECTIVES, *(m.name for m in measures if not m.at_end)]
    if is_own or named in (VALID_LL.name, *(measure.name for measure in measures)):
        return parse_objective(item, measures, folder)
    if (measure := next((m for m in MEASURES if m.column == named), None)) is not None:
        nearest = str(named).replace("test_ll", VALID_LL.name)
        raise item.error(
            "objectives", f"{named}: {_why_none(measure)}. {did_you_mean(nearest, names)}"
        )
    raise item.error(
        "objectives",
        f"no trial reports {item.show()}. {did_you_mean(str(named), names)} A measure of your own "
        "is listed under measures first.",
    )


def _why_none(measure: Measure) -> str:
    """Return why a built-in measure can be no objective."""
    if not measure.stages & {"evaluation", "history"}:
        return "trials don't report it: it is measured at the end of a replica only"
    return "not every run has it" if measure.better == "higher" else "no direction of it is better"


def _parse_entry(item: SourceValue, folder: Path, of_family: set[str]) -> OwnMeasure | None:
    """Return one measure; None for one that is always measured."""
    if isinstance(item.value, str) and not is_reference(item.value):
        always = _BUILT_IN | of_family
        if item.value in always:
            return None
        raise item.error(
            "measures",
            f"no measure is called {item.value}. {did_you_mean(item.value, always)} One of your "
            "own is written FILE.py:NAME.",
        )
    if isinstance(item.value, dict) and _is_of_family(item.value, of_family):
        return None
    entries = item.value if isinstance(item.value, dict) else {"function": item}
    for key, value in entries.items():
        if key not in _KEYS:
            raise value.error(f"measures: {key}", f"unknown. {did_you_mean(key, _KEYS)}")
    if "function" not in entries:
        raise item.error("measures", "function: missing. Name it: {function: my_metrics.py:fid}.")
    function = _reference(entries["function"], folder)
    said: dict[str, Any] = {key: value.plain() for key, value in entries.items()}
    if not said.keys() >= {*_KEYS}:
        said = _said_by(function, item, folder) | said
    if "features" in entries:
        said["features"] = _features(said["features"], item, folder)
    return _checked(said | {"function": function}, item)


def _is_of_family(entries: Mapping[str, SourceValue], of_family: set[str]) -> bool:
    """Return whether an entry is a measure of the family, as `run.json` has it."""
    said = {key: value.plain() for key, value in entries.items()}
    return said.get("function") == "" and said.get("name") in of_family


def _reference(item: SourceValue, folder: Path) -> str:
    if callable(item.value):
        return reference_of(item.value)
    if not is_reference(item.value):
        raise item.error(
            "measures",
            f"found {item.show()}. It must be the name of a measure or of a function. {_FORM}",
        )
    return resolved(item.value, folder)


def _said_by(function: str, item: SourceValue, folder: Path) -> dict[str, Any]:
    """Return what a function's name and attributes say of the measure."""
    try:
        found = load(function)
    except BadInputError as error:
        raise SpaceError(f"{item.where}: measures: {error}") from error
    if not callable(found):
        raise item.error(
            "measures",
            f"{shown(function)}: a {type(found).__name__}, which can't be called. It must be a "
            "function (samples, real) that returns a number.",
        )
    where, _, name = function.rpartition(":")
    beside = Path(where).parent if where.endswith(".py") else folder
    return {
        "name": name.rpartition(".")[2],
        "direction": getattr(found, "direction", "minimize"),
        "unit": getattr(found, "unit", ""),
        "features": _features(getattr(found, "features", None), item, beside),
        "n_samples": getattr(found, "n_samples", None),
    }


def _features(value: Any, item: SourceValue, folder: Path) -> str:
    """Return features as they are stored: a known name, a reference, or the path of a file."""
    if value is None or value == PIXELS:
        return PIXELS
    if callable(value):
        return reference_of(value)
    if is_reference(value):
        return resolved(value, folder)
    known, colon, weights = str(value).partition(":")
    if known == INCEPTION and bool(colon) == bool(weights):
        return f"{known}:{absolute(folder / Path(weights).expanduser())}" if weights else known
    if isinstance(value, str | Path) and str(value).endswith(_TORCHSCRIPT):
        return str(absolute(folder / Path(value).expanduser()))
    raise item.error(
        "measures",
        f"features: found {value!r}. It must be {PIXELS}, {INCEPTION}, the path of a TorchScript "
        "file, such as extractor.pt, or a function, FILE.py:NAME.",
    )


def _checked(said: Mapping[str, Any], item: SourceValue) -> OwnMeasure:
    name, direction, unit = said["name"], said["direction"], said["unit"]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(_ENDINGS):
        raise item.error(
            "measures",
            f"name: found {name!r}. It must be a word of letters, digits and _ that doesn't end in "
            f"{', '.join(_ENDINGS)}.",
        )
    if name in _BUILT_IN:
        raise item.error(
            "measures",
            f"{name} is a built-in measure. Give yours another name: {{function: "
            f"{shown(said['function'])}, name: my_{name}}}.",
        )
    if said["features"] == said["function"]:
        raise item.error(
            "measures",
            f"{name}: features: the extractor has the name of the measure. Give each a name of its "
            "own, by def.",
        )
    if direction not in DIRECTIONS:
        raise item.error(
            "measures",
            f"{name}: direction: found {direction!r}. It must be {' or '.join(DIRECTIONS)}.",
        )
    if not isinstance(unit, str):
        raise item.error("measures", f"{name}: unit: found {unit!r}. It must be text.")
    try:
        n_samples = None if said["n_samples"] is None else _N_SAMPLES.parse(said["n_samples"])
    except ValueError as found:
        raise item.error(
            "measures", f"{name}: n_samples: found {found}. It must be {_N_SAMPLES.describe()}."
        ) from None
    return OwnMeasure(name, said["function"], direction, unit, said["features"], n_samples)
