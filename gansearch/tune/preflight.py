"""Everything that is checked before a run starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray

from gansearch.data.dataset import Dataset
from gansearch.data.image_options import ImageOptions
from gansearch.data.own import as_dataset
from gansearch.data.own_names import GIVEN, located
from gansearch.data.registry import check_data_dir, data_folder, load_dataset
from gansearch.errors import BadInputError, ConfigError
from gansearch.rules import Config
from gansearch.runs.folder import RunFolder
from gansearch.runs.new_folder import new_folder
from gansearch.scheduled import ScheduledConfig
from gansearch.scoring.cost import EvaluationSize
from gansearch.scoring.own import OwnEvaluator
from gansearch.scoring.references import evaluate_training_examples
from gansearch.seeds import run_seed
from gansearch.space.load import load_space
from gansearch.space.overrides import apply_overrides
from gansearch.space.search_space import SearchSpace
from gansearch.system.devices import gpu_bytes, gpu_device, why_no_gpu
from gansearch.system.failures import is_lack_of_memory, lack_of_memory
from gansearch.system.machine import usable_cores
from gansearch.system.object_store import AnyPath, parse_path
from gansearch.system.temporary import temporary_root
from gansearch.system.user_code import describe_error, shown
from gansearch.tracking.names import require_trackers
from gansearch.trial.evaluation_size import choose_evaluation_size
from gansearch.trial.footprint import footprint
from gansearch.trial.memory_check import (
    Largest,
    fitting_trials,
    memory_here,
    require_disk,
    require_memory,
    trials_on_gpu,
)
from gansearch.tune.cluster import connected
from gansearch.tune.earlier_runs import EarlierRuns, read_earlier_runs
from gansearch.tune.effects import (
    check_effects,
    check_order,
    check_population,
    check_search,
    order_notes,
    population_notes,
    top_notes,
)
from gansearch.tune.fork_configs import perturbed
from gansearch.tune.given_configs import distinct, only_configs, same_configs
from gansearch.tune.new_run import default_name
from gansearch.tune.nodes import require_nodes
from gansearch.tune.placement import Placement, placement
from gansearch.tune.population import levels_of
from gansearch.tune.ray_internals import resources_here
from gansearch.tune.room import Room, trials_by_budget, trials_that_pay
from gansearch.tune.samplers import check_sampler
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share, cluster_resources, share_of_cluster

# A run is not kept waiting for longer by checks, unless the first ones take it.
_CHECK_SECONDS = 30.0
_N_CHECKED = 2


@dataclass(frozen=True)
class Request:
    """What a new run is to do, as far as it is known without the data.

    Attributes:
        space: with all overrides.
        configs: that are compared instead of a search, if any.
        notes: what the user should know of them.
        seed: of the run.
        settings: of the run, with the folder of the data resolved.
        given: the data, where it was given from Python.
        earlier: what is taken of earlier runs.
    """

    space: SearchSpace
    configs: list[Config]
    notes: list[str]
    seed: int
    settings: Settings
    given: Dataset | None = None
    earlier: EarlierRuns = field(default_factory=EarlierRuns)


@dataclass(frozen=True)
class Prepared(Request):
    """A run that has passed all checks and may begin.

    Attributes:
        folder: of the run, locked and empty.
        dataset: that trials learn.
        evaluation: how many samples each evaluation uses.
        training_report: the score of training examples, for `run.json`.
        largest: the largest training, which fits into a trial's share of the memory.
        share: the resources of each trial.
    """

    folder: RunFolder = field(kw_only=True)
    dataset: Dataset = field(kw_only=True)
    evaluation: EvaluationSize = field(kw_only=True)
    training_report: Mapping[str, Any] = field(kw_only=True)
    largest: Largest = field(kw_only=True)
    share: Share = field(kw_only=True)


def check_request(
    space: str | SearchSpace,
    *,
    overrides: Sequence[str],
    only: Sequence[str],
    seed: int | None,
    settings: Settings | None,
    dataset: Any = None,
    warm_start: Sequence[AnyPath | str] = (),
    results: AnyPath | str = "results",
) -> Request:
    """Return what a run is to do, after all checks that need neither its data nor a cluster.

    Raises:
        BadInputError: it can't be done, or a setting would have no effect.
    """
    settings = settings or Settings()
    seed = run_seed(seed)
    require_trackers(settings.track)
    if isinstance(space, str):
        space = load_space(space, overrides)
    elif overrides:
        space = apply_overrides(space, overrides)
    space, given = _with_dataset(space, dataset)
    if space.objective.is_several and not only:
        _check_scheduler(space)
    named = only_configs(space, only)
    configs = distinct(config for _, config in named)
    if only:
        check_effects(space, configs, overrides, settings)
    else:
        check_sampler(settings.sampler, space)
        check_search(space)
        check_population(space)
        check_order(space, settings)
    check_data_dir(space.dataset, optional_path(settings.data_dir))
    if settings.keep_discriminator and not space.family.has_discriminator:
        raise BadInputError(
            f"--keep-discriminator: the model family {shown(space.family.name)} offers no "
            "discriminator. Leave the flag out."
        )
    notes = same_configs(named or [(name, space.preset(name)) for name in space.start_from])
    notes += top_notes(space.budget, overrides) + order_notes(settings)
    notes += [] if only else population_notes(space, settings)
    settings = _with_absolute_data_dir(settings, space.dataset)
    earlier = _earlier_runs(space, warm_start, results, only, settings)
    return Request(space, configs, notes + earlier.notes, seed, settings, given, earlier)


def _earlier_runs(
    space: SearchSpace,
    runs: Sequence[AnyPath | str],
    results: AnyPath | str,
    only: Sequence[str],
    settings: Settings,
) -> EarlierRuns:
    """Return what the search takes of earlier runs.

    Raises:
        BadInputError: as `read_earlier_runs`, or there is no search.
    """
    if runs and only:
        raise BadInputError(
            f"--warm-start {runs[0]}: --only compares given configurations without a search, which "
            "an earlier run could help. Leave one of them out; --only RUN/TRIAL trains a trial of "
            "a run again."
        )
    earlier = read_earlier_runs(space, runs, parse_path(results))
    learns = settings.sampler == "tpe" and not (
        space.objective.is_several or settings.deterministic
    )
    if runs and not learns:
        earlier.notes.append(
            "only --sampler tpe learns from earlier runs, with one objective and without "
            "--deterministic; here their best are tried first, and no more"
        )
    return earlier


def _check_scheduler(space: SearchSpace) -> None:
    """Raise ConfigError if the scheduler goes by one score where there are several objectives."""
    does = {"freeze_thaw": "predicts", "pbt": "compares trials by"}.get(space.budget.scheduler)
    if does is not None:
        raise ConfigError(
            f"{space.name}: budget.scheduler: {space.budget.scheduler} {does} one score, and the "
            f"space has the objectives {space.objective.names}. Take budget.scheduler=asha, or one "
            "objective."
        )


def _with_dataset(space: SearchSpace, dataset: Any) -> tuple[SearchSpace, Dataset | None]:
    """Return the space on other data, if any is given, and that data if it is no name.

    Raises:
        DataError: the data can't be used.
    """
    if dataset is None:
        return space, None
    if isinstance(dataset, str):
        name = located(dataset, Path())
        same = name == space.dataset
        return replace(space, dataset=name, data=space.data if same else ImageOptions()), None
    given = as_dataset(dataset)
    return replace(space, dataset=GIVEN, data=ImageOptions()), given


@contextmanager
def prepared(
    request: Request,
    *,
    name: str | None,
    results: AnyPath | str,
    start: bool,
    tell: Callable[[str], Any],
) -> Iterator[Prepared]:
    """Make the remaining checks of a new run, make its folder and, with `start`, connect to Ray.

    A dry run is this without `start`, and refuses what the run refuses. It joins a cluster, whose
    nodes can't be checked otherwise, but starts no Ray on this machine. A folder that holds no run
    in the end is removed again.

    Args:
        request: of the run.
        name: of its folder; None for a default.
        results: folder of all runs.
        start: whether the run begins.
        tell: called with what is being done.

    Raises:
        BadInputError: the run can't be made.
        StorageError: its folder can't be written.
    """
    space, configs, settings = request.space, request.configs, request.settings
    tell(f"loading the data set {space.dataset}")
    dataset = request.given or load_dataset(
        space.dataset, optional_path(settings.data_dir), options=space.data
    )
    tell("checking the configurations and the memory")
    with _surviving_own_code(space.name):
        check_configs(space, configs, dataset)
        if space.keep == "best":
            space.family.check_rewind(next(space.variants()), dataset)
        OwnEvaluator(space.measures, dataset).check()
    largest = check_memory(space, configs, dataset, settings)
    if space.budget.scheduler == "pbt" and not configs:
        require_disk(space, largest.config, dataset, parse_path(results))
    tell("scoring training examples")
    evaluation = choose_evaluation_size(space, configs, dataset)
    report = evaluate_training_examples(dataset, n_samples=evaluation.n_samples)
    with (
        new_folder(parse_path(results), name, default=default_name(space.name)) as folder,
        shared_cluster(
            folder, space, configs, dataset, settings, largest, start=start, tell=tell
        ) as share,
    ):
        yield Prepared(
            **vars(request) | {"notes": [*request.notes, *machine_notes(settings)]},
            folder=folder,
            dataset=dataset,
            evaluation=evaluation,
            training_report=report,
            largest=largest,
            share=share,
        )


@contextmanager
def shared_cluster(
    folder: RunFolder,
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    settings: Settings,
    largest: Largest,
    *,
    start: bool = True,
    trials_per_gpu: int | None = None,
    tell: Callable[[str], Any],
) -> Iterator[Share]:
    """Connect to the cluster, check its nodes, and yield each trial's share of it.

    Without an address the share is checked before Ray starts here, which it does with `start`.
    `trials_per_gpu` is the number that the run had before, which it keeps.

    Raises:
        BadInputError: the cluster can't be joined, a node lacks something, or no trial fits.
    """
    if not settings.address and not ray.is_initialized():
        resources = resources_here()
        share = trial_share(
            space, configs, dataset, settings, largest, resources, gpu_bytes(), trials_per_gpu
        )
        if not start:
            yield share
            return
    tell("starting Ray")
    with connected(settings, dataset):
        memory = gpu_bytes()
        if settings.address:
            tell("checking the nodes")
            memory = require_nodes(folder.path)
        yield trial_share(space, configs, dataset, settings, largest, None, memory, trials_per_gpu)


def machine_notes(settings: Settings) -> list[str]:
    """Return what to say of this machine: where Ray's files are, a GPU that torch can't use.

    Raises:
        BadInputError: no folder can hold Ray's temporary files.
    """
    if settings.address:
        return []
    notes = [note] if (note := temporary_root().note) else []
    if settings.gpus_per_trial is None and not gpu_device() and resources_here().get("GPU"):
        notes.append(
            f"this machine has a GPU that torch can't use: {why_no_gpu()}. Trials train on CPU "
            "cores; `gansearch doctor` says what would help"
        )
    return notes


@contextmanager
def _surviving_own_code(name: str) -> Iterator[None]:
    """Raise ConfigError where the user's own code ends Python, or runs out of memory."""
    try:
        yield
    except SystemExit as error:
        raise ConfigError(
            f"{name}: your code ends Python ({describe_error(error)}), and would end a run. Raise "
            "an error, or return."
        ) from error
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        raise ConfigError(f"{name}: {lack_of_memory(error, gpu=None)}") from error


def check_configs(space: SearchSpace, configs: Sequence[Config], dataset: Dataset) -> None:
    """Raise ConfigError if `configs`, or without any the space, don't suit the data.

    Checks that train a little, of the user's own code, may not reach all variants of a space.
    """
    end = time.monotonic() + _CHECK_SECONDS
    try:
        for i, config in enumerate(configs or space.variants()):
            if i >= _N_CHECKED and time.monotonic() > end:
                break
            space.family.check(config, dataset)
            if space.budget.scheduler == "pbt" and not configs:
                _check_fork(space, config, dataset)
            space.family.check_budget(config, space.budget.max_updates)
        for measure in space.objective.measures:
            if measure.is_of_family:
                space.family.check_objective(measure.name, dataset)
    except ConfigError as error:
        raise ConfigError(f"{space.name}: {error}") from None


def _check_fork(space: SearchSpace, config: Config, dataset: Dataset) -> None:
    """Raise ConfigError unless a configuration's parameters can change in mid-training."""
    assert isinstance(config, ScheduledConfig)
    fork = perturbed(space, config, levels_of(space.budget)[0], seed=0)
    try:
        space.family.check(fork, dataset)
    except ConfigError as error:
        raise ConfigError(
            "budget: scheduler: pbt gives forks a schedule, and not every configuration of the "
            f"space can have one. {error} Without forks: budget.scheduler=asha."
        ) from None


def check_memory(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    settings: Settings,
    *,
    has_begun: bool = False,
) -> Largest:
    """Return the largest training, which fits into a trial's share of this machine's memory.

    Raises:
        ConfigError: not even one trial fits, or fewer than `max_concurrent`. Not raised with an
            address: the memory of the nodes isn't known here.
    """
    has_gpus = None if settings.address else resources_here().get("GPU", 0) > 0
    where = placement(space, configs, settings, has_gpus=has_gpus)
    n = settings.max_concurrent
    if n is not None:
        cpus = where.cpus_per_trial(settings)
        n = min(n, max(1, int(usable_cores() / cpus)))
    # A share that is to be found is one that suffices, if all of a GPU does.
    gpus = 1.0 if where.gpus_per_trial is None else where.gpus_per_trial
    memory = memory_here(dataset, gpus_per_trial=gpus, max_concurrent=n, in_engine=where.in_engine)
    return require_memory(
        space,
        configs,
        dataset,
        [] if settings.address else memory,
        device=where.device,
        in_engine=where.in_engine,
        has_begun=has_begun,
    )


def trial_share(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    settings: Settings,
    largest: Largest,
    resources: Mapping[str, float] | None = None,
    gpu_memory: float | None = None,
    trials_per_gpu: int | None = None,
) -> Share:
    """Return each trial's share of the connected cluster, or of a machine with `resources`.

    `gpu_memory` is that of the smallest GPU, None if unknown; `trials_per_gpu` as in
    `shared_cluster`.
    """
    available = resources or cluster_resources()
    where = placement(space, configs, settings, has_gpus=available.get("GPU", 0) > 0)
    needs, room = largest.needs, None
    if where.gpus_per_trial is None:
        if (needs.device, needs.in_engine) != (where.device, where.in_engine):
            needs = footprint(
                space.family, largest.config, dataset, where.device, in_engine=where.in_engine
            )
        holds = None if gpu_memory is None else trials_on_gpu(gpu_memory, dataset, needs)
        room = _room(space, configs, settings, where, available, holds, trials_per_gpu)
    return share_of_cluster(
        settings,
        fitting_trials(dataset, needs),
        has_engine=space.family.has_engine,
        where=where,
        room=room,
        resources=available,
    )


def _room(
    space: SearchSpace,
    configs: Sequence[Config],
    settings: Settings,
    where: Placement,
    available: Mapping[str, float],
    memory_holds: int | None,
    trials_per_gpu: int | None,
) -> Room:
    """Return how many trials at a time a GPU takes of those that are `available`."""
    n_gpus = available["GPU"]
    cpus = where.cpus_per_trial(settings)
    by_budget = trials_by_budget(space.budget, len(configs), settings.max_concurrent, n_gpus)
    return Room(
        memory=memory_holds,
        cores=int(available.get("CPU", 0.0) / n_gpus / cpus),
        pays=trials_per_gpu or trials_that_pay(where.alone),
        budget=trials_per_gpu or by_budget,
    )


def _with_absolute_data_dir(settings: Settings, dataset: str) -> Settings:
    """Return the settings with the folder that the data is read from: `resume` may run elsewhere.

    It is the one named, that of GANSEARCH_DATA or the default; None if the data has no files.
    """
    folder = data_folder(dataset, optional_path(settings.data_dir))
    return replace(settings, data_dir=None if folder is None else str(folder.absolute()))


def optional_path(path: str | None) -> Path | None:
    """Return the path, or None."""
    return Path(path) if path else None
