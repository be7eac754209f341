"""Arguments of `gansearch.search` and `resume` that are what the flags of the commands are."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from rich.console import Console

from gansearch.arguments import number_argument, override_arguments, refused
from gansearch.budget import Budget
from gansearch.errors import BadInputError
from gansearch.own_measures import stored_measures
from gansearch.report.formatting import parse_duration
from gansearch.space.load import load_space
from gansearch.system.user_code import UserCode, given_name, is_given, provide, shown
from gansearch.tune.settings import Settings

_BUDGET = ("trials", "max_updates", "top", "replicas")
_SETTINGS = tuple(field.name for field in fields(Settings) if field.name != "time_budget_seconds")
# Sections of a space that a keyword gives, of which these may be given again to a resume.
_SECTIONS = ("generator", "discriminator", "output_range", "trainable")
CODE = ("generator", "discriminator", "trainable", "measures")
SEARCH_KEYWORDS = (*_SECTIONS, *_BUDGET, "time_budget", *_SETTINGS)
DOCUMENTATION_OF_SEARCH = """\
    generator, discriminator: networks of your own: classes or functions, or `FILE.py:NAME`
            (`docs/your-own-gan.md`); output_range: the range of their pixels, such as (-1, 1).
        trainable: a training loop of your own, likewise.
        trials, max_updates, top, replicas: of the budget, in place of the space's.
        time_budget: time for the whole run: "2h", or seconds.
        sampler, address, gpus_per_trial, cpus_per_trial, group_trials, max_concurrent, data_dir,
            deterministic: as in `Settings`, without writing `settings=Settings(...)`.

    """


DOCUMENTATION_OF_RESUME = """\
    time_budget: time for the whole run: "2h", or seconds.
        generator, discriminator, trainable, measures: code of your own that lies in no file, and
            was given from Python; the run needs it again.

    """


def driver_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the driver's `search` for those of `gansearch.search`.

    Raises:
        BadInputError: a value can't be used, or one thing is given twice.
    """
    rest = {name: value for name, value in options.items() if name not in SEARCH_KEYWORDS}
    given = {name: value for name, value in options.items() if name not in rest}
    given = {name: value for name, value in given.items() if value is not None}
    budget = {name: given[name] for name in _BUDGET if name in given}
    if budget:
        rest["overrides"] = _with_budget(override_arguments(rest.get("overrides", ())), budget)
    settings = {name: given[name] for name in _SETTINGS if name in given}
    if "time_budget" in given:
        settings["time_budget_seconds"] = seconds_of(given["time_budget"])
    if settings:
        rest["settings"] = _with_settings(rest.get("settings"), settings)
    return rest


def with_code(space: Any, options: dict[str, Any]) -> Any:
    """Return a space with the networks or the loop among `options`, which are taken out of them.

    Raises:
        BadInputError: there is no space that could take them.
    """
    given = {name: options.pop(name) for name in _SECTIONS if options.get(name) is not None}
    if not given:
        return space
    if isinstance(space, Mapping):
        return {**space, **given}
    if isinstance(space, str | os.PathLike):
        return load_space(os.fsdecode(space), sections=given)
    first = next(iter(given))
    raise BadInputError(
        f"{first}: no space says what is searched. Give one: gansearch.search({{'search': "
        f"{{'lr': {{'float': [1e-4, 1e-2]}}}}}}, {first}=...)."
    )


def give_again(space: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Let functions and classes among `options` be those that a run was given from Python.

    They are taken out of `options`; `space` is that of `run.json`.

    Raises:
        BadInputError: the run has none there, or has its own copy.
    """
    if (measures := options.pop("measures", None)) is not None:
        _give_measures_again(space, measures)
    for name in CODE:
        if (value := options.pop(name, None)) is None:
            continue
        reference = space.get(name)
        if reference is None or not is_given(reference):
            raise BadInputError(
                f"{name}: the run goes on with the code that it began with, and needs none again. "
                "Leave it out."
            )
        provide(UserCode(objects={reference: value}))


def _give_measures_again(space: Mapping[str, Any], given: Any) -> None:
    """Let functions be those of the run's measures of the same names, and their extractors.

    Raises:
        BadInputError: they aren't a list of functions, or the run lacks none of such a name.
    """
    if not isinstance(given, list | tuple):
        raise refused("measures", given, "It must be a list of functions, such as [my_fid].")
    lying_in_no_file = {
        each.name: each
        for each in stored_measures(space)
        if is_given(each.function) or is_given(each.features)
    }
    seen: set[str] = set()
    for entry in given:
        said = entry if isinstance(entry, Mapping) else {"function": entry}
        function = said.get("function")
        if not callable(function):
            raise refused("measures", entry, "It must be a function, or {'function': my_fid}.")
        name = said.get("name", given_name(function))
        if (measure := lying_in_no_file.get(name)) is None or name in seen:
            raise BadInputError(_needless_measure(name, lying_in_no_file, is_twice=name in seen))
        seen.add(name)
        features = said.get("features", getattr(function, "features", None))
        if is_given(measure.features) and not callable(features):
            raise BadInputError(
                f"measures: {name}: its extractor, {shown(measure.features)}, lies in no file. "
                f"Give it too: {{'function': {name}, 'features': {shown(measure.features)}}}."
            )
        objects = {measure.function: function, measure.features: features}
        provide(UserCode(objects={ref: obj for ref, obj in objects.items() if is_given(ref)}))


def _needless_measure(name: str, needed: Collection[str], *, is_twice: bool) -> str:
    if is_twice:
        return f"measures: {name} is given twice. Give each function once."
    if not needed:
        return (
            "measures: the run goes on with the code that it began with, and needs none again. "
            "Leave it out."
        )
    return (
        f"measures: the run needs no {name} again; it needs {', '.join(needed)}. Leave it out. A "
        "measure of another name than its function's is given as {'function': ..., 'name': ...}."
    )


def seconds_of(value: Any) -> float:
    """Return a time such as "2h", or a number of seconds, in seconds.

    Raises:
        BadInputError: it is none.
    """
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            raise BadInputError(f"time_budget: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused("time_budget", value, "It must be a time such as '2h', or seconds.")
    return value


def console_of(value: Any) -> Console | None:
    """Return the console of a run: None asks for one where somebody sees it, False for none.

    Raises:
        BadInputError: it is neither, nor a console.
    """
    if value is False or isinstance(value, Console):
        return value or None
    if value is not None:
        raise refused(
            "console",
            value,
            "It must be a rich.console.Console(), False to show nothing, or None to show progress "
            "on a terminal and in a notebook.",
        )
    if _in_notebook():
        # Lines below the cell, as in a log; a kernel's output claims to be a terminal.
        return Console(force_jupyter=False, force_terminal=False)
    console = Console()
    return console if console.is_terminal else None


def with_keywords(function: Callable[..., Any], names: tuple[str, ...]) -> inspect.Signature:
    """Return the signature of a driver's function, with further keywords that may be left out."""
    signature = inspect.signature(function)
    parameters = {p.name: p for p in signature.parameters.values()}
    for name in names:
        keyword = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        parameters.setdefault(name, keyword)
    ordered = sorted(parameters.values(), key=lambda p: p.kind)
    return signature.replace(parameters=ordered, return_annotation="Run")


def documentation(function: Callable[..., Any], keywords: str) -> str:
    """Return the docstring of a function of the driver's, with that of its keywords."""
    before, raises, after = (function.__doc__ or "").partition("Raises:")
    return f"{before.rstrip()}\n    {keywords}{raises}{after}"


def _with_budget(overrides: list[str], budget: Mapping[str, Any]) -> list[str]:
    """Return the changes to a space, with those that keywords make of its budget."""
    keys = {change.partition("=")[0].strip().removeprefix("budget.") for change in overrides}
    for name, value in budget.items():
        if name in keys:
            raise BadInputError(
                f"{name}: found {value!r}, and {name} among overrides too. One value counts: leave "
                "one of them out."
            )
    rules = Budget.rules()
    checked = {name: number_argument(name, value, rules[name]) for name, value in budget.items()}
    return [*overrides, *(f"budget.{name}={value}" for name, value in checked.items())]


def _with_settings(settings: Any, given: Mapping[str, Any]) -> Any:
    """Return settings with those that keywords give; another type is left to the next check."""
    if settings is None:
        return Settings(**given)
    if not isinstance(settings, Settings):
        return settings
    for name, value in given.items():
        if getattr(settings, name) != getattr(Settings(), name):
            shown = "time_budget" if name == "time_budget_seconds" else name
            raise BadInputError(
                f"{shown}: found {value!r}, and {name}={getattr(settings, name)!r} in settings. "
                "One value counts: leave one of them out."
            )
    return replace(settings, **given)


def _in_notebook() -> bool:
    """Return whether the process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
