"""A resume with another space (`resume --space`): what may change, and what stays the run's own.

Ranges, choices, searched and fixed parameters, presets and `start_from` are the new space's. Data,
model family, measures, objective and the budget of a trial stay, or scores could not be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gansearch.budget import Budget
from gansearch.data.own_names import GIVEN
from gansearch.errors import BadInputError, SpaceError
from gansearch.family import FAMILY_SECTIONS
from gansearch.rules import count_of
from gansearch.runs.description import RunDescription
from gansearch.runs.schemas import config_values
from gansearch.space.counting import n_configurations
from gansearch.space.load import given_sections, load_space
from gansearch.space.search_space import SearchSpace
from gansearch.space.yaml_source import shorten

# Sections of a space that a resume may change, and entries of its budget that it may raise.
CHANGEABLE = ("name", "search", "fixed", "presets", "start_from", "baseline")
RAISABLE = ("trials", "replicas", "top")
_SAME = ("data", "measures", "objective", "objectives", "keep")


@dataclass(frozen=True)
class SpaceChange:
    """A change of the space of a run.

    Attributes:
        space: the new one.
        former: the entry of `run.json` for the one that it replaces.
        note: for the user.
    """

    space: SearchSpace
    former: Mapping[str, Any]
    note: str


def given_space(given: str | SearchSpace) -> tuple[SearchSpace, Mapping[str, Any]]:
    """Return a space, and those of its sections that are written in it.

    Raises:
        SpaceError: as `load_space`.
    """
    if isinstance(given, str):
        return load_space(given), given_sections(given)
    sections = given.to_dict()
    default = Budget()
    budget = {k: v for k, v in given.budget.to_dict().items() if v != getattr(default, k)}
    return given, {**sections, "budget": budget}


def raised_budget(
    new: SearchSpace, sections: Mapping[str, Any], budget: Budget, changes: Mapping[str, Any]
) -> dict[str, int]:
    """Return the entries of the budget that a new space raises, but for those in `changes`.

    Raises:
        BadInputError: it lowers one, or changes what a trial may spend.
    """
    raised = {}
    for name in sections.get("budget") or {}:
        now, before = getattr(new.budget, name), getattr(budget, name)
        if now == before or name in changes:
            continue
        if name not in RAISABLE:
            raise BadInputError(
                f"--space {new.name}: budget.{name}: found {now}, and the run has {before}. Trials "
                "of one run are compared at the same updates, so it stays. Leave it out, or start "
                "a new run: --warm-start begins where this one ended."
            )
        if now < before:
            flag = "" if name == "top" else f" To end earlier on purpose: --{name} {now}."
            raise BadInputError(
                f"--space {new.name}: budget.{name}: found {now}, and the run has {before}. A new "
                f"space does not lower a budget. Leave it out, or give more.{flag}"
            )
        raised[name] = now
    return raised


def change_space(
    space: SearchSpace,
    new: SearchSpace,
    sections: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
) -> SpaceChange | None:
    """Return the change from a run's space to a new one; None if they search the same.

    Args:
        space: of the run.
        new: the new one.
        sections: those that are written in it.
        rows: of the search's trials.

    Raises:
        BadInputError: it changes what stays the run's own.
    """
    _check_same(space, new, sections)
    old, now = space.to_dict(), new.to_dict()
    changed = {name: now[name] for name in CHANGEABLE if name in sections or name == "name"}
    presets = {**old["presets"], **now["presets"]}
    # What is absent from the new one is neither searched nor fixed, nor tried first.
    absent = {name: now[name] for name in ("search", "fixed", "start_from")}
    merged = {**old, **absent, **changed, "presets": presets}
    if origins := {**space.origins, **new.origins}:
        merged["origins"] = origins
    if all(merged[name] == old[name] for name in CHANGEABLE if name != "name"):
        return None
    try:
        result = SearchSpace.from_dict(merged)
    except SpaceError as error:
        raise BadInputError(f"--space {new.name}: {error}") from error
    rows = list(rows)
    outside = [row["trial_id"] for row in rows if not is_inside(result, row)]
    former = {
        "n_trials": len(rows),
        "outside": outside,
        "space": {name: old[name] for name in CHANGEABLE},
    }
    return SpaceChange(result, former, _note(new.name, len(rows), outside))


def is_inside(space: SearchSpace, row: Mapping[str, Any]) -> bool:
    """Return whether the configuration of a trial's row is one of the space."""
    return not space.outside(space.table.from_dict(config_values(row, space.table)))


def with_changed_space(
    description: RunDescription,
    space: SearchSpace,
    former: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
) -> RunDescription:
    """Return the description of a run from which on `space` is searched.

    Its configurations are those of the space, and those that were tried outside of it.
    """
    n = n_configurations(space)
    outside = {
        row["config_id"] for row in rows if row["phase"] == "search" and not is_inside(space, row)
    }
    return replace(
        description,
        space=space.to_dict(),
        former_spaces=[*description.former_spaces, former],
        n_configurations=None if n is None else n + len(outside),
        paper_config_id=None if space.baseline is None else space.baseline.config_id,
    )


def _check_same(space: SearchSpace, new: SearchSpace, sections: Mapping[str, Any]) -> None:
    """Raise BadInputError if a new space has other data, networks or measures than the run."""
    old, now = space.to_dict(), new.to_dict()
    for name in ("dataset", *FAMILY_SECTIONS, *_SAME):
        # What is not written stays the run's; data that was given from Python has no name.
        is_unnamed = name == "dataset" and old[name] == GIVEN
        if is_unnamed or (name in _SAME and name not in sections):
            continue
        if now.get(name) != old.get(name):
            raise BadInputError(
                f"--space {new.name}: {name}: found {_shown(now, name)}, and the run has "
                f"{_shown(old, name)}. A resume changes what is searched, and nothing by which "
                "scores could no longer be compared. Give the run's, or start a new run: "
                "--warm-start begins where this one ended."
            )


def _shown(sections: Mapping[str, Any], name: str) -> str:
    value = sections.get(name)
    return "none" if value is None else shorten(value)


def _note(name: str, n_trials: int, outside: list[str]) -> str:
    kept = (
        "all of them lie in it"
        if not outside
        else f"{count_of(len(outside), 'trial')} of them outside of it: kept in the tables and the "
        "report, but nothing is learned from them"
    )
    return f"--space {name}: the space changes after {count_of(n_trials, 'trial')}; {kept}"
