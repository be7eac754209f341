"""Labelled trainings, some of which collapse or diverge, never stopped early.

    python benchmarks/studies/collapse.py train --runs 25 --dataset ring  # adds runs; hours in all

trains configurations drawn at random from wide spaces, none stopped before its end, and stores for
each all evaluations of the trial and, besides, a ground truth that no detector sees: on ring and
grid the modes hit and the share of high-quality samples (Lin et al. 2018, "PacGAN", section 4.1),
on digits and mnist the labels that a classifier fitted on real images gives to 2,500 samples; and
the gradients that a baseline reads. Runs are added to `benchmarks/studies/data/`, two Parquet
files per data set; a run that is already there is not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.mixtures import nearest_modes
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError, SamplesError
from gansearch.networks.models import draw_noise
from gansearch.scoring.evaluation import Evaluator
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import write_atomically
from gansearch.training.training import AdversarialTraining

DATA = Path(__file__).parent / "data"
N_SAMPLES = 2500  # of the truth at the end, as in PacGAN's experiments
_N_GRADIENTS, _DIFFERENCE = 500, 1e-3
# The built-in spaces made wider, and cut to what a core trains in half a minute. Adam and SGD take
# turns, since each needs other learning rates.
_OPTIMIZERS = (
    (
        "optimizer=adam",
        "generator_lr={float: [1e-4, 3e-2], log: true}",
        "discriminator_lr={float: [1e-4, 3e-2], log: true}",
        "adam_beta1={choice: [0.0, 0.5, 0.9]}",
    ),
    (
        "optimizer=sgd",
        "generator_lr={float: [3e-3, 1.0], log: true}",
        "discriminator_lr={float: [3e-3, 1.0], log: true}",
        "momentum={float: [0.0, 0.9]}",
    ),
)
_WIDE = (
    "k={int: [1, 5]}",
    "noise={choice: [normal, uniform]}",
    "noise_dim={choice: [2, 8, 32, 100]}",
    "dropout_hidden={float: [0.0, 0.6]}",
    "generator_normalization={choice: [none, batch]}",
    "start_from=[]",
    "grace=0.15",
)
_POINTS = (
    "generator_widths={choice: [[64, 64], [128, 128]]}",
    "discriminator_widths={choice: [[64], [64, 64], [128, 128]]}",
)
OVERRIDES = {
    "ring": (*_WIDE, *_POINTS, "max_updates=12000", "reports=20"),
    "grid": (*_WIDE, *_POINTS, "max_updates=16000", "reports=20"),
    "digits": (*_WIDE, "max_updates=8000", "reports=20"),
    "mnist": (
        *_WIDE,
        "generator_widths={choice: [[128, 128], [256, 256]]}",
        "discriminator_widths={choice: [[64, 64], [128, 128]]}",
        "init={choice: [uniform, glorot]}",
        "dropout_input={float: [0.0, 0.4]}",
        "max_updates=8000",
        "reports=20",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train runs and add them to the data")
    train.add_argument("--dataset", choices=OVERRIDES, required=True)
    train.add_argument("--first", type=int, default=0, help="number of the first run")
    train.add_argument("--runs", type=int, default=75, help="total number of runs")
    train.add_argument("--processes", type=int, default=os.cpu_count())
    train.add_argument("--data-dir", type=Path, help="for mnist; also GANSEARCH_DATA")
    train.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    add_runs(arguments)


def add_runs(arguments: argparse.Namespace) -> None:
    """Train those of the first `--runs` runs that are missing, and add them as they end."""
    spaces = wide_spaces(arguments.dataset)
    runs_path, history_path = data_paths(arguments.out, arguments.dataset)
    runs = pd.read_parquet(runs_path).to_dict("records") if runs_path.exists() else []
    history = [pd.read_parquet(history_path)] if history_path.exists() else []
    done = {row["run"] for row in runs}
    missing = [
        (number, config)
        for number, config in enumerate(draw_configs(spaces, arguments.runs))
        if number >= arguments.first and number not in done
    ]
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        futures = [
            pool.submit(train_one, spaces[0], arguments.data_dir, number, config.to_dict())
            for number, config in missing
        ]
        for future in as_completed(futures):
            row, reports = future.result()
            runs.append(row)
            history.append(pd.DataFrame(reports))
            frame = pd.DataFrame(runs).sort_values("run")
            write_atomically(runs_path, frame.to_parquet(index=False))
            whole = pd.concat(history).sort_values(["run", "updates"])
            write_atomically(history_path, whole.to_parquet(index=False, compression="zstd"))
            print(f"{len(runs)}/{arguments.runs} {arguments.dataset} {describe(row)}", flush=True)


def data_paths(folder: Path, dataset: str) -> tuple[Path, Path]:
    """Return the paths of a data set's runs and of their evaluations."""
    return folder / f"collapse-{dataset}-runs.parquet", folder / f"collapse-{dataset}.parquet"


def describe(row: dict[str, Any]) -> str:
    """Return a run's end as one line."""
    shown = ("diverged", "final_valid_ll", "seconds")
    return ", ".join(f"{name} {row[name]:.3g}" for name in shown if name in row)


def wide_spaces(dataset: str) -> list[SearchSpace]:
    """Return the spaces that a data set's configurations are drawn from in turn."""
    return [load_space(dataset, (*OVERRIDES[dataset], *each)) for each in _OPTIMIZERS]


def draw_configs(spaces: list[SearchSpace], n: int) -> list[TrialConfig]:
    """Return the first n configurations of the spaces' random streams; always the same ones."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies = [
        optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=i))
        for i in range(len(spaces))
    ]
    turns = (i % len(spaces) for i in range(n))
    return [spaces[turn].suggest(studies[turn].ask()) for turn in turns]


def train_one(
    space: SearchSpace, data_dir: Path | None, number: int, values: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a configuration to its end, and return its row and its evaluations."""
    dataset, evaluator = prepared(space.dataset, data_dir)
    config = TrialConfig.from_dict(values)
    training = AdversarialTraining(
        config, dataset, trial_seed(0, f"collapse {space.dataset}", number)
    )
    reports: list[dict[str, Any]] = []
    diverged = ""
    try:
        for updates in space.budget.report_updates():
            if training.updates >= updates:
                continue
            metrics = training.advance(updates)
            assert metrics is not None
            evaluation = evaluator.evaluate(training.samples(evaluator.n_samples))
            measured = dataclasses.asdict(metrics) | evaluation.measured
            ends_as = truth(dataset, training.samples(N_SAMPLES), data_dir)
            reports.append({"run": number, **measured, **ends_as, **gradients(training)})
    except (DivergedError, SamplesError) as error:
        diverged = str(error)
    row = {
        "run": number,
        "config_id": config.config_id,
        "config": json.dumps(config.to_dict()),
        "updates": training.updates,
        "max_updates": space.budget.max_updates,
        "seconds": training.seconds,
        "diverged": bool(diverged),
        "reason": diverged,
        "final_valid_ll": reports[-1]["valid_ll"] if reports and not diverged else math.nan,
        **{f"null_{name}": value for name, value in vars(evaluator.reference.null).items()},
    }
    return row, reports


def truth(dataset: Dataset, samples: np.ndarray, data_dir: Path | None) -> dict[str, float]:
    """Return the outcome of a training, by ground truth.

    Every sample belongs to its nearest mode, or to the label that the classifier gives it.
    `truth_modes`: modes with a high-quality sample, or labels with a quarter of their fair share of
    the samples. `truth_high_quality`: share of samples within three standard deviations of their
    mode, or whose label has a probability of .9. `truth_entropy`: of the modes or labels, as a
    share of the uniform law's.
    """
    if dataset.modes is not None:
        belongs, good = nearest_modes(dataset, samples)
        n_modes = len(dataset.modes)
        hit = np.bincount(belongs[good], minlength=n_modes) > 0
    else:
        probabilities = _classifier(dataset.name, data_dir).predict_proba(samples)
        belongs, n_modes = probabilities.argmax(axis=1), probabilities.shape[1]
        good = probabilities.max(axis=1) >= 0.9
        hit = np.bincount(belongs, minlength=n_modes) >= len(samples) / n_modes / 4
    shares = np.bincount(belongs, minlength=n_modes) / len(samples)
    shares = shares[shares > 0]
    entropy = float(-(shares * np.log(shares)).sum())
    return {
        "truth_modes": int(hit.sum()),
        "truth_high_quality": float(good.mean()),
        "truth_entropy": entropy / math.log(n_modes) if n_modes > 1 else 1.0,
    }


def gradients(training: AdversarialTraining) -> dict[str, float]:
    """Return the two gradients of «From Fitting to Collapse» (TMLR 2025), of 500 samples.

    `steepness`: the root mean square of the norm of G's Jacobian, by differences along random
    directions. `d_input_grad`: the mean norm of the gradient of D's logit at the samples.
    """
    generator, config = training.generator, training.config
    rng = torch.Generator(training.device).manual_seed(0)
    noise = draw_noise(config, (_N_GRADIENTS, generator.noise_dim), rng)
    direction = torch.randn(noise.shape, generator=rng, device=training.device) * _DIFFERENCE
    with torch.no_grad():
        samples = generator(noise)
        moved = (generator(noise + direction) - samples).square().sum(1)
    # D may look at packs of samples.
    n = len(samples) // config.packing * config.packing
    seen = samples[:n].requires_grad_()
    (gradient,) = torch.autograd.grad(training.discriminator(seen).sum(), seen)
    return {
        "steepness": float(moved.mean().sqrt()) / _DIFFERENCE,
        "d_input_grad": float(gradient.norm(dim=1).mean()),
    }


@cache
def prepared(
    name: str, data_dir: Path | None = None, *, device: str = "cpu"
) -> tuple[Dataset, Evaluator]:
    """Return a data set and its evaluator, made once a process."""
    dataset = load_dataset(name, data_dir)
    return dataset, Evaluator(dataset, device=device)


@cache
def _classifier(name: str, data_dir: Path | None) -> Any:
    """Return a classifier of real images by their labels, for images in [0, 1]."""
    from sklearn.neural_network import MLPClassifier

    images, labels = _labelled(name, data_dir)
    classifier = MLPClassifier((256,), early_stopping=True, random_state=0)
    return classifier.fit(images, labels)


def _labelled(name: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.data.astype(np.float32) / 16, digits.target
    from torchvision.datasets import MNIST

    mnist = MNIST(str(data_dir or os.environ["GANSEARCH_DATA"]), train=True)
    images = mnist.data.numpy().reshape(-1, 784).astype(np.float32) / 255
    return images[:20000], mnist.targets.numpy()[:20000]


def one_thread() -> None:
    """Keep a process of the pool to one core."""
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
