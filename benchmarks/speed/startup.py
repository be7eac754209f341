"""What a command waits for before it does anything: processes of their own, in turns.

    python benchmarks/speed/startup.py  # medians of five turns, of three for a search

A search is one of `digits`, of two short trials. Its first trial began to train when it was first
evaluated, less the seconds of training before that; evaluating is counted as waiting.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import gansearch

GANSEARCH = ("-m", "gansearch")
# What Python and the packages that any help text needs take by themselves.
BARE = ("-c", "import click, rich.console")
SEARCH = (
    *("run", "--space", "digits", "--trials", "2", "--max-updates", "600", "--quiet"),
    *("--set", "budget.reports=2", "--top", "1", "--replicas", "1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--searches", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        waits = [seconds_to_first_training(Path(place), i) for i in range(arguments.searches)]
        report = (*GANSEARCH, "report", str(Path(place) / "start-0"))
        commands = {
            "Python, click and rich": (BARE, None),
            "gansearch --help": ((*GANSEARCH, "--help"), 0.3),
            "gansearch spaces": ((*GANSEARCH, "spaces"), None),
            "gansearch report": (report, 1.5),
        }
        for command, _ in commands.values():
            times_of(command)  # files are read for the first time
        turns = [[times_of(c) for c, _ in commands.values()] for _ in range(arguments.turns)]
    print(f"medians of {arguments.turns} turns, in brackets the least and the greatest; seconds")
    for i, (name, (_, goal)) in enumerate(commands.items()):
        wall, processor = np.array([turn[i] for turn in turns]).T
        print(
            f"{name:24} {spread(wall)}, {spread(processor)} of processor"
            + (f"   (goal: below {goal} s)" if goal else "")
        )
    print(f"gansearch run, until its first trial trains: {spread(waits)}   (goal: within 20 s)")


def times_of(command: tuple[str, ...]) -> tuple[float, float]:
    """Run Python with arguments; return the seconds it took, and those of the processor."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    assert status == 0, f"{command} failed"
    return seconds, usage.ru_utime + usage.ru_stime


def seconds_to_first_training(place: Path, number: int) -> float:
    """Make a small search, and return how long it took until its first trial trained."""
    name = f"start-{number}"
    start = pd.Timestamp.now(tz="UTC")
    times_of((*GANSEARCH, *SEARCH, "--results", str(place), "--name", name))
    history = gansearch.load(place / name).history()
    began = history["reported_at"] - pd.to_timedelta(history["seconds"], "s")
    return float((began.min() - start).total_seconds())


def spread(values: list[float] | np.ndarray) -> str:
    return f"{np.median(values):.2f} [{np.min(values):.2f}, {np.max(values):.2f}]"


if __name__ == "__main__":
    main()
