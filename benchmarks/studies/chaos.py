"""Kill processes of searches at random, and check that no result is lost.

    python benchmarks/studies/chaos.py                           # 48 kills, about half an hour
    python benchmarks/studies/chaos.py --stages alone --kills 4  # a short one

Searches of `digits` run in three ways, and each has its processes killed (SIGKILL) one after
another: with one process per trial (`alone`), in groups in an engine as on a GPU (`packed`), and on
a cluster of three nodes on this machine (`cluster`). Victims are the driver, a trial's worker, the
engine, the raylet, or a whole node; the moment is training, or the one in which a report, a
checkpoint or a compacted history is being written, in the search and among the replicas. Where the
driver dies, the run is resumed. Meanwhile another process reads every Parquet file over and over.

When a run has ended it must have all trials, each once, and all that the reader has ever seen; its
completed trials, trained here once more from their configuration and seed without a disturbance,
must give its numbers to the bit. It prints what was lost, and exits with code 1 if anything was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from gansearch.budget import Budget
from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.runs.folder import RunFolder

TARGETS = {
    "alone": ("driver", "worker", "raylet"),
    "packed": ("driver", "engine", "raylet"),
    "cluster": ("driver", "worker", "node"),
}
MOMENTS = ("training", "report", "checkpoint", "compaction")
# As Ray names the processes that train.
_TITLES = {"worker": "Trainable", "engine": "EngineProcess"}
_LOSSES_A_SESSION = 2  # a trial is tried again as often before it counts as failed
_COMPACT_AT = 4  # parts of the history, so that compaction is seen
# Networks of which enough stay healthy for these few updates.
_SMALL = [
    *("--set", "generator_widths=[64]", "--set", "discriminator_widths=[64]"),
    *("--set", "grace=0.5", "--set", "reports=12"),
]
_MOMENT_TIMEOUT_SECONDS = 15.0
_SESSION_TIMEOUT_SECONDS = 300.0
_ORPHANS_TIMEOUT_SECONDS = 90.0  # Ray's own agents take a minute to see that they are alone


class LostError(Exception):
    """A result that a search must preserve is lost."""


@dataclass
class Counts:
    """What happened to the runs, and what was found when they had ended."""

    kills: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        """Record a loss unless a condition holds."""
        if not holds:
            self.lost.append(what)


@dataclass(frozen=True)
class Size:
    """How long a search is: trials, updates of each, replicas of the best and of the paper's."""

    trials: int
    updates: int
    replicas: int


@dataclass
class Stage:
    """One way to run a search, and who is killed there.

    Attributes:
        name: one of `TARGETS`.
        address: of the cluster to join; None for a Ray of the run's own.
        sessions: ids of the sessions in which the run's processes are, beside the driver's.
        kill_node: lets a node of the cluster vanish and another come.
    """

    name: str
    address: str | None = None
    sessions: tuple[int, ...] = ()
    kill_node: Callable[[], None] | None = None

    @property
    def flags(self) -> list[str]:
        flags = ["--group-trials", "on" if self.name == "packed" else "off"]
        return flags + (["--address", self.address] if self.address else [])


class Plan:
    """What is killed next, and when: all targets and all moments in turns, each time shuffled."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"{seed} {stage.name}")
        self._targets = self._turns(TARGETS[stage.name])
        self._moments = self._turns(MOMENTS)

    def target(self) -> str:
        return next(self._targets)

    def moment(self) -> str:
        return next(self._moments)

    def _turns(self, names: Sequence[str]) -> Iterator[str]:
        while True:
            yield from self.chance.sample(names, len(names))


class Run:
    """One search, from its start to its end through all kills."""

    def __init__(
        self, stage: Stage, size: Size, results: Path, name: str, plan: Plan, counts: Counts
    ) -> None:
        self.stage, self.size, self.plan, self.counts = stage, size, plan, counts
        self.folder = RunFolder(results / name)
        self.log = results / f"{name}.log"
        self._results, self._name = results, name
        self._sessions: set[int] = set()

    def live(self, n_kills: int) -> int:
        """Run the search to its end with at most `n_kills` kills on the way; return how many."""
        left = n_kills
        command = self._first_command()
        while True:
            process = self._start(command)
            left, is_stopped = self._session(process, left)
            code = process.wait(_SESSION_TIMEOUT_SECONDS)
            self._sessions.add(process.pid)
            if code == 0 or self._has_failed():
                self._await_no_process()
                return n_kills - left
            if not is_stopped:
                told = self.log.read_text()[-2000:]
                raise LostError(f"{self._name}: ended with {code} without being stopped:\n{told}")
            command = ["resume", str(self.folder.path)]
            if not (self.folder.path / "run.json").exists():
                command = self._first_command()

    def _has_failed(self) -> bool:
        """Whether the search has ended without a replica that lives, which is no loss."""
        is_begun = (self.folder.path / "run.json").exists()
        return is_begun and self.folder.read_run().state == "failed"

    def _first_command(self) -> list[str]:
        size = self.size
        budget = ["--trials", size.trials, "--max-updates", size.updates, "--top", 1, *_SMALL]
        place = ["--results", self._results, "--name", self._name, "--max-concurrent", 2]
        flags = [*budget, "--replicas", size.replicas, *place, "--seed", self.plan.seed]
        flags += self.stage.flags
        return ["run", "--space", "digits", *map(str, flags)]

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, __file__, "--drive", *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _session(self, process: subprocess.Popen[bytes], left: int) -> tuple[int, bool]:
        """Kill until the driver ends; return the kills left and whether it was made to end."""
        n_losses, watch = 0, Watch(self.folder.path, process)
        while left and watch.until_training(_SESSION_TIMEOUT_SECONDS):
            target = self.plan.target() if n_losses < _LOSSES_A_SESSION else "driver"
            met = watch.until(self.plan.moment(), self.plan.chance.uniform(0.0, 3.0))
            if process.poll() is not None:
                break
            if not self._kill(target, process):
                continue
            left -= 1
            where = "replicas" if watch.is_replicating() else "search"
            self.counts.kills[target, where, met] += 1
            if target in ("driver", "raylet"):
                return left, True
            n_losses += 1
            watch.forget()
        return left, False

    def _kill(self, target: str, process: subprocess.Popen[bytes]) -> bool:
        """Kill a process of a kind; return whether there was one."""
        if target == "node":
            assert self.stage.kill_node is not None
            self.stage.kill_node()
            return True
        if target == "driver":
            self._of_run(process)
            victims = [process.pid]
        else:
            sessions = {*self._of_run(process), *self.stage.sessions}
            victims = [pid for pid, title in processes(sessions) if is_a(target, title)]
        if not victims:
            return False
        try:
            os.kill(self.plan.chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _of_run(self, process: subprocess.Popen[bytes]) -> set[int]:
        """Return the sessions of a run's processes: each of its Ray's has one of its own."""
        found = sessions_of(process.pid)
        self._sessions |= found
        return found

    def _await_no_process(self) -> None:
        end = time.monotonic() + _ORPHANS_TIMEOUT_SECONDS
        while left := processes(self._sessions):
            if time.monotonic() > end:
                self.counts.lost.append(f"{self._name}: processes live on: {left}")
                return
            time.sleep(0.1)


class Watch:
    """Sees from a run's files when something is being written."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder, self._process = folder, process
        self.forget()

    def until_training(self, seconds: float) -> bool:
        """Wait for a new report; return False where the driver ends before it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            if not self._parts() <= self._seen:
                self.forget()
                return True
            time.sleep(0.02)
        return False

    def until(self, moment: str, delay: float) -> str:
        """Wait for a moment, or for `delay` seconds of training; return what came."""
        if moment == "training":
            time.sleep(delay)
            return moment
        end = time.monotonic() + _MOMENT_TIMEOUT_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._is(moment):
                return moment
        return "training"

    def forget(self) -> None:
        """Let only what is written from now on count as new."""
        self._seen = self._parts()

    def is_replicating(self) -> bool:
        try:
            return bool(
                json.loads((self._folder / "run.json").read_bytes())["state"] != "searching"
            )
        except FileNotFoundError:
            return False

    def _is(self, moment: str) -> bool:
        kept = "checkpoints" if moment == "checkpoint" else "history"
        names = _names(self._folder / kept)
        if not any(name.endswith(".tmp") for name in names):
            return False
        return moment != "compaction" or len(names) > _COMPACT_AT

    def _parts(self) -> set[str]:
        return {name for name in _names(self._folder / "history") if name.startswith("part-")}


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # the fastest there is
    except FileNotFoundError:
        return []


def sessions_of(pid: int) -> set[int]:
    """Return the sessions of a process and of all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {os.getsid(pid)}.union(*(sessions_of(int(child)) for child in children))
    except (FileNotFoundError, ProcessLookupError):
        return set()


def processes(sessions: set[int]) -> list[tuple[int, str]]:
    """Return the living processes of sessions, by id, and what they call themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) in sessions and fields[0] not in "ZX":
            found.append((int(entry.name), title.strip()))
    return found


def is_a(target: str, title: str) -> bool:
    """Return whether a process that calls itself `title` is of a kind."""
    if target == "raylet":
        return title.split(" ")[0].endswith("/raylet")
    return title.startswith("ray::") and _TITLES[target] in title


class Reader:
    """Another process that reads all Parquet files of a run over and over, without gansearch."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--read", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> dict[str, Any]:
        """Stop reading; return what was seen."""
        out, _ = self._process.communicate()
        seen: dict[str, Any] = json.loads(out)
        return seen


def read_over_and_over(folder: Path) -> dict[str, Any]:
    """Read until the standard input is closed; return all that was ever seen."""
    os.nice(5)
    n_reads, unreadable = 0, []
    reports: dict[tuple[str, int], float] = {}
    ends: dict[str, str] = {}
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        for path in folder.rglob("[!._]*.parquet"):
            try:
                table = pq.ParquetFile(path).read()
            except FileNotFoundError:
                continue  # compacted
            except (OSError, pa.ArrowException) as error:
                unreadable.append(f"{path.name}: {error}")
                continue
            n_reads += 1
            if path.parent.name == "history":
                columns = (table[name].to_pylist() for name in ("trial_id", "updates", "valid_ll"))
                for trial_id, updates, valid_ll in zip(*columns, strict=True):
                    reports.setdefault((trial_id, updates), valid_ll)
            elif path.name == "trials.parquet":
                columns = (table[name].to_pylist() for name in ("trial_id", "status"))
                for trial_id, status in zip(*columns, strict=True):
                    if status != "running":
                        ends.setdefault(trial_id, status)
    return {
        "n_reads": n_reads,
        "unreadable": unreadable,
        "reports": [[*key, value] for key, value in reports.items()],
        "ends": ends,
    }


def check(run: Run, seen: dict[str, Any], counts: Counts) -> None:
    """Check a run's files against what a run must preserve."""
    name, folder, size = run.folder.path.name, run.folder, run.size
    counts.expect("Traceback" not in run.log.read_text(), f"{name}: a traceback was printed")
    counts.found["reads by another process"] += seen["n_reads"]
    for what in seen["unreadable"]:
        counts.lost.append(f"{name}: unreadable for a moment: {what}")
    trials = folder.trials()
    search = trials[trials["phase"] == "search"]
    counts.found["trials of searches"] += len(search)
    counts.expect(len(search) == size.trials, f"{name}: {len(search)} trials of {size.trials}")
    counts.expect(trials["trial_id"].is_unique, f"{name}: a trial is there twice")
    counts.expect(search["config_id"].is_unique, f"{name}: a configuration was tried twice")
    bad = trials[trials["status"].isin(["running", "failed"])]
    counts.expect(bad.empty, f"{name}: {bad[['trial_id', 'status', 'reason']].to_dict('records')}")
    replicas = trials[trials["phase"] == "replica"]
    counts.found["replicas"] += len(replicas)
    expected = {f"r-{config}-{i}" for config in _finalists(folder) for i in range(size.replicas)}
    counts.expect(set(replicas["trial_id"]) == expected, f"{name}: other replicas than promised")

    raw = pd.concat(pd.read_parquet(path) for path in (folder.path / "history").glob("part-*"))
    counts.found["reports"] += len(raw)
    twice = raw[raw.duplicated(["trial_id", "updates"])]
    counts.expect(twice.empty, f"{name}: {len(twice)} reports are there twice")
    kept = {(t, u): v for t, u, v in zip(raw.trial_id, raw.updates, raw.valid_ll, strict=True)}
    for trial_id, updates, valid_ll in seen["reports"]:
        found = kept.get((trial_id, updates))
        counts.found["reports seen on the way, and there at the end"] += found == valid_ll
        counts.expect(found == valid_ll, f"{name}: {trial_id} at {updates}: {valid_ll} -> {found}")
    final = dict(zip(trials["trial_id"], trials["status"], strict=True))
    for trial_id, status in seen["ends"].items():
        end = final.get(trial_id)
        counts.expect(end == status, f"{name}: {trial_id} had {status}, has {end}")
    is_ranked = not folder.ranking().empty or folder.read_run().state == "failed"
    counts.expect(is_ranked, f"{name}: there is no ranking")


def _finalists(folder: RunFolder) -> set[str]:
    trials = folder.trials().query("phase == 'search' and status == 'completed'")
    best = trials.sort_values("valid_ll", ascending=False, kind="stable")["config_id"][:1]
    return {*best, folder.read_run().paper_config_id}


def check_numbers(run: Run, counts: Counts) -> None:
    """Train completed trials again, undisturbed, and compare every evaluation to the bit."""
    trials, history = run.folder.trials(), run.folder.history()
    ended = trials[trials["status"] == "completed"]
    rows = ended.to_dict("records")
    budget = run.folder.read_run().budget
    n_slots = 2 if run.stage.name == "packed" else 0
    again = partial(train_again, budget=budget, n_slots=n_slots)
    with ProcessPoolExecutor(2) as pool:
        for row, (told, test_ll) in zip(rows, pool.map(again, rows), strict=True):
            own = history[history["trial_id"] == row["trial_id"]].sort_values("updates")
            same = told == list(zip(own["updates"], own["valid_ll"], strict=True))
            same &= test_ll is None or test_ll == row["test_ll"]
            counts.found["trials trained again, equal to the bit"] += same
            counts.expect(same, f"{run.folder.path.name}: {row['trial_id']}: other numbers")


def train_again(
    row: dict[str, Any], budget: Budget, n_slots: int
) -> tuple[list[tuple[int, float]], float | None]:
    """Return the (updates, valid_ll) of a trial trained without a disturbance, and its test_ll."""
    from gansearch.data.registry import load_dataset
    from gansearch.trial.plan import TrialPlan
    from gansearch.trial.process import TrialProcess
    from gansearch.trial.runner import TrialRunner
    from gansearch.tune.rows import spec_of_row

    with tempfile.TemporaryDirectory() as scratch:
        plan = TrialPlan(Path(scratch), {}, budget, n_slots=n_slots)
        process = TrialProcess.prepare(load_dataset("digits"), plan)
        runner = TrialRunner(spec_of_row(row, load_family(DEFAULT_FAMILY).config_type), process)
        told: list[tuple[int, float]] = []
        while True:
            result = runner.step()
            if result.valid_ll is not None:
                told.append((result.updates, result.valid_ll))
            if result.done:
                return told, (result.final or {}).get("test_ll")


class ThreeNodes:
    """A Ray cluster of a head without cores and two nodes with one each, in another process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--cluster"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.session = self._process.pid
        self.address = self._answer()

    def kill_node(self) -> None:
        """Let a node vanish with all its processes; another comes."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        self._answer()

    def end(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("chaos: "):
                return line.removeprefix("chaos: ").strip()
        raise LostError("the cluster has died")


def serve_cluster() -> None:
    """Start a cluster, and let a node vanish for each line of the standard input."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 200 * 2**20}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, **memory) for _ in range(2)]
    print(f"chaos: {cluster.address}", flush=True)
    for line in sys.stdin:
        if line.strip() != "kill":
            break
        cluster.remove_node(nodes.pop(0), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, **memory))
        print("chaos: killed", flush=True)
    cluster.shutdown()


def drive(arguments: list[str]) -> None:
    """Be gansearch, with the history compacted often enough to be caught at it."""
    from gansearch.cli import main
    from gansearch.tune import recorder

    recorder._COMPACT_AT = _COMPACT_AT
    sys.argv = ["gansearch", *arguments]
    main()


def stages(names: list[str]) -> Iterator[Stage]:
    """Yield the stages, the cluster's while there is one."""
    for name in names:
        if name != "cluster":
            yield Stage(name)
            continue
        cluster = ThreeNodes()
        try:
            yield Stage(name, cluster.address, (cluster.session,), cluster.kill_node)
        finally:
            cluster.end()


def show(counts: Counts, console: Console) -> None:
    """Print what was killed when, what was found, and what was lost."""
    table = Table(title="kills")
    for heading in ("killed", "during", *MOMENTS):
        table.add_column(heading, justify="right" if heading in MOMENTS else "left")
    for target in dict.fromkeys(t for targets in TARGETS.values() for t in targets):
        for where in ("search", "replicas"):
            row = [counts.kills[target, where, moment] for moment in MOMENTS]
            if any(row):
                table.add_row(target, where, *(str(n) if n else "" for n in row))
    console.print(table)
    console.print(f"{counts.kills.total():>8,} kills")
    for what, n in counts.found.items():
        console.print(f"{n:>8,} {what}")
    console.print(f"{len(counts.lost):>8,} lost")
    for what in counts.lost:
        console.print(what, markup=False)


def main() -> None:
    """Run the stages and print what was killed and what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--kills", type=int, default=16, help="kills in each stage")
    parser.add_argument("--trials", type=int, default=6, help="trials of each search")
    parser.add_argument("--updates", type=int, default=4000, help="updates of each training")
    parser.add_argument("--replicas", type=int, default=2, help="replicas of each configuration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--results", type=Path, help="folder to store the runs in; by default they are deleted"
    )
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cluster", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read_over_and_over(arguments.read)))
        return
    if arguments.cluster:
        serve_cluster()
        return
    console, counts = Console(), Counts()
    with tempfile.TemporaryDirectory() as scratch:
        results = (arguments.results or Path(scratch)).resolve()
        results.mkdir(parents=True, exist_ok=True)
        for stage in stages(arguments.stages):
            _run_stage(stage, results, arguments, counts, console)
    show(counts, console)
    sys.exit(bool(counts.lost))


def _run_stage(
    stage: Stage, results: Path, arguments: argparse.Namespace, counts: Counts, console: Console
) -> None:
    size = Size(arguments.trials, arguments.updates, arguments.replicas)
    plan, left, n_runs = Plan(stage, arguments.seed), arguments.kills, 0
    while left:
        run = Run(stage, size, results, f"{stage.name}-{n_runs}", plan, counts)
        reader = Reader(run.folder.path)
        started, n_before = time.monotonic(), left
        try:
            left -= run.live(left)
        finally:
            seen = reader.end()
        n_runs += 1
        check(run, seen, counts)
        check_numbers(run, counts)
        took, lost = time.monotonic() - started, len(counts.lost)
        name = run.folder.path.name
        console.print(f"{name}: {n_before - left} kills in {took:.0f} s; {lost} lost so far")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2:])
    else:
        main()
