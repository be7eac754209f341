"""Everything that is checked before a run starts, and what it would do, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, ConfigError
from gansearch.rules import Config
from gansearch.seeds import run_seed, trial_seed
from gansearch.space.counting import n_configurations
from gansearch.space.load import load_config, load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.machine import usable_cores
from gansearch.system.paths import local_path
from gansearch.trial.footprint import gib
from gansearch.trial.memory_check import Largest, fitting_trials, require_memory, slices_here
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import summary
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share, device_of, share_of_cluster
from gansearch.tune.study import enqueue_starts, make_sampler

_N_PROPOSALS = 5  # that a plan shows


def plan(
    space: str,
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seed: int | None = 0,
    settings: Settings | None = None,
) -> str:
    """Make all checks of `search`, start nothing, and return what it would do, as text.

    Raises:
        BadInputError: as `search`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = settings or Settings()
    seed = run_seed(seed)
    sampler = make_sampler(settings.sampler, trial_seed(seed, "sampler", 0))
    found = load_space(space, overrides)
    configs = only_configs(found, only)
    dataset = load_dataset(found.dataset, optional_path(settings.data_dir))
    check_configs(found, configs, dataset)
    largest = check_memory(found, configs, dataset, settings)
    needs = largest.needs.on("host")
    fitting = (
        "" if settings.address else f"; {fitting_trials(dataset, largest.needs)} at a time fit"
    )
    return "\n".join(
        [
            _dataset_line(dataset),
            *([] if configs else [*_space_lines(found), _search_line(found.budget)]),
            _replicas_line(found, configs),
            *(f"note         {each}" for each in same_configs(found, only)),
            f"memory       {gib(needs)} of the host's for the largest trial{fitting}",
            *([] if configs else _first_proposals(found, sampler, seed)),
        ]
    )


def _dataset_line(dataset: Dataset) -> str:
    sizes = ", ".join(f"{len(getattr(dataset, s)):,} {s}" for s in ("train", "valid", "test"))
    return f"data set     {dataset.name}: {sizes}; examples of {'x'.join(map(str, dataset.shape))}"


def _space_lines(space: SearchSpace) -> list[str]:
    """Return how many configurations a space has, unless there is no end of them."""
    n = n_configurations(space)
    if n is None:
        return []
    also = f"; the search ends when all have been tried, before its {space.budget.trials:,} trials"
    count = "1 configuration" if n == 1 else f"{n:,} configurations"
    return [f"space        {count}{also if n < space.budget.trials else ''}"]


def _search_line(budget: Budget) -> str:
    return (
        f"search       {budget.trials} trials of at most {budget.max_updates:,} updates, "
        f"{len(budget.report_updates())} reports each; none is stopped before update "
        f"{budget.grace_updates:,}"
    )


def _replicas_line(space: SearchSpace, configs: Sequence[Config]) -> str:
    best = f"the best {space.budget.top} and {space.family.baseline_title}"
    which = f"{len(configs)} given" if configs else best
    return f"replicas     {which}, each on {space.budget.replicas} fresh seeds"


def _first_proposals(space: SearchSpace, sampler: BaseSampler, seed: int) -> list[str]:
    """Return a line for each of the first configurations that the search would try."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    enqueue_starts(study, space)
    proposals = Proposals(space, study, seed=seed)
    lines: list[str] = []
    while len(lines) < min(_N_PROPOSALS, space.budget.trials) and (found := proposals.next()):
        text = summary(found[1].to_dict(), tuple(space.search))
        lines.append(f"proposal {len(lines)}   {text}")
    return lines


def only_configs(space: SearchSpace, only: Sequence[str]) -> list[Config]:
    """Return the configurations that `--only` names: presets of the space, or files.

    Raises:
        BadInputError: there is no such preset or file, or there are no replicas to train.
    """
    if only and not space.budget.replicas:
        raise BadInputError(
            "--only with replicas: 0 trains nothing: `replicas` is the number of seeds that each "
            "configuration is trained on. Give --replicas 1 or more."
        )
    return distinct(_only_config(space, entry) for entry in only)


def _only_config(space: SearchSpace, entry: str) -> Config:
    if entry in space.preset_names:
        return space.preset(entry)
    path = local_path(entry)
    if not entry or not path.exists():  # Path("") is the working directory
        raise BadInputError(
            f"--only {entry}: there is no such file. It takes a preset of the space "
            f"({', '.join(sorted(space.preset_names))}), or the path of a YAML or JSON file with a "
            "configuration's parameters."
        )
    return load_config(path, space)


def same_configs(space: SearchSpace, only: Sequence[str]) -> list[str]:
    """Return a sentence for each configuration that `--only` or `start_from` names repeatedly."""
    names: dict[str, list[str]] = {}
    for name in only:
        names.setdefault(_only_config(space, name).config_id, []).append(name)
    for name in () if only else space.start_from:
        names.setdefault(space.preset(name).config_id, []).append(name)
    return [
        f"{' and '.join(same)} are the same configuration; it counts once"
        for same in names.values()
        if len(same) > 1
    ]


def distinct(configs: Iterable[Config]) -> list[Config]:
    """Return the configurations without repetitions of the same training."""
    found: dict[str, Config] = {}
    for config in configs:
        found.setdefault(config.config_id, config)
    return list(found.values())


def check_configs(space: SearchSpace, configs: Sequence[Config], dataset: Dataset) -> None:
    """Raise ConfigError if `configs`, or without any the space, don't suit the data."""
    try:
        for config in configs or space.variants():
            space.family.check(config, dataset)
    except ConfigError as error:
        raise ConfigError(f"{space.name}: {error}") from None


def check_memory(
    space: SearchSpace, configs: Sequence[Config], dataset: Dataset, settings: Settings
) -> Largest:
    """Return the largest training, which fits into a trial's share of this machine's memory.

    Raises:
        ConfigError: not even one trial fits, or fewer than `max_concurrent`. Not raised with an
            address: the memory of the nodes isn't known here.
    """
    device, gpus = device_of(settings)
    n = settings.max_concurrent
    if n is not None:
        n = min(n, max(1, int(usable_cores() / settings.cpus_per_trial)))
    slices = slices_here(dataset, gpus_per_trial=gpus, max_concurrent=n)
    known = [] if settings.address else slices
    return require_memory(space, configs, dataset, known, device=device)


def trial_share(
    space: SearchSpace, dataset: Dataset, settings: Settings, largest: Largest
) -> Share:
    """Return each trial's share of the connected cluster."""
    return share_of_cluster(
        settings,
        fitting_trials(dataset, largest.needs),
        has_engine=space.family.has_engine,
    )


def optional_path(path: str | None) -> Path | None:
    """Return the path, or None."""
    return Path(path) if path else None
