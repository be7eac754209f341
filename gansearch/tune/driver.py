"""The driver: runs and resumes a search.

A run has two phases, each one Tune experiment. The search proposes, trains and stops. The replicas
train the best configurations and the baseline again on fresh seeds. Then the test scores are
ranked. All that a later `resume` needs is in the run's folder, and none of it is a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from rich.console import Console

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.report.display import expendable
from gansearch.report.progress import Progress
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import require_utf8
from gansearch.runs.tables import unreadable
from gansearch.scoring.references import evaluate_training_examples
from gansearch.seeds import run_seed, trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath, parse_path
from gansearch.system.paths import local_path
from gansearch.system.streams import occupy_closed_descriptors
from gansearch.tune.cluster import connected
from gansearch.tune.environment import continued
from gansearch.tune.new_run import default_name, describe_run
from gansearch.tune.nodes import require_nodes
from gansearch.tune.phases import conclude, finalists, replicate, search_phase
from gansearch.tune.preflight import (
    check_configs,
    check_memory,
    only_configs,
    optional_path,
    same_configs,
    trial_share,
)
from gansearch.tune.recorder import Recorder
from gansearch.tune.repair import repair_run
from gansearch.tune.session import Session, saving_at_the_end, stopping_on_signals
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share
from gansearch.tune.study import make_sampler


def search(
    space: str | SearchSpace = "digits",
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seed: int | None = 0,
    name: str | None = None,
    results: AnyPath | str = "results",
    settings: Settings | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Search a space, train the best and the baseline again, rank, and report.

    Args:
        space: name of a built-in space, path of a space file, or a `SearchSpace`.
        overrides: `key=value` changes to a named space, as `--set` takes them.
        only: compare these without a search: presets such as "paper", or paths of configuration
            files.
        seed: decides the proposals and every trial's own seed: a whole number from 0 to
            2**128 - 1. None draws one, which `run.json` records.
        name: of the run's folder below `results`; by default the space's and the time.
        results: folder of all runs.
        settings: how to use the machine.
        console: where progress is shown; None for nowhere.

    Raises:
        BadInputError: the arguments can't be used; nothing was started.
        RunFailedError: no trial was completed.
        InterruptedRunError: stopped by SIGINT or SIGTERM; `resume` continues it.
    """
    occupy_closed_descriptors()
    settings = settings or Settings()
    if settings.data_dir:  # `resume` may run in another working directory
        settings = replace(settings, data_dir=str(local_path(settings.data_dir).absolute()))
    seed = run_seed(seed)
    make_sampler(settings.sampler, trial_seed(seed, "sampler", 0))
    if isinstance(space, str):
        space = load_space(space, overrides)
    configs = only_configs(space, only)
    with _progress(console, space, configs, settings) as progress:
        for note in same_configs(space, only):
            progress.note(note)
        progress.activity(f"loading the data set {space.dataset}")
        dataset = load_dataset(space.dataset, optional_path(settings.data_dir))
        progress.activity("checking the configurations and the memory")
        check_configs(space, configs, dataset)
        largest = check_memory(space, configs, dataset, settings)
        progress.activity("scoring training examples")
        training_report = evaluate_training_examples(dataset)
        folder = (
            RunFolder.create_numbered(parse_path(results), default_name(space.name))
            if name is None
            else RunFolder.create(parse_path(results), name)
        )
        with ExitStack() as stack:
            try:
                progress.activity("starting Ray")
                stack.enter_context(connected(settings, dataset))
                if settings.address:
                    progress.activity("checking the nodes")
                    require_nodes(folder.path)
                share = trial_share(space, dataset, settings, largest)
            except BaseException:
                folder.path.rmdir()  # it is empty, and its name is free again
                raise
            with folder.lock():
                name = folder.path.name
                description = describe_run(
                    name, space, configs, seed, settings, training_report, dataset
                )
                folder.write_run(description)
                _execute(
                    folder,
                    description,
                    space,
                    configs,
                    dataset,
                    settings,
                    share,
                    progress,
                    search_on=not configs,
                )
    return folder


def resume(
    run: AnyPath | str,
    *,
    results: AnyPath | str = "results",
    trials: int | None = None,
    time_budget_seconds: float | None = None,
    address: str | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Continue a run that was stopped or killed, or that gets more trials or time.

    Interrupted trials continue from their checkpoints, with the same configuration. A search that
    was over continues only if `trials` or `time_budget_seconds` is given, both of the whole run.

    Raises:
        As `search`.
    """
    occupy_closed_descriptors()
    folder = RunFolder.open(run, parse_path(results))
    require_utf8(folder.path)
    with folder.lock():
        for found in repair_run(folder):
            if console is not None:
                with expendable(console):
                    console.print(found, markup=False, highlight=False)
        description = folder.read_run()
        space = SearchSpace.from_dict(description.space)
        if trials is not None:
            space = space.with_budget(trials=trials)
        given = {"time_budget_seconds": time_budget_seconds, "address": address}
        changes = {key: value for key, value in given.items() if value is not None}
        settings = _settings_of(folder, {**description.settings, **changes})
        more = trials is not None or time_budget_seconds is not None
        search_on = not description.only and (more or not description.search_is_over)
        configs = [space.table.from_dict(config) for config in description.only or ()]
        with _progress(console, space, configs, settings, description.wall_seconds) as progress:
            progress.activity(f"loading the data set {space.dataset}")
            dataset = load_dataset(space.dataset, optional_path(settings.data_dir))
            description, notes = continued(folder, description, dataset)
            for note in notes:
                progress.note(note)
            progress.activity("checking the memory")
            largest = check_memory(space, configs, dataset, settings)
            progress.activity("starting Ray")
            with connected(settings, dataset):
                if settings.address:
                    progress.activity("checking the nodes")
                    require_nodes(folder.path)
                share = trial_share(space, dataset, settings, largest)
                description = replace(description, space=space.to_dict(), settings=vars(settings))
                folder.write_run(description)
                _execute(
                    folder,
                    description,
                    space,
                    configs,
                    dataset,
                    settings,
                    share,
                    progress,
                    search_on=search_on,
                )
    return folder


def _progress(
    console: Console | None,
    space: SearchSpace,
    configs: Sequence[Config],
    settings: Settings,
    earlier_seconds: float = 0.0,
) -> Progress:
    """Return the display of a run; without a console it shows nothing."""
    return Progress(
        console or Console(quiet=True),
        budget=space.budget,
        n_replicas=(len(configs) or space.budget.top + 1) * space.budget.replicas,
        time_budget_seconds=settings.time_budget_seconds,
        earlier_seconds=earlier_seconds,
        quiet=console is None,
    )


def _settings_of(folder: RunFolder, values: Mapping[str, Any]) -> Settings:
    try:
        return Settings.from_dict(values)
    except ValueError as error:
        raise unreadable(folder.path / "run.json", f"settings: {error}") from error


def _execute(
    folder: RunFolder,
    description: RunDescription,
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    settings: Settings,
    share: Share,
    progress: Progress,
    *,
    search_on: bool,
) -> None:
    """Run the remaining phases of a run; its lock is held and Ray is connected.

    `configs` are trained instead of a search, if there are any.
    """
    recorder = Recorder(folder, progress, searched=tuple(space.search))
    session = Session(
        folder=folder,
        description=description,
        space=space,
        dataset=dataset,
        settings=settings,
        share=share,
        progress=progress,
        recorder=recorder,
        initial_description=description,
    )
    progress.is_stopping = lambda: session.stop.reason == "interrupted"
    progress.pace.earlier_updates = sum(row["updates"] for row in recorder.rows.values())
    with saving_at_the_end(session):
        try:
            # Within Ray's context: Ray sets its own handler for SIGTERM when it starts.
            with stopping_on_signals(session.stop):
                if search_on:
                    search_phase(session)
                replicate(session, configs or finalists(session))
                session.stop.at_once = True
                session.raise_if_interrupted()
                conclude(session)
        except KeyboardInterrupt:
            raise session.interrupted() from None
        finally:
            progress.activity("ending Ray")
