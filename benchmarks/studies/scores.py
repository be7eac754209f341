"""Final scores of whole trainings, for benchmarks that compare ways to train; not a script.

`speed/training.py` takes them from trainings in processes of their own, `gpu/gpu.py` and the tests
from trainings that an engine trains in groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import DivergedError, SamplesError
from gansearch.grouping.engine import Engine
from gansearch.scoring.parzen import choose_sigma, sigma_grid
from gansearch.system.precision import full_precision
from gansearch.training.training import AdversarialTraining
from gansearch.trial.plan import MAX_SLOTS

_SCORED_SAMPLES = 10_000


@dataclass(frozen=True)
class Full:
    """A full training: the configuration, and how many updates it takes."""

    config: TrialConfig
    max_updates: int


# The preset `paper` of these spaces. Not read from there: that takes Optuna.
PAPERS = {
    "digits": Full(
        TrialConfig(
            generator_widths=(128, 128), discriminator_widths=(64, 64), batch_size=100
        ),
        5000,
    ),
    "mnist": Full(TrialConfig(batch_size=100), 60_000),
}  # fmt: skip


def final_score(training: AdversarialTraining, dataset: Dataset) -> float:
    """Return the valid_ll of 10,000 samples, in nats; NaN where they aren't finite."""
    valid = dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma])
    grid = sigma_grid("fine", is_image=True)
    samples = training.samples(_SCORED_SAMPLES)
    try:
        with full_precision(training.device):
            return choose_sigma(samples, valid, grid, device=training.device)[2]
    except SamplesError:
        return math.nan


def score_alone(full: Full, dataset: Dataset, seed: int, device: str = "cpu") -> float:
    """Train by itself, and return the score; NaN where it has diverged."""
    training = AdversarialTraining(full.config, dataset, seed, device=device)
    try:
        training.advance(full.max_updates)
    except DivergedError:
        return math.nan
    return final_score(training, dataset)


def scores_together(
    full: Full, dataset: Dataset, seeds: Sequence[int], device: str = "cpu"
) -> list[float]:
    """Train as an engine does it for the trials of a device, and return each seed's score."""
    engine = Engine(dataset, device, n_slots=MAX_SLOTS)

    def score(seed: int) -> float:
        training = AdversarialTraining(
            full.config, dataset, seed, device=device, examples=engine.examples
        )
        try:
            engine.advance(training, full.max_updates)
        except DivergedError:
            return math.nan
        return final_score(training, dataset)

    try:
        with ThreadPoolExecutor(MAX_SLOTS) as pool:
            return list(pool.map(score, seeds))
    finally:
        engine.close()


def told_difference(name: str, scores: Sequence[float], base: Sequence[float]) -> str:
    """Return the mean difference by seed with its 95 % interval, by Student's t."""
    differences = np.subtract(scores, base)
    finite = differences[np.isfinite(differences)]
    n_lost = len(differences) - len(finite)
    lost = f"; {n_lost} of {len(differences)} seeds diverged" if n_lost else ""
    if len(finite) < 2:
        return f"{name}: too few seeds for an interval{lost}"
    mean, error = finite.mean(), finite.std(ddof=1) / math.sqrt(len(finite))
    half = error * stats.t.ppf(0.975, len(finite) - 1)
    return f"{name}: {mean:+.2f} nats, 95 % interval {mean - half:+.2f} to {mean + half:+.2f}{lost}"
