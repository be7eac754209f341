"""How long steps of a space's trainings take, measured now, for an estimate of a run's time."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.own_measures import VALID_LL
from gansearch.rules import Config
from gansearch.scoring.references import are_cached
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath
from gansearch.system.user_code import UserCode
from gansearch.trial.plan import TrialPlan
from gansearch.tune.halving import SuccessiveHalving
from gansearch.tune.slots import drawn_configs
from gansearch.tune.time_plan import Extent, Finalist, makespan, rounds_of

if TYPE_CHECKING:
    from gansearch.trial.process import TrialProcess

SECONDS = 2.5  # that a measurement trains
_N_CONFIGS = 6
_N_SIMULATED, _MOST_SIMULATED = 8, 200  # searches, and their trials
# Until the workers of a phase train, and from the command to the first phase.
_START_SECONDS = 8.0
# A final score uses ten times the samples, and all test examples.
_FINAL_SCORE = 30.0
# The winner's curve and the report; the reference lines where they aren't cached: in final scores.
_CONCLUSION_SECONDS, _CURVES, _LINES = 7.0, 1.0, 5.0


@dataclass(frozen=True)
class StepTimes:
    """What the trainings of a space take, each by itself.

    Attributes:
        n_configs: how many were measured.
        update: seconds of a parameter update, the mean over the configurations.
        evaluation: seconds of an evaluation.
    """

    n_configs: int
    update: float
    evaluation: float


@dataclass(frozen=True)
class Estimate:
    """How long the parts of a run take, in seconds."""

    search: float
    replicas: float
    rest: float

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.search + self.replicas + self.rest


def measured_steps(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    *,
    folder: AnyPath,
    device: str,
    n_samples: int,
    seconds: float = SECONDS,
) -> StepTimes | None:
    """Train some configurations for a moment each, on one core or on the GPU, and evaluate them.

    Args:
        space: from which configurations are drawn.
        configs: that are measured instead, if any.
        dataset: that they learn.
        folder: of the run; nothing is written there.
        device: that trials train on.
        n_samples: of an evaluation.
        seconds: for which all of them train together.

    Returns:
        The times, or None if no configuration could be trained.
    """
    import torch

    from gansearch.trial.process import TrialProcess

    plan = TrialPlan(
        folder=folder,
        family=space.family.sections,
        budget=space.budget,
        code=UserCode.of(space.code_of_trials),
        device=device,
        slice_seconds=seconds / _N_CONFIGS,
        n_evaluation_samples=n_samples,
    )
    n_threads = torch.get_num_threads()
    try:
        process = TrialProcess.prepare(dataset, plan)
        return _means(process, list(configs) or drawn_configs(space, _N_CONFIGS), 3 * seconds)
    finally:
        torch.set_num_threads(n_threads)


def _means(
    process: TrialProcess, configs: Sequence[Config], limit_seconds: float
) -> StepTimes | None:
    """Return the means over configurations, as many of them as the time allows."""
    updates: list[float] = []
    evaluations: list[float] = []
    end = time.monotonic() + limit_seconds
    for config in configs[:_N_CONFIGS]:
        if updates and time.monotonic() > end:
            break
        try:
            with process.guarded():
                update, evaluation = _measure(process, config)
        except GansearchError:  # as where it diverges; the search draws such ones too
            continue
        updates.append(update)
        evaluations.append(evaluation)
    if not updates:
        return None
    n = len(updates)
    return StepTimes(n, sum(updates) / n, sum(evaluations) / n)


def _measure(process: TrialProcess, config: Config) -> tuple[float, float]:
    """Return the seconds of an update and of an evaluation; the first of each doesn't count."""
    training = process.build(config, 0)
    try:
        training.advance(1)
        before, start = training.updates, time.monotonic()
        while training.updates == before:
            process.advance(training, 10**9)
        update = (time.monotonic() - start) / (training.updates - before)
        evaluator = process.evaluator
        for _ in range(2):
            start = time.monotonic()
            samples = training.samples(evaluator.n_samples)
            evaluator.valid_ll(samples)
            evaluator.reference.measure(samples)
            evaluation = time.monotonic() - start
    finally:
        training.close()
    return update, evaluation


def expected_updates(budget: Budget) -> float:
    """Return how many updates the trials of a search make, if none is better by its parameters.

    Successive halving of random scores: the first trials meet few others, so that few are stopped.
    """
    n = min(budget.trials, _MOST_SIMULATED)
    updates = 0
    for seed in range(_N_SIMULATED):
        rng, halving = random.Random(seed), SuccessiveHalving(budget, VALID_LL)
        for trial in range(n):
            score = rng.random()
            for at in budget.report_updates():
                if halving.add_score(str(trial), at, score) is not None:
                    break
            updates += at
    return updates / _N_SIMULATED * budget.trials / n


def estimate(
    space: SearchSpace,
    n_given: int,
    dataset: Dataset,
    steps: StepTimes,
    n_at_a_time: int,
) -> Estimate:
    """Return how long a run takes if its trials train as fast as they were measured.

    Args:
        space: that is searched.
        n_given: configurations that are compared instead, if any.
        dataset: that is learned.
        steps: as measured.
        n_at_a_time: trials at a time.
    """
    budget = space.budget
    n_reports = len(budget.report_updates())
    update = steps.update + steps.evaluation * n_reports / budget.max_updates
    search = 0.0
    if not n_given:
        at_a_time = min(n_at_a_time, budget.trials)
        search = _START_SECONDS + expected_updates(budget) * update / at_a_time
    final_score = _FINAL_SCORE * steps.evaluation
    replica = Finalist(budget.max_updates * update + final_score, range(budget.replicas))
    n = n_given or space.n_finalists
    training = makespan((), rounds_of([replica] * n, Extent(n, budget.replicas)), n_at_a_time)
    replicas = training and _START_SECONDS + training
    scores = _CURVES + (0.0 if are_cached(dataset) else _LINES)
    return Estimate(search, replicas, _START_SECONDS + _CONCLUSION_SECONDS + scores * final_score)
