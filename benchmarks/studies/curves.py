"""Learning curves of every configuration of small spaces, for searches that are replayed.

    python benchmarks/studies/curves.py --table digits --processes 2      # hours in all
    python benchmarks/studies/curves.py --table digits --cells 3 17 --seeds 1 2 3 4

A *table* is a built-in space whose every parameter takes a few values, so that all of its
configurations, its *cells*, can be trained once. A search that draws cells is then replayed from
the curves in seconds, and exactly: each is a complete trial as gansearch trains it, guarded against
collapse and never stopped for its score. Seed 0 of a cell is the trial of a search; others are
replicas, with their test log-likelihood. Curves that are already in the data are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.counting import configurations
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import write_atomically
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

DATA = Path(__file__).parent / "data"
_WRITTEN_AFTER = 10  # runs
_MEASURES = ("d_loss", "g_loss", "d_real", "d_fake", "coverage", "recall", "nn_ratio")
# In place of everything that the space searches: what it no longer searches is fixed.
_POINTS = {
    "k": [1, 3],
    "optimizer": "adam",
    "generator_lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "discriminator_lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "adam_beta1": [0.0, 0.5, 0.9],
    "generator_ema": [0.0, 0.99],
    "noise": "normal",
    "noise_dim": [2, 32],
    "generator_widths": [[128, 128]],
    "generator_activation": "relu",
    "discriminator_widths": [[128, 128]],
    "discriminator_activation": "leaky_relu",
    "dropout_hidden": 0.0,
}
TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "digits": (
        {
            "k": [1, 2],
            "generator_lr": [0.01, 0.03, 0.1, 0.3],
            "discriminator_lr": [0.03, 0.1, 0.3, 1.0],
            "generator_ema": [0.0, 0.999],
            "noise_dim": [32],
            "generator_widths": [[128, 128]],
            "generator_activation": "leaky_relu",
            "discriminator_widths": [[128, 128]],
            "discriminator_activation": ["maxout", "leaky_relu"],
            "maxout_pieces": [3],
            "dropout_input": [0.1],
            "dropout_hidden": [0.0, 0.3, 0.5],
            "init": "glorot",
        },
        {"max_updates": 5000, "reports": 10, "grace": 0.2},
    ),
    "ring": (_POINTS, {"max_updates": 8000, "reports": 16, "grace": 0.15}),
    "grid": (_POINTS, {"max_updates": 12000, "reports": 16, "grace": 0.25}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=TABLES, required=True)
    parser.add_argument("--cells", type=int, nargs="+", help="numbers of cells (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    table = Table(arguments.table)
    cells = range(len(table.configs)) if arguments.cells is None else arguments.cells
    table.train(
        [(cell, seed) for seed in arguments.seeds for cell in cells],
        n_processes=arguments.processes,
        data=arguments.data,
    )


@dataclass(frozen=True)
class Table:
    """The configurations of a table, and where their curves are kept."""

    name: str

    @cached_property
    def space(self) -> SearchSpace:
        """The built-in space, with the values of the table in place of its ranges."""
        values, budget = TABLES[self.name]
        overrides = [f"{name}={_entry(value)}" for name, value in values.items()]
        overrides += [f"{name}={value}" for name, value in budget.items()]
        return load_space(self.name, (*overrides, "start_from=[]"))

    @property
    def budget(self) -> Budget:
        """Of a complete trial."""
        return self.space.budget

    @cached_property
    def configs(self) -> list[Config]:
        """All configurations; a cell is the index of one."""
        return list(configurations(self.space))

    def paths(self, data: Path) -> tuple[Path, Path]:
        """Return the paths of the runs and of their reports."""
        return data / f"curves-{self.name}-runs.parquet", data / f"curves-{self.name}.parquet"

    def train(self, wanted: Iterable[tuple[int, int]], *, n_processes: int, data: Path) -> None:
        """Train the cells with the seeds that are missing, in a random order, and store them."""
        runs_path, reports_path = self.paths(data)
        runs = pd.read_parquet(runs_path).to_dict("records") if runs_path.exists() else []
        reports = [pd.read_parquet(reports_path)] if reports_path.exists() else []
        done = {(row["cell"], row["seed"]) for row in runs}
        # In any order: the first curves of a table are then a sample of all.
        missing = sorted(set(wanted) - done, key=lambda key: trial_seed(key[1], "order", key[0]))
        with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(train_cell, self.name, *key) for key in missing]
            for i, future in enumerate(as_completed(futures), 1):
                row, of_run = future.result()
                runs.append(row)
                reports.append(pd.DataFrame(of_run))
                if i % _WRITTEN_AFTER == 0 or i == len(futures):
                    key = ["cell", "seed"]
                    _write(runs_path, pd.DataFrame(runs).sort_values(key))
                    _write(reports_path, pd.concat(reports).sort_values([*key, "updates"]))
                    print(f"{i}/{len(futures)} {self.name} {row}", flush=True)


def train_cell(table: str, cell: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a cell to its end or to the guard's verdict; return its row and its reports."""
    made = _table(table)
    config = made.configs[cell]
    spec = TrialSpec(
        trial_id=f"c{cell}-{seed}",
        number=cell,
        phase="replica" if seed else "search",
        seed=trial_seed(seed, f"curve of {table}", cell),
        config=config.to_dict(),
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = TrialPlan(Path(folder), made.space.family.sections, made.budget)
        runner = TrialRunner(spec, TrialProcess.prepare(_dataset(table), plan))
        reports, end = run_to_end(runner)
        runner.close()
    final = end.final or {}
    row = {
        "cell": cell,
        "seed": seed,
        "status": _status(end),
        "updates": end.updates,
        "seconds": end.counts.seconds,
        "test_ll": final.get("test_ll", math.nan),
        "config": json.dumps(_varied(made.space, config)),
    }
    return row, [{"cell": cell, "seed": seed, **report} for report in reports]


def run_to_end(runner: TrialRunner) -> tuple[list[dict[str, Any]], StepResult]:
    """Return the reports of a trial, and its last result."""
    reports = []
    while True:
        step = runner.step()
        if step.is_evaluation:
            measured = step.measured
            names = ("updates", "valid_ll", *_MEASURES)
            reports.append({name: measured.get(name) for name in names})
        if step.done or step.is_unsound:
            return reports, step


def _varied(space: SearchSpace, config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in space.search if config.applies(name)}


def _status(end: StepResult) -> str:
    return end.verdict.status if end.is_unsound and end.verdict else "completed"


def _entry(value: Any) -> str:
    return json.dumps({"choice": value} if isinstance(value, list) else value)


def _write(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, frame.to_parquet(index=False, compression="zstd"))


@cache
def _table(name: str) -> Table:
    torch.set_num_threads(1)
    return Table(name)


@cache
def _dataset(table: str) -> Dataset:
    return load_dataset(Table(table).space.dataset)


# Curves, for searches that are replayed


@dataclass(frozen=True)
class Curve:
    """One complete trial.

    Attributes:
        updates, scores: of its reports, the scores with more as better.
        status: completed, collapsed or diverged; the guard stopped a trial that isn't completed.
        end: updates that it did.
    """

    updates: np.ndarray
    scores: np.ndarray
    status: str
    end: int
    reports: pd.DataFrame
    config: Mapping[str, Any]

    @property
    def final_score(self) -> float:
        """Its last score; minus infinity unless it was completed."""
        return float(self.scores[-1]) if self.status == "completed" else -math.inf


def load_curves(table: str, data: Path = DATA, seed: int = 0) -> dict[int, Curve]:
    """Return the kept curves of a table by their cells."""
    runs_path, reports_path = Table(table).paths(data)
    runs, reports = pd.read_parquet(runs_path), pd.read_parquet(reports_path)
    reports = reports[reports["seed"] == seed]
    groups = dict(list(reports.groupby("cell")))
    none = reports.head(0)  # of a trial that diverged before its first
    return {
        row["cell"]: Curve(
            updates=of["updates"].to_numpy(),
            scores=of["valid_ll"].to_numpy(),
            status=row["status"],
            end=row["updates"],
            reports=of.reset_index(drop=True),
            config=json.loads(row["config"]),
        )
        for row in runs[runs["seed"] == seed].to_dict("records")
        for of in [groups.get(row["cell"], none)]
    }


if __name__ == "__main__":
    main()
