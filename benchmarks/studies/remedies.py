"""Remedies against mode collapse, each by itself, on points whose modes are known.

    python benchmarks/studies/remedies.py [--dataset ring grid] [--seeds 10]  # hours in all
    python benchmarks/studies/remedies.py --table                             # from stored data

Trains the presets of the spaces `ring` and `grid` that differ from `vanilla` by one remedy, each on
the same seeds and for as many parameter updates, and prints for every data set a Markdown table:
modes and high-quality samples by the rule of Lin et al. (2018), "PacGAN", mean and standard
deviation over seeds, beside what Table 1 there has. Runs are added to
`benchmarks/studies/data/remedies.parquet` as they end; a run that is already there is not repeated.
`cost` is processor time as a multiple of vanilla's on the same seeds, since machines differ.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.studies.collapse import one_thread, prepared
from gansearch.data.mixtures import modes_hit
from gansearch.errors import DivergedError, SamplesError
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.system.files import write_atomically
from gansearch.training.training import AdversarialTraining

DATA = Path(__file__).parent / "data" / "remedies.parquet"
N_SAMPLES = 2500  # as in PacGAN's experiments
UPDATES = {"ring": 10_000, "grid": 10_000}
PRESETS = (
    "vanilla",
    "label_smoothing",
    "minibatch_sd",
    "packed_2",
    "packed_3",
    "packed_4",
    "unrolled",
    "spectral_norm",
    "r1",
    "one_centered",
    "instance_noise",
    "two_time_scales",
)
# Table 1 of Lin et al. (2018): modes and high-quality samples, mean and standard error over ten
# trainings of larger networks (G 4x400 with batch normalisation, D 3x200 of maxout), 400 epochs.
PUBLISHED = {
    ("ring", "vanilla"): "6.3±0.5, 98.2±0.2 %",
    ("ring", "packed_2"): "7.9±0.1, 95.6±2.0 %",
    ("ring", "packed_3"): "7.8±0.1, 97.7±0.3 %",
    ("ring", "packed_4"): "7.8±0.1, 95.9±1.4 %",
    ("grid", "vanilla"): "17.3±0.8, 94.8±0.7 %",
    ("grid", "packed_2"): "23.8±0.7, 91.3±0.8 %",
    ("grid", "packed_3"): "24.6±0.4, 94.2±0.4 %",
    ("grid", "packed_4"): "24.8±0.2, 93.6±0.6 %",
}
_KEY = ["dataset", "config_id", "seed", "max_updates"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", nargs="+", choices=UPDATES, default=list(UPDATES))
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, help="parameter updates (default: the data set's)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--table", action="store_true", help="print the tables, train nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        add_runs(arguments)
    runs = read(arguments.out)
    for dataset in arguments.dataset:
        chosen = of_today(runs, dataset, arguments.updates or UPDATES[dataset])
        print(f"\n{title(dataset, chosen)}\n\n{table(dataset, chosen)}")


def add_runs(arguments: argparse.Namespace) -> None:
    """Train the runs that are missing, seed by seed, and store each as it ends."""
    runs = read(arguments.out).to_dict("records")
    done = {tuple(run[name] for name in _KEY) for run in runs}
    missing = [run for run in wanted(arguments) if tuple(run[name] for name in _KEY) not in done]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        futures = [pool.submit(train_one, run) for run in missing]
        for n_ended, future in enumerate(as_completed(futures), start=1):
            runs.append(future.result())
            frame = pd.DataFrame(runs).sort_values([*_KEY[:1], "seed", "preset"])
            write_atomically(arguments.out, frame.to_parquet(index=False))
            print(f"{n_ended}/{len(missing)} {describe(runs[-1])}", flush=True)


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=[*_KEY, "preset"])


def wanted(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield all runs of the benchmark, seed by seed."""
    for seed in range(arguments.seeds):
        for dataset in arguments.dataset:
            for preset in arguments.preset:
                yield {
                    "dataset": dataset,
                    "preset": preset,
                    "config_id": load_space(dataset).preset(preset).config_id,
                    "seed": seed,
                    "max_updates": arguments.updates or UPDATES[dataset],
                }


def train_one(run: dict[str, Any]) -> dict[str, Any]:
    """Train a preset to its end, and return the run with its outcome."""
    dataset, evaluator = prepared(run["dataset"])
    config = load_space(run["dataset"]).preset(run["preset"])
    seed = trial_seed(0, f"remedies {run['dataset']}", run["seed"])
    training = AdversarialTraining(config, dataset, seed)
    start = time.process_time()
    try:
        training.advance(run["max_updates"])
        seconds = time.process_time() - start
        samples = training.samples(evaluator.n_samples)
        evaluation = evaluator.evaluate(samples)
        n_modes, high_quality = modes_hit(dataset, training.samples(N_SAMPLES))
    except (DivergedError, SamplesError) as error:
        seconds = time.process_time() - start
        ended = {"modes": 0, "high_quality": 0.0, "status": "diverged", "reason": str(error)}
        return run | ended | {"cpu_seconds": seconds}
    found = evaluation.measured
    verdict = evaluator.judge(samples, evaluation.indicators).verdict
    ended = {"modes": n_modes, "high_quality": high_quality, "cpu_seconds": seconds}
    return run | ended | found | {"status": verdict.status, "reason": verdict.reason}


def of_today(runs: pd.DataFrame, dataset: str, updates: int) -> pd.DataFrame:
    """Return a data set's runs with that number of updates, of the current presets."""
    space = load_space(dataset)
    ids = [space.preset(preset).config_id for preset in PRESETS]
    of_dataset = (runs["dataset"] == dataset) & (runs["max_updates"] == updates)
    return runs[of_dataset & runs["config_id"].isin(ids)]


def title(dataset: str, runs: pd.DataFrame) -> str:
    updates = " or ".join(f"{n:,}" for n in sorted(runs["max_updates"].unique()))
    return f"`{dataset}`, {updates or 'no'} parameter updates:"


def table(dataset: str, runs: pd.DataFrame) -> str:
    """Return the Markdown table of a data set's runs, a row a preset."""
    header = ["preset", "seeds", "modes", "more than vanilla", "high-quality samples", "valid_ll"]
    header += ["collapsed", "cost", "PacGAN, Table 1"]
    rows = [header, ["---"] * len(header)]
    baseline = runs[runs["preset"] == "vanilla"].set_index("seed")
    for preset in PRESETS:
        group = runs[runs["preset"] == preset].set_index("seed")
        if group.empty:
            continue
        n_ill = int(group["status"].isin(["collapsed", "diverged"]).sum())
        ratio = (group["cpu_seconds"] / baseline["cpu_seconds"]).median()
        rows.append(
            [
                f"`{preset}`",
                str(len(group)),
                mean_and_sd(group["modes"], 1),
                with_interval((group["modes"] - baseline["modes"]).dropna()),
                f"{mean_and_sd(100 * group['high_quality'], 1)} %",
                mean_and_sd(group["valid_ll"], 2),
                str(n_ill),
                "?" if np.isnan(ratio) else f"{ratio:.1f}",
                PUBLISHED.get((dataset, preset), ""),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


def with_interval(differences: pd.Series) -> str:
    """Return the mean of paired differences and its 95 % interval (Student); "" where none is."""
    n = len(differences)
    if n < 2 or not differences.any():
        return ""
    mean, se = differences.mean(), differences.std() / np.sqrt(n)
    low, high = stats.t.interval(0.95, n - 1, mean, se)
    return f"{mean:+.1f} [{low:.1f}, {high:.1f}]"


def mean_and_sd(values: pd.Series, digits: int) -> str:
    """Return mean ± standard deviation over seeds; a diverged run has no valid_ll."""
    present = values.dropna()
    spread = f"±{present.std():.{digits}f}" if len(present) > 1 else ""
    return f"{present.mean():.{digits}f}{spread}"


def describe(run: dict[str, Any]) -> str:
    return (
        f"{run['dataset']} {run['preset']} seed {run['seed']}: {run['modes']} modes, "
        f"{run['high_quality']:.1%}, {run['status']}, {run['cpu_seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
