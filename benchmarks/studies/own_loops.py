"""The guard on loops of others: those of `examples/loops`, trained to the end and labelled.

    python benchmarks/studies/own_loops.py            # trains what is missing
    python benchmarks/studies/own_loops.py --show     # the tables, of what `data/` holds

Each of the four loops is trained with configurations drawn at random from a wide space, on the 8x8
digits, and never stopped. Afterwards it is known at which evaluation the guard would have stopped
it, and how it ended by ground truth (see `labelled_runs`), which the guard does not see.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.studies.collapse import DATA, truth
from benchmarks.studies.labelled_runs import label_of
from gansearch.budget import Budget
from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError, DivergedError, SamplesError
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.health import HealthMonitor, TrialEvaluation
from gansearch.scoring.verdict import LEAST_UPDATES
from gansearch.space.search_space import SearchSpace

LOOPS = Path(__file__).resolve().parents[2] / "examples" / "loops"
OUT = DATA / "own-loops.parquet"
N_EACH = 15
N_TRUTH = 2500
BUDGET = {"max_updates": 2000, "reports": 20}
WIDE = {
    "lr": {"float": [1e-5, 5e-2], "log": True},
    "width": {"choice": [4, 8, 16]},
}
ALSO = {
    "dcgan": {},
    "hinge": {"n_critic": {"int": [1, 2]}},
    "wgan_gp": {"n_critic": {"int": [1, 2]}, "penalty": {"float": [0.01, 100.0], "log": True}},
    "relativistic": {"gamma": {"float": [0.001, 10.0], "log": True}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="train nothing")
    parser.add_argument("--each", type=int, default=N_EACH, help="trainings of each loop")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_parquet(arguments.out).to_dict("records") if arguments.out.exists() else []
    if not arguments.show:
        done = {(row["loop"], row["number"]) for row in rows}
        for number in range(arguments.each):
            for loop in ALSO:
                if (loop, number) not in done:
                    rows.append(train_one(loop, number))
                    pd.DataFrame(rows).to_parquet(arguments.out)
                    print(describe(rows[-1]), flush=True)
    show(pd.DataFrame(rows))


def train_one(loop: str, number: int) -> dict[str, Any]:
    """Train a loop with the configuration of a number, to the end; return its row."""
    dataset, budget = load_dataset("digits"), Budget(**BUDGET)
    space = SearchSpace.from_dict(
        {
            "trainable": f"{LOOPS}/{loop}.py:train",
            "dataset": "digits",
            "budget": BUDGET,
            "search": WIDE | ALSO[loop],
        }
    )
    config = drawn(space, number)
    training = space.family.build(config, dataset, number, "cpu")
    training.max_updates = budget.max_updates
    evaluator = Evaluator(dataset, collapse_test=CollapseTest(dataset))
    monitor = HealthMonitor(
        evaluator.reference.null,
        max_updates=budget.max_updates,
        grace_updates=max(budget.grace_updates, LEAST_UPDATES),
        give_up=budget.give_up,
    )
    row: dict[str, Any] = {"loop": loop, "number": number, **config.to_dict()}
    row |= {"stopped_at": np.nan, "ends_as": "completed", "valid_ll": np.nan}
    train_seconds = guard_seconds = 0.0
    try:
        for updates in budget.report_updates():
            start = time.perf_counter()
            metrics = training.advance(updates)
            train_seconds += time.perf_counter() - start
            start = time.perf_counter()
            samples = training.samples(evaluator.n_samples)
            evaluation = evaluator.evaluate(samples)
            judged = TrialEvaluation.of(metrics, evaluation, evaluator.n_classes)
            verdict = monitor.judge(judged)
            guard_seconds += time.perf_counter() - start
            if verdict.status == "collapsed" and np.isnan(row["stopped_at"]):
                row["stopped_at"] = updates
        row["valid_ll"] = evaluation.valid_ll
        row["ends_as"] = evaluator.judge(samples, evaluation.indicators).verdict.status
        row |= truth(dataset, training.samples(N_TRUTH), None)
        row |= asdict(evaluation.indicators)
    except (DivergedError, SamplesError, ConfigError) as error:
        row |= {"ends_as": "diverged", "error": str(error)}
    finally:
        training.close()
    return row | {"train_seconds": train_seconds, "guard_seconds": guard_seconds}


def drawn(space: SearchSpace, number: int) -> Any:
    """Return the configuration of a number, drawn at random."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    return space.suggest(study.ask())


def describe(row: dict[str, Any]) -> str:
    stopped = "" if np.isnan(row["stopped_at"]) else f", stopped at {row['stopped_at']:,.0f}"
    return (
        f"{row['loop']} {row['number']}: {row['ends_as']}{stopped}, {row['valid_ll']:.1f} nats; "
        f"{row['train_seconds']:.1f} s"
    )


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a label, whether they are of the better half, and who found them."""
    rows = rows.copy()
    rows["label"] = [
        "diverged" if row["ends_as"] == "diverged" else label_of(row, 10)
        for row in rows.to_dict("records")
    ]
    healthy = rows[rows["label"] == "healthy"]
    medians = healthy.groupby("loop")["valid_ll"].median()
    rows["better_half"] = (rows["label"] == "healthy") & (
        rows["valid_ll"] >= rows["loop"].map(medians)
    )
    rows["dying"] = rows["label"].isin(["collapsed", "diverged"])
    rows["stopped"] = rows["stopped_at"].notna()
    rows["found"] = rows["stopped"] | rows["ends_as"].isin(["collapsed", "diverged"])
    return rows


def show(rows: pd.DataFrame) -> None:
    rows = labelled(rows)
    print("| loop | dying | stopped | found | better half | found | others | found |")
    print("|---|---|---|---|---|---|---|---|")
    for name, part in [*rows.groupby("loop"), ("all", rows)]:
        dying, better = part[part["dying"]], part[part["better_half"]]
        others = part[~part["dying"] & ~part["better_half"]]
        print(
            f"| {name} | {len(dying)} | {dying['stopped'].sum()} | {dying['found'].sum()} | "
            f"{len(better)} | {better['found'].sum()} | {len(others)} | {others['found'].sum()} |"
        )
    print("\nfound: stopped, or collapsed by the verdict on the last samples.")
    labels = rows["label"].value_counts()
    print(", ".join(f"{n} {label}" for label, n in labels.items()))
    for name, part in rows.groupby("loop"):
        share = part["guard_seconds"].sum() / part["train_seconds"].sum()
        print(f"{name}: {BUDGET['reports']} evaluations take {share:.1%} of the training's time")


if __name__ == "__main__":
    main()
