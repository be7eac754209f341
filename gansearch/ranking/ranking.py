"""Ranks configurations by all their replicas, and says which are tied.

A configuration of which more than half of the replicas worked ranks before one of which fewer did;
then the validation log-likelihood of those that worked decides. The test set has no part in the
order, so the first one's test score is not the best of several. It decides what may be said of the
order instead: two configurations are told apart only if the test set shows the first of the two to
be better, with the intervals of `intervals`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gansearch.errors import ResultsError
from gansearch.measures import MEASURES, Measure, columns
from gansearch.own_measures import VALID_LL, Objective, OwnMeasure
from gansearch.pareto import pareto_ranks
from gansearch.ranking.fronts import front_probabilities
from gansearch.ranking.intervals import (
    LEVEL,
    Difference,
    Scored,
    difference,
    score_interval,
    seeds_interval,
    variance_of_mean,
)
from gansearch.ranking.shares import jeffreys, p_value_of_shares
from gansearch.runs.tables import ResultsWarning

# What the order goes by: the second where an older run has not measured the first.
SELECTION_MEASURES = ("valid_ll_all", "valid_ll")


@dataclass(frozen=True)
class _Candidate:
    """A configuration with a score: its place in the order, and its numbers for the statistics.

    `selection` and `compared` have an entry for each objective: `compared` is what ties are found
    from, `scored` or else the objective of the user's own. `front` is None with one objective.
    """

    config_id: str
    scored: Scored
    selection: tuple[float, ...]
    compared: tuple[Scored, ...]
    front: int | None = None

    @property
    def n_worked(self) -> int:
        return len(self.scored.seed_means)

    @property
    def n_ended(self) -> int:
        return self.n_worked + self.scored.n_failed

    @property
    def mostly_works(self) -> bool:
        return 2 * self.n_worked > self.n_ended

    @property
    def order(self) -> tuple[bool, int, float, float]:
        """The larger, the better; equal validation scores leave it to the test score.

        With several objectives the front decides first, and then the first of them.
        """
        scores = self.selection[0], self.compared[0].mean
        selection, test = (-math.inf if math.isnan(score) else score for score in scores)
        return self.mostly_works, -(self.front or 0), selection, test


def rank(
    replicas: pd.DataFrame,
    test_lls: Mapping[str, np.ndarray],
    *,
    paper_config_id: str | None,
    names: Mapping[str, str] | None = None,
    measures: Sequence[OwnMeasure] = (),
    objective: Objective = VALID_LL,
) -> pd.DataFrame:
    """Rank the replicated configurations by all their replicas; a row each, the best first.

    Args:
        replicas: rows of `trials.parquet`; those of other phases than replica are ignored, and
            those that the time budget cut short.
        test_lls: each completed replica's log-likelihoods (nats) of the test examples, `[n]`, by
            trial id.
        paper_config_id: the configuration that `is_paper` marks.
        names: of configurations that have one, by their ids.
        measures: of the user's own: their means over the replicas that have them, with intervals.
        objective: what the order goes by. One of the user's own orders by its mean against
            validation examples, and ties come from its values against the test set, over seeds.
            Several order by the Pareto fronts of these means, then by the first of them.

    Returns:
        The columns of `ranking.parquet`. The order is by whether more than half of the replicas
        that ended have a score, then by their mean `valid_ll_all` (`valid_ll` where an older run
        lacks it). `tied_with` has the configurations that Holm's test of all pairs, at 5 %, can't
        distinguish from this one. `n_seeds` counts the replicas that have a score and `n_failed`
        those that ended without one. With one seed there is no interval, and a tie with all
        others of which as many replicas work. A configuration without any score comes last,
        unranked. With several objectives `pareto_rank` is the front, and two configurations are
        told apart only if the first is shown to be better in all of them; `p_front` is the
        probability that nothing dominates the configuration, see `fronts.front_probabilities`.

    A completed replica counts as failed, with a `ResultsWarning`, if its log-likelihoods are
    absent, not finite, or of another number of examples than those of the others.
    """
    # A replica is pruned only if the time budget cut it short, which says nothing of it.
    ended = (replicas["phase"] == "replica") & (replicas["status"] != "pruned")
    replicas = replicas[ended].sort_values("number", kind="stable")
    usable = _usable(replicas, test_lls)
    groups = {str(config_id): group for config_id, group in replicas.groupby("config_id")}
    candidates = _candidates(groups, usable, objective)
    in_front = _front_probabilities(candidates, groups, usable, objective)
    ties = _ties(candidates)
    unranked = sorted(groups.keys() - {candidate.config_id for candidate in candidates})
    measured, rows = [*measures, *objective.built_in], []
    for place, candidate in enumerate(candidates, start=1):
        row = _of_replicas(groups[candidate.config_id], usable, measured)
        row |= _score(candidate.scored) | {"rank": place, "tied_with": ties[candidate.config_id]}
        row |= {"pareto_rank": candidate.front, "p_front": in_front.get(candidate.config_id)}
        rows.append(row)
    rows += [
        _of_replicas(groups[name], usable) | {"rank": math.nan, "tied_with": []}
        for name in unranked
    ]
    known = _columns(replicas)
    own = [name for measure in measured for name in measure.ranking_columns if name not in known]
    ranking = pd.DataFrame(rows, columns=[*known, *own])
    ranking = ranking.astype({"pareto_rank": float, "p_front": float})
    ranking["is_paper"] = (ranking["config_id"] == paper_config_id).astype(bool)
    return with_names(ranking, names or {})


def with_names(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return rows with the column `name`: that of the configuration, None where it has none."""
    found = [names.get(config_id) for config_id in rows["config_id"]]
    return rows.assign(name=pd.Series(found, rows.index, dtype=object))


def compare(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], *, n_failed: tuple[int, int] = (0, 0)
) -> Difference:
    """Return by how much configuration `a` is better than `b`, with paired test examples.

    Args:
        a: log-likelihoods (nats) of the test examples, `[n]` for each seed.
        b: the same for the other configuration, with the examples in the same order; its seeds are
            not those of `a`.

    Raises:
        ResultsError: no seed at all, or numbers of examples that differ.
    """
    lengths = {len(lls) for lls in (*a, *b)}
    if not a or not b or len(lengths) != 1:
        raise ResultsError(
            f"compare: found {len(a)} and {len(b)} seeds, with {sorted(lengths)} test examples. "
            f"Both configurations need a seed, and all the same test examples. Pass those."
        )
    first, second = Scored.of(a, n_failed[0]), Scored.of(b, n_failed[1])
    return difference(first, second, variance_of_mean(first.per_example - second.per_example))


def compare_seeds(
    a: Sequence[float], b: Sequence[float], *, n_failed: tuple[int, int] = (0, 0)
) -> Difference:
    """Return by how much `a` is better than `b`, of scores of seeds without values by example.

    Args:
        a: the score of each seed, at least one; more is better.
        b: the same for the other configuration.
        n_failed: replicas of each that ended without a score.
    """
    return difference(Scored.of_seeds(a, n_failed[0]), Scored.of_seeds(b, n_failed[1]), 0.0)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number by Holm's (1979) step-down rule, in their order."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def _usable(replicas: pd.DataFrame, test_lls: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the log-likelihoods of the completed replicas, by trial id, all of one length."""
    completed = replicas.loc[replicas["status"] == "completed", "trial_id"]
    found = {trial_id: test_lls[trial_id] for trial_id in completed if trial_id in test_lls}
    lengths = [len(lls) for lls in found.values()]
    n_examples = max(lengths, key=lengths.count, default=0)
    usable = {}
    for trial_id in completed:
        if trial_id not in found:
            problem = "it has no test log-likelihoods"
        elif len(found[trial_id]) != n_examples:
            problem = f"it has {len(found[trial_id])} test examples, the others {n_examples}"
        elif not np.isfinite(found[trial_id]).all():
            problem = "some of its test log-likelihoods are not finite"
        else:
            usable[trial_id] = found[trial_id]
            continue
        warnings.warn(
            f"replica {trial_id}: {problem}. It counts as failed.", ResultsWarning, stacklevel=3
        )
    return usable


def _candidates(
    groups: Mapping[str, pd.DataFrame], usable: Mapping[str, np.ndarray], objective: Objective
) -> list[_Candidate]:
    """Return the configurations that have a score, in their order."""
    with_score = {
        name: scored
        for name, group in groups.items()
        if not (scored := group[group["trial_id"].isin(list(usable))]).empty
    }
    log_likelihood = _selection_measure(with_score.values())
    candidates = []
    for name, group in with_score.items():
        n_failed = _n_failed(groups[name], usable)
        lls = Scored.of([usable[trial_id] for trial_id in group["trial_id"]], n_failed)
        selection, compared = [], []
        for each in objective.all:
            column = each.column if each.measure else log_likelihood
            selection.append(float(each.as_score(group[column]).mean()))
            own = each.measure
            compared.append(Scored.of_seeds(_on_test(group, own), n_failed) if own else lls)
        candidates.append(_Candidate(name, lls, tuple(selection), tuple(compared)))
    if objective.is_several:
        candidates = _with_fronts(candidates)
    return sorted(candidates, key=lambda candidate: candidate.order, reverse=True)


def _with_fronts(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Return candidates with their fronts: first those that mostly work, then the others'."""
    found: list[_Candidate] = []
    for works in (True, False):
        group = [each for each in candidates if each.mostly_works == works]
        if not group:
            continue
        before = max((each.front or 0 for each in found), default=0)
        scores = np.nan_to_num([each.selection for each in group], nan=-math.inf)
        fronts = before + pareto_ranks(scores)
        found += [
            replace(each, front=int(front)) for each, front in zip(group, fronts, strict=True)
        ]
    return found


def _front_probabilities(
    candidates: Sequence[_Candidate],
    groups: Mapping[str, pd.DataFrame],
    usable: Mapping[str, np.ndarray],
    objective: Objective,
) -> dict[str, float]:
    """Return with several objectives, by configuration, the probability that it is in front."""
    if not objective.is_several:
        return {}
    seeds = {
        each.config_id: _scores_of_seeds(groups[each.config_id], usable, objective)
        for each in candidates
        if each.mostly_works
    }
    return front_probabilities(seeds)


def _scores_of_seeds(
    group: pd.DataFrame, usable: Mapping[str, np.ndarray], objective: Objective
) -> np.ndarray:
    """Return the test scores `[R, m]` of the replicas that have all of them."""
    scored = group[group["trial_id"].isin(list(usable))]
    columns = [
        each.measure.as_score(scored[each.measure.test_column].to_numpy(float))
        if each.measure
        else np.array([usable[trial_id].mean() for trial_id in scored["trial_id"]])
        for each in objective.all
    ]
    scores = np.stack(columns, axis=1)
    return np.asarray(scores[np.isfinite(scores).all(axis=1)])


def _on_test(group: pd.DataFrame, measure: OwnMeasure) -> np.ndarray:
    """Return the scores of seeds against the test set, NaN alone if none has one."""
    scores: np.ndarray = measure.as_score(group[measure.test_column].dropna().to_numpy(float))
    return scores if len(scores) else np.array([math.nan])


def _selection_measure(groups: Iterable[pd.DataFrame]) -> str:
    """Return the measure that the order goes by: one that every replica has, if there is one."""
    for name in SELECTION_MEASURES:
        if all(name in group and group[name].notna().all() for group in groups):
            return name
    return SELECTION_MEASURES[-1]


def _n_failed(group: pd.DataFrame, usable: Mapping[str, np.ndarray]) -> int:
    """Return how many replicas have ended without a score."""
    return int(((group["status"] != "running") & ~group["trial_id"].isin(list(usable))).sum())


def _of_replicas(
    group: pd.DataFrame,
    usable: Mapping[str, np.ndarray],
    measures: Sequence[OwnMeasure] = (),
) -> dict[str, Any]:
    """Return what a configuration's row says of its replicas, except the score and the rank."""
    scored = group[group["trial_id"].isin(list(usable))]
    n_worked, n_failed = len(scored), _n_failed(group, usable)
    n_ended = n_worked + n_failed
    low, high = jeffreys(n_worked, n_ended) if n_ended else (math.nan, math.nan)
    scores = [float(usable[trial_id].mean()) for trial_id in scored["trial_id"]]
    return {
        "config_id": group["config_id"].iloc[0],
        "n_seeds": n_worked,
        "n_failed": n_failed,
        "p_works": n_worked / n_ended if n_ended else math.nan,
        "p_works_low": low,
        "p_works_high": high,
        "updates_per_success": group["updates"].sum() / n_worked if n_worked else math.nan,
        "test_ll_worst": min(scores, default=math.nan),
        "test_ll_seeds": scores,
        "kept_updates": scored["kept_updates"].median() if "kept_updates" in scored else math.nan,
        **{
            measure.column: _over_replicas(scored[measure.column], measure)
            for measure in MEASURES
            if "ranking" in measure.stages and measure.column in scored
        },
        **_own_over_replicas(scored, measures),
        **{name: group[name].iloc[0] for name in _config_columns(group)},
    }


def _own_over_replicas(scored: pd.DataFrame, measures: Sequence[OwnMeasure]) -> dict[str, float]:
    """Return the mean of each of the user's own measures, and its interval over seeds."""
    found: dict[str, float] = {}
    for measure in measures:
        for column in filter(scored.columns.__contains__, measure.final_columns):
            values = scored[column].dropna().to_numpy(float)
            if not len(values):
                continue
            # The end at which the configuration looks worst allows for a bad seed.
            ends = [measure.as_score(end) for end in seeds_interval(measure.as_score(values))]
            low, high = np.clip([min(ends), max(ends)], *measure.bounds).tolist()
            found |= {column: values.mean(), f"{column}_low": low, f"{column}_high": high}
    return found


def _over_replicas(values: pd.Series, measure: Measure) -> float:
    """Return a measure of a configuration from that of its replicas that have a score."""
    if measure.over_replicas == "least p":
        return min(1.0, values.count() * values.min()) if values.count() else math.nan
    return float(values.mean(skipna=measure.over_replicas == "mean"))


def _score(scored: Scored) -> dict[str, float]:
    low, high = score_interval(scored)
    return {
        "test_ll": scored.mean,
        "test_ll_se": math.sqrt(scored.seed_variance + scored.example_variance),
        "test_ll_low": low,
        "test_ll_high": high,
    }


def _ties(candidates: Sequence[_Candidate]) -> dict[str, list[str]]:
    """Return for each configuration those that can't be told from it, in their order."""
    if not candidates:
        return {}
    by_objective = []
    for of in zip(*(candidate.compared for candidate in candidates), strict=True):
        means = np.stack([scored.per_example for scored in of])
        by_objective.append(np.atleast_2d(np.cov(means)) / means.shape[1])
    p_values = {}
    for i, j in combinations(range(len(candidates)), 2):
        examples = [max(0.0, c[i, i] + c[j, j] - 2 * c[i, j]) for c in by_objective]
        p_values[i, j] = _p_value(candidates[i], candidates[j], examples)
    testable = [pair for pair, p in p_values.items() if not math.isnan(p)]
    adjusted = holm([p_values[pair] for pair in testable])
    apart = {pair for pair, p in zip(testable, adjusted, strict=True) if p <= 1 - LEVEL}
    return {
        candidate.config_id: [
            other.config_id
            for j, other in enumerate(candidates)
            if i != j and (min(i, j), max(i, j)) not in apart
        ]
        for i, candidate in enumerate(candidates)
    }


def _p_value(before: _Candidate, after: _Candidate, example_variances: Sequence[float]) -> float:
    """Return the p-value of the earlier one in the order not being better; NaN if unknown.

    Where the test set has them the other way round, it is 1. Where only the earlier one mostly
    works, either its share or its score may show that it is better: twice the smaller p-value.

    Of several objectives the largest p-value counts: that it is better in all of them is shown at a
    level where each by itself shows it there (Berger 1982, an intersection-union test).
    """
    by_objective = []
    for a, b, examples in zip(before.compared, after.compared, example_variances, strict=True):
        found = difference(a, b, examples)
        is_worse = found.mean <= 0 and not math.isnan(found.p_value)
        by_objective.append(1.0 if is_worse else found.p_value)
    of_score = float(np.max(by_objective))  # NaN if one is
    if before.mostly_works == after.mostly_works:
        return of_score
    of_share = p_value_of_shares((before.n_worked, before.n_ended), (after.n_worked, after.n_ended))
    return min(1.0, 2 * float(np.nanmin([of_share, of_score])))


_SCHEDULE = "config.schedule"  # which came after all other columns


def _config_columns(replicas: pd.DataFrame) -> list[str]:
    return [name for name in replicas.columns if name.startswith("config.")]


def _columns(replicas: pd.DataFrame) -> list[str]:
    first = ["rank", "tied_with", "config_id", "n_seeds", "n_failed", "test_ll", "test_ll_se"]
    known = [
        *first,
        *("valid_ll", "coverage", "recall"),
        *(name for name in _config_columns(replicas) if name != _SCHEDULE),
        *("test_ll_low", "test_ll_high", "nn_ratio", "sigma", "is_paper", "train_nn_ratio"),
        *("p_works", "p_works_low", "p_works_high", "updates_per_success"),
        *("test_ll_worst", "test_ll_seeds"),
    ]
    measured = (name for name in columns("ranking") if name not in known)
    last = ["name", "kept_updates", "pareto_rank", "p_front"]
    return [*known, *measured, *last, *({_SCHEDULE} & {*replicas.columns})]
