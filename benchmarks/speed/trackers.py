"""What trackers cost the driver of a search, and the machine beside it.

    WANDB_MODE=offline python benchmarks/speed/trackers.py tensorboard mlflow wandb

The recorder is given the reports of trials at an even pace, without Ray, in turns with each tracker
and without any. Shares are processor time of one core by the time of a turn: of the driver, above
that without trackers, and of the tracker's process. What a tracker takes once, at its start and in
the seconds in which the end of a run waits for it, is told apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.report.progress import Progress
from gansearch.runs.folder import RunFolder
from gansearch.tracking.exporter import open_exporter
from gansearch.tune.recorder import Recorder
from gansearch.tune.rows import Outcome
from tests.written_runs import described, spec, step

N_REPORTS = 20  # of a trial
SETTLING_SECONDS = 20.0  # in which a tracker starts, before what is measured


class Played:
    """What the recorder asks of a Tune trial."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"ray-{number}"
        self.config = spec(number, TrialConfig()).to_tune()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trackers", nargs="+", help="names, as --track takes them")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a turn")
    parser.add_argument("--rate", type=float, default=20.0, help="reports a second")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    for tracker in arguments.trackers:
        differences, children, once = [], [], []
        for _ in range(arguments.turns):
            without, _, _ = turn((), arguments.seconds, arguments.rate)
            found, child, outside = turn((tracker,), arguments.seconds, arguments.rate)
            differences.append(found - without)
            children.append(child)
            once.append(outside)
        print(
            f"{tracker}: the driver {statistics.median(differences):.2%} more, the tracker's "
            f"process {statistics.median(children):.2%} of a core; once "
            f"{statistics.median(once):.1f} s of it"
        )


def turn(names: tuple[str, ...], seconds: float, rate: float) -> tuple[float, float, float]:
    """Return the shares of driver and children in a turn, and the children's other seconds."""
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(Path(place), "played")
        folder.write_run(described())
        exporter = open_exporter(folder, described(), names, tell=print)
        progress = Progress(
            Console(quiet=True), budget=Budget(), n_replicas=0, time_budget_seconds=None, quiet=True
        )
        recorder = Recorder(folder, progress, exporter=exporter)
        recorder.outcomes = outcomes = {}
        n = play(recorder, outcomes, 0, SETTLING_SECONDS if names else 0.0, rate)
        at_first, own = children_seconds(), time.process_time()
        started = time.monotonic()
        play(recorder, outcomes, n, seconds, rate)
        wall = time.monotonic() - started
        own, between = time.process_time() - own, children_seconds() - at_first
        last = children_seconds()
        if exporter is not None:
            exporter.close()
            last = max(last, children_seconds())
    return own / wall, between / wall, last - between


def play(recorder: Recorder, outcomes: dict, first: int, seconds: float, rate: float) -> int:
    """Let trials report for some seconds; return the number of the next trial."""
    number, began, n = first, time.monotonic(), 0
    while time.monotonic() - began < seconds:
        trial = Played(number)
        recorder.on_trial_start(0, [], trial)
        for i in range(1, N_REPORTS + 1):
            result = {"time_total_s": 1.0, "node_ip": ""}
            recorder.on_trial_result(0, [], trial, step(100 * i, 1.0).to_tune() | result)
            n += 1
            time.sleep(max(0.0, began + n / rate - time.monotonic()))
        outcomes[trial.trial_id] = Outcome("completed")
        recorder.on_trial_complete(0, [], trial)
        number += 1
    return number


def children_seconds() -> float:
    """Return the processor time of all processes that this one has started and that live."""
    total = 0.0
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
