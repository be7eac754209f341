"""What a search spends until it has found a good configuration: arms beside each other, replayed.

    python benchmarks/studies/search_efficiency.py                        # all tables, minutes
    python benchmarks/studies/search_efficiency.py --table ring --seeds 5
    python benchmarks/studies/search_efficiency.py --intervals            # of predicted scores

A search here is gansearch's own searcher and scheduler without Ray: workers train trials whose
reports are read from the kept curves of a table (`curves.py`), a report after the other, and an
update takes as long in every trial. What a sampler proposes is rounded to the nearest cell. An arm
and a seed make a search; the arms of a seed share workers, budget and seeds.

The arm `ray` is Ray Tune as its documentation shows it: OptunaSearch and ASHAScheduler, without a
guard, so that a collapsed trial trains on until ASHA stops it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
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
from scipy import stats

from benchmarks.studies.curves import DATA, TABLES, Curve, Table, load_curves
from benchmarks.studies.recovery import print_table
from gansearch.budget import Budget
from gansearch.family import Counts
from gansearch.measures import Evaluation
from gansearch.rules import Config
from gansearch.scoring.verdict import Verdict
from gansearch.seeds import trial_seed
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.curve_prediction import CurvePrediction
from gansearch.tune.freeze_thaw import FreezeThaw
from gansearch.tune.pausing_search import PausingScheduler, PausingSearcher
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher

N_WORKERS = 2
N_TRIALS = 24
# The quality to reach: among so many of the table's completed cells, the best.
QUALITY_SHARE = 0.05
TODAY = "tpe + asha"


@dataclass(frozen=True)
class Arm:
    """A sampler and a scheduler.

    Attributes:
        trials: how many they get, in multiples of the others'.
        top: finalists, if not as many as the space has. If they are many, ASHA lets the first three
            trials at a rung go on (`Halving`).
    """

    sampler: str
    scheduler: str
    trials: float = 1.0
    top: int | None = None


ARMS = {
    "random": Arm("random", "none"),
    "random + asha": Arm("random", "asha"),
    "random + freeze_thaw": Arm("random", "freeze_thaw", 1.5),
    TODAY: Arm("tpe", "asha"),
    "tpe + asha, three go on": Arm("tpe", "asha", top=N_TRIALS),
    "tpe + freeze_thaw": Arm("tpe", "freeze_thaw", 1.5),
    "gp + asha": Arm("gp", "asha"),
    "ray": Arm("ray", "ray"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=N_TRIALS)
    parser.add_argument("--workers", type=int, default=N_WORKERS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--intervals", action="store_true", help="how often intervals hold instead")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    for table in arguments.table:
        if arguments.intervals:
            print_intervals(table, arguments.data)
        else:
            print_arms(table, arguments)


# Searches


@dataclass(frozen=True)
class Completion:
    """A completed trial: all updates of the search until then, its cell and its score."""

    spent: int
    cell: int
    score: float


@dataclass(frozen=True)
class Search:
    """What a search has done."""

    completions: tuple[Completion, ...]
    spent: int

    def best(self, within: float = math.inf) -> Completion | None:
        """Return the best trial that was completed within so many updates."""
        done = [each for each in self.completions if each.spent <= within]
        return max(done, key=lambda each: each.score, default=None)

    def spent_until(self, score: float) -> float:
        """Return the updates until a trial was completed at a score or better."""
        good = (each.spent for each in self.completions if each.score >= score)
        return min(good, default=math.inf)


def search(table: str, arm: str, seed: int, n_trials: int, n_workers: int, data: Path) -> Search:
    """Make one search."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    curves, space = _curves(table, data), sampled_space(table)
    of = ARMS[arm]
    space = space.with_budget(trials=round(n_trials * of.trials), top=of.top or space.budget.top)
    player = (RayPlayer if of.sampler == "ray" else OurPlayer)(space, of, seed)
    cells = _Cells(Table(table), curves)
    return _play(player, cells, n_workers)


def _play(player: OurPlayer | RayPlayer, cells: _Cells, n_workers: int) -> Search:
    """Let workers train what the player suggests, in the order of their reports."""
    events: list[tuple[float, int, Any, Curve, int]] = []
    completions, spent, n_begun = [], 0.0, 0
    order = count()  # of events at the same time
    reached: dict[str, int] = {}  # reports so far, by the run's trial
    now = 0.0

    def begin() -> bool:
        nonlocal n_begun
        config = player.suggest(str(n_begun))
        if config is None:
            return False
        trial = SimpleNamespace(trial_id=str(n_begun), config=config)
        n_begun += 1
        player.add(trial)
        curve = player.as_trained(cells.curve(player.config_of(trial)))
        push(trial, curve, reached.get(player.name_of(trial), 0))
        return True

    def push(trial: Any, curve: Curve, i: int) -> None:
        before = curve.updates[i - 1] if i else 0
        upto = curve.updates[i] if i < len(curve.updates) else curve.end
        heapq.heappush(events, (now + upto - before, next(order), trial, curve, i))

    while True:
        while len(events) < n_workers and begin():
            pass
        if not events:
            return Search(tuple(completions), int(spent))
        then, _, trial, curve, i = heapq.heappop(events)
        before = curve.updates[i - 1] if i else 0
        spent += (curve.updates[i] if i < len(curve.updates) else curve.end) - before
        now = then
        reached[player.name_of(trial)] = i + 1
        if player.report(trial, curve, i):
            push(trial, curve, i + 1)
        elif curve.status == "completed" and i == len(curve.updates) - 1:
            cell = cells.cell(player.config_of(trial))
            completions.append(Completion(int(spent), cell, curve.final_score))


class OurPlayer:
    """gansearch's searcher and scheduler."""

    def __init__(self, space: SearchSpace, arm: Arm, seed: int) -> None:
        study = optuna.create_study(
            sampler=make_sampler(arm.sampler, trial_seed(seed, "sampler", 0)), direction="maximize"
        )
        make: Callable[..., OptunaSearcher] = OptunaSearcher
        self._scheduler = GuardedScheduler(space.budget, halving=arm.scheduler == "asha")
        if arm.scheduler == "freeze_thaw":
            order = FreezeThaw(space.budget)
            self._scheduler = PausingScheduler(space.budget, pausing=order)
            make = partial(PausingSearcher, pausing=order)
        self._searcher = make(
            space,
            study,
            seed=seed,
            n_new=space.budget.trials,
            outcomes=self._scheduler.outcomes,
        )
        self._is_over = False

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return a trial; None if there is none now."""
        if self._is_over:
            return None
        suggested = self._searcher.suggest(trial_id)
        self._is_over = isinstance(suggested, str)
        return suggested if isinstance(suggested, dict) else None

    def add(self, trial: Any) -> None:
        """Begin a trial."""
        self._scheduler.on_trial_add(None, trial)

    def report(self, trial: Any, curve: Curve, i: int) -> bool:
        """Take report i of a curve; return whether the trial goes on."""
        return goes_on(self._scheduler, self._searcher, trial, _step(curve, i))

    def as_trained(self, curve: Curve) -> Curve:
        """Return a curve as the arm's trials train it."""
        return curve

    def name_of(self, trial: Any) -> str:
        """Return the run's name of a trial: a paused one goes on as another of Tune's."""
        return TrialSpec.from_tune(trial.config).trial_id

    def config_of(self, trial: Any) -> Mapping[str, Any]:
        """Return a trial's parameters."""
        return TrialSpec.from_tune(trial.config).config


def goes_on(
    scheduler: GuardedScheduler, searcher: OptunaSearcher, trial: Any, step: StepResult
) -> bool:
    """Tell a report to both as Tune does; return whether the trial goes on."""
    result = step.to_tune()
    if step.done:
        scheduler.on_trial_complete(None, trial, result)
    elif scheduler.on_trial_result(None, trial, result) == GuardedScheduler.CONTINUE:
        searcher.on_trial_result(trial.trial_id, result)
        return True
    else:
        done = {**result, "done": True}  # as Tune marks a trial that it stops
        scheduler.on_trial_complete(None, trial, done)
    searcher.on_trial_complete(trial.trial_id, result)
    return False


class RayPlayer:
    """Ray Tune's OptunaSearch and ASHAScheduler, as their documentation uses them."""

    def __init__(self, space: SearchSpace, arm: Arm, seed: int) -> None:  # noqa: ARG002
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        budget = space.budget
        self._budget = budget
        self._space = space
        self._n_left = budget.trials
        self._configs: dict[str, Config] = {}
        self._searcher = OptunaSearch(
            self._define, metric="valid_ll", mode="max", seed=trial_seed(seed, "sampler", 0) % 2**31
        )
        self._scheduler = ASHAScheduler(
            time_attr="updates",
            metric="valid_ll",
            mode="max",
            max_t=budget.max_updates,
            grace_period=budget.grace_updates,
            reduction_factor=budget.reduction_factor,
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return a trial; None if there is none now."""
        if self._n_left == 0:
            return None
        self._n_left -= 1
        self._searcher.suggest(trial_id)
        return self._configs[trial_id].to_dict()

    def add(self, trial: Any) -> None:
        """Begin a trial."""
        self._scheduler.on_trial_add(None, trial)

    def report(self, trial: Any, curve: Curve, i: int) -> bool:
        """Take report i of a curve; return whether the trial goes on."""
        if i == len(curve.updates):  # diverged
            self._scheduler.on_trial_error(None, trial)
            self._searcher.on_trial_complete(trial.trial_id, error=True)
            return False
        result = {
            "updates": int(curve.updates[i]),
            "valid_ll": float(curve.scores[i]),
            "training_iteration": i + 1,
        }
        if i < len(curve.updates) - 1 or curve.status == "diverged":
            decision = self._scheduler.on_trial_result(None, trial, result)
            if decision == ASHA_CONTINUES:
                self._searcher.on_trial_result(trial.trial_id, result)
                return True
        self._scheduler.on_trial_complete(None, trial, result)
        self._searcher.on_trial_complete(trial.trial_id, result)
        return False

    def as_trained(self, curve: Curve) -> Curve:
        """Return a curve without a guard: a collapsed trial stays at its score to the end."""
        if curve.status != "collapsed":
            return curve
        later = [u for u in self._budget.report_updates() if u > curve.updates[-1]]
        return replace(
            curve,
            updates=np.array([*curve.updates, *later]),
            scores=np.array([*curve.scores, *[curve.scores[-1]] * len(later)]),
            end=self._budget.max_updates,
        )

    def name_of(self, trial: Any) -> str:
        """Return the name of a trial."""
        return str(trial.trial_id)

    def config_of(self, trial: Any) -> Mapping[str, Any]:
        """Return a trial's parameters."""
        return dict(trial.config)

    def _define(self, trial: optuna.Trial) -> None:
        config = self._space.suggest(trial)
        self._configs[str(len(self._configs))] = config


ASHA_CONTINUES = "CONTINUE"


def _step(curve: Curve, i: int) -> StepResult:
    """Return report i of a curve as a trial sends it."""
    if i == len(curve.updates):  # diverged since the last one
        return StepResult(Counts(curve.end), "cpu", verdict=Verdict("diverged"))
    is_last = i == len(curve.updates) - 1
    dies = is_last and curve.status == "collapsed"
    evaluation = Evaluation(float(curve.scores[i]), math.nan, False, math.nan, math.nan, math.nan)
    return StepResult(
        Counts(int(curve.updates[i])),
        "cpu",
        evaluation=evaluation,
        verdict=Verdict("collapsed" if dies else "sound"),
        done=is_last and curve.status == "completed",
    )


# Cells


def sampled_space(table: str) -> SearchSpace:
    """Return the table's space, with ranges in place of the values of its learning rates."""
    of = Table(table)
    values, budget = TABLES[table]
    overrides = [f"{name}={json.dumps(_sampled(name, value))}" for name, value in values.items()]
    overrides += [f"{name}={value}" for name, value in budget.items()]
    return load_space(of.name, (*overrides, "start_from=[]"))


def _sampled(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if name.endswith("_lr"):
        return {"float": [min(value), max(value)], "log": True}
    return {"choice": value}


class _Cells:
    """The cells whose curves are kept, and which of them is nearest to a configuration."""

    def __init__(self, table: Table, curves: Mapping[int, Curve]) -> None:
        values, _ = TABLES[table.name]
        self._curves = curves
        self._rates = {name: of for name, of in values.items() if name.endswith("_lr")}
        self._names = [name for name, of in values.items() if isinstance(of, list)]
        self._numbers = {self._key(config.to_dict()): n for n, config in enumerate(table.configs)}

    def cell(self, config: Mapping[str, Any]) -> int:
        """Return the number of the nearest cell."""
        return self._numbers[self._key(config)]

    def curve(self, config: Mapping[str, Any]) -> Curve:
        """Return the curve of the nearest cell."""
        return self._curves[self.cell(config)]

    def _key(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(self._nearest(name, config.get(name))) for name in self._names)

    def _nearest(self, name: str, value: Any) -> Any:
        if name not in self._rates or value is None:
            return value
        return min(self._rates[name], key=lambda each: abs(math.log(each / value)))


@cache
def _curves(table: str, data: Path) -> dict[int, Curve]:
    return load_curves(table, data)


# Tables


def print_arms(table: str, arguments: argparse.Namespace) -> None:
    """Print what each arm spends and finds, beside today's."""
    curves = load_curves(table, arguments.data)
    quality = quality_of(curves)
    arms = dict.fromkeys([TODAY, *arguments.arms])
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        futures = {
            (arm, seed): pool.submit(
                search, table, arm, seed, arguments.trials, arguments.workers, arguments.data
            )
            for arm in arms
            for seed in range(arguments.seeds)
        }
        searches = {
            arm: [futures[arm, seed].result() for seed in range(arguments.seeds)] for arm in arms
        }
    rows = [
        _row(arm, of, searches[TODAY], quality, table, arguments) for arm, of in searches.items()
    ]
    print_table(
        f"{table}: {len(curves)} cells, {arguments.seeds} seeds, {arguments.trials} trials, "
        f"{arguments.workers} workers; quality {quality:.2f} nats",
        pd.DataFrame(rows),
    )


def quality_of(curves: Mapping[int, Curve]) -> float:
    """Return the score that the best cells of a table have."""
    scores = [curve.final_score for curve in curves.values() if curve.status == "completed"]
    return float(np.quantile(scores, 1 - QUALITY_SHARE))


def _row(
    arm: str,
    searches: Sequence[Search],
    today: Sequence[Search],
    quality: float,
    table: str,
    arguments: argparse.Namespace,
) -> dict[str, str]:
    """Return an arm's line: ratios and differences are paired by seeds, with 95 % intervals."""
    pairs = list(zip(searches, today, strict=True))
    until = [
        (min(own.spent_until(quality), limit), min(other.spent_until(quality), limit))
        for own, other in pairs
        for limit in [max(own.spent, other.spent)]
    ]
    gains = [_gain(own, other) for own, other in pairs]
    tested = _test_gains(pairs, table, arguments.data)
    reached = [own.spent_until(quality) <= other.spent for own, other in pairs]
    return {
        "arm": arm,
        "updates in all": ratio([own.spent / other.spent for own, other in pairs]),
        "updates to the quality": ratio([own / other for own, other in until]),
        "reached within today's": f"{np.mean(reached):.2f}",
        "best valid_ll at equal updates": difference(gains),
        "winner's test_ll on fresh seeds": difference(tested) if tested else "-",
    }


def _gain(own: Search, other: Search) -> float:
    """Return how much better the best is within the other's updates."""
    best, beside = own.best(within=other.spent), other.best()
    if best is None or beside is None:
        return math.nan
    return best.score - beside.score


def _test_gains(pairs: Sequence[tuple[Search, Search]], table: str, data: Path) -> list[float]:
    """Return the same for the winners' mean test_ll over fresh seeds; empty if some lack them."""
    runs = pd.read_parquet(Table(table).paths(data)[0]).query("seed > 0")
    means = runs.groupby("cell")["test_ll"].mean()
    gains = []
    for own, other in pairs:
        best, beside = own.best(within=other.spent), other.best()
        if best is None or beside is None:
            gains.append(math.nan)
        elif best.cell not in means or beside.cell not in means:
            return []
        else:
            gains.append(float(means[best.cell] - means[beside.cell]))
    return gains


def ratio(ratios: Sequence[float]) -> str:
    logs = np.log(ratios)
    if not logs.any():
        return "1"
    mean, half = logs.mean(), _half(logs)
    return f"{np.exp(mean):.2f} [{np.exp(mean - half):.2f}, {np.exp(mean + half):.2f}]"


def difference(values: Sequence[float]) -> str:
    known = np.array([value for value in values if math.isfinite(value)])
    if not known.any():
        return "0"
    half = _half(known)
    lost = len(values) - len(known)
    note = f", {lost} without" if lost else ""
    return f"{known.mean():+.2f} [{known.mean() - half:+.2f}, {known.mean() + half:+.2f}]{note}"


def _half(values: np.ndarray) -> float:
    return float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))


# Intervals


def print_intervals(table: str, data: Path, n_searches: int = 50, n_trials: int = N_TRIALS) -> None:
    """Print how often the 90 % interval holds the final score, by the share of the training shown.

    In a random order two thirds of the trials have been shown up to a share of their training, as
    if they had paused there, and every third to its end.
    """
    curves = list(load_curves(table, data).values())
    budget = Table(table).budget
    rows = []
    for share in (0.2, 0.3, 0.5, 0.7):
        hits = [
            hit
            for seed in range(n_searches)
            for hit in _hits(_drawn(curves, seed, n_trials), budget, share)
        ]
        rows.append(
            {
                "share shown": f"{share:.1f}",
                "predictions": f"{len(hits):,}",
                "within the 90 % interval": f"{np.mean(hits):.2f}",
            }
        )
    print_table(f"{table}: predicted final scores", pd.DataFrame(rows))


def _drawn(curves: Sequence[Curve], seed: int, n: int) -> list[Curve]:
    order = np.random.default_rng(seed).permutation(len(curves))[:n]
    return [curves[i] for i in order]


def _hits(curves: Sequence[Curve], budget: Budget, share: float) -> Iterator[bool]:
    """Yield for each paused trial that completes whether its interval holds its final score."""
    prediction = CurvePrediction(budget.max_updates, budget.grace_updates / 2)
    until = share * budget.max_updates
    for n, curve in enumerate(curves):
        shown = len(curve.updates) if n % 3 == 0 else int((curve.updates <= until).sum())
        for i in range(1, shown + 1):
            prediction.learn(curve.updates[:i].tolist(), curve.scores[:i].tolist())
    for n, curve in enumerate(curves):
        shown = int((curve.updates <= until).sum())
        if n % 3 and shown and curve.status == "completed":
            updates, scores = curve.updates[:shown].tolist(), curve.scores[:shown].tolist()
            predicted = prediction.predict(updates, scores)
            yield predicted.low <= curve.final_score <= predicted.high


if __name__ == "__main__":
    main()
