"""What a training loop of one's own pays: for reports, for evaluations, for a check of the guard.

    python benchmarks/speed/own_code.py                  # digits
    python benchmarks/speed/own_code.py --dataset mnist  # with GANSEARCH_DATA

Medians, on one core. The loops are those of `examples/loops`, with their defaults.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gansearch
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.health import HealthMonitor, TrialEvaluation
from gansearch.space.search_space import SearchSpace

N_REPORTS = 200_000
N_CHECKS = 9
FOLDER = Path(__file__).resolve().parents[2] / "examples" / "loops"
LOOPS = ("dcgan", "hinge", "relativistic", "wgan_gp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--updates", type=int, default=20_000, help="of a full training")
    parser.add_argument("--reports", type=int, default=20, help="evaluations of a full training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"a report: {1e6 * report_seconds():.1f} microseconds")
    dataset = load_dataset(arguments.dataset)
    samples = dataset.to_float(dataset.valid[:1000])
    start = time.perf_counter()
    follows = gansearch.Guard(dataset, max_updates=10**6)
    print(f"{arguments.dataset}: preparing a guard: {time.perf_counter() - start:.2f} s")
    print(f"a check of a training: {median(lambda i: follows.check(samples, step=i)):.3f} s")
    judges = gansearch.Guard(dataset)
    print(f"a check of finished samples: {median(lambda _: judges.check(samples)):.3f} s")
    evaluator = Evaluator(dataset, collapse_test=CollapseTest(dataset))
    for loop in LOOPS:
        update, evaluation, parzen = seconds_of(loop, dataset, evaluator)
        share = arguments.reports * evaluation / (arguments.updates * update)
        print(
            f"{loop}: an update {1e3 * update:.1f} ms, an evaluation {1e3 * evaluation:.0f} ms, "
            f"{parzen / evaluation:.0%} of it the Parzen score: {arguments.reports} of them take "
            f"{share:.2%} of the time of {arguments.updates:,} updates"
        )


def seconds_of(loop: str, dataset: Dataset, evaluator: Evaluator) -> tuple[float, float, float]:
    """Return the time of an update, of an evaluation with samples and verdict, and of its score."""
    family = SearchSpace.from_dict(
        {
            "trainable": f"{FOLDER}/{loop}.py:train",
            "dataset": dataset.name,
            "search": {"lr": {"float": [1e-5, 1e-2]}},
        }
    ).family
    training = family.build(family.config_type(), dataset, 0, "cpu")
    training.max_updates = 10**6
    monitor = HealthMonitor(
        evaluator.reference.null, max_updates=10**6, grace_updates=10**6, give_up=0.05
    )

    def evaluate(_: int) -> None:
        evaluation = evaluator.evaluate(training.samples(evaluator.n_samples))
        monitor.judge(TrialEvaluation.of(metrics, evaluation, evaluator.n_classes))

    metrics = training.advance(1)
    updates = [median(lambda _: training.advance(training.updates + 10)) / 10 for _ in range(2)]
    evaluation = median(evaluate)
    samples = training.samples(evaluator.n_samples)
    parzen = median(lambda _: evaluator.valid_ll(samples))
    training.close()
    return min(updates), evaluation, parzen


def report_seconds() -> float:
    """Return the time of a report at which no evaluation is due."""
    found = []

    def train(_config, _data, trial):
        loss = torch.zeros(())
        start = time.perf_counter()
        for step in range(N_REPORTS):
            trial.report(step, np.zeros, d_loss=loss)
        found.append((time.perf_counter() - start) / N_REPORTS)
        trial.report(N_REPORTS, np.zeros)

    space = {"trainable": train, "dataset": "ring", "search": {"lr": {"float": [0.1, 1]}}}
    family = SearchSpace.from_dict(space).family
    training = family.build(family.config_type(), load_dataset("ring"), 0, "cpu")
    training.max_updates = N_REPORTS + 1
    training.advance(N_REPORTS + 1)
    training.close()
    return found[0]


def median(check: Callable[[int], object]) -> float:
    """Return the median time of a check, after a first one."""
    times = []
    for i in range(N_CHECKS + 1):
        start = time.perf_counter()
        check(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
