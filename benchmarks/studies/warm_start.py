"""What does a search gain that begins with an earlier run, and what does a misleading one cost?

    python benchmarks/studies/warm_start.py

A synthetic objective of eight parameters stands in for a training; its noise is a tenth of what the
most important parameter can cost. The earlier run is a search of 60 trials by TPE: of the same
objective, of one whose best configuration is somewhat or far elsewhere, or of one that is worst
where ours is best. Its scores are on another scale. Arms: its best tried first, and TPE learning
from it as well, each against a search without it. Takes two minutes.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.samplers import BaseSampler

from benchmarks.studies.recovery import print_table
from gansearch.rules import Config
from gansearch.space.search_space import SearchSpace
from gansearch.tune.earlier_runs import first_configs, take_trials
from gansearch.tune.samplers import make_sampler
from gansearch.tune.study import enqueue_starts
from gansearch.tune.warm_sampler import warmed

# How far, on average, each number of the earlier run's best lies from ours, of ranges of length 1.
SHIFTS = {"the same": 0.0, "somewhat elsewhere": 0.1, "far elsewhere": 0.3}
MISLEADING = "misleading"
ARMS = ("first", "first, and TPE learns")
_N_EARLIER, _N_TRIALS, _MARKS, _NOISE_SD = 60, 32, (10, 20, 32), 0.1
# What a parameter costs that is wrong by the length of its range, or that is another choice.
_COSTS = {
    "generator_lr": 4.0,
    "discriminator_lr": 3.0,
    "dropout_input": 2.0,
    "dropout_hidden": 1.0,
    "generator_ema": 0.5,
    "final_lr_share": 0.2,
    "init": 1.0,
    "output_init": 0.4,
}
_CHOICES = {
    "init": ["uniform", "normal", "glorot"],
    "output_init": ["hidden", "uniform", "sparse"],
}
_LOW, _HIGH = 0.01, 0.97
SPACE = SearchSpace.from_dict(
    {
        "dataset": "digits",
        "search": {
            name: {"choice": _CHOICES[name]} if name in _CHOICES else {"float": [_LOW, _HIGH]}
            for name in _COSTS
        },
    }
)
_Optimum = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    n_seeds = parser.parse_args().seeds
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for kind in (*SHIFTS, MISLEADING):
        print_table(f"an earlier run: {kind}", gains(kind, n_seeds))


def gains(kind: str, n_seeds: int) -> pd.DataFrame:
    """Return, by arm, the mean gain of the best so far after some trials, with standard errors.

    The gain is over the search without the earlier run on the same seed, in units of the objective.
    """
    rows = {
        arm: np.array([paired_gains(kind, arm, seed) for seed in range(n_seeds)]) for arm in ARMS
    }
    return pd.DataFrame(
        [
            {"arm": arm}
            | {
                f"after {mark}": f"{of.mean(0)[mark - 1]:+.2f} ± {_error(of[:, mark - 1]):.2f}"
                for mark in _MARKS
            }
            for arm, of in rows.items()
        ]
    )


def paired_gains(kind: str, arm: str, seed: int, n_trials: int = _N_TRIALS) -> np.ndarray:
    """Return the gain of the best so far after each trial, `[n_trials]`."""
    rng = np.random.default_rng(seed)
    optimum = {
        n: rng.choice(_CHOICES[n]) if n in _CHOICES else rng.uniform(0.2, 0.8) for n in _COSTS
    }
    rows = _earlier_rows(_other_optimum(optimum, kind, rng), seed)
    sampler = make_sampler("tpe", seed)
    if arm == ARMS[1]:
        sampler = warmed(sampler, SPACE, rows)
    first = first_configs(SPACE, rows)
    warm = _search(optimum, sampler, seed, n_trials, first)
    cold = _search(optimum, make_sampler("tpe", seed), seed, n_trials)
    return np.maximum.accumulate([score for _, score in warm]) - np.maximum.accumulate(
        [score for _, score in cold]
    )


def _other_optimum(optimum: _Optimum, kind: str, rng: np.random.Generator) -> _Optimum:
    if kind != MISLEADING:
        shift = SHIFTS[kind]
        return {
            name: value if name in _CHOICES else float(np.clip(value + shift * rng.normal(), 0, 1))
            for name, value in optimum.items()
        }
    return {
        name: next(other for other in _CHOICES[name] if other != value)
        if name in _CHOICES
        else float(value < 0.5)
        for name, value in optimum.items()
    }


def _earlier_rows(optimum: _Optimum, seed: int) -> list[dict[str, Any]]:
    """Return what is taken of a search for another optimum, as rows of `warm_start.parquet`."""
    found = _search(optimum, make_sampler("tpe", 1000 + seed), seed, _N_EARLIER)
    trials = [
        {
            "trial_id": f"t{i:05d}",
            "number": i,
            "phase": "search",
            "config_id": config.config_id,
            "status": "completed",
            "reason": "",
            "updates": SPACE.budget.max_updates,
            "valid_ll": 50 * score - 300,
            **{f"config.{name}": value for name, value in config.to_dict().items()},
        }
        for i, (config, score) in enumerate(found)
    ]
    rows = take_trials(SPACE, SPACE, trials, []).rows
    return [{"run": "earlier", "weight": 1.0, **row} for row in rows]


def _search(
    optimum: _Optimum,
    sampler: BaseSampler,
    seed: int,
    n_trials: int,
    first: list[Config] | tuple = (),
) -> list[tuple[Config, float]]:
    """Return the configurations that a search tries, with their scores without the noise."""
    rng = np.random.default_rng([seed, 1])
    study = optuna.create_study(sampler=sampler, direction="maximize")
    enqueue_starts(study, SPACE, first)
    found = []
    for _ in range(n_trials):
        trial = study.ask()
        config = SPACE.suggest(trial)
        score = -sum(_cost(name, getattr(config, name), value) for name, value in optimum.items())
        study.tell(trial, score + _NOISE_SD * rng.normal())
        found.append((config, score))
    return found


def _cost(name: str, value: Any, best: Any) -> float:
    if name in _CHOICES:
        return _COSTS[name] * (value != best)
    return float(_COSTS[name] * ((value - _LOW) / (_HIGH - _LOW) - best) ** 2)


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()
