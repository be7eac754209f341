"""The driver: puts searcher, scheduler, trials and recorder together; runs and resumes a search.

A run has two phases, each one Tune experiment. The search proposes, trains and stops. The replicas
train the best configurations and the paper's again on fresh seeds. Then the test scores are ranked.
All that a later `resume` needs lies in the run's folder, in formats that nothing has to unpickle.
"""

from __future__ import annotations

import os
import platform
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from rich.console import Console

import gansearch
from gansearch.cluster import (
    Settings,
    Share,
    connected,
    dead_service,
    device_of,
    share_of_cluster,
    whole_places,
)
from gansearch.config import Budget, TrialConfig, trial_seed
from gansearch.data import Dataset, load_dataset
from gansearch.engine_actor import end_engines
from gansearch.errors import (
    BadInputError,
    ConfigError,
    GansearchError,
    InterruptedRunError,
    RunFailedError,
    StorageError,
)
from gansearch.evaluation import N_FINAL_SAMPLES
from gansearch.figures import png
from gansearch.files import unwritable, write_atomically
from gansearch.fitting import Largest, fitting_trials, require_memory, slices_here
from gansearch.footprint import gib
from gansearch.layout import render
from gansearch.machine import usable_cores
from gansearch.mending import mend, sound_study
from gansearch.nodes import require_nodes
from gansearch.progress import Progress
from gansearch.ranking import rank
from gansearch.recorder import CUT, Recorder, description_of, is_over, summary, was_cut
from gansearch.references import References, curve_beside, reference_scores, training_report
from gansearch.remote import AnyPath, RemotePath, place
from gansearch.report import Report, build_report
from gansearch.results import UNSOUND, RunFolder, unreadable
from gansearch.retries import MAX_FAILURES, Retries, kills_for_memory_are_lost_workers
from gansearch.sampling import picture_between, picture_of_samples, winning_trial
from gansearch.scheduler import GuardedScheduler
from gansearch.searcher import (
    OptunaSearcher,
    make_sampler,
    tell_known_ends,
    trial_description,
)
from gansearch.space import SearchSpace, load_config, load_space
from gansearch.trial import GanTrial
from gansearch.trial_plan import TrialPlan, slice_seconds
from gansearch.weights import SavedGenerator, load_generator

# How often run.json is told what the run has taken so far: a kill forgets so much of it.
_NOTE_TIME_SECONDS = 15.0
_N_PICTURED, _N_PICTURED_POINTS = 40, 1000
_N_ROWS, _N_STEPS, _N_POINT_STEPS = 8, 10, 50  # between samples
PAPER = "paper"


@dataclass
class _Stop:
    """Why the trials shall end now: None, "interrupted" or "time".

    A run that has no trials to wait for ends `at_once`.
    """

    reason: str | None = None
    at_once: bool = False


@dataclass
class _Run:
    """A run at work: what `search` and `resume` hand from step to step."""

    folder: RunFolder
    space: SearchSpace
    dataset: Dataset
    seed: int
    settings: Settings
    share: Share
    progress: Progress
    recorder: Recorder
    seconds_before: float
    recorder_seconds_before: float
    stop: _Stop = field(default_factory=_Stop)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """What the run has taken so far, over all its sessions."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def budget(self) -> Budget:
        return self.space.budget

    def rows(self, phase: str) -> list[dict[str, Any]]:
        return [row for row in self.recorder.rows.values() if row["phase"] == phase]


def search(
    space: str | SearchSpace = "digits",
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seed: int = 0,
    name: str | None = None,
    results: AnyPath | str = "results",
    settings: Settings | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Search a space, train the best and the paper's configuration again, rank, and report.

    Args:
        space: name of a built-in space, path of a space file, or a `SearchSpace` as it is.
        overrides: `key=value` changes to a named space, as `--set` takes them.
        only: no search: compare these, presets such as "paper" or paths of configuration files.
        seed: decides the proposals and every trial's own seed.
        name: of the run's folder below `results`; by default the space's and the time.
        results: folder of all runs.
        settings: how to use the machine.
        console: where progress is shown; None for nowhere.

    Raises:
        BadInputError: what was asked for can't be done; nothing was started.
        RunFailedError: no trial was completed.
        InterruptedRunError: stopped by SIGINT or SIGTERM; `resume` goes on.
    """
    settings = settings or Settings()
    if settings.data_dir:  # a resume may be typed in another folder
        settings = replace(settings, data_dir=str(Path(settings.data_dir).expanduser().absolute()))
    make_sampler(settings.sampler, seed)
    if isinstance(space, str):
        space = load_space(space, overrides)
    configs = _only_configs(space, only)
    dataset = load_dataset(space.dataset, _path(settings.data_dir))
    _check_networks(space, configs, dataset)
    largest = _check_memory(space, configs, dataset, settings)
    training = training_report(dataset)
    folder = RunFolder.create(place(results), name or _default_name(space))
    with ExitStack() as stack:
        try:
            stack.enter_context(connected(settings, dataset))
            if settings.address:
                require_nodes(folder.path)
            share = share_of_cluster(settings, fitting_trials(dataset, largest.needs))
        except BaseException:
            folder.path.rmdir()  # it is empty, and its name is free again
            raise
        with folder.lock():
            described = _description(folder.path.name, space, configs, seed, settings)
            folder.write_run(described | {"training_report": training})
            _execute(folder, dataset, share, console, search_on=not configs)
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
    """Go on with a run that was stopped, killed or is to have more trials or time.

    Trials that were cut short go on from their checkpoints, in the configuration that they had. A
    run whose search was over is not searched again, unless `trials` or `time_budget_seconds`, which
    is that of the whole run, asks for more.

    Raises:
        As `search`.
    """
    folder = RunFolder.open(run, place(results))
    with folder.lock():
        for found in mend(folder):
            if console is not None:
                console.print(found, markup=False, highlight=False)
        info = folder.read_run()
        space = SearchSpace.from_dict(info["space"])
        if trials is not None:
            space = space.with_budget(trials=trials)
        asked = {"time_budget_seconds": time_budget_seconds, "address": address}
        changes = {key: value for key, value in asked.items() if value is not None}
        settings = _settings_of(folder, info["settings"] | changes)
        dataset = load_dataset(space.dataset, _path(settings.data_dir))
        more = trials is not None or time_budget_seconds is not None
        search_on = not info["only"] and (more or not info["search_is_over"])
        only = [TrialConfig.from_dict(config) for config in info["only"] or ()]
        largest = _check_memory(space, only, dataset, settings)
        with connected(settings, dataset):
            if settings.address:
                require_nodes(folder.path)
            share = share_of_cluster(settings, fitting_trials(dataset, largest.needs))
            folder.write_run(info | {"space": space.to_dict(), "settings": vars(settings)})
            _execute(folder, dataset, share, console, search_on=search_on)
    return folder


def _description(
    name: str, space: SearchSpace, configs: Sequence[TrialConfig], seed: int, settings: Settings
) -> dict[str, Any]:
    """Return what `run.json` says of a run that begins."""
    return {
        "name": name,
        "space": space.to_dict(),
        "seed": seed,
        "only": [config.to_dict() for config in configs] or None,
        "paper_config_id": space.preset(PAPER).config_id,
        "settings": vars(settings),
        "command": shlex.join(["gansearch", *sys.argv[1:]]),
        "versions": _versions(),
        "git_commit": _git_commit(),
        "machine": f"{platform.node()}, {os.cpu_count()} cores, {platform.platform()}",
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "searching",
        "search_is_over": bool(configs),
        "wall_seconds": 0.0,
    }


def _settings_of(folder: RunFolder, values: dict[str, Any]) -> Settings:
    try:
        return Settings.from_dict(values)
    except ValueError as error:
        raise unreadable(folder.path / "run.json", f"settings: {error}") from error


def plan(
    space: str,
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seed: int = 0,
    settings: Settings | None = None,
) -> str:
    """Check all that `search` would, start nothing, and return what it would do, as text.

    Raises:
        BadInputError: as `search`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = settings or Settings()
    sampler = make_sampler(settings.sampler, trial_seed(seed, "sampler", 0))
    found = load_space(space, overrides)
    configs = _only_configs(found, only)
    dataset = load_dataset(found.dataset, _path(settings.data_dir))
    _check_networks(found, configs, dataset)
    largest = _check_memory(found, configs, dataset, settings)
    budget = found.budget
    sizes = ", ".join(f"{len(getattr(dataset, s)):,} {s}" for s in ("train", "valid", "test"))
    lines = [
        f"data set     {dataset.name}: {sizes}; examples of {'x'.join(map(str, dataset.shape))}"
    ]
    if not configs:
        lines.append(
            f"search       {budget.trials} trials of at most {budget.max_updates:,} updates, "
            f"{len(budget.report_updates())} reports each; none is stopped before update "
            f"{budget.grace_updates:,}"
        )
    which = f"{len(configs)} given" if configs else f"the best {budget.top} and the paper's"
    lines.append(f"replicas     {which}, each on {budget.replicas} fresh seeds")
    needs = largest.needs.on("host")
    fitting = (
        "" if settings.address else f"; {fitting_trials(dataset, largest.needs)} at a time fit"
    )
    lines.append(f"memory       {gib(needs)} of the host's for the largest trial{fitting}")
    if not configs:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        _enqueue_starts(study, found)
        for number in range(min(5, budget.trials)):
            config = found.suggest(study.ask()).to_dict()
            values = summary(config, tuple(found.search))
            lines.append(f"proposal {number}   {values}")
    return "\n".join(lines)


def _execute(
    folder: RunFolder,
    dataset: Dataset,
    share: Share,
    console: Console | None,
    *,
    search_on: bool,
) -> None:
    """Do what is left of a run, as its `run.json` describes it; its lock is held, Ray is there."""
    info = folder.read_run()
    space = SearchSpace.from_dict(info["space"])
    settings = Settings(**info["settings"])
    only = [TrialConfig.from_dict(config) for config in info["only"] or ()]
    progress = Progress(
        console or Console(quiet=True),
        budget=space.budget,
        n_replicas=(len(only) or space.budget.top + 1) * space.budget.replicas,
        time_budget_seconds=settings.time_budget_seconds,
        quiet=console is None,
    )
    recorder = Recorder(folder, progress, searched=tuple(space.search))
    run = _Run(
        folder,
        space,
        dataset,
        info["seed"],
        settings,
        share,
        progress,
        recorder,
        seconds_before=info["wall_seconds"],
        recorder_seconds_before=info.get("recorder_seconds", 0.0),
    )
    with _kept(run):
        try:
            # Within Ray's context: Ray sets a handler for SIGTERM of its own when it starts.
            with progress, _stopping_on_signals(run.stop):
                if search_on:
                    _search(run)
                _replicate(run, only or _finalists(run))
                run.stop.at_once = True
                _raise_if_interrupted(run)
                _conclude(run)
        except KeyboardInterrupt:
            raise _interrupted(run) from None


@contextmanager
def _kept(run: _Run) -> Iterator[None]:
    """Write all that waits, and the time taken, however the run ends."""
    try:
        yield
    except StorageError as error:
        # What little there is to say may find room now that all else has stopped. If not, the
        # first thing that found none is what the user must know. A run that another process has
        # taken over is the other's to write.
        with suppress(GansearchError, OSError):
            if run.folder.fault() is None:
                _set_state(run, "interrupted")
                run.recorder.flush()
                _note_time(run)
        raise StorageError(f"{error} To go on: gansearch resume {_quoted(run)}") from error
    except BaseException:
        run.recorder.flush()
        _note_time(run)
        raise
    run.recorder.flush()
    _note_time(run)


def _search(run: _Run) -> None:
    """The first phase: propose, train, stop, until the trials or the time are used up.

    Trials that an earlier session's time was too short for go on, like those that a stop cut short.
    """
    _set_state(run, "searching", search_is_over=False)
    rows = run.rows("search")
    for row in filter(was_cut, rows):
        row.update(status="running", reason="")
    interrupted = [row for row in rows if row["status"] == "running"]
    n_new = max(0, run.budget.trials - len(rows))
    if interrupted or n_new:
        _search_on(run, interrupted, n_new)
    _set_state(run, "searching", search_is_over=True)


def _search_on(run: _Run, interrupted: list[dict[str, Any]], n_new: int) -> None:
    rows = run.rows("search")
    scheduler = _scheduler(run, halving=True)
    scheduler.replay(_reports_of_sound_trials(run))
    sampler = make_sampler(run.settings.sampler, trial_seed(run.seed, "sampler", len(rows)))
    study, found = sound_study(run.folder, run.space, sampler, rows, faults=run.recorder.faults)
    tell_known_ends(study, rows)
    _close_orphans(study, {row["number"] for row in interrupted})
    if not rows:
        _enqueue_starts(study, run.space)
    searcher = OptunaSearcher(
        run.space,
        study,
        seed=run.seed,
        n_new=n_new,
        outcomes=scheduler.outcomes,
        interrupted=[description_of(row) for row in interrupted],
    )
    ended = [row["status"] for row in rows if row["status"] != "running"]
    run.progress.phase("search", run.budget.trials, ended)
    for sentence in found:
        run.progress.note(sentence)
    _tune(run, "search", scheduler, n_new + len(interrupted), searcher=searcher)
    _end_cut_trials(run)
    _raise_if_interrupted(run)
    _raise_if_none_completed(run, "search")


def _enqueue_starts(study: optuna.Study, space: SearchSpace) -> None:
    for preset in space.start_from:
        study.enqueue_trial(space.encode(space.preset(preset)))


def _replicate(run: _Run, configs: list[TrialConfig]) -> None:
    """The second phase: train each of `configs` on fresh seeds of its own, none pruned."""
    _set_state(run, "replicating")
    descriptions, ended = [], []
    for config in configs:
        for i in range(run.budget.replicas):
            trial_id = f"r-{config.config_id}-{i}"
            if (row := run.recorder.rows.get(trial_id)) and row["status"] != "running":
                ended.append(row["status"])
                continue
            seed = trial_seed(run.seed, f"replica of {config.config_id}", i)
            descriptions.append(trial_description(trial_id, i, "replica", seed, config))
    if not descriptions:
        return
    run.progress.phase("replicas", len(configs) * run.budget.replicas, ended)
    scheduler = _scheduler(run, halving=False)
    if run.stop.reason == "time":
        run.stop.reason = None  # it is the replicas that the rest of the time was kept for
    _tune(run, "replicas", scheduler, 1, space=tune.grid_search(descriptions))
    _raise_if_interrupted(run)
    _raise_if_none_completed(run, "replica")


def _conclude(run: _Run) -> None:
    """Rank the replicas beside the reference lines, draw the winner, write the report."""
    folder = run.folder
    folder.compact_history()
    run.progress.phase("reference lines", 1)
    references = reference_scores(run.dataset)
    folder.write_references(references.lines)
    if run.budget.replicas:
        paper = run.space.preset(PAPER).config_id
        replicas = folder.trials().query("phase == 'replica'")
        folder.write_ranking(rank(replicas, folder.test_lls(), paper_config_id=paper))
        winner = load_generator(folder.model_dir(winning_trial(folder)))
        _picture_winner(run, winner)
        _score_winner_by_count(run, winner, references)
    _set_state(run, "finished")
    report = build_report(folder, afresh=True)
    _write_stability(report)
    write_atomically(folder.path / "report.html", render(report, "html").encode())


def _scheduler(run: _Run, *, halving: bool) -> GuardedScheduler:
    retries = Retries(whole_places(run.settings, run.share))
    return GuardedScheduler(run.budget, halving=halving, retries=retries)


def _tune(
    run: _Run,
    phase: str,
    scheduler: GuardedScheduler,
    n_samples: int,
    *,
    searcher: OptunaSearcher | None = None,
    space: Any = None,
) -> None:
    """Run one Tune experiment to its end, or until the run is told to stop."""
    run.recorder.outcomes, run.recorder.failures = scheduler.outcomes, scheduler.failures
    plan = _plan_of_trials(run)
    tuner = Tuner(
        _trainable(run, plan),
        param_space={"trial": space} if space else {},
        tune_config=TuneConfig(
            num_samples=n_samples,
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=run.share.max_concurrent,
            reuse_actors=True,
        ),
        run_config=_run_config(run, phase),
    )
    # Those that a killed driver has left on a cluster would go on as they were.
    end_engines(plan)
    try:
        with kills_for_memory_are_lost_workers():
            tuner.fit()
    except Exception as error:
        if run.recorder.faults:  # of which it is a consequence
            raise run.recorder.faults[0] from error
        # Ray's own are of services that don't answer.
        if isinstance(error, OSError) and not isinstance(error, RayError | ConnectionError):
            raise unwritable(_tune_path(run), error) from error
        raise
    finally:
        end_engines(plan)
    if run.recorder.faults:
        raise run.recorder.faults[0]
    run.recorder.flush()
    # A worker that Tune ends keeps the state of its trial, also of one that was pruned just now.
    for trial_id in run.folder.checkpointed():
        if (row := run.recorder.rows.get(trial_id)) and is_over(row):
            run.folder.checkpoint_path(trial_id).unlink(missing_ok=True)


def _tune_path(run: _Run) -> AnyPath:
    return run.folder.path.resolve() / "tune"


def _run_config(run: _Run, phase: str) -> RunConfig:
    """Return where Tune keeps its state of the next attempt at a phase, and who is told."""
    storage = _tune_path(run)
    attempt = 1 + sum(path.name.startswith(phase) for path in storage.glob("*"))
    return RunConfig(
        name=f"{phase}-{attempt}",
        storage_path=storage.key if isinstance(storage, RemotePath) else str(storage),
        storage_filesystem=storage.store if isinstance(storage, RemotePath) else None,
        stop=_Stopper(run),
        callbacks=[run.recorder],
        checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        failure_config=FailureConfig(max_failures=MAX_FAILURES),
        verbose=0,
    )


def _plan_of_trials(run: _Run) -> TrialPlan:
    return TrialPlan(
        folder=run.folder.path.resolve(),
        budget=run.budget,
        device="cuda" if run.share.gpus_per_trial else "cpu",
        memory_fraction=run.share.memory_fraction,
        slice_seconds=slice_seconds(run.share.max_concurrent),
        n_slots=run.share.n_slots,
    )


def _trainable(run: _Run, plan: TrialPlan) -> Any:
    return tune.with_resources(
        tune.with_parameters(GanTrial, dataset=[ray.put(run.dataset)], plan=plan),
        {"cpu": run.settings.cpus_per_trial, "gpu": run.share.gpus_per_trial},
    )


class _Stopper(tune.Stopper):
    """Ends the experiment when the user says so, or when the search has used its time."""

    def __init__(self, run: _Run) -> None:
        self._run: _Run | None = run
        self._looked_at = 0.0
        self._noted_at = time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._run is None:
            return False
        if self._run.recorder.faults:
            return True
        if self._run.stop.reason is None and time.monotonic() - self._looked_at > 1:
            self._looked_at = time.monotonic()
            if why := self._run.folder.fault():
                told = f"{self._run.folder.path}: {why}. Nothing more can be kept."
                self._run.recorder.faults.append(StorageError(told))
                return True
            _raise_if_ray_died(self._run)
            if time.monotonic() - self._noted_at > _NOTE_TIME_SECONDS:
                self._noted_at = time.monotonic()
                try:
                    _note_time(self._run)
                except StorageError as error:
                    self._run.recorder.faults.append(error)
                    return True
            if _search_time_is_up(self._run):
                self._run.stop.reason = "time"
        return self._run.stop.reason is not None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore that gansearch never asks for.
        return {"_run": None}


@contextmanager
def _stopping_on_signals(stop: _Stop) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run in order, and a second one at once."""

    def handle(_signum: int, _frame: Any) -> None:
        if stop.at_once or stop.reason == "interrupted":
            raise KeyboardInterrupt
        stop.reason = "interrupted"

    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread, whose handlers are its caller's
        return
    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _finalists(run: _Run) -> list[TrialConfig]:
    """Return the best completed configurations of the search by valid_ll, then the paper's."""
    completed = [row for row in run.rows("search") if row["status"] == "completed"]
    completed.sort(key=lambda row: row["valid_ll"], reverse=True)
    best = _distinct(TrialConfig.from_dict(description_of(row)["config"]) for row in completed)
    return _distinct([*best[: run.budget.top], run.space.preset(PAPER)])


def _distinct(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Return the configurations without those that would train the same once more."""
    found: dict[str, TrialConfig] = {}
    for config in configs:
        found.setdefault(config.config_id, config)
    return list(found.values())


def _search_time_is_up(run: _Run) -> bool:
    """Return whether what is left of the time budget is needed for the replicas."""
    limit, elapsed = run.settings.time_budget_seconds, run.seconds
    if limit is None or run.progress.current_phase != "search" or elapsed < 0.1 * limit:
        return False
    rows = run.rows("search")
    if not any(row["status"] == "completed" for row in rows):
        # The start of the workers would pass for slow training, and replicas need a finalist.
        return elapsed > limit
    updates_done = sum(row["updates"] for row in rows)
    updates_to_come = (run.budget.top + 1) * run.budget.replicas * run.budget.max_updates
    # All that the search has taken so far counts: starts, evaluations and waiting too.
    reserved: float = elapsed * updates_to_come / updates_done
    return bool(elapsed > limit - reserved)


def _end_cut_trials(run: _Run) -> None:
    """Count the trials that the time budget cut short as pruned.

    Optuna is not told: to it they are running, and so they can go on when there is more time.
    """
    if run.stop.reason == "time":
        for row in run.rows("search"):
            if row["status"] == "running":
                run.recorder.end(row["trial_id"], CUT)


def _close_orphans(study: optuna.Study, keep: set[int]) -> None:
    """Tell Optuna that open trials which nobody will go on with have failed."""
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if trial.number not in keep:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _reports_of_sound_trials(run: _Run) -> Iterator[tuple[str, int, float]]:
    """Yield the reports from which ASHA's rungs are filled again, in their order."""
    trial_ids = {row["trial_id"] for row in run.rows("search") if row["status"] not in UNSOUND}
    history = run.folder.history()
    for trial_id, updates, valid_ll in zip(
        history["trial_id"], history["updates"], history["valid_ll"], strict=True
    ):
        if trial_id in trial_ids:
            yield trial_id, updates, valid_ll


def _raise_if_interrupted(run: _Run) -> None:
    if run.stop.reason == "interrupted":
        raise _interrupted(run)


def _interrupted(run: _Run) -> InterruptedRunError:
    _set_state(run, "interrupted")
    return InterruptedRunError(
        f"Stopped; everything reported is kept. To go on: gansearch resume {_quoted(run)}"
    )


def _quoted(run: _Run) -> str:
    """Return the run's path as a shell takes it."""
    return shlex.quote(str(run.folder.path))


def _raise_if_ray_died(run: _Run) -> None:
    if (service := dead_service()) is not None:
        raise RunFailedError(
            f"{run.folder.path}: Ray's {service} on this machine has died, as when it is killed or "
            "memory runs out, and no trial trains without it. Everything reported is kept. "
            f"To go on: gansearch resume {_quoted(run)}"
        )


def _raise_if_none_completed(run: _Run, phase: str) -> None:
    rows = run.rows(phase)
    if any(row["status"] == "completed" for row in rows):
        return
    _set_state(run, "failed")
    run.recorder.flush()
    _write_stability(build_report(run.folder, afresh=True))
    counts = Counter(row["status"] for row in rows)
    told = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    commonest = reasons.most_common(1)[0][0] if reasons else "no trial reported anything"
    what = "trial of the search" if phase == "search" else "replica"
    raise RunFailedError(
        f"{run.folder.path}: not one {what} was completed ({told or 'none ran'}). "
        f"The commonest reason: {commonest}. `gansearch report {_quoted(run)}` shows them all."
    )


def _write_stability(report: Report) -> None:
    """Write where the search died, for those who read the run without gansearch."""
    if report.stability is not None:
        report.folder.write_stability(report.stability.cells, report.stability.importances)


def _picture_winner(run: _Run, winner: SavedGenerator) -> None:
    """Write the winner's unpicked samples, and what lies between them, as pictures."""
    is_image = run.dataset.is_image
    n = _N_PICTURED if is_image else _N_PICTURED_POINTS
    grid = picture_of_samples(winner, run.dataset, n, nearest=is_image)
    write_atomically(run.folder.path / "samples.png", png(grid))
    steps = _N_STEPS if is_image else _N_POINT_STEPS
    between = picture_between(winner, run.dataset, _N_ROWS, steps)
    write_atomically(run.folder.path / "interpolation.png", png(between))


def _score_winner_by_count(run: _Run, winner: SavedGenerator, references: References) -> None:
    """Write how the winner's score grows with the number of its samples, beside real data's."""
    curve = curve_beside(run.dataset, winner.samples(N_FINAL_SAMPLES), references, name="winner")
    run.folder.write_curve(curve)


def _set_state(run: _Run, state: str, **more: Any) -> None:
    run.folder.write_run(run.folder.read_run() | {"state": state} | more)


def _note_time(run: _Run) -> None:
    taken = {
        "wall_seconds": run.seconds,
        "recorder_seconds": run.recorder_seconds_before + run.recorder.seconds,
    }
    run.folder.write_run(run.folder.read_run() | taken)


def _only_configs(space: SearchSpace, only: Sequence[str]) -> list[TrialConfig]:
    if only and not space.budget.replicas:
        raise BadInputError(
            "--only with replicas: 0 trains nothing: each configuration is trained on so many "
            "seeds. Give --replicas 1 or more."
        )
    return _distinct(_only_config(space, entry) for entry in only)


def _only_config(space: SearchSpace, entry: str) -> TrialConfig:
    presets = {PAPER, *space.presets}
    if entry in presets:
        return space.preset(entry)
    if not entry or not Path(entry).exists():  # Path("") is the working directory
        raise BadInputError(
            f"--only {entry}: there is no such file. It takes a preset of the space "
            f"({', '.join(sorted(presets))}), or the path of a YAML or JSON file with a "
            "configuration's parameters."
        )
    return load_config(Path(entry), space)


def _check_networks(space: SearchSpace, configs: Sequence[TrialConfig], dataset: Dataset) -> None:
    """Raise ConfigError if points may get a convolutional network; `configs` rule out a search."""
    if dataset.is_image:
        return
    presets = [space.preset(name) for name in (PAPER, *space.start_from)]
    to_train = configs or [TrialConfig.from_dict(space.fixed), *presets]
    for name in ("generator_network", "discriminator_network"):
        searched = not configs and name in space.search
        if any(getattr(config, name) == "convolutional" for config in to_train) or (
            searched and space.search[name].contains("convolutional")
        ):
            raise ConfigError(
                f"{space.name}: {name}: convolutional, on the points of {dataset.name}. "
                "A convolutional network is for images. Use dense."
            )


def _check_memory(
    space: SearchSpace, configs: Sequence[TrialConfig], dataset: Dataset, settings: Settings
) -> Largest:
    """Return the largest training, which fits into a trial's share of this machine's memory.

    Raises:
        ConfigError: not even one fits, or not so many as are asked for. With an address none is
            raised: the nodes have memory of their own, which isn't known here.
    """
    device, gpus = device_of(settings)
    n = settings.max_concurrent
    if n is not None:
        n = min(n, max(1, int(usable_cores() / settings.cpus_per_trial)))
    slices = slices_here(dataset, gpus_per_trial=gpus, max_concurrent=n)
    known = [] if settings.address else slices
    return require_memory(space, configs, dataset, known, device=device)


def _default_name(space: SearchSpace) -> str:
    return f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"


def _path(path: str | None) -> Path | None:
    return Path(path) if path else None


def _versions() -> dict[str, str]:
    packages = ("ray", "torch", "optuna", "torchvision", "numpy", "pandas", "pyarrow")
    return {
        "gansearch": gansearch.__version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _git_commit() -> str | None:
    """Return the commit of the checkout that gansearch runs from, None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
