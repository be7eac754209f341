"""Runs with enough in them to play with, written without a training."""

from datetime import UTC, datetime, timedelta

import numpy as np

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.figures.samples import png
from gansearch.figures.strips import strip
from gansearch.report.page_pictures import NEAREST, STRIP
from gansearch.runs.generators import write_outputs
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    curve,
    replicas,
    run_info,
    trial,
    write_run,
)

STATUSES = ("completed", "pruned", "pruned", "collapsed", "completed", "diverged", "failed")
REASONS = {
    "pruned": "valid_ll {score:.2f} at rung 1,000, below 3.5: not in the best 1/3 of {i} earlier",
    "collapsed": "the samples look collapsed: coverage 0.0{i}, 10% of the classes",
    "diverged": "D's loss is NaN at update 2,000",
    "failed": "ValueError: <img src=x onerror=alert({i})>",
}
SEARCH = {
    "k": {"int": [1, 3]},
    "generator_lr": {"float": [0.001, 1.0], "log": True},
    "discriminator_lr": {"float": [0.001, 1.0], "log": True},
    "generator_activation": {"choice": ["relu", "leaky_relu"]},
    "noise_dim": {"int": [4, 100], "log": True},
}
BEGAN = datetime(2026, 11, 24, 6, tzinfo=UTC)


def searched_trials(n, n_running=0):
    """Trials of a search over five parameters, with every status."""
    draws = np.random.default_rng(0)
    rows = []
    for i in range(n):
        config = TrialConfig(
            k=1 + i % 3,
            generator_lr=float(10 ** draws.uniform(-3, 0)),
            discriminator_lr=float(10 ** draws.uniform(-3, 0)),
            generator_activation=("relu", "leaky_relu")[i % 2],
            noise_dim=int(draws.integers(4, 100)),
        )
        status = "running" if i >= n - n_running else STATUSES[i % len(STATUSES)]
        score = float(draws.normal(5, 3))
        reason = REASONS.get(status, "").format(i=i, score=score)
        updates = 8000 if status in ("completed", "collapsed") else 2000
        rows.append(
            trial(
                f"t{i:05d}",
                config,
                status,
                valid_ll=score,
                reason=reason,
                updates=updates,
                coverage=float(draws.uniform()),
                d_loss=float(draws.uniform()),
                device=f"cpu {i % 2}",
            )
        )
    return rows


def evaluations(rows):
    """Four evaluations of each trial, one after the other on two workers."""
    reports = []
    for i, row in enumerate(rows):
        for part in range(1, 5):
            value = row["valid_ll"] - 4 + part
            reports.append(
                {
                    "trial_id": row["trial_id"],
                    "number": row["number"],
                    "phase": row["phase"],
                    "updates": row["updates"] * part // 4,
                    "seconds": 2.0 * part,
                    "valid_ll": value,
                    "coverage": row["coverage"] * part / 4,
                    "recall": 0.1 * part,
                    "d_loss": 1.0 / part,
                    "g_loss": 0.5 * part,
                    "d_real": 0.5 + 0.05 * part,
                    "d_fake": 0.5 - 0.05 * part,
                    "reported_at": BEGAN + timedelta(seconds=10 * (i // 2) + 2 * part),
                }
            )
    return reports


def draw_pictures(folder, trial_ids):
    """Draw the strips of trials, and samples beside their nearest examples."""
    digits = load_dataset("digits")
    for i, trial_id in enumerate(trial_ids):
        model = folder.model_dir(trial_id)
        model.mkdir(parents=True)
        parts = [digits.train[100 * i + 8 * j : 100 * i + 8 * j + 8] for j in range(4)]
        picture = png(strip(parts, (2000, 4000, 6000, 8000), digits))
        (model / STRIP).write_bytes(picture)
        (model / NEAREST).write_bytes(picture)


def played_run(tmp_path, n=42, **info):
    """A finished run of many trials, with curves, pictures and a ranking."""
    search = searched_trials(n)
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    replicated[1].update(status="diverged", reason="D's loss is NaN")
    space = {**run_info()["space"], "search": SEARCH}
    info = {"space": space, **info}
    folder = write_run(tmp_path, search, replicated, MEANS, reference_ll=29.12, **info)
    folder.append_history(evaluations([*search, *replicated]))
    winner = f"r-{WINNER.config_id}-0"
    draw_pictures(folder, [winner, *(row["trial_id"] for row in search[:6])])
    folder.write_curve(curve())
    outputs = np.random.default_rng(0).beta([[6], [3]], [[4], [6]], (2, 1000))
    write_outputs(folder.model_dir(winner), outputs)
    (folder.path / "samples.png").write_bytes((folder.model_dir(winner) / STRIP).read_bytes())
    return folder
