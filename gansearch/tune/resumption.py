"""What a resume changes of a run: its budget, its settings, the place of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_again
from gansearch.errors import BadInputError
from gansearch.report.formatting import duration
from gansearch.rules import count_of
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import is_from_scratch
from gansearch.runs.tables import rows_of, unreadable
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath
from gansearch.system.user_code import is_given, is_missing, load, provided
from gansearch.tracking.names import require_trackers
from gansearch.tune.effects import order_notes
from gansearch.tune.rows import OUT_OF_TIME
from gansearch.tune.samplers import check_sampler
from gansearch.tune.settings import Settings, flag_of
from gansearch.tune.space_change import (
    RAISABLE,
    SpaceChange,
    change_space,
    given_space,
    raised_budget,
)


@dataclass(frozen=True)
class Resumption:
    """How a run goes on.

    Attributes:
        space: with the changed budget.
        settings: the stored ones with the changes.
        search_on: whether the search goes on, or only what follows it.
        notes: which changes have no effect, for the user.
        former: the entry of `run.json` for the space that this one replaces; None for the same.
    """

    space: SearchSpace
    settings: Settings
    search_on: bool
    notes: list[str]
    former: Mapping[str, Any] | None = None


def resumption(
    folder: RunFolder, description: RunDescription, given: Mapping[str, Any]
) -> Resumption:
    """Return how a run goes on with the given changes.

    Args:
        folder: of the run, locked.
        description: of the run.
        given: `trials`, `replicas`, `space` and fields of `Settings` by name; None for no change.

    Raises:
        BadInputError: a change can't be made.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    trials = folder.trials()
    if description.only:
        _check_needs_no_search(changes)
    space = SearchSpace.from_dict(description.full_space)
    given_as_space = changes.pop("space", None)
    change, raised = _change_of_space(given_as_space, changes, space, trials)
    changes = {**raised, **changes}
    if space.budget.scheduler == "pbt":
        _check_population(changes, change, space)
    _check_counts(changes, trials)
    if changes or description.state != "finished":
        _check_code(space)
    target = {} if change is None else {"trials": description.budget.trials}
    _check_time({**target, **changes}, description, trials)
    more = change is not None or not changes.keys().isdisjoint({"trials", "time_budget_seconds"})
    search_on = not description.only and (more or not description.search_is_over)
    notes = _without_effect(changes, description, trials, search_on=search_on)
    notes += _lowered(changes, description)
    if change is not None:
        _check_searches_on(change, changes, description, trials)
        space = change.space
        notes.append(change.note)
    elif given_as_space is not None and not raised:
        notes.append("--space: it is the space that the run has, and changes nothing")
    space = space.with_budget(**{name: changes[name] for name in RAISABLE if name in changes})
    settings = _changed_settings(folder, description, space, changes)
    notes += order_notes(settings) if search_on else []
    return Resumption(space, settings, search_on, notes, change.former if change else None)


def _change_of_space(
    given: str | SearchSpace | None,
    changes: Mapping[str, Any],
    space: SearchSpace,
    trials: pd.DataFrame,
) -> tuple[SpaceChange | None, dict[str, int]]:
    """Return the change to a new space, if it is one, and what of the budget the new one raises."""
    if given is None:
        return None, {}
    new, sections = given_space(given)
    raised = raised_budget(new, sections, space.budget, changes)
    rows = rows_of(trials[trials["phase"] == "search"])
    return change_space(space, new, sections, rows), raised


def _check_searches_on(
    change: SpaceChange,
    changes: Mapping[str, Any],
    description: RunDescription,
    trials: pd.DataFrame,
) -> None:
    """Raise BadInputError if no further trial would be of the new space."""
    n_tried = int((trials["phase"] == "search").sum())
    if changes.get("trials", description.budget.trials) <= n_tried:
        raise BadInputError(
            f"--space {change.space.name}: the search has begun all its "
            f"{count_of(n_tried, 'trial')}, and none would be of the new space. Ask for more: "
            f"--trials with a number greater than {n_tried}, those tried included."
        )


def _lowered(changes: Mapping[str, Any], description: RunDescription) -> list[str]:
    """Return a sentence for each part of the budget that is lowered, which never happens unsaid."""
    before = description.budget.to_dict()
    return [
        f"--{name} {changes[name]}: fewer than the {before[name]} that the run was to have"
        for name in RAISABLE
        if changes.get(name, before[name]) < before[name]
    ]


def load_resumed_data(
    space: SearchSpace,
    settings: Settings,
    data_dir: str | Path | None,
    *,
    run: AnyPath | None = None,
) -> tuple[Dataset, Settings]:
    """Load a run's data set again; return it, and the settings with the folder that has it.

    Args:
        space: of the run.
        settings: of the run, with the folder that it has read.
        data_dir: the folder that the user names, if any.
        run: the run's folder, where data that was given from Python lies.

    Raises:
        DataError: as `load_again`.
    """
    former, given = (Path(path) if path else None for path in (settings.data_dir, data_dir))
    dataset, read = load_again(space.dataset, former, given, space.data, run=run)
    return dataset, replace(settings, data_dir=None if read is None else str(read.absolute()))


@contextmanager
def own_code(folder: RunFolder) -> Iterator[list[str]]:
    """Let the user's own code be that which the run began with; yield sentences on what differs."""
    code = folder.read_code()
    notes = []
    for path, text in code.texts.items():
        kept = f"The run continues with the code that it began with, {folder.path / 'code'}"
        if not Path(path).is_file():
            notes.append(f"{path} is no longer there. {kept}")
        elif Path(path).read_bytes() != text:
            new = "for the new code, start a new run"
            notes.append(f"{path} has changed since the run began. {kept}; {new}")
    with provided(code):
        yield notes


def _check_code(space: SearchSpace) -> None:
    """Raise BadInputError if code that lies in no file hasn't been given again."""
    code = {each.name: (each.function, each.features) for each in space.measures}
    lacking = [name for name, of in code.items() if any(map(is_missing, of))]
    if lacking:
        needed = [name for name, of in code.items() if any(map(is_given, of))]
        raise BadInputError(
            f"measures: the run was started from Python with {', '.join(lacking)}, of which a "
            "function lies in no file. Give what it was started with again, from Python: "
            f"gansearch.resume(run, measures=[{', '.join(needed)}])."
        )
    for reference in filter(is_given, space.references):
        load(reference)


def _check_population(
    changes: Mapping[str, Any], change: SpaceChange | None, space: SearchSpace
) -> None:
    """Raise BadInputError if a population would change: each decision is by all its members."""
    n = space.budget.trials
    if change is None and changes.get("trials", n) == n:
        return
    flag = f"--trials {changes['trials']}" if change is None else f"--space {change.space.name}"
    raise BadInputError(
        f"{flag}: the run has a population of {n} (budget.scheduler=pbt), whose members were "
        "compared with each other: neither their number nor their space can change. Leave it out, "
        "or start a new run."
    )


def _check_needs_no_search(changes: Mapping[str, Any]) -> None:
    for name in ("space", "trials", "sampler"):
        if name in changes:
            flag = flag_of(name)
            raise BadInputError(
                f"{flag}: this run compares given configurations (--only). It has no search, which "
                f"{flag} is for. Leave it out; --replicas N trains each on more seeds."
            )
    if changes.get("replicas") == 0:
        raise BadInputError("--replicas 0: this run (--only) has nothing but replicas. Give more.")


def _check_counts(changes: Mapping[str, Any], trials: pd.DataFrame) -> None:
    """Raise BadInputError if there is to be less than there is already."""
    n_tried = int(is_from_scratch(trials).sum())
    counts = trials.loc[trials["phase"] == "replica", "config_id"].value_counts()
    there = {"trials": n_tried, "replicas": int(counts.max()) if len(counts) else 0}
    what = {"trials": "trial", "replicas": "replica"}
    of = {"trials": "of the search", "replicas": "of a configuration"}
    for name, n in there.items():
        if name in changes and changes[name] < n:
            raise BadInputError(
                f"--{name} {changes[name]}: the run has {count_of(n, what[name])} "
                f"{of[name]} already. The number is "
                f"that of the whole run, and nothing is taken from it. Give more than {n}, or "
                "leave the flag out."
            )


def _check_time(
    changes: Mapping[str, Any], description: RunDescription, trials: pd.DataFrame
) -> None:
    """Raise BadInputError if the time budget leaves nothing for what is asked for."""
    searched = trials[is_from_scratch(trials)]
    n_tried = len(searched)
    used = duration(description.wall_seconds)
    limit = changes.get("time_budget_seconds")
    if limit is not None and limit <= description.wall_seconds:
        raise BadInputError(
            f"--time-budget {limit:g}s: the run has taken {used} so far, and the budget is that of "
            f"all its sessions. Give more{_or_end(description, n_tried)}."
        )
    stored = description.settings.get("time_budget_seconds")
    has_tried_all = description.has_tried_all(searched["config_id"].nunique())
    cut_short = description.search_is_over and (
        (n_tried < description.budget.trials and not has_tried_all)
        or bool((trials["reason"] == OUT_OF_TIME.reason).any())
    )
    if (
        limit is None
        and stored is not None
        and changes.get("trials", 0) > n_tried
        and (cut_short or stored <= description.wall_seconds)
    ):
        raise BadInputError(
            f"--trials {changes['trials']}: the run's time budget of {duration(stored)} is used up "
            f"(it has taken {used}), so no trial could begin. Give more time too: --time-budget, "
            "for all sessions together."
        )


def _or_end(description: RunDescription, n_tried: int) -> str:
    if description.only or description.budget.scheduler == "pbt":
        return ""
    return f"; or end the search here, by --trials {max(n_tried, 1)}"


def _without_effect(
    changes: Mapping[str, Any],
    description: RunDescription,
    trials: pd.DataFrame,
    *,
    search_on: bool,
) -> list[str]:
    """Return a line for each change that has no effect because nothing is left to do."""
    searched, budget = trials[trials["phase"] == "search"], description.budget
    n_tried, target = int(is_from_scratch(trials).sum()), changes.get("trials", budget.trials)
    unfinished = (searched["status"] == "running") | (searched["reason"] == OUT_OF_TIME.reason)
    search_left = search_on and (n_tried < target or bool(unfinished.any()))
    is_cut = bool(description.cut_replicas)
    is_trained = description.state == "finished" and not is_cut
    needs_no_time = "time_budget_seconds" in changes and is_trained
    if needs_no_time and description.only and "replicas" not in changes:
        return ["--time-budget: all replicas are trained. --replicas adds some."]
    notes = []
    if not search_left and not description.only:
        over = f"the search is over after {count_of(n_tried, 'trial')}"
        if "trials" in changes:
            notes.append(f"--trials {target}: {over}. A greater number adds some.")
        if needs_no_time:
            notes.append(f"--time-budget: {over}. --trials adds some.")
        if "sampler" in changes:
            notes.append(f"--sampler: {over}, so it proposes none. --trials adds some.")
    replicas_left = changes.get("replicas", 0) > budget.replicas or is_cut
    if changes.get("replicas") == budget.replicas and not is_cut:
        notes.append(f"--replicas {changes['replicas']}: the run has this number already.")
    if _outlives_its_time(description, changes):
        limit = duration(description.settings["time_budget_seconds"])
        notes.append(
            f"--replicas {changes['replicas']}: the time budget of {limit} is used up, and doesn't "
            "bound these replicas"
        )
    if description.state == "finished" and not search_left and not replicas_left:
        flags = [
            flag_of(name)
            for name in ("cpus_per_trial", "gpus_per_trial", "max_concurrent", "group_trials")
            if name in changes
        ]
        if flags:
            notes.append(f"{', '.join(flags)}: the run is finished, so nothing is trained.")
    return notes


def _outlives_its_time(description: RunDescription, changes: Mapping[str, Any]) -> bool:
    """Return whether replicas are asked for that a used time budget would leave out."""
    limit = description.settings.get("time_budget_seconds")
    if limit is None or "replicas" not in changes or "time_budget_seconds" in changes:
        return False
    is_used = description.state == "finished" and description.wall_seconds >= limit
    return bool(description.cut_replicas) or is_used


def _changed_settings(
    folder: RunFolder, description: RunDescription, space: SearchSpace, changes: Mapping[str, Any]
) -> Settings:
    try:
        stored = Settings.from_dict(description.settings)
    except ValueError as error:
        raise unreadable(folder.path / "run.json", f"settings: {error}") from error
    own = {key: value for key, value in changes.items() if key not in RAISABLE}
    settings = replace(stored, **own)
    if _outlives_its_time(description, changes):
        settings = replace(settings, time_budget_seconds=None)
    if not description.only:
        check_sampler(settings.sampler, space)
    require_trackers(settings.track)
    return settings
