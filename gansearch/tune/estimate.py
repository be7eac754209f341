"""How long a run will take, by an estimate from trainings that are measured before it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL
from gansearch.space.search_space import SearchSpace
from gansearch.trial.step_times import StepTimes
from gansearch.tune.costs import Costs
from gansearch.tune.halving import SuccessiveHalving
from gansearch.tune.population import planned_updates
from gansearch.tune.time_plan import Extent, Finalist, replicas_seconds

N_MEASURED = 6  # configurations
_N_SIMULATED, _MOST_SIMULATED = 8, 200  # searches, and their trials
# Until the workers of a phase train, and from the command to the first phase.
_START_SECONDS = 8.0


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


def expected_updates(budget: Budget) -> float:
    """Return how many updates the trials of a search make, if none is better by its parameters.

    Successive halving of random scores: the first trials meet few others, so that few are stopped.
    Under freeze_thaw they are about as many, and a population has its own plan.
    """
    if budget.scheduler == "pbt":
        return planned_updates(budget)
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
    return budget.updates_under_scheduler(updates / _N_SIMULATED / n) * budget.trials


def estimate(
    space: SearchSpace,
    n_given: int,
    steps: StepTimes,
    costs: Costs,
    n_at_a_time: int,
) -> Estimate:
    """Return how long a run takes if its trials train as fast as they were measured.

    Args:
        space: that is searched.
        n_given: configurations that are compared instead, if any.
        steps: of trainings, as measured.
        costs: of what is done beside training, as measured.
        n_at_a_time: trials at a time.
    """
    budget = space.budget
    n_reports = len(budget.report_updates())
    update = steps.update + steps.evaluation * n_reports / budget.max_updates
    search = 0.0
    if not n_given:
        at_a_time = min(n_at_a_time, budget.trials)
        search = _START_SECONDS + expected_updates(budget) * update / at_a_time
    seconds = costs.replica_seconds(update, budget.max_updates)
    finalists = [Finalist(seconds, range(budget.replicas))] * (n_given or space.n_finalists)
    extent = Extent(len(finalists), budget.replicas)
    training = replicas_seconds(finalists, extent, n_at_a_time)
    return Estimate(
        search, training and _START_SECONDS + training, _START_SECONDS + costs.conclusion
    )
