"""Refuses settings that could have no effect, instead of ignoring them in silence."""

from __future__ import annotations

from collections.abc import Sequence

from gansearch.budget import Budget
from gansearch.errors import BadInputError
from gansearch.rules import Config, count_of, short
from gansearch.space.search_space import SearchSpace
from gansearch.space.yaml_source import parse_yaml
from gansearch.tune.settings import Settings

# What only a search uses, of the budget and of a space.
_OF_A_SEARCH = ("trials", "top", "grace", "reduction_factor", "scheduler", "start_from")


def check_effects(
    space: SearchSpace, configs: Sequence[Config], overrides: Sequence[str], settings: Settings
) -> None:
    """Check that what a user has set has an effect on a run that compares given configurations.

    Args:
        space: with all overrides.
        configs: those given by `only`.
        overrides: changes of the space, `key=value`.
        settings: of the run.

    Raises:
        BadInputError: one has none; the message says what would help.
    """
    if settings.sampler != Settings.sampler:
        raise _without_search("--sampler", settings.sampler, "no sampler proposes any")
    for override in overrides:
        key, _, text = override.partition("=")
        key = key.strip().removeprefix("budget.")
        if key in _OF_A_SEARCH:
            raise _without_search(key, text.strip(), "--replicas is how often each is trained")
        if key in space.search and isinstance(
            parse_yaml(text, override, numbered=False).value, dict
        ):
            raise _without_search(key, text.strip(), "there is no range to search")
        if key in space.fixed:
            _check_fixed(key, space.fixed[key], configs)


def top_notes(budget: Budget, overrides: Sequence[str]) -> list[str]:
    """Return a note where `top`, as a user has set it, has no effect or less than it says."""
    keys = {override.partition("=")[0].strip().removeprefix("budget.") for override in overrides}
    if "top" not in keys or not budget.top:
        return []
    if not budget.replicas:
        return [f"top {budget.top}: with replicas 0 nothing is trained again, so it has no effect."]
    if budget.top > budget.trials:
        tried = count_of(budget.trials, "configuration")
        return [f"top {budget.top}: the search tries only {tried}."]
    return []


def _check_fixed(key: str, value: object, configs: Sequence[Config]) -> None:
    """Raise BadInputError unless a value that is set is that of the configurations."""
    found = [getattr(config, key) for config in configs if config.applies(key)]
    if not found:
        raise BadInputError(
            f"{key}={short(value)}: {key} applies to none of the configurations of --only. "
            "Leave it out."
        )
    if other := [f for f in found if f != value]:
        raise BadInputError(
            f"{key}={short(value)}: a file of --only has {key}={short(other[0])}, which counts. "
            "Change it there, or leave one of the two out."
        )


def _without_search(name: str, value: str, instead: str) -> BadInputError:
    return BadInputError(
        f"{name} {value}: --only compares given configurations without a search, so that it has no "
        f"effect; {instead}. Leave it out, or search without --only."
    )
