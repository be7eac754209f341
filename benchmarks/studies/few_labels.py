"""What a GAN is worth to a classifier with few labels: errors over label sets.

    python benchmarks/studies/few_labels.py
    python benchmarks/studies/few_labels.py --dataset mnist --data-dir DIR --presets salimans

Trains the presets of the space `digits-semisupervised`, on MNIST with the widths and the labels of
Salimans et al. (2016), each on some seeds; a seed decides the label set too. Prints the errors on
the validation and the test set, with 95 % intervals over seeds (Student), beside those of the same
linear classifier on pixels and on the features of an untrained D, and of a network with all labels;
and the difference to pixels on the same label sets. The last column counts the generators whose
samples the guard calls collapsed.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.studies.collapse import one_thread, prepared
from gansearch.families.semisupervised_parameters import SemisupervisedConfig
from gansearch.family import load_family
from gansearch.space.load import load_space

SPACE = "digits-semisupervised"
# The nets, the noise and the labels of Salimans et al. (2016); their average reaches back farther.
ON_MNIST = {
    "generator_widths": (500, 500),
    "discriminator_widths": (1000, 500, 250, 250, 250),
    "discriminator_activation": "relu",
    "instance_noise_sd": 0.3,
    "labels_per_class": 10,
    "discriminator_ema": 0.999,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--presets", nargs="+", default=["features", "salimans", "labels_alone"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--updates", type=int, help="of each training; by default the space's")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    updates = arguments.updates or load_space(SPACE).budget.max_updates
    jobs = [
        (preset, seed) for seed in range(1, arguments.seeds + 1) for preset in arguments.presets
    ]
    rows = []
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        where = arguments.dataset, arguments.data_dir, updates
        for future in as_completed([pool.submit(train, *job, *where) for job in jobs]):
            rows.append(future.result())
            print(progress(rows[-1]), flush=True)
    print(f"\n{arguments.dataset}: {updates:,} updates, {arguments.seeds} label sets\n")
    print(table(pd.DataFrame(rows), arguments.presets))


def config_of(preset: str, dataset: str) -> SemisupervisedConfig:
    """Return a preset, with the networks for a data set."""
    config = load_space(SPACE).preset(preset)
    return dataclasses.replace(config, **(ON_MNIST if dataset == "mnist" else {}))


def train(
    preset: str, seed: int, dataset_name: str, data_dir: Path | None, updates: int
) -> dict[str, Any]:
    """Train to the end; return the errors on both sets, and what the guard says of the samples."""
    dataset, evaluator = prepared(dataset_name, data_dir)
    start = time.perf_counter()
    family = load_family("semisupervised_nets")
    training = family.build(config_of(preset, dataset_name), dataset, seed, "cpu")
    training.max_updates = updates
    training.advance(updates)
    samples = training.samples(evaluator.n_samples)
    evaluation = evaluator.evaluate(samples)
    verdict = evaluator.judge(samples, evaluation.indicators).verdict.status
    found = {"preset": preset, "seed": seed, "verdict": verdict, "coverage": evaluation.coverage}
    for split in ("valid", "test"):
        found |= {f"{k}_{split}": v for k, v in training.measure(split, at_end=True).items()}
    return found | {"seconds": time.perf_counter() - start}


def progress(row: dict[str, Any]) -> str:
    """Return a finished training in a line."""
    return (
        f"{row['preset']}, seed {row['seed']}: test error {row['error_rate_test']:.4f} "
        f"(pixels {row['error_pixels_test']:.4f}), samples {row['verdict']}, "
        f"coverage {row['coverage']:.2f}, {row['seconds']:.0f} s"
    )


def table(rows: pd.DataFrame, presets: Sequence[str]) -> str:
    """Return the errors over seeds as a table."""
    first = rows[rows["preset"] == presets[0]]
    lines = [
        ("pixels", first, "error_pixels"),
        ("features of an untrained D", first, "error_random"),
        *((preset, rows[rows["preset"] == preset], "error_rate") for preset in presets),
        ("a network with all labels", first, "error_supervised"),
    ]
    found = []
    for title, of_it, name in lines:
        is_trained = name == "error_rate"
        found.append(
            {
                "classifier": title,
                "validation error, %": with_interval(100 * of_it[f"{name}_valid"]),
                "test error, %": with_interval(100 * of_it[f"{name}_test"]),
                "less than pixels": with_interval(100 * of_it["gain_test"]) if is_trained else "",
                "collapsed": f"{(of_it['verdict'] == 'collapsed').sum()} of {len(of_it)}"
                if is_trained
                else "",
            }
        )
    return pd.DataFrame(found).to_string(index=False)


def with_interval(values: pd.Series) -> str:
    """Return a mean over seeds with its 95 % interval (Student), where there are several."""
    if len(values) < 2 or np.ptp(values) == 0:
        return f"{values.mean():.1f}"
    se = values.std() / np.sqrt(len(values))
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), se)
    return f"{values.mean():.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
