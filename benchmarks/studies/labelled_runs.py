"""Labelled trainings: their evaluations, in order, and how they ended by ground truth.

Those of `collapse.py` were drawn at random from wide spaces; those of `long_runs.py` are named
configurations trained far longer, some of which look collapsed for a while and recover. A run's
label rests on ground truth at its end alone, which no detector sees.

Labels: `diverged`, where a number was no longer finite; `collapsed`, where the samples fell on less
than half of the modes or labels (by the exponential of their entropy), or hit none at all;
`healthy`, where at least half are hit besides; `poor`, all others: spread, but far from the data.
The `better half` are the healthy runs of a data set whose final validation log-likelihood is their
median's or above. A hash of the configuration splits the runs in a tuning and a test part; for long
runs, of the configuration and the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.studies.collapse import OVERRIDES, data_paths
from gansearch.measures import Indicators
from gansearch.scoring.health import TrialEvaluation

N_MODES = {"ring": 8, "grid": 25, "digits": 10, "mnist": 10}
LONG_EVALUATIONS = "long-evaluations.parquet"


@dataclass(frozen=True)
class Run:
    """One labelled training: its evaluations, in order, and its outcome."""

    dataset: str
    number: int | str
    is_test: bool
    label: str
    is_better_half: bool
    null: Indicators
    reports: pd.DataFrame
    updates: int
    max_updates: int
    final_valid_ll: float

    @property
    def name(self) -> str:
        """The data set and the number, such as `ring 3`."""
        return f"{self.dataset} {self.number}"

    @property
    def is_dying(self) -> bool:
        """Whether it ended collapsed or diverged."""
        return self.label in ("collapsed", "diverged")

    @cached_property
    def signs(self) -> dict[str, np.ndarray]:
        """What the candidates read, a row per evaluation: shares of the null, and their trends."""
        return {str(name): column.to_numpy() for name, column in _signs(self).items()}

    @cached_property
    def class_shares(self) -> np.ndarray:
        """The effective number of modes or labels at each evaluation, as a share of all."""
        n = N_MODES[self.dataset]
        return np.asarray(n ** (self.reports["truth_entropy"].to_numpy() - 1))

    def read(self, *, with_classes: bool = True) -> list[TrialEvaluation]:
        """Return the evaluations as a trial's monitor reads them."""
        own = ("stage_start", "class_share")
        names = [name for name in TrialEvaluation.__dataclass_fields__ if name not in own]
        shares = self.class_shares.tolist() if with_classes else [None] * len(self.reports)
        return [
            TrialEvaluation(**row, class_share=share)
            for row, share in zip(self.reports[names].to_dict("records"), shares, strict=True)
        ]


def load_runs(folder: Path) -> list[Run]:
    """Return all labelled runs, in the order of the data sets."""
    runs: list[Run] = []
    for dataset in OVERRIDES:
        runs_path, history_path = data_paths(folder, dataset)
        if runs_path.exists():
            rows = pd.read_parquet(runs_path)
            history = pd.read_parquet(history_path).sort_values("updates")
            runs += _with_better_half(
                [
                    _run(dataset, row, history[history["run"] == row["run"]])
                    for row in rows.to_dict("records")
                ]
            )
    return runs


def load_all_runs(folder: Path) -> list[Run]:
    """Return all labelled runs, and after them the long ones."""
    return [*load_runs(folder), *load_long_runs(folder)]


def load_long_runs(folder: Path) -> list[Run]:
    """Return the long runs, in the order of their names and seeds; none is of a better half."""
    whole = pd.read_parquet(folder / LONG_EVALUATIONS).sort_values("updates")
    return [
        _long_run(str(dataset), f"{name}/{seed}", reports.reset_index(drop=True))
        for (dataset, name, seed), reports in whole.groupby(["dataset", "name", "seed"])
    ]


def _long_run(dataset: str, number: str, reports: pd.DataFrame) -> Run:
    first, last = reports.iloc[0], reports.iloc[-1]
    return Run(
        dataset=dataset,
        number=number,
        is_test=_is_test(f"{dataset} {number}"),
        label=label_of(last, N_MODES[dataset]),
        is_better_half=False,
        null=Indicators(*(first[f"null_{name}"] for name in ("coverage", "recall", "nn_ratio"))),
        reports=reports,
        updates=int(last["updates"]),
        max_updates=int(last["updates"]),
        final_valid_ll=last["valid_ll"],
    )


def _is_test(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % 2 == 1


def _run(dataset: str, row: dict[str, Any], reports: pd.DataFrame) -> Run:
    return Run(
        dataset=dataset,
        number=row["run"],
        is_test=_is_test(row["config_id"]),
        label="diverged" if row["diverged"] else label_of(reports.iloc[-1], N_MODES[dataset]),
        is_better_half=False,
        null=Indicators(row["null_coverage"], row["null_recall"], row["null_nn_ratio"]),
        reports=reports.reset_index(drop=True),
        updates=row["updates"],
        max_updates=row["max_updates"],
        final_valid_ll=row["final_valid_ll"],
    )


def label_of(last: Mapping[str, Any], n_modes: int) -> str:
    effective = n_modes ** last["truth_entropy"]
    if effective < n_modes / 2 or last["truth_modes"] == 0:
        return "collapsed"
    return "healthy" if last["truth_modes"] >= n_modes / 2 else "poor"


def _with_better_half(runs: list[Run]) -> list[Run]:
    median = np.median([run.final_valid_ll for run in runs if run.label == "healthy"])
    return [
        replace(run, is_better_half=run.label == "healthy" and run.final_valid_ll >= median)
        for run in runs
    ]


def _signs(run: Run) -> pd.DataFrame:
    reports = run.reports
    coverage = reports["coverage"] / run.null.coverage
    recall = reports["recall"] / run.null.recall
    nn_ratio = reports["nn_ratio"] / run.null.nn_ratio
    best_before = reports["valid_ll"].cummax().shift()
    now = pd.DataFrame(
        {
            "log_coverage": np.log(coverage + 0.01),
            "log_recall": np.log(recall + 0.01),
            "log_nn_ratio": np.log(nn_ratio + 0.001),
            "gap": reports["d_real"] - reports["d_fake"],
            "log_d_loss": np.log(reports["d_loss"].clip(1e-4, 1e4)),
            "log_g_loss": np.log(reports["g_loss"].abs().clip(1e-4, 1e4)),
            "log_d_grad_norm": np.log(reports["d_grad_norm"].clip(1e-6, 1e6)),
            "log_g_grad_norm": np.log(reports["g_grad_norm"].clip(1e-6, 1e6)),
        }
    )
    means = now.rolling(3, min_periods=1).mean().add_suffix("_mean")
    trends = (now - now.shift(3)).fillna(0.0).add_suffix("_trend")
    gain = (reports["valid_ll"] - best_before).fillna(0.0)
    return pd.DataFrame(
        {
            "share": reports["updates"] / run.max_updates,
            "coverage": coverage,
            "recall": recall,
            "nn_ratio": nn_ratio,
            "gain": gain,
            "recent_gain": gain.rolling(3, min_periods=1).max(),
        }
    ).join([now, means, trends])
