"""What a search costs beside training: overhead of a trial, the recorder's share, and evaluations.

    python benchmarks/speed/overhead.py [--trials 24]  # a real search
    python benchmarks/speed/overhead.py --evaluations  # no search

The search is one of `digits` with short trainings, so that starts, evaluations, stops and records
weigh as much as they ever will. The evaluations are timed beside the training that lies between two
evaluations of the built-in spaces, in turns, in one process with one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gansearch
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.parzen import choose_sigma, sigma_grid
from gansearch.space.load import load_space
from gansearch.training.training import AdversarialTraining

SPACES = ("ring", "grid", "digits", "mnist")
_TRAINED_SECONDS = 0.5  # in each turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument(
        "--evaluations", action="store_true", help="time only the evaluations, without a search"
    )
    parser.add_argument("--turns", type=int, default=9, help="turns of training and evaluating")
    arguments = parser.parse_args()
    if arguments.evaluations:
        time_evaluations(arguments.turns)
    else:
        time_search(arguments.trials)


def time_search(trials: int) -> None:
    """Run a search of short trainings, and print what it took beside them."""
    workers = 2
    with tempfile.TemporaryDirectory() as results:
        run = gansearch.search(
            "digits",
            results=results,
            settings=gansearch.Settings(max_concurrent=workers),
            overrides=[
                *(f"budget.trials={trials}", "budget.max_updates=800", "budget.reports=8"),
                *("budget.top=1", "budget.replicas=3"),
            ],
        )
        info, table = run.read_run(), run.trials()
    low, median, high = table["overhead_seconds"].quantile([0.25, 0.5, 0.75])
    most = table["overhead_seconds"].max()
    share = info.recorder_seconds / info.wall_seconds
    rest = (workers * info.wall_seconds - table["seconds"].sum()) / len(table)
    print(f"trials                      {len(table)} in two phases, on {workers} workers")
    print(
        f"overhead of a trial         {median:.3f} s [{low:.3f}, {high:.3f}], at most {most:.3f} s "
        "  (median and quartiles over trials; goal: below 0.6 s)"
    )
    print(f"all but training, a trial   {rest:.2f} s   (with evaluations and worker starts)")
    print(f"recorder's share            {100 * share:.2f} % of the wall time   (goal: at most 1 %)")


def time_evaluations(n_turns: int) -> None:
    """Print, for each space, what an evaluation costs beside the training before it."""
    torch.set_num_threads(1)
    print(f"{'':8}{'evaluated every':>15}{'training':>11}{'indicators':>30}{'Parzen':>30}")
    for name in SPACES:
        updates, turns = times_of(name, n_turns)
        cells = [share(turns[:, i], turns[:, 0]) for i in (1, 2)]
        print(
            f"{name:8}{f'{updates:,} updates':>15}{f'{np.median(turns[:, 0]):.2f} s':>11}"
            + "".join(f"{cell:>30}" for cell in cells),
            flush=True,
        )
    print(
        f"medians of {n_turns} turns, in brackets the quartiles of the share of the training "
        "between two evaluations; goal: indicators below 3 %"
    )


def share(times: np.ndarray, training: np.ndarray) -> str:
    """Return milliseconds, and their share of the training of the same turn, as text."""
    low, median, high = np.quantile(100 * times / training, [0.25, 0.5, 0.75])
    return f"{1000 * np.median(times):.1f} ms {median:.2f} [{low:.2f}, {high:.2f}] %"


def times_of(name: str, n_turns: int) -> tuple[int, np.ndarray]:
    """Return the updates between two evaluations of a space, and what each turn took.

    The configuration is the paper's, with the space's own networks. A turn's seconds, `[turns, 3]`,
    are of the training between two evaluations, of the indicators and of the Parzen score.
    """
    space, dataset = load_space(name), _dataset(name)
    evaluator = Evaluator(dataset)
    valid = dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma])
    grid = sigma_grid("fine", is_image=dataset.is_image, is_bounded=dataset.is_bounded)
    training = AdversarialTraining(space.preset("paper"), dataset, seed=0)
    training.advance(20)  # warm
    between = space.budget.report_updates()[0]
    found = np.empty((n_turns, 3))
    for i in range(n_turns):
        before, seconds = training.updates, 0.0
        while seconds < _TRAINED_SECONDS:
            seconds += _seconds(training.step)
        samples = training.samples(evaluator.n_samples)
        found[i] = (
            seconds * between / (training.updates - before),
            _seconds(lambda samples=samples: evaluator.reference.indicators(samples)),
            _seconds(lambda samples=samples: choose_sigma(samples, valid, grid)),
        )
    return between, found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _dataset(name: str) -> Dataset:
    """Return a space's data set; noise in the shape of MNIST where MNIST itself is not at hand."""
    if name != "mnist" or "GANSEARCH_DATA" in os.environ:
        return load_dataset(name, Path(os.environ.get("GANSEARCH_DATA", "")))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(12_000, 784), dtype=np.uint8)
    train, valid, test = np.split(images, [10_000, 11_000])
    return Dataset("mnist", train, valid, test, shape=(28, 28, 1), scale=255.0)


if __name__ == "__main__":
    main()
