"""TPE that also learns from trials of earlier runs, as far as they predict the run's own.

Three things decide how much an earlier run counts: how much its space differs, how many trials the
run has of its own, and whether those ended in the order that the earlier ones predict, as in the
ranking-weighted ensembles of Feurer et al. (2018), "Scalable Meta-Learning for Bayesian
Optimization". So a run that misleads costs little.

The study holds the run's own trials alone: earlier ones are shown to the sampler, and to no one
else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from gansearch.runs.schemas import config_values
from gansearch.space.ranges import Choices
from gansearch.space.search_space import SearchSpace
from gansearch.tune.optuna_internals import ShownSampler
from gansearch.tune.samplers import UNHEALTHY
from gansearch.tune.study import STATES, is_unhealthy

# How many trials of a run of weight 1 TPE sees beside few of its own, and beside how many of its
# own it sees half as many. `docs/search.md` has what this gains and costs.
_N_SEEN, _HALF_AT = 30, 10
# A run counts only once so many own trials have ended, and its prediction for a configuration is
# the mean rank of so many nearest trials.
_LEAST_OWN, _N_NEAREST = 4, 5
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)

Rows = Sequence[Mapping[str, Any]]


def learns_from_earlier(sampler: BaseSampler) -> bool:
    """Return whether a sampler can be shown the trials of earlier runs: TPE alone."""
    return isinstance(sampler, TPESampler)


def warmed(sampler: BaseSampler, space: SearchSpace, rows: Rows) -> BaseSampler:
    """Return a sampler that sees earlier trials too, if it learns from them."""
    if not rows or space.objective.is_several or not learns_from_earlier(sampler):
        return sampler
    return ShownSampler(sampler, EarlierTrials(space, rows))


class _EarlierRun:
    """The trials of an earlier run, from the worst to the best.

    Args:
        space: of the new run.
        rows: of `warm_start.parquet` that are trials of the earlier run.
    """

    def __init__(self, space: SearchSpace, rows: Rows) -> None:
        self.weight = float(rows[0]["weight"])
        self.trials = sorted((_trial_of(space, row) for row in rows), key=_goodness)
        self._points = np.array([_point(space, trial) for trial in self.trials])
        self._ranks = (np.arange(len(rows)) + 0.5) / len(rows)

    def concordance(self, points: np.ndarray, goodness: Sequence[tuple[float, ...]]) -> float:
        """Return how well this run predicts the order of other trials: Kendall's tau, or 0.

        Args:
            points: of the other trials, `[n, d]`.
            goodness: of them, `n`.
        """
        distances = ((points[:, None] - self._points[None]) ** 2).sum(-1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :_N_NEAREST]
        predicted = self._ranks[nearest].mean(1)
        order = {each: i for i, each in enumerate(sorted(set(goodness)))}
        found = np.array([order[each] for each in goodness])
        i, j = np.triu_indices(len(found), 1)
        agreed = np.sign(predicted[i] - predicted[j]) * np.sign(found[i] - found[j])
        return max(0.0, float(agreed.mean()))


class EarlierTrials:
    """Shows a sampler earlier trials before those of the study.

    Args:
        space: of the study.
        rows: of `warm_start.parquet`; those without a `place` are no trials.
    """

    def __init__(self, space: SearchSpace, rows: Rows) -> None:
        self._space = space
        by_run: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["place"] is not None and np.isfinite(row["place"]):
                by_run.setdefault(row["run"], []).append(row)
        self._runs = [_EarlierRun(space, of_run) for of_run in by_run.values()]
        self._n_own, self._seen = -1, list[FrozenTrial]()

    def __call__(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the earlier trials that count beside the study's own, and these."""
        own = [trial for trial in trials if trial.state in _ENDED]
        if len(own) != self._n_own:
            self._n_own, self._seen = len(own), list(self._earlier(own))
            for i, trial in enumerate(self._seen):
                trial.number = i - len(self._seen)  # older than the study's own
        return [*self._seen, *trials]

    def _earlier(self, own: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
        """Yield those trials of each run that count beside `own`, evenly spaced by their rank."""
        most = _N_SEEN / (1 + len(own) / _HALF_AT)
        if len(own) < _LEAST_OWN or most < 0.5:
            return
        points = np.array([_point(self._space, trial) for trial in own])
        goodness = [_goodness(trial) for trial in own]
        scores = [t.value for t in own if _goodness(t)[0] == _COMPLETED and t.value is not None]
        for run in self._runs:
            share = run.weight * run.concordance(points, goodness)
            n = min(round(share * most), len(run.trials))
            for i in range(n):
                yield _with_score(run.trials[(i + 1) * len(run.trials) // n - 1], scores)


def _trial_of(space: SearchSpace, row: Mapping[str, Any]) -> FrozenTrial:
    """Return an earlier trial in the distributions of the space."""
    config = space.table.from_dict(config_values(row, space.table))
    fixed = FixedTrial(space.encode(config))
    space.suggest(fixed)  # which adds the distributions
    state = STATES[row["status"]]
    # TPE orders pruned trials by how far they came.
    updates = round(row["progress"] * space.budget.max_updates)
    return create_trial(
        state=state,
        value=row["place"] if state == TrialState.COMPLETE else None,
        params=fixed.params,
        distributions=fixed.distributions,
        user_attrs={"place": row["place"]},
        constraints={UNHEALTHY: 1.0 if is_unhealthy(row["status"]) else -1.0},
        intermediate_values={updates: row["place"]} if state == TrialState.PRUNED else {},
    )


_DYING, _PRUNED, _COMPLETED = 0.0, 1.0, 2.0


def _goodness(trial: FrozenTrial) -> tuple[float, ...]:
    """Return a key by which trials are ordered as TPE does, the best last."""
    if any(value > 0 for value in trial.constraints.values()):
        return (_DYING,)
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return (_COMPLETED, trial.value)
    updates, value = max(trial.intermediate_values.items(), default=(0, 0.0))
    return (_PRUNED, float(updates), -math.inf if math.isnan(value) else value)


def _with_score(trial: FrozenTrial, scores: Sequence[float]) -> FrozenTrial:
    """Return a completed earlier trial with the score that its place has among `scores`.

    While there are none, the earlier trials have but each other to compare with. Others have no
    score.
    """
    if trial.state != TrialState.COMPLETE or not scores:
        return trial
    value = float(np.quantile(scores, trial.user_attrs["place"]))
    return create_trial(
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        constraints=trial.constraints,
    )


def _point(space: SearchSpace, trial: FrozenTrial) -> list[float]:
    """Return a trial's parameters, `[d]`, in a scale of distances.

    A number lies in [0, 1], two choices at a distance of 0.7, and what does not apply halfway.
    """
    point: list[float] = []
    for name, entry in space.search.items():
        value = trial.params.get(name)
        if isinstance(entry, Choices):
            labels = [entry.encode(each) for each in entry.values]
            point += [0.5 * (name in trial.params and label == value) for label in labels]
        elif value is None:
            point.append(0.5)
        else:
            low, high = float(entry.low), float(entry.high)
            ends = np.log([low, high, value]) if entry.log else np.array([low, high, value])
            point.append(float((ends[2] - ends[0]) / (ends[1] - ends[0])))
    return point
