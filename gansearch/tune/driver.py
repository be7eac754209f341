"""The driver: runs and resumes a search.

A run has two phases, each one Tune experiment. The search proposes, trains and stops. The replicas
train the best configurations, and the baseline if the space has one, on fresh seeds. Then the test
scores are ranked. All that a later `resume` needs is in the run's folder, and none of it is a
pickle.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from gansearch.data.dataset import Dataset
from gansearch.data.own_files import DATA_FILE, save_dataset
from gansearch.report.display import expendable
from gansearch.report.progress import Progress
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import require_utf8
from gansearch.runs.tables import rows_of
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath, parse_path
from gansearch.system.signals import raised
from gansearch.system.streams import occupy_closed_descriptors
from gansearch.system.user_code import UserCode
from gansearch.tracking.exporter import open_exporter
from gansearch.tune.environment import continued
from gansearch.tune.new_run import describe_run
from gansearch.tune.phases import conclude, finalists, measure_costs, replicate, search_phase
from gansearch.tune.preflight import (
    check_configs,
    check_memory,
    check_request,
    machine_notes,
    prepared,
    shared_cluster,
)
from gansearch.tune.recorder import Recorder
from gansearch.tune.repair import repair_run
from gansearch.tune.resumption import load_resumed_data, own_code, resumption
from gansearch.tune.rows import is_fork, known_trials
from gansearch.tune.session import Session, explaining_stops, saving_at_the_end, stopping_on_signals
from gansearch.tune.settings import AUTO, Settings
from gansearch.tune.share import Share
from gansearch.tune.space_change import with_changed_space


@raised()
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
    dataset: Any = None,
    warm_start: Sequence[AnyPath | str] = (),
) -> RunFolder:
    """Search a space, train the best (and a baseline) again, rank, and report.

    Args:
        space: name of a built-in space, path of a space file, its content as a dict, or a
            `SearchSpace`.
        overrides: `key=value` changes to the space, as `--set` takes them, or a dict of them.
        only: compare these without a search: presets such as "paper", or paths of configuration
            files.
        seed: a whole number from 0 to 2**128 - 1; None draws one, which `run.json` records. It
            decides every trial's own seed, and with it a training of given parameters, bit for
            bit on a CPU. It decides the proposals, and so the whole search, only with
            `Settings(deterministic=True)` or `Settings(max_concurrent=1)`: else which of several
            trials ends first changes what the sampler proposes next.
        name: of the run's folder below `results`; by default the space's and the time.
        results: folder of all runs.
        settings: how to use the machine.
        console: where progress is shown. None: `gansearch.search` shows it on a terminal and in a
            notebook, the driver nowhere. False: nowhere.
        dataset: data to learn instead of the space's: an array, a tensor, a pandas frame, a data
            set of torch or Hugging Face, or (train, valid, test) of such (`docs/data.md`); or a
            name, as a space has it. Without a space it is searched on `folder` if it has images,
            on `ring` if it has vectors. Data that is given so is stored in the run's folder.
        warm_start: earlier runs, by path or by name, also of another space or data set: their best
            configurations are tried first, and the sampler learns from their trials, the less the
            more their space differs (`docs/search.md`).

    Raises:
        BadInputError: the arguments can't be used; nothing was started.
        RunFailedError: no trial was completed.
        InterruptedRunError: stopped by SIGINT, SIGTERM or SIGHUP; `resume` continues a run that
            has begun.
    """
    started = time.monotonic()
    occupy_closed_descriptors()
    request = check_request(
        space,
        overrides=overrides,
        only=only,
        seed=seed,
        settings=settings,
        dataset=dataset,
        warm_start=warm_start,
        results=results,
    )
    with (
        explaining_stops() as folders,
        _progress(console, request.space, request.configs, request.settings) as progress,
        prepared(request, name=name, results=results, start=True, tell=progress.activity) as run,
    ):
        folders.append(run.folder)
        for note in (*run.dataset.notes, *run.notes):
            progress.note(note)
        description = describe_run(
            run.folder.path.name,
            run.space,
            run.configs,
            run.seed,
            run.settings,
            run.training_report,
            run.dataset,
            run.evaluation.n_samples,
        )
        description = replace(
            description,
            trials_per_gpu=run.share.trials_per_gpu,
            code=run.folder.write_code(UserCode.of(run.space.references)),
            warm_start=run.earlier.sources,
        )
        if run.given is not None:
            save_dataset(run.folder.path / DATA_FILE, run.given)
        if run.earlier.rows:
            run.folder.write_warm_start(run.earlier.rows)
        run.folder.write_run(description)
        _execute(
            run.folder,
            description,
            run.space,
            run.configs,
            run.dataset,
            run.settings,
            run.share,
            progress,
            started=started,
            search_on=not run.configs,
        )
    return run.folder


@raised()
def resume(
    run: AnyPath | str,
    *,
    results: AnyPath | str = "results",
    trials: int | None = None,
    replicas: int | None = None,
    time_budget_seconds: float | None = None,
    sampler: str | None = None,
    address: str | None = None,
    data_dir: str | Path | None = None,
    gpus_per_trial: float | str | None = None,
    cpus_per_trial: float | str | None = None,
    group_trials: str | None = None,
    max_concurrent: int | None = None,
    track: str | Sequence[str] | None = None,
    console: Console | None = None,
    space: str | SearchSpace | None = None,
) -> RunFolder:
    """Continue a run that was stopped or killed, or that gets more trials, replicas or time.

    Interrupted trials continue from their checkpoints, with the same configuration. A search that
    was over continues only if `trials`, `time_budget_seconds` or `space` is given. An argument of
    None leaves the run's value; a change is stored for the next resume.

    Args:
        run: the path of its folder, or its name below `results`.
        results: folder of all runs.
        trials: number of configurations to try, those that were tried included.
        replicas: number of fresh seeds of each finalist, those that were trained included.
        time_budget_seconds: as in `Settings`. Without it, `replicas` of a run that has used its
            time budget are not bounded by one.
        sampler: as in `Settings`, for the proposals that are still to be made.
        address: of a Ray cluster to join; "local": of none, although the run began on one.
        data_dir: where the data lies now. Without it, the folder that the run has read; if the data
            is no longer there, that of the environment variable GANSEARCH_DATA, or the default.
        gpus_per_trial, cpus_per_trial, group_trials, max_concurrent: as in `Settings`, to suit
            another machine.
        track: as in `Settings`; "none" ends the export to the run's trackers. A tracker that the
            run gets late receives all its trials.
        console: as in `search`.
        space: what is searched from now on, as in `search`: other ranges, choices, parameters or
            presets. Trials outside of it are kept as they are (`docs/search.md`).

    Raises:
        BadInputError: a change can't be made, such as fewer trials than there are.
        As `search`.
    """
    started = time.monotonic()
    occupy_closed_descriptors()
    given = {
        "space": space,
        "trials": trials,
        "replicas": replicas,
        "time_budget_seconds": time_budget_seconds,
        "sampler": sampler,
        "address": address,
        "gpus_per_trial": gpus_per_trial,
        "cpus_per_trial": cpus_per_trial,
        "group_trials": group_trials,
        "max_concurrent": max_concurrent,
        "track": track,
    }
    folder = RunFolder.open(run, parse_path(results))
    require_utf8(folder.path)
    with explaining_stops(folder), folder.lock(), ExitStack() as stack:
        for found in repair_run(folder):
            if console is not None:
                with expendable(console):
                    console.print(found, markup=False, highlight=False)
        description = folder.read_run()
        code = stack.enter_context(own_code(folder))
        plan = resumption(folder, description, given)
        space, settings = plan.space, plan.settings
        configs = [space.table.from_dict(config) for config in description.only or ()]
        with _progress(console, space, configs, settings, description.wall_seconds) as progress:
            n_samples = progress.bests.n_evaluation_samples = description.n_evaluation_samples
            rows = rows_of(folder.trials())
            progress.recall(known_trials(rows, n_samples, space, description.names))
            for note in (*plan.notes, *code, *machine_notes(settings)):
                progress.note(note)
            progress.activity(f"loading the data set {space.dataset}")
            dataset, settings = load_resumed_data(space, settings, data_dir, run=folder.path)
            for note in dataset.notes:
                progress.note(note)
            description, notes = continued(folder, description, dataset)
            for note in notes:
                progress.note(note)
            progress.activity("checking the memory")
            if plan.former is not None:
                check_configs(space, configs, dataset)
                description = with_changed_space(description, space, plan.former, rows)
            largest = check_memory(space, configs, dataset, settings, has_begun=True)
            tell = progress.activity
            with shared_cluster(
                folder,
                space,
                configs,
                dataset,
                settings,
                largest,
                trials_per_gpu=None if gpus_per_trial == AUTO else description.trials_per_gpu,
                tell=tell,
            ) as share:
                description = replace(
                    description,
                    # A resume on CPU cores leaves it for the next one on a GPU.
                    trials_per_gpu=share.trials_per_gpu or description.trials_per_gpu,
                    space=space.to_dict(),
                    settings=vars(settings),
                    data_notes=dataset.notes,
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
                    started=started,
                    search_on=plan.search_on,
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
        n_replicas=(len(configs) or space.n_finalists) * space.budget.replicas,
        time_budget_seconds=settings.time_budget_seconds,
        earlier_seconds=earlier_seconds,
        objective=space.objective,
        quiet=console is None,
    )


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
    started: float,
    search_on: bool,
) -> None:
    """Run the remaining phases of a run; its lock is held and Ray is connected.

    `configs` are trained instead of a search, if there are any. The session began at `started`.
    """
    exporter = open_exporter(folder, description, settings.track, tell=progress.note)
    n_samples = description.n_evaluation_samples
    progress.bests.n_evaluation_samples = n_samples
    recorder = Recorder(
        folder,
        progress,
        searched=tuple(space.search),
        n_evaluation_samples=n_samples,
        objective=space.objective,
        exporter=exporter,
        names=description.names,
    )
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
        started=started,
    )
    progress.is_stopping = lambda: session.stop.reason == "interrupted"
    progress.pace.earlier_updates = sum(
        row["updates"] - (int(row["forked_at"]) if is_fork(row) else 0)
        for row in recorder.rows.values()
    )
    with saving_at_the_end(session):
        try:
            with stopping_on_signals(session.stop):
                measure_costs(session)
                if search_on:
                    search_phase(session)
                replicate(session, configs or finalists(session))
                session.stop.at_once = True
                session.raise_if_interrupted()
                conclude(session)
        except KeyboardInterrupt:
            raise session.interrupted() from None
        finally:
            if exporter is not None:
                progress.activity("waiting for the trackers")
                exporter.close()
            progress.activity("ending Ray")
