"""Long trainings of named configurations, never stopped: do they recover, where do they end?

    python benchmarks/studies/long_runs.py --dataset mnist --preset authors_code --seeds 0 1 2 3 4
    python benchmarks/studies/long_runs.py --preset dcgan --name dcgan-small \
        --set "generator_channels=[64, 32, 16]" --epochs 20
    python benchmarks/studies/long_runs.py --plan benchmarks/studies/reproduction.json \
        --device cuda --minutes 7

A training is evaluated as a trial is, with 1,000 samples, by its weights and by their exponential
moving average of decay .999 an iteration; beside it stands a ground truth (`collapse.truth`). Every
`--score-epochs` epochs and at the end 10,000 samples of each are scored on the test set, by the
fine grid of sigmas and by the authors'.

On CPUs each training has a process of its own; it is saved as it goes, and goes on where it was cut
off, also to more epochs. On a GPU all trainings of a plan go through one engine, without Ray, while
processes beside it evaluate them; when the minutes are over, they end where they are. This begins
anew each time, so give each such training a folder of its own. A plan is a JSON list of objects
with the arguments `preset`, `name`, `set`, `seeds`, `epochs`.

`replay.py` and `docs/reproduction.md` read the two Parquet files in `benchmarks/studies/data/` that
`--collect` makes of all folders in `--work`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import os
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.studies.collapse import DATA, one_thread, prepared
from benchmarks.studies.long_training import Job, Record, Row, measured
from gansearch.config import TrialConfig
from gansearch.errors import DivergedError
from gansearch.family import Metrics
from gansearch.grouping.engine import Engine
from gansearch.grouping.structure import structure_of
from gansearch.space.load import load_space
from gansearch.system.files import write_atomically
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining

DECAY = 0.999  # of the average, an iteration
_SAVE_EVERY = 1000  # updates
_WRITE_EVERY = 20  # seconds
_N_KEPT = 500  # samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", default="authors_code")
    parser.add_argument("--name", help="of the configuration; by default that of the preset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=float, help="by default the updates of the space's budget")
    parser.add_argument("--plan", type=Path, help="file of several configurations")
    parser.add_argument(
        "--every",
        type=int,
        help="updates between two evaluations; default: as many as an epoch, then ever more",
    )
    parser.add_argument("--score-epochs", type=float, default=20, help="0: no scores")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=("cpu", "cuda"), help="train all by an engine there")
    parser.add_argument("--slots", type=int, default=8, help="of a group on a GPU")
    parser.add_argument("--minutes", type=float, default=math.inf, help="at most, on a GPU")
    parser.add_argument("--work", type=Path, default=Path("long-runs"), help="folder of the states")
    parser.add_argument("--collect", action="store_true", help="only gather what all runs have")
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.work)
    elif arguments.device:
        Together(arguments).run()
    else:
        # Autograd fails in the fork of a process that has used it.
        n, context = arguments.processes, multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n, context, initializer=one_thread) as pool:
            futures = [pool.submit(train_alone, arguments, job) for job in jobs_of(arguments)]
            for future in as_completed(futures):
                print(future.result(), flush=True)


def jobs_of(arguments: argparse.Namespace) -> list[Job]:
    """Return the trainings that are asked for, in their order."""
    given = vars(arguments)
    entries = json.loads(arguments.plan.read_text()) if arguments.plan else [{}]
    jobs = []
    for entry in ({**given, **entry} for entry in entries):
        space = load_space(entry["dataset"], entry["set"])
        preset = cast(TrialConfig, space.preset(entry["preset"]))
        config = dataclasses.replace(preset, generator_ema=DECAY)
        name = entry["name"] or entry["preset"]
        one = Job(entry["dataset"], name, 0, config, space.budget.max_updates)
        if epochs := entry["epochs"]:
            one = dataclasses.replace(one, max_updates=math.ceil(epochs * one.epoch_updates))
        jobs += [dataclasses.replace(one, seed=seed) for seed in entry["seeds"]]
    return jobs


def collect(work: Path) -> None:
    """Write the evaluations and the scores of all runs in `work` to the studies' data."""
    for kind in ("evaluations", "scores"):
        frames = [pd.read_parquet(path) for path in sorted(work.rglob(f"{kind}.parquet"))]
        whole = pd.concat(frames, ignore_index=True)
        path = DATA / f"long-{kind}.parquet"
        write_atomically(path, whole.to_parquet(index=False, compression="zstd"))
        print(f"{path}: {len(whole)} rows of {len(frames)} files")


def train_alone(arguments: argparse.Namespace, job: Job) -> str:
    """Train one to its end, saving as it goes; return how it stands."""
    record = Record(arguments.work / f"{job.dataset}-{job.name}-{job.seed}")
    state = record.folder / "training.safetensors"
    training, saved_at = job.start(), 0
    if state.exists():
        training.load(state.read_bytes())
        record.read()
    for due, is_scored in job.due(arguments.every, arguments.score_epochs).items():
        if training.updates >= due:
            continue
        try:
            metrics = training.advance(due)
        except DivergedError as error:
            record.write()
            return f"{job} diverged: {error}"
        assert metrics is not None
        record.add(*measured(job, training, metrics, is_scored=is_scored))
        if training.updates - saved_at >= _SAVE_EVERY or due == job.max_updates:
            write_atomically(state, training.save())
            record.write()
            saved_at = training.updates
    return f"{job}: {training.updates:,} updates"


# All trainings of a GPU


@dataclass(frozen=True)
class Snapshot:
    """What a process needs to evaluate a training that goes on meanwhile."""

    job: Job
    iteration: int
    metrics: Metrics
    is_scored: bool
    tensors: dict[str, Tensor | np.ndarray]

    @staticmethod
    def nets(training: AdversarialTraining) -> dict[str, torch.nn.Module]:
        assert training.average is not None
        return {
            "generator": training.generator,
            "discriminator": training.discriminator,
            "average": training.average,
        }

    @classmethod
    def of(
        cls, job: Job, training: AdversarialTraining, metrics: Metrics, *, is_scored: bool
    ) -> Snapshot:
        tensors: dict[str, Tensor | np.ndarray] = {
            f"{name}.{key}": tensor.clone()
            for name, net in cls.nets(training).items()
            for key, tensor in net.state_dict().items()
        }
        if training.device == "cuda":
            torch.cuda.current_stream().synchronize()
        return cls(job, training.iteration, metrics, is_scored, tensors)

    def on_cpu(self) -> Snapshot:
        """Return it as arrays: processes would share each tensor by a file of its own."""
        arrays = {name: torch.as_tensor(t).cpu().numpy() for name, t in self.tensors.items()}
        return dataclasses.replace(self, tensors=arrays)

    def training(self, device: str) -> AdversarialTraining:
        examples = _examples(self.job.dataset, device)
        training = self.job.start(device, examples)
        for name, net in self.nets(training).items():
            own = {
                k.removeprefix(f"{name}."): torch.as_tensor(t)
                for k, t in self.tensors.items()
                if k.startswith(f"{name}.")
            }
            net.load_state_dict(own)
        training.count(self.iteration)
        return training


@cache
def _examples(dataset: str, device: str) -> Examples:
    return Examples(prepared(dataset)[0], device)


def evaluate(snapshot: Snapshot, device: str) -> tuple[Row, list[Row], np.ndarray]:
    """Return what `measured` returns, and some samples by the average, 8 bits a value."""
    training = snapshot.training(device)
    kept = np.round(np.clip(training.samples(_N_KEPT), 0, 1) * 255).astype(np.uint8)
    found = measured(snapshot.job, training, snapshot.metrics, is_scored=snapshot.is_scored)
    return *found, kept


class Together:
    """Trains all of a plan by one engine, and evaluates them in processes beside it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._jobs = jobs_of(arguments)
        (dataset,) = {job.dataset for job in self._jobs}
        self._device: str = arguments.device
        self._end = time.monotonic() + 60 * arguments.minutes
        self._engine = Engine(prepared(dataset)[0], self._device, n_slots=arguments.slots)
        self._record, self._lock = Record(arguments.work), threading.Lock()
        self._samples: dict[str, np.ndarray] = {}
        n, context = arguments.processes, multiprocessing.get_context("spawn")
        self._evaluators = ProcessPoolExecutor(n, context, initializer=one_thread)
        # Each waits for a process, so that only so many snapshots are on their way.
        self._senders = ThreadPoolExecutor(n)
        self._evaluations: list[Future[None]] = []

    def run(self) -> None:
        """Train as many of a structure at a time as a group has slots, writing meanwhile."""
        by_structure: dict[TrialConfig | None, list[Job]] = {}
        for job in self._jobs:
            by_structure.setdefault(structure_of(job.config), []).append(job)
        trainings = []
        for jobs in by_structure.values():
            lanes = ThreadPoolExecutor(self._arguments.slots)
            trainings += [lanes.submit(self._train, job) for job in jobs]

        def futures() -> list[Future[None]]:
            return [*trainings, *self._evaluations]

        while n_left := sum(not future.done() for future in futures()):
            print(f"{n_left} trainings and evaluations to come", flush=True)
            wait(futures(), timeout=_WRITE_EVERY)
            self._write()
        self._write()  # what came in since
        self._engine.close()
        for future in futures():
            future.result()

    def _write(self) -> None:
        with self._lock:
            self._record.write()
            np.savez_compressed(self._record.folder / "samples.npz", **self._samples)

    def _train(self, job: Job) -> None:
        training = job.start(self._device, self._engine.examples)
        due = job.due(self._arguments.every, self._arguments.score_epochs)
        for updates, is_scored in due.items():
            left = self._end - time.monotonic()
            try:
                metrics = self._engine.advance(training, updates, time_limit_seconds=left)
            except DivergedError as error:
                print(f"{job} diverged: {error}", flush=True)
                return
            if metrics is None:
                break
            snapshot = Snapshot.of(job, training, metrics, is_scored=is_scored)
            self._evaluations.append(self._senders.submit(self._send, snapshot))
        print(f"{job}: {training.updates:,} updates", flush=True)

    def _send(self, snapshot: Snapshot) -> None:
        future = self._evaluators.submit(evaluate, snapshot.on_cpu(), self._device)
        evaluation, scored, samples = future.result()
        with self._lock:
            self._record.add(evaluation, scored)
            self._samples[f"{snapshot.job.name}-{snapshot.job.seed}"] = samples


if __name__ == "__main__":
    main()
