"""One driver with 8,000 simulated members: what a report costs, what memory, what a kill loses.

    python benchmarks/speed/scale.py --trials 10000             # through Tune's own controller
    python benchmarks/speed/scale.py --kills 100 --trials 1000  # without Tune, killed and resumed
    python benchmarks/speed/scale.py --calls                    # of Ray alone, 8,000 awaited

The first form is a whole search on the real driver: preparation, proposals, successive halving,
Tune's controller, recorder, journal, Parquet and the report. Simulated are the workers: in place of
Ray's actors, members in this process report invented numbers in turns as soon as the driver is
free. So it measures what the driver's core does for a report, without Ray's messages; these are
what the third form measures, on one real worker that stands for all. No network is trained.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gansearch  # before Ray, which looks for the settings made here when it is imported

# isort: split
import numpy as np
import optuna
import ray
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution.resources import FixedResourceManager, ResourceRequest
from ray.tune.execution import tune_controller
from rich.console import Console

from benchmarks.speed import search as parts
from gansearch.report.progress import Progress
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import UNSOUND
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune import driver, phases
from gansearch.tune import recorder as recorder_module
from gansearch.tune.ray_internals import lean_tune
from gansearch.tune.recorder import Recorder
from gansearch.tune.repair import open_or_rebuild_study, repair_run
from gansearch.tune.rows import spec_of_row
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.share import Share
from gansearch.tune.study import tell_known_ends

MEMBERS = 8000
BUSY_AT_MOST = 0.7  # of a core; beyond it, reports wait for the driver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--reports", type=int, default=20, help="evaluations of a full training")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--calls", action="store_true")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if given.calls:
        time_calls(given.members)
    elif given.kills:
        count_losses(given.kills, given.trials, min(given.members, 64), given.reports)
    else:
        time_search(given.trials, given.members, given.reports, given.sampler)


class SimulatedMembers:
    """In place of Tune's `RayActorManager`: members that report in turns, in this process."""

    n_results = 0
    n_reports = 20

    def __init__(self, resource_manager: Any) -> None:
        del resource_manager
        # What the controller looks up by this name; there are no actors behind it.
        self._live_actors_to_ray_actors_resources: dict[TrackedActor, tuple[Any, Any]] = {}
        self._reports: dict[TrackedActor, Iterator[StepResult]] = {}
        self._turns: dict[TrackedActor, int] = {}  # to drop what was asked before
        self._events: deque[tuple[TrackedActor, int, Callable[[], None]]] = deque()
        self._ids = itertools.count()

    @property
    def num_live_actors(self) -> int:
        return len(self._live_actors_to_ray_actors_resources)

    num_total_actors = num_actor_tasks = num_live_actors
    num_pending_actors = 0

    def get_live_actors_resources(self) -> dict[str, float]:
        return {}

    def add_actor(
        self, cls: Any, resource_request: Any, kwargs: Any, **callbacks: Any
    ) -> TrackedActor:
        del cls, resource_request
        actor = TrackedActor(next(self._ids), **callbacks)
        self._live_actors_to_ray_actors_resources[actor] = (None, None)
        self._turns[actor] = 0
        self._begin(actor, kwargs["config"])
        self._soon(actor, lambda: actor._on_start(actor))
        return actor

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: Any = (),
        kwargs: Any = None,
        on_result: Any = None,
        on_error: Any = None,
        _return_future: bool = False,
    ) -> None:
        del kwargs, on_error, _return_future
        if method_name == "train":
            self._soon(tracked_actor, lambda: self._report(tracked_actor, on_result))
        elif method_name == "reset":
            self._begin(tracked_actor, args[0])
            self._soon(tracked_actor, lambda: on_result(tracked_actor, True))

    def remove_actor(
        self, tracked_actor: TrackedActor, kill: bool = False, stop_future: Any = None
    ) -> bool:
        del kill, stop_future
        if self._live_actors_to_ray_actors_resources.pop(tracked_actor, None) is None:
            return False
        if tracked_actor._on_stop is not None:
            self._soon(tracked_actor, lambda: tracked_actor._on_stop(tracked_actor))
        return True

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        self._turns[tracked_actor] += 1

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: TrackedActor) -> bool:
        del tracked_actor
        return False

    def next(self, timeout: float | None = None) -> bool:
        del timeout
        while self._events:
            actor, turn, event = self._events.popleft()
            if turn == self._turns[actor]:
                event()
                return True
        return False

    def cleanup(self) -> None:
        self._events.clear()

    def _soon(self, actor: TrackedActor, event: Callable[[], None]) -> None:
        self._events.append((actor, self._turns[actor], event))

    def _begin(self, actor: TrackedActor, config: dict[str, Any]) -> None:
        spec = TrialSpec.from_tune(config)
        self._reports[actor] = parts.invented_reports(
            parts.TrialConfig.from_dict(spec.config), spec.seed, SimulatedMembers.n_reports
        )

    def _report(self, actor: TrackedActor, on_result: Any) -> None:
        SimulatedMembers.n_results += 1
        result = next(self._reports[actor]).to_tune()
        # As `GanTrial.train` returns it.
        result |= {"time_total_s": 1.0, "training_iteration": 1, "node_ip": "node", "pid": 1}
        on_result(actor, result)


def time_search(n_trials: int, n_members: int, n_reports: int, sampler: str) -> None:
    """Search with simulated members; print what a tenth of the trials takes, and the report."""
    began = [time.perf_counter(), time.process_time(), 0.0]
    marks = [began]
    tenth = max(1, n_trials // 10)

    class MarkingRecorder(Recorder):
        n_ended = 0

        def on_trial_start(self, *args: Any, **kwargs: Any) -> None:
            if len(marks) == 1 and marks[0] is began:
                marks[0] = [time.perf_counter(), time.process_time(), 0.0]
            super().on_trial_start(*args, **kwargs)

        def end(self, *args: Any) -> None:
            super().end(*args)
            self.n_ended += 1
            if self.n_ended % tenth == 0:
                n = SimulatedMembers.n_results
                marks.append([time.perf_counter(), time.process_time(), n])
                _, cpu, results = np.subtract(marks[-1], marks[-2])
                print(
                    f"to trial {self.n_ended:7}  {results:8.0f} reports, {1000 * cpu / results:.3f}"
                    f" ms of the processor each with its part of a trial, "
                    f"{BUSY_AT_MOST * results / cpu:6.0f} reports/s at {BUSY_AT_MOST:.0%} of a "
                    f"core; {parts.own_memory():5.0f} MB",
                    flush=True,
                )

    SimulatedMembers.n_reports = n_reports
    tune_controller.RayActorManager = SimulatedMembers
    driver.Recorder = MarkingRecorder
    Share.at_a_time = lambda _self, _n: n_members  # type: ignore[method-assign]
    place = Path(tempfile.mkdtemp(prefix="gansearch-scale-"))
    folder = gansearch.search(
        "digits",
        results=place,
        settings=gansearch.Settings(max_concurrent=2, sampler=sampler),
        overrides=[
            *(f"budget.trials={n_trials}", f"budget.reports={n_reports}"),
            "budget.replicas=0",
        ],
        console=False,
    )
    path = getattr(folder, "path", folder)
    wall, cpu, results = np.subtract(marks[-1], marks[0])
    print(
        f"{n_trials:,} trials, {results:,.0f} reports, {n_members:,} members: {wall:.0f} s, "
        f"{cpu:.0f} of the processor; a member reports every "
        f"{n_members * cpu / results / BUSY_AT_MOST:.0f} s at {BUSY_AT_MOST:.0%} of a core"
    )
    print(path)


class Killed(BaseException):
    """Ends the driver at once: nothing that it holds in memory is written any more."""


# Where a kill may strike, before or after the call, and after how many calls at most.
_VICTIMS = (
    ((Recorder, "on_trial_result"), 60),
    ((Recorder, "end"), 6),
    ((RunFolder, "append_history"), 3),
    ((RunFolder, "write_trials"), 3),
    ((OptunaSearcher, "on_trial_complete"), 6),
    ((OptunaSearcher, "write_reports"), 10),
)


def count_losses(n_kills: int, n_trials: int, n_members: int, n_reports: int) -> None:
    """Kill and resume a search `n_kills` times; print what was lost, and what a resume takes."""
    place = Path(tempfile.mkdtemp(prefix="gansearch-kills-"))
    space = load_space("digits", [f"budget.reports={n_reports}", f"budget.trials={n_trials}"])
    folder = RunFolder.create(place, "killed")
    folder.write_run(parts.description_of(space, "killed"))
    rng = random.Random(0)
    received: set[tuple[str, int]] = set()
    recorder_module._PAUSE_SECONDS = (0.02, 0.05)  # so that many writes are hit
    seconds, n_done, notes = [], 0, []
    while True:
        blow = None
        if n_done < n_kills:
            victim, most = rng.choice(_VICTIMS)
            blow = _Blow(victim, rng.randint(1, most), rng.random() < 0.5)
        start = time.perf_counter()
        searcher, scheduler, recorder, found = _resumed(folder, space, n_trials)
        seconds.append(time.perf_counter() - start)
        notes += found
        with blow or nullcontext():
            try:
                for _ in parts.play(
                    searcher,
                    scheduler,
                    _Listening(recorder, received),
                    budget=space.budget,
                    n_open=n_members,
                ):
                    pass
                recorder.flush()
                break
            except Killed:
                n_done += 1
    lost, twice, wrong = _losses(folder, space, received, n_trials)
    print(
        f"{n_done} kills of {n_kills}, {n_trials:,} trials: {len(received):,} reports received, "
        f"{lost} lost, {twice} recorded twice, {wrong} trials with another end than their reports "
        f"say; a resume took {np.median(seconds):.2f} s "
        f"[{min(seconds):.2f}, {max(seconds):.2f}]"
    )
    for note in notes:
        print(f"rebuilt: {note}")


class _Blow:
    """Lets a call of a method end the driver, the n-th from now on."""

    def __init__(self, victim: tuple[Any, str], n: int, is_before: bool) -> None:
        (self._owner, self._name), self._n, self._is_before = victim, n, is_before

    def __enter__(self) -> None:
        self._original = original = getattr(self._owner, self._name)

        @functools.wraps(original)
        def struck(*args: Any, **kwargs: Any) -> Any:
            self._n -= 1
            if self._n == 0 and self._is_before:
                raise Killed
            found = original(*args, **kwargs)
            if self._n == 0:
                raise Killed
            return found

        setattr(self._owner, self._name, struck)

    def __exit__(self, *_: object) -> None:
        setattr(self._owner, self._name, self._original)


class _Listening:
    """Passes on what a recorder is told, and notes the reports that it had recorded."""

    def __init__(self, recorder: Recorder, received: set[tuple[str, int]]) -> None:
        self.on_trial_start, self.on_trial_complete = (
            recorder.on_trial_start,
            recorder.on_trial_complete,
        )
        self._recorder, self._received = recorder, received

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any) -> None:
        self._recorder.on_trial_result(iteration, trials, trial, result)
        step = StepResult.from_tune(result)
        self._received.add((TrialSpec.from_tune(trial.config).trial_id, step.updates))


def _resumed(folder: RunFolder, space: SearchSpace, n_trials: int) -> tuple[Any, ...]:
    """Return searcher, scheduler and recorder as a resume makes them, and what was repaired."""
    repairs = repair_run(folder)
    progress = Progress(
        Console(quiet=True), budget=space.budget, n_replicas=0, time_budget_seconds=None, quiet=True
    )
    recorder = Recorder(folder, progress)
    rows = list(recorder.rows.values())
    interrupted = recorder.reopen("search")
    scheduler = GuardedScheduler(space.budget, halving=True)
    sound = {row["trial_id"] for row in rows if row["status"] not in UNSOUND}
    history = folder.history(["trial_id", "updates", "valid_ll"])
    scheduler.replay(row for row in history.itertuples(index=False) if row[0] in sound)
    sampler = make_sampler("random", len(rows))
    study, rebuilt = open_or_rebuild_study(folder, space, sampler, rows, faults=[])
    tell_known_ends(study, rows)
    phases._close_orphans(study, {row["number"] for row in interrupted})
    searcher = OptunaSearcher(
        space,
        study,
        seed=0,
        n_new=n_trials - len(rows),
        outcomes=scheduler.outcomes,
        interrupted=[spec_of_row(row, space.table) for row in interrupted],
        rows=rows,
    )
    recorder.outcomes = scheduler.outcomes
    recorder.before_history = searcher.write_reports
    return searcher, scheduler, recorder, [*repairs, *rebuilt]


def _losses(
    folder: RunFolder, space: SearchSpace, received: set[tuple[str, int]], n_trials: int
) -> tuple[int, int, int]:
    """Return how many reports were lost and recorded twice, and how many trials ended wrongly."""
    history, trials = folder.history(), folder.trials()
    raw = folder._history._read_parts(["trial_id", "updates"])[0].to_pandas()
    recorded = set(zip(history["trial_id"], history["updates"], strict=True))
    wrong = n_trials - len(trials)
    by_trial = dict(list(history.groupby("trial_id")))
    for row in trials.to_dict("records"):
        config = parts.TrialConfig.from_dict(spec_of_row(row, space.table).config)
        n_reports = len(space.budget.report_updates())
        reports = parts.invented_reports(config, row["seed"], n_reports, space.budget.max_updates)
        expected = [
            (step.updates, step.valid_ll) for step in reports if step.updates <= row["updates"]
        ]
        found = by_trial[row["trial_id"]]
        same = expected == list(zip(found["updates"], found["valid_ll"], strict=True))
        wrong += row["status"] == "running" or not same
    return len(received - recorded), len(raw) - len(raw.drop_duplicates()), wrong


def time_calls(n_members: int, n_events: int = 4000) -> None:
    """Print what a result takes of Ray and of Tune's actor manager, with so many awaited."""

    @ray.remote(num_cpus=0, max_concurrency=20_000)
    class Members:
        async def train(self, seconds: float) -> dict[str, Any]:
            await asyncio.sleep(seconds)
            return {"step": None, "done": False}

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    rng = random.Random(0)
    pace = n_members / 300  # seconds between two reports of a member: 300 reports/s
    for name, lean in (("as Tune does", nullcontext), ("as gansearch does", lean_tune)) * 2:
        with lean():
            manager = RayActorManager(FixedResourceManager({"CPU": 1}))
            started: list[Any] = []
            actor = manager.add_actor(
                Members, {}, ResourceRequest([{"CPU": 0.001}]), on_start=started.append
            )
            while not started:
                manager.next(timeout=1)

            def train(
                actor: TrackedActor,
                _result: Any = None,
                manager: RayActorManager = manager,
            ) -> None:
                manager.schedule_actor_task(
                    actor, "train", (rng.uniform(0, 2 * pace),), on_result=train
                )

            for _ in range(n_members):
                train(actor)
            for _ in range(200):
                manager.next(timeout=1)
            start, cpu, n_done = time.perf_counter(), time.process_time(), 0
            while n_done < n_events and time.perf_counter() - start < 20:
                n_done += manager.next(timeout=1)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            print(
                f"{name}: {n_done / wall:.0f} results/s of {n_members:,} awaited, "
                f"{1000 * cpu / n_done:.2f} ms of the processor each",
                flush=True,
            )
            manager.remove_actor(actor, kill=True)
            manager.next(timeout=1)
            manager.cleanup()
    ray.shutdown()


if __name__ == "__main__":
    main()
