"""What coordinating G and D in other ways, or another distribution of z, gains: updates to a score.

    python benchmarks/studies/coordination.py --dataset digits
    python benchmarks/studies/coordination.py --dataset ring
    python benchmarks/studies/coordination.py --show      # the tables, of what `data/` holds

Each choice of the family `coordinated_nets` trains the same configuration on the same seeds as the
nets without it. The score to reach is the median over seeds of what these have at half the budget,
the best so far. The table has the ratio of the updates that it takes (the budget where a training
never reaches it), and the difference of the best score, with 95 % intervals over paired seeds.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.studies.collapse import DATA, one_thread, prepared
from gansearch.errors import DivergedError, SamplesError
from gansearch.family import load_family
from gansearch.space.load import load_space

OUT = DATA / "coordination.parquet"
FAMILY = "coordinated_nets"
NONE = "none"
N_REPORTS = 40
# Preset of the space, changes to it, and the budget in updates.
BASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "digits": ("paper", {"init": "glorot"}, 8000),
    "ring": ("vanilla", {}, 8000),
    "grid": ("vanilla", {}, 16000),
}
ARMS: dict[str, dict[str, Any]] = {
    NONE: {},
    "average .99": {"generator_ema": 0.99},
    "discriminator_lr x 2": {"discriminator_lr": 2.0},
    "discriminator_lr / 2": {"discriminator_lr": 0.5},
    "optimistic": {"coordination": "optimistic"},
    "consensus .1": {"coordination": "consensus", "consensus_weight": 0.1},
    "lookahead 5": {"coordination": "lookahead", "lookahead_iterations": 5},
    "lookahead 100": {"coordination": "lookahead", "lookahead_iterations": 100},
    "k <= 3, d_target 1": {"k": 3, "d_target": 1.0},
    "d_target .7": {"d_target": 0.7},
    "d_target 1": {"d_target": 1.0},
    "g_target .7": {"g_target": 0.7},
    "no dropout for G": {"dropout_for_generator": False},
    "spherical z": {"prior": "spherical"},
    "mixture of 1": {"prior": "mixture", "prior_components": 1},
    "mixture of 50": {"prior": "mixture", "prior_components": 50},
    "normal z": {"noise": "normal"},
    "normal z, truncated at 1": {"noise": "normal", "truncation": 1.0},
    "latent step .1": {"latent_step": 0.1},
    "latent step .9": {"latent_step": 0.9},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=BASES, default="digits")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--arms", nargs="*", choices=ARMS, help="all by default")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--show", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.out) if arguments.out.exists() else pd.DataFrame()
    if not arguments.show:
        rows = trained(rows, arguments)
    for dataset, table in rows.groupby("dataset", sort=False):
        print(f"\n{dataset}, {table['seed'].nunique()} seeds\n")
        print(compared(table, BASES[dataset][2]).to_string(index=False))


def trained(rows: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    """Train what is missing, seed by seed, and return all curves."""
    done = (
        set()
        if rows.empty
        else set(rows[["dataset", "arm", "seed"]].itertuples(index=False, name=None))
    )
    jobs = [
        (arguments.dataset, arm, seed)
        for seed in range(arguments.seeds)
        for arm in arguments.arms or ARMS
    ]
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        futures = [pool.submit(train, *job) for job in jobs if job not in done]
        for future in futures:
            curve = future.result()
            rows = pd.concat([rows, curve], ignore_index=True)
            rows.to_parquet(arguments.out)
            last = curve.iloc[-1]
            print(
                f"{last['dataset']} seed {last['seed']} {last['arm']}: best "
                f"{curve['valid_ll'].max():.2f}, {last['seconds']:.0f} s",
                flush=True,
            )
    return rows


def train(name: str, arm: str, seed: int) -> pd.DataFrame:
    """Return the scores of one training at each of its evaluations; none from where it diverges."""
    preset, changes, max_updates = BASES[name]
    base = load_space(name, [f"{key}={value}" for key, value in changes.items()]).preset(preset)
    family = load_family(FAMILY)
    known = {key: getattr(base, key) for key in family.config_type.rules() if hasattr(base, key)}
    factors = {
        key: base.discriminator_lr * value for key, value in ARMS[arm].items() if "lr" in key
    }
    config = family.config_type.from_dict({**known, **ARMS[arm], **factors})
    dataset, evaluator = prepared(name)
    training = family.build(config, dataset, seed, "cpu")
    training.max_updates = max_updates
    rows = [_row(name, arm, seed, 0, np.nan, 0.0)]
    start = time.process_time()
    try:
        for updates in np.linspace(0, max_updates, N_REPORTS + 1)[1:].astype(int).tolist():
            training.advance(updates)
            score = evaluator.evaluate(training.samples(evaluator.n_samples)).valid_ll
            seconds = time.process_time() - start
            rows.append(_row(name, arm, seed, updates, score, seconds))
    except (DivergedError, SamplesError):
        pass
    return pd.DataFrame(rows)


def _row(
    dataset: str, arm: str, seed: int, updates: int, valid_ll: float, seconds: float
) -> dict[str, Any]:
    named = {"dataset": dataset, "arm": arm, "seed": seed}
    return named | {"updates": updates, "valid_ll": valid_ll, "seconds": seconds}


def compared(rows: pd.DataFrame, max_updates: int) -> pd.DataFrame:
    """Return, for each arm, how it compares with the nets without it on the same seeds."""
    half = rows[(rows["arm"] == NONE) & (rows["updates"] <= max_updates / 2)]
    quality = half.groupby("seed")["valid_ll"].max().median()
    # One row a seed, one column an arm.
    best = rows.pivot_table("valid_ll", "seed", "arm", aggfunc="max")
    seconds = rows.pivot_table("seconds", "seed", "arm", aggfunc="max")
    good = rows[rows["valid_ll"] >= quality]
    reached = good.pivot_table("updates", "seed", "arm", aggfunc="min").reindex_like(best)
    reached = reached.fillna(max_updates)
    return pd.DataFrame(
        {
            "choice": arm,
            "updates to the score": f"{reached[arm].median():,.0f}",
            "ratio": _interval(np.log(reached[arm] / reached[NONE]), np.exp),
            "reached": f"{(best[arm] >= quality).mean():.0%}",
            "best valid_ll": f"{best[arm].mean():.2f}",
            "difference": _interval(best[arm] - best[NONE], lambda x: x),
            "time": f"{(seconds[arm] / seconds[NONE]).median():.2f}",
        }
        for arm in ARMS
        if arm in best
    )


def _interval(differences: pd.Series, shown: Any) -> str:
    """Return a mean over seeds and its 95 % interval (Student); a dash where all are zero."""
    found = differences.dropna()
    if len(found) < 2 or not found.any():
        return "-"
    low, high = stats.ttest_1samp(found, 0).confidence_interval(0.95)
    return f"{shown(found.mean()):.2f} [{shown(low):.2f}, {shown(high):.2f}]"


if __name__ == "__main__":
    main()
