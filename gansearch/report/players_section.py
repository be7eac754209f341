"""What D says at the end of training: D = 1/2 where G's distribution is that of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from gansearch.report.report import Report, completed_replicas
from gansearch.report.section import Column, Section
from gansearch.runs.generators import read_outputs

_LEAST = 1e-7  # of a probability whose logarithm is taken: float32 holds no less beside 1
# V(D, G) at the optimum of both players (Goodfellow et al. 2014, Theorem 1).
VALUE_AT_OPTIMUM = -math.log(4)


def players_sections(report: Report, mark: Callable[[Report, str], str]) -> Iterator[Section]:
    """Yield what D says of real and generated examples; none where no run has stored it."""
    replicas = completed_replicas(report.trials)
    rows = []
    for config_id in report.ranking["config_id"]:
        trials = replicas.loc[replicas["config_id"] == config_id, "trial_id"]
        found = [read_outputs(report.folder.model_dir(trial)) for trial in trials]
        outputs = [each for each in found if each is not None]
        if outputs:
            means = np.mean([[*each.mean(axis=1), value_of(each)] for each in outputs], axis=0)
            rows.append([mark(report, config_id), *(f"{mean:.2f}" for mean in means)])
    columns: list[Column] = [
        *(("config", "left"), ("D on real", "right")),
        *(("D on generated", "right"), ("V(D, G)", "right")),
    ]
    if rows:
        yield Section(
            "players",
            "What D says at the end",
            (),
            columns,
            rows,
            [
                "Means over the replicas that work, on up to 1,000 training examples and as many "
                "generated ones, without dropout. Where G has the distribution of the data, the "
                f"best D is 1/2 everywhere, and V(D, G) is -log 4 = {VALUE_AT_OPTIMUM:.2f} nats "
                "(Theorem 1 of the paper). It is higher where D tells the two apart."
            ],
        )


def value_of(outputs: np.ndarray) -> float:
    """Return V(D, G) of Equation 1 of the paper from D's outputs `[2, n]`, in nats."""
    real, fake = outputs.astype(np.float64).clip(_LEAST, 1 - _LEAST)
    return float(np.log(real).mean() + np.log(1 - fake).mean())
