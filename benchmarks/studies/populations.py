"""Population-based training beside stopping and resampling, at equal updates, on real trainings.

    python benchmarks/studies/populations.py --seeds 10 --processes 2     # an hour

A search is gansearch's own searcher, scheduler and trial runner in one process, without Ray: two
workers take turns by the updates that they have done. For each seed a population is searched to its
end, then today's `tpe` and `asha` proposes and stops until it has spent as many updates. The best
configuration of each, by the last validation score of the search, is trained again on fresh seeds.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch

from benchmarks.studies.curves import run_to_end
from benchmarks.studies.recovery import print_table
from benchmarks.studies.search_efficiency import difference, goes_on
from gansearch.data.registry import load_dataset
from gansearch.runs.folder import RunFolder
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from gansearch.tune.experiment import drop_states
from gansearch.tune.population import Population
from gansearch.tune.population_search import (
    PopulationScheduler,
    PopulationSearcher,
    n_rescues,
)
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher

N_WORKERS = 2
_MOST_TRIALS = 1000  # of the arm that goes on until its updates are spent


@dataclass(frozen=True)
class Arm:
    """A sampler and a scheduler."""

    sampler: str
    scheduler: str


ARMS = {
    "tpe + pbt": Arm("tpe", "pbt"),
    "random + pbt": Arm("random", "pbt"),
    "tpe + asha": Arm("tpe", "asha"),
}
TODAY = "tpe + asha"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="digits")
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["tpe + pbt"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file of one JSON line for each search")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = []
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        of = (arguments.space, tuple(arguments.overrides), tuple(arguments.arms))
        futures = [pool.submit(compare, *of, seed, arguments.replicas) for seed in seeds]
        for future in as_completed(futures):
            found += future.result()
            for row in future.result():
                print(json.dumps(row), flush=True)
            if arguments.out is not None:
                arguments.out.write_text("".join(json.dumps(row) + "\n" for row in found))
    print_arms(pd.DataFrame(found), arguments.arms)


def print_arms(found: pd.DataFrame, arms: list[str]) -> None:
    """Print what each arm found beside today's: differences are paired, with 95 % intervals."""
    rows = []
    for arm in arms:
        pairs = found[found["arm"] == arm].set_index("seed")
        beside = found[(found["arm"] == TODAY) & (found["beside"] == arm)].set_index("seed")
        beside = beside.loc[pairs.index]
        rows.append(
            {
                "arm": arm,
                "seeds": f"{len(pairs)}",
                "updates": f"{pairs['spent'].mean():,.0f}",
                "best valid_ll": difference(list(pairs["best"] - beside["best"])),
                "winner's test_ll on fresh seeds": difference(
                    list(pairs["test_ll"] - beside["test_ll"])
                ),
                "forks": f"{pairs['forks'].mean():.1f}",
                "winners that are forks": f"{pairs['is_fork'].sum()}",
                "rescues": f"{pairs['rescues'].sum()}",
                "of them sound at the end": f"{pairs['saved'].sum()}",
            }
        )
    print_table("populations beside tpe + asha", pd.DataFrame(rows))


def compare(
    space: str, overrides: tuple[str, ...], arms: tuple[str, ...], seed: int, n_replicas: int
) -> list[dict[str, Any]]:
    """Return what each arm finds with a seed, and today's within the same updates."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    process = _process(space, overrides)
    rows = []
    for arm in arms:
        found = Search(process, space, overrides, arm, seed)
        found.run()
        today = Search(process, space, overrides, TODAY, seed)
        today.run(found.spent)
        rows += [found.row(n_replicas), today.row(n_replicas) | {"beside": arm}]
    return rows


@cache
def _process(space: str, overrides: tuple[str, ...]) -> TrialProcess:
    torch.set_num_threads(1)
    made = load_space(space, overrides)
    plan = TrialPlan(Path(), made.family.sections, made.budget, slice_seconds=math.inf)
    return TrialProcess.prepare(load_dataset(made.dataset), plan)


class Search:
    """One search of real trainings."""

    def __init__(
        self, process: TrialProcess, space: str, overrides: tuple[str, ...], arm: str, seed: int
    ) -> None:
        self.arm, self.seed, self.spent = arm, seed, 0
        self._space, self._process = load_space(space, overrides), process
        self._completed: list[tuple[float, TrialSpec]] = []
        self._specs: dict[str, TrialSpec] = {}
        self._ends: Counter[str] = Counter()
        self._saved = 0
        self._reached: dict[str, int] = {}

    def run(self, most: float = math.inf) -> None:
        """Search until all trials have ended, or so many updates are spent."""
        with tempfile.TemporaryDirectory() as folder:
            is_population = ARMS[self.arm].scheduler == "pbt"
            plan = replace(
                self._process.plan,
                folder=Path(folder),
                pauses=is_population,
                keeps_states=is_population,
            )
            process = replace(self._process, plan=plan)
            player = Player(self._space, ARMS[self.arm], self.seed, plan)
            self._play(player, process, most)

    def _play(self, player: Player, process: TrialProcess, most: float) -> None:
        """Let workers train what the player suggests, in the order of their reports."""
        events: list[tuple[float, int, Any, TrialRunner, StepResult]] = []
        order, now = count(), 0.0

        def train(trial: Any, runner: TrialRunner) -> None:
            name = TrialSpec.from_tune(trial.config).trial_id
            before = self._reached[name]
            step = runner.step()
            while not (step.is_evaluation or step.is_unsound):
                step = runner.step()
            cost = max(0, step.updates - before)
            self._reached[name] = max(before, step.updates)
            heapq.heappush(events, (now + cost, next(order), trial, runner, step))
            self.spent += cost

        while True:
            while len(events) < N_WORKERS and self.spent < most:
                if (trial := player.begin()) is None:
                    break
                spec = TrialSpec.from_tune(trial.config)
                self._specs[spec.trial_id] = spec
                self._reached.setdefault(spec.trial_id, spec.begins_at)
                train(trial, TrialRunner(spec, process))
            if not events:
                return
            now, _, trial, runner, step = heapq.heappop(events)
            self._note_end(TrialSpec.from_tune(trial.config), step)
            if player.report(trial, step):
                if self.spent < most:
                    train(trial, runner)
            else:
                runner.stop()
                runner.close()

    def _note_end(self, spec: TrialSpec, step: StepResult) -> None:
        if step.is_unsound:
            assert step.verdict is not None
            self._ends[step.verdict.status] += 1
        elif step.done:
            score = step.stored_score(self._space.objective)
            assert score is not None
            self._completed.append((score, spec))
            self._saved += "-r" in spec.trial_id

    def row(self, n_replicas: int) -> dict[str, Any]:
        """Return what the search has found; its winner is trained again."""
        best, winner = max(self._completed, key=lambda each: each[0], default=(math.nan, None))
        forks = [spec for spec in self._specs.values() if spec.origin is not None]
        return {
            "arm": self.arm,
            "seed": self.seed,
            "spent": self.spent,
            "best": best,
            "test_ll": math.nan if winner is None else self._test_ll(winner, n_replicas),
            "is_fork": winner is not None and winner.origin is not None,
            "trials": len(self._specs),
            "forks": len(forks),
            "rescues": sum(spec.trial_id.endswith("-r") for spec in forks),
            "saved": self._saved,
            "completed": len(self._completed),
            **self._ends,
        }

    def _test_ll(self, winner: TrialSpec, n_replicas: int) -> float:
        """Return the mean test_ll of a configuration over those fresh seeds that end well."""
        found = []
        for i in range(n_replicas):
            seed = trial_seed(self.seed, "populations: replica", i)
            spec = TrialSpec(f"r{i}", i, "replica", seed, winner.config)
            with tempfile.TemporaryDirectory() as folder:
                plan = replace(self._process.plan, folder=Path(folder))
                runner = TrialRunner(spec, replace(self._process, plan=plan))
                _, step = run_to_end(runner)
                runner.close()
            if step.final is not None:
                found.append(step.final["test_ll"])
        return float(np.mean(found)) if found else math.nan


class Player:
    """gansearch's searcher and scheduler."""

    def __init__(self, space: SearchSpace, arm: Arm, seed: int, plan: TrialPlan) -> None:
        study = optuna.create_study(
            sampler=make_sampler(arm.sampler, trial_seed(seed, "sampler", 0)), direction="maximize"
        )
        make: Callable[..., OptunaSearcher] = OptunaSearcher
        self._scheduler = GuardedScheduler(space.budget, halving=True)
        n_new = _MOST_TRIALS
        if arm.scheduler == "pbt":
            population = Population(space.budget, max_rescues=n_rescues(space))
            n_new = space.budget.trials
            self._scheduler = PopulationScheduler(space.budget, population=population)
            drop = partial(drop_states, RunFolder(plan.folder))
            make = partial(PopulationSearcher, population=population, drop_states=drop)
        self._searcher = make(
            space, study, seed=seed, n_new=n_new, outcomes=self._scheduler.outcomes
        )
        self._n_begun = 0

    def begin(self) -> Any:
        """Return a trial as Tune has it; None if there is none now."""
        tune_id = str(self._n_begun)
        config: Mapping[str, Any] | str | None = self._searcher.suggest(tune_id)
        if not isinstance(config, dict):
            return None
        self._n_begun += 1
        trial = SimpleNamespace(trial_id=tune_id, config=config)
        self._scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        return trial

    def report(self, trial: Any, step: StepResult) -> bool:
        """Take a report; return whether the trial goes on."""
        return goes_on(self._scheduler, self._searcher, trial, step)


if __name__ == "__main__":
    main()
