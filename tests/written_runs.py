"""Folders of runs as the driver writes them, without a training, for tests of what reads them."""

import json
import math
import re

import numpy as np
import pandas as pd

from gansearch.config import TrialConfig
from gansearch.family import Counts, Metrics
from gansearch.measures import Evaluation
from gansearch.ranking.ranking import rank
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import config_columns, ranking_schema, trials_schema
from gansearch.scoring.verdict import Verdict
from gansearch.system.files import BLANK_SEAL, sealed
from gansearch.trial.messages import StepResult, TrialSpec

# Of the paper's adversarial nets, the default family.
TRIALS_COLUMNS = tuple(trials_schema(TrialConfig).names)
RANKING_COLUMNS = tuple(ranking_schema(TrialConfig).names)

PAPER = TrialConfig(generator_widths=(128, 128), discriminator_widths=(64, 64))

WINNER = TrialConfig(
    k=2,
    generator_lr=0.05,
    discriminator_activation="leaky_relu",
    generator_widths=(256, 256),
    discriminator_widths=(64, 64),
)

SECOND = TrialConfig(
    noise_dim=32, generator_lr=0.31, generator_widths=(128, 128), discriminator_widths=(64, 64)
)


def run_info(**changes):
    info = {
        "name": "digits-1",
        "space": {
            "name": "digits",
            "dataset": "digits",
            "budget": {"trials": 6, "max_updates": 8000, "reports": 4, "top": 2, "replicas": 4},
            "search": {"k": {"int": [1, 3]}},
            "fixed": {},
            "presets": {
                "paper": {"generator_widths": [128, 128], "discriminator_widths": [64, 64]}
            },
            "start_from": ["paper"],
        },
        "seed": 0,
        "only": None,
        "paper_config_id": PAPER.config_id,
        "command": "gansearch run --space digits",
        "versions": {"gansearch": "0.1.0"},
        "git_commit": None,
        "machine": "here",
        "started_at": "2026-11-24T06:00:00+00:00",
        "state": "finished",
        "wall_seconds": 181.0,
    }
    return info | changes


def described(**changes):
    """The description of the run that `run_info` has as a dictionary."""
    return RunDescription.from_dict(run_info(**changes))


def write_run_json(folder, values):
    """Write any values where a run's description and its copy lie, with a seal that fits."""
    content = sealed(json.dumps({**values, "seal": BLANK_SEAL}).encode())
    for name in ("run.json", "run.json.copy"):
        (folder.path / name).write_bytes(content)


def spec(number=0, config=PAPER, **changes):
    """What trial `number` of a search is."""
    values = {
        "trial_id": f"t{number:05d}",
        "number": number,
        "phase": "search",
        "seed": number,
        "config": config.to_dict(),
    }
    return TrialSpec(**values | changes)


def step(updates, valid_ll=None, *, verdict=None, reason="", coverage=0.7, **more):
    """What a trial says after a step: a report where it has a score, else how far it is."""
    counts = {
        "updates": updates,
        "d_updates": updates // 2,
        "g_updates": updates // 2,
        "seconds": 0.5,
    }
    found = {}
    if valid_ll is not None:
        losses = ("d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")
        verdict = verdict or "sound"
        found["metrics"] = Metrics(**counts, **dict.fromkeys(losses, 0.5))
        found["evaluation"] = Evaluation(valid_ll, 0.1, False, coverage, recall=0.6, nn_ratio=0.9)
    if verdict is not None:
        found["verdict"] = Verdict(verdict, reason)
    return StepResult(Counts(**counts), "cpu", **found, **more)


def trial(trial_id, config, status="completed", phase="search", valid_ll=5.0, **values):
    return {
        "trial_id": trial_id,
        "number": int(re.sub(r"\D", "", trial_id) or 0),
        "phase": phase,
        "config_id": config.config_id,
        "seed": 1,
        "status": status,
        "reason": "",
        "updates": 8000,
        "d_updates": 4000,
        "g_updates": 4000,
        "seconds": 9.0,
        "device": "cpu",
        "valid_ll": valid_ll,
        "sigma": 0.1,
        "sigma_at_edge": False,
        "coverage": 0.7,
        "recall": 0.6,
        "nn_ratio": 0.9,
        "train_nn_ratio": 0.8,
        "precision": 0.7,
        "clipped_density": 0.65,
        "clipped_coverage": 0.6,
        "fld": 12.3,
        "copy_p": 0.4,
        **config_columns(config),
        **values,
    }


def searched():
    """A search of six trials: what each ended as."""
    collapsed = "coverage .02 at three reports in a row"
    return [
        trial("t00000", PAPER, valid_ll=3.1),
        trial("t00001", WINNER, valid_ll=9.2),
        trial("t00002", SECOND, valid_ll=8.8),
        trial("t00003", TrialConfig(k=3), "pruned", valid_ll=1.5, updates=2000),
        trial("t00004", TrialConfig(k=4), "collapsed", valid_ll=12.0, reason=collapsed),
        trial("t00005", TrialConfig(k=5), "diverged", valid_ll=math.nan, reason="loss is NaN"),
    ]


def replicas(config, n=4):
    return [
        trial(f"r-{config.config_id}-{i}", config, phase="replica", updates=8000) for i in range(n)
    ]


def log_likelihoods(rows, means, n=300):
    """Per-example test log-likelihoods of the completed replicas, about their configuration's."""
    examples = np.random.default_rng(0).normal(0, 4, n)
    found = {}
    for i, row in enumerate(rows):
        if row["status"] == "completed":
            noise = np.random.default_rng(i).normal(0, 1, n)
            shift = means[row["config_id"]] + 0.3 * (i % 4) - examples.mean() - noise.mean()
            found[row["trial_id"]] = examples + noise + shift
    return found


def references(test_ll=29.12, n_samples=1197):
    return pd.DataFrame(
        [
            {
                "name": "training images",
                "test_ll": test_ll,
                "test_ll_se": 0.6,
                "valid_ll": 29.0,
                "sigma": 0.11,
                "coverage": 0.97,
                "recall": 0.95,
                "nn_ratio": 1.0,
                "train_nn_ratio": 0.0,
                "precision": 0.96,
                "clipped_density": 0.98,
                "clipped_coverage": 0.97,
                "fld": 900.0,
                "copy_p": 0.0,
                "n_samples": n_samples,
                "source": None,
            },
            {
                "name": "adversarial nets",
                "test_ll": 12.0,
                "test_ll_se": 2.0,
                "n_samples": 10_000,
                "source": "Somebody 2014, Table 1",
            },
        ]
    )


def curve():
    return [
        {"name": name, "n_samples": n, "test_ll": n**0.5 / 10 + up, "test_ll_se": 0.5}
        for name, up in (("winner", 0), ("training images", 4))
        for n in (100, 1000, 10_000)
    ]


def write_run(tmp_path, search=(), replicated=(), means=None, reference_ll=None, **info):
    """Write a run's folder as the driver would."""
    folder = RunFolder.create(tmp_path, info.get("name", "digits-1"))
    folder.write_run(described(**info))
    if search or replicated:
        folder.write_trials([*search, *replicated])
    if means:
        test_lls = log_likelihoods(replicated, means)
        for trial_id, lls in test_lls.items():
            folder.write_test_ll(trial_id, lls)
        objective = folder.read_run().objective
        folder.write_ranking(
            rank(folder.trials(), test_lls, paper_config_id=PAPER.config_id, objective=objective)
        )
    folder.write_references([] if reference_ll is None else references(reference_ll))
    return folder


MEANS = {WINNER.config_id: 24.0, SECOND.config_id: 23.9, PAPER.config_id: 18.5}


def finished_run(tmp_path, **info):
    """A run of three configurations with four replicas each, one of them diverged."""
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    replicated[1].update(status="diverged", reason="D's loss is NaN")
    return write_run(tmp_path, searched(), replicated, MEANS, reference_ll=29.12, **info)


def searching_run(tmp_path):
    """A search that is going on: one trial completed, two running."""
    rows = [
        trial("t00000", PAPER, valid_ll=3.1),
        trial("t00001", WINNER, "running", valid_ll=9.2, updates=4000),
        trial("t00002", SECOND, "running", valid_ll=math.nan, updates=0),
    ]
    return write_run(tmp_path, rows, state="searching", wall_seconds=0.0)


# By several objectives: each but the last is best at something.
ON_FRONT = [TrialConfig(k=k, generator_lr=0.01 * k) for k in (1, 2, 3)]
BEHIND = TrialConfig(k=4, generator_lr=0.04)


def front_run(tmp_path, **info):
    """A run by valid_ll and coverage: three configurations on the front, two far behind it."""
    space = described().space | {"objectives": ["valid_ll", "coverage"]}
    rng = np.random.default_rng(0)
    search = []
    for i in range(30):
        better = rng.uniform()
        values = {"valid_ll": 9 + 10 * better - rng.exponential(4), "coverage": 0.9 - 0.6 * better}
        config = TrialConfig(k=1 + i % 4, generator_lr=0.01 * (1 + i))
        status = ("completed", "pruned", "pruned", "collapsed")[i % 4]
        search.append(trial(f"t{i:05d}", config, status, **values))
    means = [(24.0, 0.4), (22.0, 0.6), (19.0, 0.8), (8.0, 0.2), (10.0, 0.1)]
    replicated = []
    for config, (ll, coverage) in zip([*ON_FRONT, BEHIND, PAPER], means, strict=True):
        for i, row in enumerate(replicas(config)):
            valid = {"valid_ll": ll + 0.1 * i, "valid_ll_all": ll + 0.1 * i}
            replicated.append(row | valid | {"coverage": coverage + 0.01 * i})
    of_test = {row["config_id"]: row["valid_ll"] for row in reversed(replicated)}
    return write_run(tmp_path, search, replicated, of_test, reference_ll=29.12, space=space, **info)
