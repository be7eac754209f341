"""What a moving average of G is worth, at which decay: one training, the average by each of them.

    python benchmarks/studies/averages.py --set generator_ema=0 --seeds 8 --drawn 30

Trains a preset on some seeds, and configurations drawn at random from the space, for the budget of
the space. An average changes nothing of a training, so that all decays are compared on the same
ones. At the end 10,000 samples of each are scored: the table has the differences to the weights of
the last iteration, in nats of the validation and of the test set, with their 95 % intervals over
the trainings that have not diverged, collapsed ones among them.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pandas as pd
import torch

from benchmarks.studies.collapse import draw_configs, one_thread, prepared
from benchmarks.studies.remedies import with_interval
from gansearch.config import TrialConfig
from gansearch.errors import DivergedError, SamplesError
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.networks.models import generate
from gansearch.scoring.evaluation import final_score
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.training.schedules import average_share
from gansearch.training.training import AdversarialTraining

DECAYS = (0.9, 0.99, 0.995, 0.999, 0.9999)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=10, help="of the preset")
    parser.add_argument("--drawn", type=int, default=40, help="configurations drawn at random")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    space = load_space(arguments.dataset, arguments.set)
    jobs = [("preset", space.preset(arguments.preset), seed) for seed in range(arguments.seeds)]
    jobs += [
        ("drawn", config, i) for i, config in enumerate(draw_configs([space], arguments.drawn))
    ]
    updates = space.budget.max_updates
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        futures = [pool.submit(train, space.dataset, *job, updates) for job in jobs]
        rows = pd.DataFrame([row for future in futures for row in future.result()])
    for kind, table in rows.groupby("kind", sort=False):
        print(
            f"\n{space.dataset}, {kind}: {table['run'].nunique()} trainings, {updates:,} updates\n"
        )
        print(differences(table))


def train(
    dataset_name: str, kind: str, config: TrialConfig, run: int, updates: int
) -> list[dict[str, Any]]:
    """Train to the end; return the scores of the last weights (decay 0) and of each average."""
    dataset, _ = prepared(dataset_name)
    training = AdversarialTraining(config, dataset, trial_seed(0, f"averages {kind}", run))
    weights = training.players.generator.params
    averages = {decay: [w.detach().clone() for w in weights] for decay in DECAYS}
    try:
        while training.updates < updates:
            training.step()
            follow(averages, weights, training.iteration - 1)
        found = []
        for decay, values in {0.0: [w.detach().clone() for w in weights], **averages}.items():
            with torch.no_grad():
                for weight, value in zip(weights, values, strict=True):
                    weight.copy_(value)
            samples = generate(training.generator, config, N_FINAL_SAMPLES, training.sample_seed)
            score = final_score(dataset, samples)
            found.append(
                {"kind": kind, "run": run, "decay": decay}
                | {"valid_ll": score.parzen.valid_ll, "test_ll": score.parzen.test_ll}
                | dataclasses.asdict(score.indicators)
            )
    except (DivergedError, SamplesError):
        return []
    return found


@torch.no_grad()
def follow(
    averages: dict[float, list[torch.Tensor]],
    weights: list[torch.Tensor],
    iteration: int,
) -> None:
    """Move each average towards the weights, as `generator_ema` does."""
    for decay, values in averages.items():
        share = average_share(decay, iteration)
        for value, weight in zip(values, weights, strict=True):
            value.lerp_(weight, float(share))


def differences(rows: pd.DataFrame) -> str:
    """Return a Markdown table of what each average gains over the last weights of its training."""
    columns = ("valid_ll", "test_ll", "coverage", "recall")
    last = rows[rows["decay"] == 0].set_index("run")
    lines = [
        "| decay | valid nats | test nats | better in | coverage | recall |",
        "|---|---|---|---|---|---|",
        "| none | "
        + " | ".join(f"{last[c].mean():.2f}" for c in columns[:2])
        + " | | "
        + " | ".join(f"{last[c].mean():.2f}" for c in columns[2:])
        + " |",
    ]
    for decay in DECAYS:
        gain = rows[rows["decay"] == decay].set_index("run")[list(columns)] - last[list(columns)]
        better = f"{(gain['test_ll'] > 0).sum()} of {len(gain)}"
        nats = " | ".join(with_interval(gain[c]) for c in columns[:2])
        shares = " | ".join(f"{gain[c].mean():+.2f}" for c in columns[2:])
        lines.append(f"| {decay:g} | {nats} | {better} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
