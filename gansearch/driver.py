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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from rich.console import Console

import gansearch
from gansearch.cluster import Settings, connected, share_of_cluster
from gansearch.config import Budget, TrialConfig, trial_seed
from gansearch.data import Dataset, load_dataset
from gansearch.errors import InterruptedRunError, RunFailedError
from gansearch.evaluation import reference_scores
from gansearch.figures import sample_grid
from gansearch.layout import render
from gansearch.progress import Progress
from gansearch.ranking import rank
from gansearch.recorder import Recorder, description_of, summary
from gansearch.report import build_report
from gansearch.results import RunFolder, write_atomically
from gansearch.sampling import nearest_examples, winning_trial
from gansearch.scheduler import GuardedScheduler, Outcome
from gansearch.searcher import (
    OptunaSearcher,
    make_sampler,
    open_study,
    trial_description,
)
from gansearch.space import SearchSpace, load_config, load_space
from gansearch.trial import GanTrial, TrialPlan
from gansearch.weights import load_generator

# A lost worker is tried again this often before its trial counts as failed.
_MAX_FAILURES = 2
_N_PICTURED = 40
PAPER = "paper"


@dataclass
class _Stop:
    """Why the trials shall end now: None, "interrupted" or "time"."""

    reason: str | None = None


@dataclass
class _Run:
    """A run at work: what `search` and `resume` hand from step to step."""

    folder: RunFolder
    space: SearchSpace
    dataset: Dataset
    seed: int
    settings: Settings
    only: list[TrialConfig]
    progress: Progress
    recorder: Recorder
    stop: _Stop = field(default_factory=_Stop)
    started: float = field(default_factory=time.monotonic)

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
    results: Path | str = "results",
    settings: Settings | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Search a space, train the best and the paper's configuration again, rank, and report.

    Args:
        space: name of a built-in space, path of a space file, or a `SearchSpace`.
        overrides: `key=value` changes to the space, as `--set` takes them.
        only: no search: compare these, "paper" or paths of configuration files.
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
    make_sampler(settings.sampler, seed)
    if isinstance(space, str):
        space = load_space(space, overrides)
    configs = [_only_config(space, entry) for entry in only]
    dataset = load_dataset(space.dataset, _path(settings.data_dir))
    folder = RunFolder.create(Path(results), name or _default_name(space))
    folder.write_run(
        {
            "name": folder.path.name,
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
            "wall_seconds": 0.0,
        }
    )
    return _execute(folder, space, dataset, seed, settings, configs, console)


def resume(
    run: Path | str,
    *,
    results: Path | str = "results",
    trials: int | None = None,
    time_budget_seconds: float | None = None,
    address: str | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Go on with a run that was stopped, killed or is to have more trials.

    Trials that were cut short go on from their checkpoints, in the configuration that they had.

    Raises:
        As `search`.
    """
    folder = RunFolder.open(run, Path(results))
    info = folder.read_run()
    space = SearchSpace.from_dict(info["space"])
    settings = Settings(**info["settings"])
    if trials is not None:
        space = space.with_budget(trials=trials)
    settings = Settings(
        **vars(settings)
        | {"time_budget_seconds": time_budget_seconds or settings.time_budget_seconds}
        | ({"address": address} if address else {})
    )
    dataset = load_dataset(space.dataset, _path(settings.data_dir))
    configs = [TrialConfig.from_dict(config) for config in info["only"] or ()]
    folder.write_run(info | {"space": space.to_dict(), "settings": vars(settings)})
    return _execute(folder, space, dataset, info["seed"], settings, configs, console)


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
    settings = settings or Settings()
    sampler = make_sampler(settings.sampler, trial_seed(seed, "sampler", 0))
    found = load_space(space, overrides)
    configs = [_only_config(found, entry) for entry in only]
    dataset = load_dataset(found.dataset, _path(settings.data_dir))
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
    if not configs:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        for preset in found.start_from:
            study.enqueue_trial(found.encode(found.preset(preset)))
        for number in range(min(5, budget.trials)):
            config = found.suggest(study.ask()).to_dict()
            values = summary(config, tuple(found.search))
            lines.append(f"proposal {number}   {values}")
    return "\n".join(lines)


def _execute(
    folder: RunFolder,
    space: SearchSpace,
    dataset: Dataset,
    seed: int,
    settings: Settings,
    only: list[TrialConfig],
    console: Console | None,
) -> RunFolder:
    n_configs = len(only) or space.budget.top + 1
    progress = Progress(
        console or Console(quiet=True),
        budget=space.budget,
        n_replicas=n_configs * space.budget.replicas,
        time_budget_seconds=settings.time_budget_seconds,
        quiet=console is None,
    )
    with folder.lock():
        recorder = Recorder(folder, progress, searched=tuple(space.search))
        run = _Run(folder, space, dataset, seed, settings, only, progress, recorder)
        with _stopping_on_signals(run.stop), progress, connected(settings, dataset):
            try:
                if not only:
                    _search(run)
                _replicate(run, only or _finalists(run))
            finally:
                recorder.flush()
                _note_time(run)
            _conclude(run)
    return folder


def _search(run: _Run) -> None:
    """The first phase: propose, train, stop, until the trials or the time are used up."""
    _set_state(run, "searching")
    rows = run.rows("search")
    interrupted = [row for row in rows if row["status"] == "running"]
    n_new = max(0, run.budget.trials - len(rows))
    if not interrupted and not n_new:
        return
    scheduler = GuardedScheduler(run.budget, halving=True)
    scheduler.replay(_reports(run, {row["trial_id"] for row in rows}))
    sampler = make_sampler(run.settings.sampler, trial_seed(run.seed, "sampler", len(rows)))
    study = open_study(run.folder.path / "optuna.journal", sampler)
    _close_orphans(study, {row["number"] for row in interrupted})
    if not rows:
        for preset in run.space.start_from:
            study.enqueue_trial(run.space.encode(run.space.preset(preset)))
    searcher = OptunaSearcher(
        run.space,
        study,
        seed=run.seed,
        n_new=n_new,
        outcomes=scheduler.outcomes,
        interrupted=[description_of(row) for row in interrupted],
    )
    n_ended = len(rows) - len(interrupted)
    run.progress.phase("search", run.budget.trials, n_ended)
    _tune(run, "search", scheduler, n_new + len(interrupted), searcher=searcher)
    _close_cut_trials(run, study)
    _raise_if_interrupted(run)
    _raise_if_none_completed(run, "search")


def _replicate(run: _Run, configs: list[TrialConfig]) -> None:
    """The second phase: train each of `configs` on fresh seeds of its own, none pruned."""
    _set_state(run, "replicating")
    descriptions = []
    for config in configs:
        for i in range(run.budget.replicas):
            trial_id = f"r-{config.config_id}-{i}"
            if (row := run.recorder.rows.get(trial_id)) and row["status"] != "running":
                continue
            seed = trial_seed(run.seed, f"replica of {config.config_id}", i)
            descriptions.append(trial_description(trial_id, i, "replica", seed, config))
    if not descriptions:
        return
    n_replicas = len(configs) * run.budget.replicas
    run.progress.phase("replicas", n_replicas, n_replicas - len(descriptions))
    scheduler = GuardedScheduler(run.budget, halving=False)
    if run.stop.reason == "time":
        run.stop.reason = None  # it is the replicas that the rest of the time was kept for
    _tune(run, "replicas", scheduler, 1, space=tune.grid_search(descriptions))
    _raise_if_interrupted(run)
    _raise_if_none_completed(run, "replica")


def _conclude(run: _Run) -> None:
    """Rank the replicas, compute the reference lines, draw the winner, write the report."""
    folder = run.folder
    folder.compact_history()
    if folder.references().empty:
        run.progress.phase("reference lines", 1)
        folder.write_references(pd.DataFrame(reference_scores(run.dataset)))
    if run.budget.replicas:
        paper = run.space.preset(PAPER).config_id
        replicas = folder.trials().query("phase == 'replica'")
        folder.write_ranking(rank(replicas, folder.test_lls(), paper_config_id=paper))
        _picture_winner(run)
    _set_state(run, "finished")
    report = build_report(folder)
    write_atomically(folder.path / "report.html", render(report, "html").encode())


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
    resources = share_of_cluster(run.settings)
    run.recorder.outcomes = scheduler.outcomes
    plan = TrialPlan(
        folder=run.folder.path.resolve(),
        budget=run.budget,
        device="cuda" if resources.gpus_per_trial else "cpu",
        memory_fraction=min(resources.gpus_per_trial, 1.0) or 1.0,
    )
    trainable = tune.with_resources(
        tune.with_parameters(GanTrial, dataset=run.dataset, plan=plan),
        {"cpu": run.settings.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    storage = run.folder.path.resolve() / "tune"
    attempt = 1 + sum(path.name.startswith(phase) for path in storage.glob("*"))
    tuner = Tuner(
        trainable,
        param_space={"trial": space} if space else {},
        tune_config=TuneConfig(
            num_samples=n_samples,
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name=f"{phase}-{attempt}",
            storage_path=str(storage),
            stop=_Stopper(run),
            callbacks=[run.recorder],
            checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=FailureConfig(max_failures=_MAX_FAILURES),
            verbose=0,
        ),
    )
    tuner.fit()
    run.recorder.flush()
    # A worker that Tune ends keeps the state of its trial, also of one that was pruned just now.
    for trial_id, row in run.recorder.rows.items():
        if row["status"] != "running":
            run.folder.checkpoint_path(trial_id).unlink(missing_ok=True)


class _Stopper(tune.Stopper):
    """Ends the experiment when the user says so, or when the search has used its time."""

    def __init__(self, run: _Run) -> None:
        self._run: _Run | None = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._run is None:
            return False
        if self._run.stop.reason is None and _search_time_is_up(self._run):
            self._run.stop.reason = "time"
        return self._run.stop.reason is not None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore that gansearch never asks for.
        return {"_run": None}


@contextmanager
def _stopping_on_signals(stop: _Stop) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run in order, and a second one at once."""

    def handle(signum: int, _frame: Any) -> None:
        if stop.reason == "interrupted":
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
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
    configs = {row["config_id"]: description_of(row)["config"] for row in completed}
    finalists = [TrialConfig.from_dict(config) for config in list(configs.values())]
    finalists = finalists[: run.budget.top]
    paper = run.space.preset(PAPER)
    if paper not in finalists:
        finalists.append(paper)
    return finalists


def _search_time_is_up(run: _Run) -> bool:
    """Return whether what is left of the time budget is needed for the replicas."""
    limit = run.settings.time_budget_seconds
    if limit is None or run.progress.current_phase != "search":
        return False
    speeds = [row["seconds"] / row["updates"] for row in run.rows("search") if row.get("updates")]
    mean_speed = sum(speeds) / len(speeds) if speeds else 0.0
    n_replicas = (run.budget.top + 1) * run.budget.replicas
    concurrent = share_of_cluster(run.settings).max_concurrent
    reserved = n_replicas * run.budget.max_updates * mean_speed / concurrent
    return time.monotonic() - run.started > max(limit - reserved, 0.1 * limit)


def _close_cut_trials(run: _Run, study: optuna.Study) -> None:
    """Count the trials that the time budget cut short as pruned."""
    if run.stop.reason != "time":
        return
    for row in run.rows("search"):
        if row["status"] == "running":
            run.recorder.end(
                row["trial_id"], Outcome("pruned", "the time budget of the search was spent")
            )
    _close_orphans(study, set())


def _close_orphans(study: optuna.Study, keep: set[int]) -> None:
    """Tell Optuna that open trials which nobody will go on with have failed."""
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if trial.number not in keep:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _reports(run: _Run, trial_ids: set[str]) -> Iterator[tuple[str, int, float]]:
    history = run.folder.history()
    for trial_id, updates, valid_ll in zip(
        history["trial_id"], history["updates"], history["valid_ll"], strict=True
    ):
        if trial_id in trial_ids:
            yield trial_id, updates, valid_ll


def _raise_if_interrupted(run: _Run) -> None:
    if run.stop.reason == "interrupted":
        _set_state(run, "interrupted")
        raise InterruptedRunError(
            f"Stopped; everything reported is kept. To go on: gansearch resume {run.folder.path}"
        )


def _raise_if_none_completed(run: _Run, phase: str) -> None:
    rows = run.rows(phase)
    if any(row["status"] == "completed" for row in rows):
        return
    _set_state(run, "failed")
    counts = Counter(row["status"] for row in rows)
    told = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    commonest = reasons.most_common(1)[0][0] if reasons else "no trial reported anything"
    what = "trial of the search" if phase == "search" else "replica"
    raise RunFailedError(
        f"{run.folder.path}: not one {what} was completed ({told or 'none ran'}). "
        f"The commonest reason: {commonest}. `gansearch report {run.folder.path}` shows them all."
    )


def _picture_winner(run: _Run) -> None:
    """Write `samples.png`: unpicked samples of the winner beside their nearest training images."""
    saved = load_generator(run.folder.model_dir(winning_trial(run.folder)))
    samples = saved.samples(_N_PICTURED)
    nearest = nearest_examples(run.dataset, samples)
    picture = sample_grid(samples, run.dataset, nearest=nearest)
    picture.save(run.folder.path / "samples.png")


def _set_state(run: _Run, state: str) -> None:
    run.folder.write_run(run.folder.read_run() | {"state": state})


def _note_time(run: _Run) -> None:
    info = run.folder.read_run()
    seconds = info["wall_seconds"] + time.monotonic() - run.started
    recorder = info.get("recorder_seconds", 0.0) + run.recorder.seconds
    run.folder.write_run(info | {"wall_seconds": seconds, "recorder_seconds": recorder})


def _only_config(space: SearchSpace, entry: str) -> TrialConfig:
    return space.preset(PAPER) if entry == PAPER else load_config(Path(entry), space)


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
