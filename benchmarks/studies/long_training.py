"""One long training of a named configuration, and what is measured of it; not a script.

`long_runs.py` trains many of them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.studies.collapse import N_SAMPLES, gradients, prepared, truth
from gansearch.config import TrialConfig
from gansearch.family import Metrics
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.scoring.copying import copying
from gansearch.scoring.evaluation import health_reference
from gansearch.scoring.indicators import HealthReference
from gansearch.scoring.parzen import score, sigma_grid
from gansearch.seeds import trial_seed
from gansearch.system.files import write_atomically
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining

# Evaluations grow rare: up to so many epochs, there is one each so many.
_RARER = ((12, 0.5), (60, 2.0), (math.inf, 10.0))

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training, to its last update."""

    dataset: str
    name: str
    seed: int
    config: TrialConfig
    max_updates: int

    @property
    def own_seed(self) -> int:
        return trial_seed(0, f"long {self.dataset} {self.name}", self.seed)

    @property
    def row(self) -> Row:
        return {"dataset": self.dataset, "name": self.name, "seed": self.seed}

    def __str__(self) -> str:
        return f"{self.name} seed {self.seed}"

    def start(self, device: str = "cpu", examples: Examples | None = None) -> AdversarialTraining:
        return AdversarialTraining(
            self.config,
            prepared(self.dataset)[0],
            self.own_seed,
            device=device,
            examples=examples,
            max_updates=self.max_updates,
        )

    @property
    def epoch_updates(self) -> float:
        n_train = len(prepared(self.dataset)[0].train)
        return n_train / self.config.batch_size * (self.config.k + 1)

    def due(self, every: int | None, score_epochs: float) -> dict[int, bool]:
        """Return after which updates it is evaluated, and whether it is scored there too."""
        end, epoch = self.max_updates, self.epoch_updates
        scored = {end} if score_epochs else set()
        while score_epochs and (at := round(len(scored) * score_epochs * epoch)) < end:
            scored.add(at)
        evaluated, at = set(range(every, end, every)) if every else set(), 0
        while not every and at < end:
            at += round(next(n for to, n in _RARER if at / epoch < to) * epoch)
            evaluated.add(min(at, end))
        return {u: u in scored for u in sorted(evaluated | scored | {end})}


class Record:
    """What was measured so far, in the order of the updates, and the folder it is written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, list[Row]] = {"evaluations": [], "scores": []}
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> None:
        """Go on with what was written."""
        for kind, rows in self.rows.items():
            if (path := self.folder / f"{kind}.parquet").exists():
                rows += pd.read_parquet(path).to_dict("records")

    def add(self, evaluation: Row, scores: list[Row]) -> None:
        self.rows["evaluations"].append(evaluation)
        self.rows["scores"] += scores

    def write(self) -> None:
        for kind, rows in self.rows.items():
            if rows:
                frame = pd.DataFrame(rows).sort_values(["dataset", "name", "seed", "updates"])
                write_atomically(self.folder / f"{kind}.parquet", frame.to_parquet(index=False))


def measured(
    job: Job, training: AdversarialTraining, metrics: Metrics, *, is_scored: bool
) -> tuple[Row, list[Row]]:
    """Return an evaluation, and the scores if they are due."""
    dataset, evaluator = prepared(job.dataset, device=training.device)
    n = evaluator.n_samples
    last = training.raw_samples(N_SAMPLES)
    assert last is not None
    row = job.row | {"config": json.dumps(job.config.to_dict())}
    row |= dataclasses.asdict(metrics)
    row |= evaluator.evaluate(last[:n]).measured
    row |= truth(dataset, last, None)
    row |= gradients(training)
    averaged = evaluator.evaluate(training.samples(n)).measured
    row |= {f"average_{name}": value for name, value in averaged.items()}
    null = dataclasses.asdict(evaluator.reference.null)
    row |= {f"null_{name}": value for name, value in null.items()}
    return row, scores(job, training) if is_scored else []


def scores(job: Job, training: AdversarialTraining) -> list[Row]:
    """Return the scores of 10,000 samples by G's weights and by their average."""
    dataset, device = prepared(job.dataset)[0], training.device
    reference = _score_reference(job.dataset, device)
    valid = dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma])
    test = dataset.to_float(dataset.test)
    rows = []
    for weights, samples in (
        ("last", training.raw_samples(N_FINAL_SAMPLES)),
        ("average", training.samples(N_FINAL_SAMPLES)),
    ):
        on_device = torch.from_numpy(samples).to(device)
        fine, authors = (
            score(
                on_device,
                valid,
                test,
                sigma_grid(kind, is_image=dataset.is_image, is_bounded=dataset.is_bounded),
                device=device,
            )
            for kind in ("fine", "authors")
        )
        few = on_device[: reference.n]
        rows.append(
            job.row
            | {
                "weights": weights,
                "updates": training.updates,
                "test_ll": fine.test_ll,
                "test_ll_se": fine.test_ll_se,
                "valid_ll": fine.valid_ll,
                "sigma": fine.sigma,
                "authors_test_ll": authors.test_ll,
                "authors_sigma": authors.sigma,
                "train_nn_ratio": copying(dataset, few).train_nn_ratio,
                **vars(reference.indicators(few)),
            }
        )
    return rows


@cache
def _score_reference(dataset: str, device: str) -> HealthReference:
    return health_reference(prepared(dataset)[0], 1000, device)
