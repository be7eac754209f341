"""What checkpoints cost, and what the loss of a worker costs at most: the updates since the last.

A trial trains as in a search, its checkpoints written to a folder of the disk to measure.

    python benchmarks/speed/checkpoints.py  # digits, and the paper's MNIST width
    python benchmarks/speed/checkpoints.py --seconds 300 --folder /shared/storage
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.runs.folder import RunFolder
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

CASES = (
    ("digits", {"generator_widths": (128, 128), "discriminator_widths": (128, 128)}),
    ("mnist", {}),  # the paper's
)


class TimedRunner(TrialRunner):
    """A trial that notes when it saved its state, what it had trained, and how long it took."""

    def __init__(self, *args):
        self.saves = []
        super().__init__(*args)

    def _save(self):
        start = time.monotonic()
        super()._save()
        self.saves.append((start, time.monotonic() - start, self._training.updates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=120, help="seconds of training, for each case"
    )
    parser.add_argument("--folder", type=Path, help="folder on the storage to measure")
    options = parser.parse_args()
    print("| data set | state, MiB | write, ms | every, s | every, updates | cost, % |")
    print("|---|---|---|---|---|---|")
    for name, widths in CASES:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(row(name, TrialConfig(**widths), Path(folder), options.seconds), flush=True)


def row(name: str, config: TrialConfig, folder: Path, seconds: float) -> str:
    """Train for `seconds`; return a line of the table."""
    run = RunFolder.create(folder, "run")
    # Far more updates than are done here, and no evaluation between that would stop a trial.
    plan = TrialPlan(run.path, {}, Budget(max_updates=10**7, reports=2))
    process = TrialProcess.prepare(load_dataset(name), plan)
    spec = TrialSpec("t00000", 0, "search", seed=0, config=config.to_dict())
    runner = TimedRunner(spec, process)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        runner.step()
    if len(runner.saves) < 2:
        return f"| {name} | needs more than {seconds:g} s |"
    # From the first save to the last: a whole number of intervals, each with its write.
    starts, took, updates = (np.array(column) for column in zip(*runner.saves, strict=True))
    cost = took[:-1].sum() / (starts[-1] - starts[0])
    n_bytes = run.checkpoint_path("t00000").stat().st_size
    every = np.diff(starts).mean(), np.diff(updates).mean()
    return (
        f"| {name} | {n_bytes / 2**20:.1f} | {1000 * np.median(took):.0f} | {every[0]:.1f} | "
        f"{every[1]:,.0f} | {100 * cost:.2f} |"
    )


if __name__ == "__main__":
    main()
