"""Long trainings of named configurations, never stopped: do they recover, where do they end?

    python benchmarks/studies/long_runs.py --dataset mnist --preset authors_code --seeds 0 1 2 3 4
    python benchmarks/studies/long_runs.py --preset dcgan --name dcgan-small \
        --set "generator_channels=[64, 32, 16]" --epochs 20

Every `--every` updates a training is evaluated as a trial is, with 1,000 samples, by its weights
and by their exponential moving average of decay .999 an iteration; beside it stands a ground truth
(`collapse.truth`). Every `--score-epochs` epochs and at the end 10,000 samples of each are scored
on the test set, by the fine grid of sigmas and by the authors'. A run is saved as it goes, and goes
on where it was cut off, also to more epochs. `replay.py` and `docs/reproduction.md` read the two
Parquet files in `benchmarks/studies/data/` that `--collect` makes of all runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from benchmarks.studies.collapse import DATA, N_SAMPLES, one_thread, prepared, truth
from gansearch.config import TrialConfig
from gansearch.errors import DivergedError
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.networks.models import draw_noise, generate
from gansearch.scoring.evaluation import final_score
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import write_atomically
from gansearch.training.training import AdversarialTraining

DECAY = 0.999  # of the average, an iteration
_SAVE_EVERY = 1000  # updates
_N_GRADIENTS, _DIFFERENCE = 500, 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", default="authors_code")
    parser.add_argument("--name", help="of the configuration; by default that of the preset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=float, help="by default the updates of the space's budget")
    parser.add_argument("--every", type=int, default=500, help="updates between two evaluations")
    parser.add_argument("--score-epochs", type=float, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--data-dir", type=Path, help="for mnist; also GANSEARCH_DATA")
    parser.add_argument("--work", type=Path, default=Path("long-runs"), help="folder of the states")
    parser.add_argument("--collect", action="store_true", help="only gather what all runs have")
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.work)
        return
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        futures = {pool.submit(train, arguments, seed): seed for seed in arguments.seeds}
        for future in as_completed(futures):
            print(f"{arguments.name or arguments.preset} seed {futures[future]}:", future.result())


def collect(work: Path) -> None:
    """Write the evaluations and the scores of all runs in `work` to the studies' data."""
    for kind in ("evaluations", "scores"):
        frames = [pd.read_parquet(path) for path in sorted(work.glob(f"*/{kind}.parquet"))]
        whole = pd.concat(frames, ignore_index=True)
        path = DATA / f"long-{kind}.parquet"
        write_atomically(path, whole.to_parquet(index=False, compression="zstd"))
        print(f"{path}: {len(whole)} rows of {len(frames)} runs")


def train(arguments: argparse.Namespace, seed: int) -> str:
    """Train one seed to its end, saving as it goes; return how it stands."""
    space = load_space(arguments.dataset, arguments.set)
    name = arguments.name or arguments.preset
    folder = arguments.work / f"{arguments.dataset}-{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    run = LongRun(space, arguments, name, seed, folder)
    try:
        run.train()
    except DivergedError as error:
        run.save()
        return f"diverged: {error}"
    return f"{run.training.updates:,} updates"


class LongRun:
    """One training, the average of its generator, and what was measured so far."""

    def __init__(
        self,
        space: SearchSpace,
        arguments: argparse.Namespace,
        name: str,
        seed: int,
        folder: Path,
    ) -> None:
        config = cast(TrialConfig, space.preset(arguments.preset))
        self.dataset, self.evaluator = prepared(arguments.dataset, arguments.data_dir)
        own_seed = trial_seed(0, f"long {arguments.dataset} {name}", seed)
        self.training = AdversarialTraining(config, self.dataset, own_seed)
        self.average = {n: p.clone() for n, p in self._weights().items()}
        self._config = config
        self._max_updates = space.budget.max_updates
        self._arguments = arguments
        self._row = {"dataset": arguments.dataset, "name": name, "seed": seed}
        self._folder = folder
        self._evaluations: list[dict[str, Any]] = []
        self._scores: list[dict[str, Any]] = []
        self._saved_at = 0
        if (folder / "training.safetensors").exists():
            self._load()

    def train(self) -> None:
        """Go on to the last epoch."""
        n_epoch = self.dataset.train.shape[0] / self._config.batch_size * (self._config.k + 1)
        epochs = self._arguments.epochs
        end = math.ceil(epochs * n_epoch) if epochs else self._max_updates
        every, every_score = self._arguments.every, self._arguments.score_epochs * n_epoch
        while self.training.updates < end:
            due = min((self.training.updates // every + 1) * every, end)
            self._advance(due)
            scores = self.training.updates // every_score
            if scores > len(self._scores) // 2 or self.training.updates >= end:
                self._score()
            if self.training.updates - self._saved_at >= _SAVE_EVERY:
                self.save()
        self.save()

    def save(self) -> None:
        """Write state and measurements."""
        write_atomically(self._folder / "training.safetensors", self.training.save())
        average = safetensors.torch.save(self.average)
        write_atomically(self._folder / "average.safetensors", average)
        for kind, rows in (("evaluations", self._evaluations), ("scores", self._scores)):
            frame = pd.DataFrame(rows)
            write_atomically(self._folder / f"{kind}.parquet", frame.to_parquet(index=False))
        self._saved_at = self.training.updates

    def _load(self) -> None:
        self.training.load((self._folder / "training.safetensors").read_bytes())
        saved = safetensors.torch.load((self._folder / "average.safetensors").read_bytes())
        for name, tensor in saved.items():
            self.average[name].copy_(tensor)
        for kind, rows in (("evaluations", self._evaluations), ("scores", self._scores)):
            frame = pd.read_parquet(self._folder / f"{kind}.parquet")
            rows += frame.to_dict("records")
        self._saved_at = self.training.updates

    def _advance(self, updates: int) -> None:
        last, start = self.training.last_iteration(updates), time.perf_counter()
        while self.training.iteration < last:
            self.training.step()
            self._take_average()
        self.training.seconds += time.perf_counter() - start
        metrics = self.training.advance(updates)
        self._take_average()
        assert metrics is not None
        row = self._row | {"config": json.dumps(self._config.to_dict())}
        row |= dataclasses.asdict(metrics)
        samples = self.training.samples(N_SAMPLES)
        row |= dataclasses.asdict(self.evaluator.evaluate(samples[: self.evaluator.n_samples]))
        row |= truth(self.dataset, samples, self._arguments.data_dir)
        row |= self._gradients()
        averaged = self._averaged_samples(self.evaluator.n_samples)
        evaluation = dataclasses.asdict(self.evaluator.evaluate(averaged))
        row |= {f"average_{name}": value for name, value in evaluation.items()}
        null = dataclasses.asdict(self.evaluator.reference.null)
        self._evaluations.append(row | {f"null_{name}": value for name, value in null.items()})

    def _gradients(self) -> dict[str, float]:
        """Return the two gradients of «From Fitting to Collapse» (TMLR 2025), of 500 samples.

        `steepness`: the root mean square of the norm of G's Jacobian, by differences along random
        directions. `d_input_grad`: the mean norm of the gradient of D's logit at the samples.
        """
        generator, discriminator = self.training.generator, self.training.discriminator
        rng = torch.Generator().manual_seed(0)
        noise = draw_noise(self._config, (_N_GRADIENTS, generator.noise_dim), rng)
        direction = torch.randn(noise.shape, generator=rng) * _DIFFERENCE
        with torch.no_grad():
            samples = generator(noise)
            moved = (generator(noise + direction) - samples).square().sum(1)
        # D may look at packs of samples.
        n = len(samples) // self._config.packing * self._config.packing
        seen = samples[:n].requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(seen).sum(), seen)
        return {
            "steepness": float(moved.mean().sqrt()) / _DIFFERENCE,
            "d_input_grad": float(gradient.norm(dim=1).mean()),
        }

    def _score(self) -> None:
        for weights, samples in (
            ("last", self.training.samples(N_FINAL_SAMPLES)),
            ("average", self._averaged_samples(N_FINAL_SAMPLES)),
        ):
            fine = final_score(self.dataset, samples)
            authors = final_score(self.dataset, samples, grid="authors")
            self._scores.append(
                self._row
                | {
                    "weights": weights,
                    "updates": self.training.updates,
                    "test_ll": fine.parzen.test_ll,
                    "test_ll_se": fine.parzen.test_ll_se,
                    "valid_ll": fine.parzen.valid_ll,
                    "sigma": fine.parzen.sigma,
                    "authors_test_ll": authors.parzen.test_ll,
                    "authors_sigma": authors.parzen.sigma,
                    "train_nn_ratio": fine.train_nn_ratio,
                    **dataclasses.asdict(fine.indicators),
                }
            )
            stored = np.round(np.clip(samples, 0, 1) * 255).astype(np.uint8)
            np.save(self._folder / f"{weights}.npy", stored)

    def _weights(self) -> dict[str, Tensor]:
        return {n: p.detach() for n, p in self.training.generator.named_parameters()}

    @torch.no_grad()
    def _take_average(self) -> None:
        for name, weight in self._weights().items():
            self.average[name].lerp_(weight, 1 - DECAY)

    def _averaged_samples(self, n: int) -> np.ndarray:
        weights = self._weights()
        own = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight.copy_(self.average[name])
        try:
            return generate(self.training.generator, self._config, n, self.training.sample_seed)
        finally:
            for name, weight in weights.items():
                weight.copy_(own[name])


if __name__ == "__main__":
    main()
