"""Refuses settings that could have no effect, instead of ignoring them in silence."""

from __future__ import annotations

from collections.abc import Sequence

from gansearch.budget import Budget
from gansearch.errors import BadInputError
from gansearch.rules import Config, count_of, short
from gansearch.space.counting import configurations, n_configurations
from gansearch.space.search_space import SearchSpace
from gansearch.space.yaml_source import parse_yaml
from gansearch.system.user_code import shown
from gansearch.tune.fixed_order import WINDOW
from gansearch.tune.fork_configs import perturbed_parameters
from gansearch.tune.own_sampler import AUTO, is_named_by_place
from gansearch.tune.population import levels_of, n_first_forks
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
    if settings.deterministic:
        raise _without_search("--deterministic", "", "each seed trains the same anyway")
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


def check_search(space: SearchSpace) -> None:
    """Raise BadInputError where a space has a single configuration, so that nothing is searched."""
    if n_configurations(space) != 1:
        return
    only = next(configurations(space)).config_id
    same = [name for name in space.preset_names if space.preset(name).config_id == only]
    given = min(same, default="CONFIG.yaml, a file with its parameters")
    raise BadInputError(
        f"{space.name}: search: the space has a single configuration, since no parameter has a "
        "second value. A search needs one that has: {int: [1, 5]}, {float: [0.01, 0.1]} or "
        "{choice: [relu, tanh]}. To train this configuration on several seeds, without a search: "
        f"--only {given}."
    )


def check_population(space: SearchSpace) -> None:
    """Raise BadInputError where a population has nothing to change, or is never compared."""
    if space.budget.scheduler != "pbt":
        return
    where = f"{space.name}: budget: scheduler: pbt"
    other = "or take budget.scheduler=asha"
    schedulable = getattr(space.table, "schedulable", ())
    if not schedulable:
        raise BadInputError(
            f"{where} changes parameters of trainings in progress, and those of the model family "
            f"{shown(space.family.name)} can't change then. Take budget.scheduler=asha."
        )
    if not perturbed_parameters(space):
        raise BadInputError(
            f"{where} changes parameters of trainings in progress, and the space searches none "
            f"that can change then. Search at least one of {', '.join(schedulable)}, {other}."
        )
    if len(levels_of(space.budget)) == 1:
        raise BadInputError(
            f"{where} compares trials before their end, at evaluations after the grace, and there "
            f"is none: grace {space.budget.grace:g}, reports {space.budget.reports}. Give less "
            f"grace or more reports, {other}."
        )
    if not n_first_forks(space.budget):
        raise BadInputError(
            f"{where}: {count_of(space.budget.trials, 'trial')}, whose updates don't suffice for a "
            "fork after all have trained from scratch up to the grace. Give more trials or less "
            f"grace, {other}."
        )


def population_notes(space: SearchSpace, settings: Settings) -> list[str]:
    """Return a note where a time budget may end a population before any trial is completed."""
    if space.budget.scheduler != "pbt" or settings.time_budget_seconds is None:
        return []
    return [
        "budget: scheduler: pbt with a time budget: members wait for each other, so that none is "
        "completed before the last part of the search. If the time is over before that, there is "
        "nothing to rank until the run is resumed with more"
    ]


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


def check_order(space: SearchSpace, settings: Settings) -> None:
    """Raise BadInputError where decisions can't be made in a fixed order."""
    scheduler = space.budget.scheduler
    if settings.deterministic and space.objective.is_several:
        raise BadInputError(
            f"--deterministic: {space.name}: several objectives ({space.objective.names}) are "
            "compared as trials report, which depends on the workers' speed. Search by one "
            "objective, or leave --deterministic out."
        )
    if settings.deterministic and scheduler != "asha":
        raise BadInputError(
            f"--deterministic: {space.name}: budget: scheduler: {scheduler} decides by what is "
            "known at the time, which depends on the workers' speed. Add --set "
            "budget.scheduler=asha, or leave --deterministic out."
        )


def order_notes(settings: Settings) -> list[str]:
    """Return a note on each setting that goes badly with `deterministic`, if that is given."""
    if not settings.deterministic:
        return []
    notes = []
    if (settings.max_concurrent or 0) > WINDOW:
        notes.append(
            f"--max-concurrent {settings.max_concurrent}: with --deterministic, at most {WINDOW} "
            "trials of the search train at a time"
        )
    if settings.time_budget_seconds is not None:
        notes.append("--deterministic: how many trials a time budget leaves depends on the machine")
    if settings.sampler == AUTO or is_named_by_place(settings.sampler):
        notes.append(
            f"--deterministic: after a resume, --sampler {settings.sampler} may propose other "
            "configurations than without an interruption: it may keep something in memory"
        )
    return notes


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
        f"{f'{name} {value}'.rstrip()}: --only compares given configurations without a search, so "
        f"that it has no effect; {instead}. Leave it out, or search without --only."
    )
