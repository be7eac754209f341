"""How early does the trial that ends best stand among the best third, as ASHA's first rung asks?

    python benchmarks/studies/first_rung.py

Reads the labelled runs of `collapse.py` (12,000 updates on ring, 16,000 on grid, 8,000 on digits).
Searches of 24 healthy or poor trials are drawn from them; collapsed and diverged ones are left out,
as a rung leaves them out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.studies.collapse import DATA
from benchmarks.studies.labelled_runs import Run, load_runs
from benchmarks.studies.recovery import print_table

_EVALUATIONS = (0, 1, 2, 3, 4, 7, 12, 15)
_N_TRIALS, _N_SEARCHES, _REDUCTION_FACTOR = 24, 1000, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    runs = [run for run in load_runs(arguments.data) if run.label in ("healthy", "poor")]
    for dataset in ("ring", "grid", "digits"):
        of = [run for run in runs if run.dataset == dataset]
        print_table(f"{dataset}: {len(of)} runs", first_rungs(of))


def first_rungs(runs: list[Run]) -> pd.DataFrame:
    """Return, by the evaluation at which the first rung lies, how well it tells the best trial.

    `rank correlation`: Spearman's, of `valid_ll` there and at the end, over all runs. `best kept`:
    the share of searches whose best trial passes. `lost, nats`: what the best trial that passes
    ends below the best of all, the mean over searches.
    """
    lls = np.array([run.reports["valid_ll"].to_numpy() for run in runs])
    rng = np.random.default_rng(0)
    searches = [
        lls[rng.choice(len(lls), min(_N_TRIALS, len(lls)), replace=False)]
        for _ in range(_N_SEARCHES)
    ]
    rows = []
    for i in _EVALUATIONS:
        lost = np.array([_lost(search, i) for search in searches])
        rows.append(
            {
                "updates": f"{runs[0].reports['updates'].iloc[i]:,}",
                "rank correlation": f"{spearmanr(lls[:, i], lls[:, -1]).statistic:.2f}",
                "best kept": f"{(lost == 0).mean():.2f}",
                "lost, nats": f"{lost.mean():.2f}",
            }
        )
    return pd.DataFrame(rows)


def _lost(search: np.ndarray, i: int) -> float:
    passing = np.argsort(-search[:, i])[: len(search) // _REDUCTION_FACTOR]
    return float(search[:, -1].max() - search[passing, -1].max())


if __name__ == "__main__":
    main()
