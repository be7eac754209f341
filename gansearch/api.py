"""`gansearch.search` and `gansearch.resume`: the driver's, with every argument checked first."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from gansearch.api_keywords import (
    CODE,
    DOCUMENTATION_OF_RESUME,
    DOCUMENTATION_OF_SEARCH,
    SEARCH_KEYWORDS,
    console_of,
    documentation,
    driver_options,
    give_again,
    seconds_of,
    with_code,
    with_keywords,
)
from gansearch.arguments import (
    in_python_terms,
    number_argument,
    override_arguments,
    path_argument,
    refused,
    text_argument,
)
from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.data.own import as_dataset
from gansearch.data.own_names import GIVEN
from gansearch.errors import BadInputError
from gansearch.report.run import Run, open_run
from gansearch.runs.folder import RunFolder
from gansearch.space.builtin import builtin_spaces
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import parse_path
from gansearch.tune import driver
from gansearch.tune.settings import Settings


def _space(value: Any) -> str | SearchSpace:
    if isinstance(value, str | SearchSpace):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return SearchSpace.from_dict(value)
    raise refused(
        "space",
        value,
        "It must be the name of a built-in space, such as 'digits', the path of a space file, or "
        "its content as a dict.",
    )


def _only(value: Any) -> list[str]:
    entries = [value] if isinstance(value, str | os.PathLike) else value
    if isinstance(entries, Iterable) and not isinstance(entries, Mapping):
        entries = list(entries)
        if all(isinstance(entry, str | os.PathLike) for entry in entries):
            return [os.fsdecode(entry) for entry in entries]
    raise refused(
        "only", value, "It must be a list of presets and paths, such as ['paper', 'mine.yaml']."
    )


def _runs(value: Any) -> list[Any]:
    runs = value if isinstance(value, list | tuple) else [value]
    return [_run(run, "warm_start") for run in runs]


def _settings(value: Any) -> Settings | None:
    if value is None or isinstance(value, Settings):
        return value
    raise refused("settings", value, "It must be gansearch.Settings(max_concurrent=1), say.")


def _dataset(value: Any) -> str | Dataset:
    return os.fsdecode(value) if isinstance(value, str | os.PathLike) else as_dataset(value)


def _run(value: Any, name: str = "run") -> Any:
    return value.path if isinstance(value, RunFolder) else path_argument(name, value)


def _count(name: str) -> Callable[[Any], int | None]:
    rule = Budget.rules()[name]
    return lambda value: None if value is None else number_argument(name, value, rule)


def _setting(name: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        found = None if value is None else getattr(Settings(**{name: value}), name)
        return value if found is None else found  # "auto", which a resume may ask for, is None

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    **{field.name: _setting(field.name) for field in fields(Settings) if field.name != "address"},
    "address": lambda value: None if value is None else text_argument("address", value, "auto"),
    "name": lambda value: None if value is None else text_argument("name", value, "digits-2"),
    "only": _only,
    "overrides": override_arguments,
    "replicas": _count("replicas"),
    "results": lambda value: path_argument("results", value),
    "run": _run,
    "settings": _settings,
    "space": _space,
    "trials": _count("trials"),
    "warm_start": _runs,
}


_UNNAMED: Any = object()  # where no space is named: then the data decides


@functools.wraps(driver.search)
def search(space: Any = _UNNAMED, **options: Any) -> Run:
    """Search as the driver does, whose documentation and signature `wraps` shows."""
    with in_python_terms():
        is_named = space is not _UNNAMED
        space = with_code(space if is_named else None, options)
        options = driver_options(options)
        if options.get("dataset") is None:
            return _call("search", space=space if is_named else "digits", **options)
        options["dataset"] = data = _dataset(options["dataset"])
        if not is_named:
            space = _space_for(data)
        elif isinstance(space, Mapping) and "dataset" not in space:
            space = {**space, "dataset": data if isinstance(data, str) else GIVEN}
        return _call("search", space=space, **options)


def _space_for(data: str | Dataset) -> str:
    """Return the built-in space that suits data for which none is named."""
    if isinstance(data, str):
        if data in builtin_spaces():
            return data
        raise BadInputError(
            f"dataset {data}: no space is named, which says what is searched. Give one too: "
            "gansearch.search('folder', dataset=...)."
        )
    return "folder" if data.is_image else "ring"


@functools.wraps(driver.resume)
def resume(run: Any, **options: Any) -> Run:
    """Resume as the driver does."""
    with in_python_terms():
        if (limit := options.pop("time_budget", None)) is not None:
            options["time_budget_seconds"] = seconds_of(limit)
        if options.get("space") is None:
            options.pop("space", None)  # which is no change
        if any(options.get(name) is not None for name in CODE):
            folder = RunFolder.open(_run(run), parse_path(options.get("results", "results")))
            give_again(folder.read_run().space, options)
        return _call("resume", run=run, **options)


search.__doc__ = documentation(driver.search, DOCUMENTATION_OF_SEARCH)
search.__signature__ = with_keywords(driver.search, SEARCH_KEYWORDS)  # type: ignore[attr-defined]
resume.__doc__ = documentation(driver.resume, DOCUMENTATION_OF_RESUME)
resume.__signature__ = with_keywords(driver.resume, ("time_budget", *CODE))  # type: ignore[attr-defined]


def _call(function: str, **arguments: Any) -> Run:
    """Call a function of the driver with arguments that have been checked."""
    checked = {name: _CHECKS.get(name, _as_it_is)(arguments[name]) for name in arguments}
    console = console_of(checked.pop("console", None))
    return open_run(getattr(driver, function)(**checked, console=console))


def _as_it_is(value: Any) -> Any:
    return value
