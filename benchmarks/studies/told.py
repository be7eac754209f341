"""What a search gains if the sampler learns of failed trials.

    python benchmarks/studies/told.py --dataset ring digits --seeds 10 --processes 2  # hours in all
    python benchmarks/studies/told.py --unpruned --seeds 10 --processes 2             # 3 x as long
    python benchmarks/studies/told.py --table                                         # from data

A search here is one process with one thread and no Ray: gansearch's own trials, scheduler and
searcher, called as Tune calls them, one trial after another. The spaces are wide, so that over a
third of random configurations collapse or diverge. The arms differ only in how the end of a trial
is passed to the sampler:

- `told`: as gansearch does it. Unhealthy trials are pruned and infeasible.
- `untold`: unhealthy trials are pruned, like those that ASHA stops.
- `as_ray`: as Ray's OptunaSearch does it. Every trial that ends is complete, at its last valid_ll;
  one without any has failed.
- `random`: no model, which gives the share of unhealthy configurations.

ASHA stops some unhealthy trials for their score, before there is a verdict on their health. With
`--unpruned` ASHA is not used, and every trial completes, collapses or diverges.

Arms share seeds, budgets and, as long as the model has too few trials to work, configurations.
Searches that are already in the data are not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.trial import Trial, TrialState
from scipy import stats

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import write_atomically
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from gansearch.tune.rows import Outcome
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import tell

DATA = Path(__file__).parent / "data" / "told.parquet"
DEAD = ("collapsed", "diverged")
KEY = ["unpruned", "dataset", "arm", "seed"]  # of a search
# Of each measure, after the point.
_DIGITS = {
    "died, first half": 2,
    "died, second half": 2,
    "died, last quarter": 2,
    "best valid_ll": 2,
    "updates": 0,
}
_WIDE = (
    "k={int: [1, 5]}",
    "optimizer={choice: [sgd, adam]}",
    "generator_lr={float: [1e-4, 1.0], log: true}",
    "discriminator_lr={float: [1e-4, 1.0], log: true}",
    "momentum={float: [0.0, 0.9], when: {optimizer: sgd}}",
    "adam_beta1={choice: [0.0, 0.5, 0.9], when: {optimizer: adam}}",
    "noise={choice: [normal, uniform]}",
    "noise_dim={choice: [2, 8, 32, 100]}",
    "dropout_hidden={float: [0.0, 0.6]}",
    "generator_normalization={choice: [none, batch]}",
    "start_from=[]",
    "trials=40",
    "reports=20",
)
# Trials are short, so the grace is the least at which health is checked; else ASHA would be first.
OVERRIDES = {
    "ring": (
        *_WIDE,
        "generator_widths={choice: [[64, 64], [128, 128]]}",
        "discriminator_widths={choice: [[64], [64, 64], [128, 128]]}",
        "max_updates=4000",
        "grace=0.25",
    ),
    "digits": (*_WIDE, "max_updates=3000", "grace=0.35"),
}
Tell = Callable[[optuna.Study, Trial, Outcome, float | None], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", nargs="+", choices=OVERRIDES, default=list(OVERRIDES))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument(
        "--seeds", type=int, default=10, help="total number of searches of each arm"
    )
    parser.add_argument("--trials", type=int, help="trials of a search (default: 40)")
    parser.add_argument("--max-updates", type=int, help="updates of a trial (default: the space's)")
    parser.add_argument("--unpruned", action="store_true", help="do not use ASHA")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table", action="store_true", help="print the table from the stored data")
    arguments = parser.parse_args()
    if not arguments.table:
        add_searches(arguments)
    print_table(pd.read_parquet(arguments.data))


def add_searches(arguments: argparse.Namespace) -> None:
    """Make the searches that are still missing, and add each to the data when it has ended."""
    frames = [pd.read_parquet(arguments.data)] if arguments.data.exists() else []
    made = set()
    if frames:
        made = set(frames[0][KEY].itertuples(index=False, name=None))
    changes = {"trials": arguments.trials, "max_updates": arguments.max_updates}
    changes = {name: value for name, value in changes.items() if value is not None}
    wanted = [
        (arguments.unpruned, dataset, arm, seed)
        for seed in range(arguments.seeds)
        for dataset in arguments.dataset
        for arm in arguments.arms
    ]
    arguments.data.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        futures = [pool.submit(search, *key, changes) for key in wanted if key not in made]
        for future in as_completed(futures):
            rows = pd.DataFrame(future.result())
            frames.append(rows)
            frame = pd.concat(frames).sort_values([*KEY, "number"])
            write_atomically(arguments.data, frame.to_parquet(index=False, compression="zstd"))
            n_dead = rows["status"].isin(DEAD).sum()
            first = rows.iloc[0]
            print(
                f"{first['dataset']} {first['arm']} seed {first['seed']}: {n_dead} of {len(rows)} "
                f"died, {rows['seconds'].sum():.0f} s",
                flush=True,
            )


def search(
    unpruned: bool, dataset: str, arm: str, seed: int, changes: dict[str, int]
) -> list[dict[str, Any]]:
    """Make one search, and return a row a trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    space = load_space(dataset, OVERRIDES[dataset]).with_budget(**changes)
    sampler, told = ARMS[arm]
    study = optuna.create_study(
        sampler=make_sampler(sampler, trial_seed(seed, "sampler", 0)), direction="maximize"
    )
    scheduler = GuardedScheduler(space.budget, halving=not unpruned)
    searcher = Searcher(told, space, study, scheduler, seed)
    with tempfile.TemporaryDirectory() as folder:
        plan = TrialPlan(Path(folder), space.family.sections, space.budget)
        trials = trials_of(searcher, _dataset(dataset), plan)
        return [
            dict(zip(KEY, (unpruned, dataset, arm, seed), strict=True))
            | {"number": number}
            | run_trial(trial, number, searcher, scheduler)
            for number, trial in enumerate(trials)
        ]


class Searcher(OptunaSearcher):
    """gansearch's searcher, except for how it passes the end of a trial to Optuna."""

    def __init__(
        self,
        told: Tell,
        space: SearchSpace,
        study: optuna.Study,
        scheduler: GuardedScheduler,
        seed: int,
    ) -> None:
        n_new = space.budget.trials
        super().__init__(space, study, seed=seed, n_new=n_new, outcomes=scheduler.outcomes)
        self._told = told
        self._last_ll: dict[str, float] = {}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an intermediate value to Optuna, and store it."""
        super().on_trial_result(trial_id, result)
        self._keep(trial_id, StepResult.from_tune(result))

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: ARG002
    ) -> None:
        """Pass the end of a trial to Optuna as the arm does."""
        assert result is not None
        step = StepResult.from_tune(result)
        trial, outcome = self._trials.pop(trial_id), self._outcomes[trial_id]
        self._keep(trial_id, step)
        if outcome.status in ("completed", "pruned"):
            self._report_value(trial, step)
        self._told(self._study, trial, outcome, self._last_ll.get(trial_id))

    def _keep(self, trial_id: str, step: StepResult) -> None:
        if step.valid_ll is not None:
            self._last_ll[trial_id] = step.valid_ll


def trials_of(
    searcher: Searcher, dataset: Dataset, plan: TrialPlan
) -> Iterator[tuple[TrialSpec, TrialRunner]]:
    """Yield each trial that the searcher proposes, and its runner, begun."""
    process = TrialProcess.prepare(dataset, plan)
    for number in range(plan.budget.trials):
        config = searcher.suggest(str(number))
        assert isinstance(config, dict)
        spec = TrialSpec.from_tune(config)
        yield spec, TrialRunner(spec, process)


def run_trial(
    trial: tuple[TrialSpec, TrialRunner],
    number: int,
    searcher: Searcher,
    scheduler: GuardedScheduler,
) -> dict[str, Any]:
    """Train a trial as Tune would, pass its end to the searcher, and return its row."""
    start = time.perf_counter()
    spec, runner = trial
    as_tune = SimpleNamespace(trial_id=str(number), config=spec.to_tune())
    valid_ll = None  # of the last evaluation
    decision = "CONTINUE"
    while decision == "CONTINUE":
        step = runner.step()
        result = step.to_tune()
        valid_ll = valid_ll if step.valid_ll is None else step.valid_ll
        if step.done:
            scheduler.on_trial_complete(None, as_tune, result)  # type: ignore[arg-type]
            break
        decision = scheduler.on_trial_result(None, as_tune, result)  # type: ignore[arg-type]
        if decision == "CONTINUE":
            searcher.on_trial_result(str(number), result)
    searcher.on_trial_complete(str(number), result)
    outcome = scheduler.outcomes[str(number)]
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "updates": step.updates,
        "valid_ll": math.nan if valid_ll is None else valid_ll,
        "seconds": time.perf_counter() - start,
        "config": json.dumps(spec.config),
    }


def tell_untold(
    study: optuna.Study, trial: Trial, outcome: Outcome, valid_ll: float | None
) -> None:
    """Record an unhealthy trial as pruned only."""
    status = "pruned" if outcome.status in DEAD else outcome.status
    tell(study, trial, Outcome(status, outcome.reason), valid_ll)


def tell_as_ray(
    study: optuna.Study,
    trial: Trial,
    outcome: Outcome,  # noqa: ARG001
    valid_ll: float | None,
) -> None:
    """Record every trial that ends as complete, at its last value."""
    if valid_ll is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, valid_ll)


# The sampler, and how the end of a trial is passed to it.
ARMS: dict[str, tuple[str, Tell]] = {
    "told": ("tpe", tell),
    "untold": ("tpe", tell_untold),
    "as_ray": ("tpe", tell_as_ray),
    "random": ("random", tell),
}


def print_table(rows: pd.DataFrame) -> None:
    """Print each arm's means over the seeds that all arms have, and paired differences to `told`.

    Seeds that an arm lacks are named and left out: a mean over other seeds is another space's luck.
    """
    for (unpruned, dataset), of_dataset in rows.groupby(["unpruned", "dataset"]):
        seeds, lacking = common_seeds(of_dataset)
        n_trials = of_dataset["number"].max() + 1
        pruning = "unpruned" if unpruned else "pruned by ASHA"
        print(
            f"\n{dataset}, {pruning}, searches of {n_trials} trials with the seeds {seeds}", end=""
        )
        print(f"; left out, for want of an arm: {lacking}\n" if lacking else "\n")
        if seeds:
            print_arms(measures(of_dataset[of_dataset["seed"].isin(seeds)]))


def common_seeds(rows: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Return the seeds that all arms in the rows of a data set have, and those that some lack."""
    n_arms = rows.groupby("seed")["arm"].nunique()
    is_common = n_arms == rows["arm"].nunique()
    return n_arms[is_common].index.to_list(), n_arms[~is_common].index.to_list()


def print_arms(measured: pd.DataFrame) -> None:
    """Print a Markdown table of what `measures` returns, each arm's means in a line."""
    print(f"| | {' | '.join(measured.columns)} |")
    print("|---" * (len(measured.columns) + 1) + "|")
    of_arms = {arm: measured.loc[arm] for arm in ARMS if arm in measured.index}
    for arm, of_arm in of_arms.items():
        means = [f"{value:,.{_DIGITS[name]}f}" for name, value in of_arm.mean().items()]
        print(f"| {arm} | {' | '.join(means)} |")
        if arm != "told" and "told" in of_arms:
            less = of_arms["told"] - of_arm
            cells = [interval(less[name].dropna().to_numpy(), _DIGITS[name]) for name in less]
            print(f"| told - {arm} | {' | '.join(cells)} |")


def measures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each search comes to, indexed by (arm, seed)."""
    n_trials = rows["number"].max() + 1
    dead = rows["status"].isin(DEAD)
    parts = {
        "died, first half": rows["number"] < n_trials // 2,
        "died, second half": rows["number"] >= n_trials // 2,
        "died, last quarter": rows["number"] >= n_trials - n_trials // 4,
    }
    key = [rows["arm"], rows["seed"]]
    found = {name: dead.where(part).groupby(key).mean() for name, part in parts.items()}
    completed = rows["valid_ll"].where(rows["status"] == "completed")
    found["best valid_ll"] = completed.groupby(key).max()
    found["updates"] = rows["updates"].groupby(key).sum()
    return pd.DataFrame(found).astype(float)


def interval(differences: np.ndarray, n_digits: int) -> str:
    """Return the mean of paired differences with its 95 % interval (Student's), as text."""
    mean = differences.mean()
    told = f"{mean:+,.{n_digits}f}"
    if len(differences) < 2:
        return told
    half = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    return f"{told} [{mean - half:+,.{n_digits}f}, {mean + half:+,.{n_digits}f}]"


@cache
def _dataset(name: str) -> Dataset:
    return load_dataset(name)


if __name__ == "__main__":
    main()
