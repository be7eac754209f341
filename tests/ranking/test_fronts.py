"""The ranking by several objectives: fronts, ties between them, and their probabilities."""

import math

import numpy as np
import pandas as pd
import pytest

from gansearch.own_measures import BUILT_IN_OBJECTIVES, VALID_LL, Objective, OwnMeasure, several
from gansearch.ranking.fronts import _means, front_probabilities
from gansearch.ranking.intervals import Scored, difference, seeds_interval
from gansearch.ranking.ranking import rank

COVERAGE = Objective(BUILT_IN_OBJECTIVES["coverage"])
BOTH = several([VALID_LL, COVERAGE])


def replicas_of(configs, *, objective=BOTH, n_examples=50, measures=(), **more):
    """Rank `{config_id: [(log-likelihood, coverage) of each seed]}`; None for a failed seed."""
    rows, test_lls = [], {}
    for config_id, seeds in configs.items():
        for number, scores in enumerate(seeds):
            row = {"trial_id": f"r-{config_id}-{number}", "number": number, "seed": number}
            row |= {"updates": 100, "config_id": config_id, "phase": "replica", "config.k": 1}
            row |= {"recall": 0.4, "nn_ratio": 0.9, "sigma": 0.2, "train_nn_ratio": 0.8}
            ll, coverage = scores or (math.nan, math.nan)
            row |= {"status": "completed" if scores else "collapsed"}
            row |= {"valid_ll": ll, "valid_ll_all": ll, "coverage": coverage}
            row |= {name: values[config_id][number] for name, values in more.items()}
            rows.append(row)
            if scores:
                test_lls[row["trial_id"]] = np.full(n_examples, float(ll))
    frame = pd.DataFrame(rows)
    return rank(frame, test_lls, paper_config_id=None, objective=objective, measures=measures)


def around(ll, coverage, n=4):
    return [(ll + 0.1 * (i % 3), coverage + 0.01 * (i % 2)) for i in range(n)]


FIVE = {
    "dull": around(5, 0.1),
    "varied": around(10, 0.9),
    "likely": around(20, 0.2),
    "second": around(9, 0.8),
    "middle": around(15, 0.5),
}


def test_the_order_is_by_front_and_within_one_by_the_first_objective():
    ranking = replicas_of(FIVE)
    assert ranking["config_id"].tolist() == ["likely", "middle", "varied", "second", "dull"]
    assert ranking["pareto_rank"].tolist() == [1, 1, 1, 2, 3]
    assert ranking["rank"].tolist() == [1, 2, 3, 4, 5]
    assert ranking["p_front"].tolist() == [1, 1, 1, 0, 0]


def test_the_first_objective_of_the_list_decides_within_a_front():
    ranking = replicas_of(FIVE, objective=several([COVERAGE, VALID_LL]))
    assert ranking["config_id"].tolist() == ["varied", "middle", "likely", "second", "dull"]
    assert ranking["pareto_rank"].tolist() == [1, 1, 1, 2, 3]


def test_configurations_are_told_apart_only_where_one_is_better_in_all():
    ties = replicas_of(FIVE).set_index("config_id")["tied_with"]
    assert ties["likely"] == ["middle", "varied", "second"]  # which have other strengths
    assert ties["second"] == ["likely", "middle"]  # varied is better in both, likely in one
    assert ties["dull"] == []


def test_of_two_objectives_the_larger_p_value_decides():
    """Of a pair it needs no correction: it is tied exactly if one of the two p-values is above."""
    rng = np.random.default_rng(0)
    n_tied = 0
    for _ in range(30):
        a = [(20 + rng.normal(), 0.5 + 0.05 * rng.normal()) for _ in range(4)]
        b = [(14 + rng.normal(), 0.5 - 0.3 * rng.uniform() + 0.05 * rng.normal()) for _ in a]
        p_values = [
            difference(Scored.of_seeds(x), Scored.of_seeds(y), 0.0).p_value
            for x, y in zip(zip(*a, strict=True), zip(*b, strict=True), strict=True)
        ]
        means = np.array(a).mean(axis=0) - np.array(b).mean(axis=0)
        is_tied = bool((means <= 0).any() or max(p_values) > 0.05)
        ranking = replicas_of({"a": a, "b": b})
        assert (ranking["tied_with"].iloc[0] != []) == is_tied
        n_tied += is_tied
    assert 5 < n_tied < 25


def test_dominance_that_is_none_is_hardly_ever_claimed():
    """Of equal configurations; where one objective differs, the other alone decides."""
    rng = np.random.default_rng(1)
    n_studies, n_claimed = 200, 0
    for _ in range(n_studies):
        a = [(20 + rng.normal(), 0.5 + 0.05 * rng.normal()) for _ in range(4)]
        b = [(10 + rng.normal(), 0.5 + 0.05 * rng.normal()) for _ in range(4)]
        n_claimed += replicas_of({"a": a, "b": b})["tied_with"].iloc[0] == []
    assert n_claimed / n_studies <= 0.04


def test_the_interval_of_a_built_in_objective_is_over_seeds_and_within_its_bounds():
    coverages = [0.9, 0.95, 1.0]
    row = replicas_of({"a": [(10.0, c) for c in coverages]}).iloc[0]
    low, _ = seeds_interval(np.array(coverages))
    assert row["coverage"] == pytest.approx(0.95)
    assert (row["coverage_low"], row["coverage_high"]) == (pytest.approx(low), 1.0)


def test_a_measure_of_which_less_is_better_counts_so_and_against_the_test_set():
    fid = OwnMeasure("fid", "mine.py:fid")
    configs = {"a": around(10, 0.5), "b": around(10, 0.5), "c": around(30, 0.5)}
    fids = {"a": [1, 2, 1, 2], "b": [5, 6, 5, 6], "c": [9, 10, 9, 10]}
    of_test = {"a": [2, 3, 2, 3], "b": [5, 6, 5, 6], "c": [90, 91, 90, 91]}
    ranking = replicas_of(
        configs,
        objective=several([Objective(fid), VALID_LL]),
        measures=[fid],
        **{"measure.fid": fids, "measure.fid_test": of_test},
    )
    assert ranking["config_id"].tolist() == ["a", "c", "b"]
    assert ranking["pareto_rank"].tolist() == [1, 1, 2]
    assert ranking["measure.fid_test"].tolist() == [2.5, 90.5, 5.5]


def test_what_mostly_fails_is_behind_every_front_of_what_works():
    configs = {"lucky": [(90.0, 0.95), None, None], "a": around(10, 0.5), "b": around(9, 0.4)}
    ranking = replicas_of(configs)
    assert ranking["config_id"].tolist() == ["a", "b", "lucky"]
    assert ranking["pareto_rank"].tolist() == [1, 2, 3]
    assert ranking["p_front"].isna().tolist() == [False, False, True]


def test_a_configuration_with_one_seed_takes_no_probability_from_the_others():
    configs = {"a": around(10, 0.5), "b": around(9, 0.4), "once": [(8.0, 0.3)]}
    ranking = replicas_of(configs).set_index("config_id")
    assert ranking["p_front"].notna().to_dict() == {"a": True, "b": True, "once": False}
    nothing = replicas_of({"a": [None, None]}).iloc[0]
    assert math.isnan(nothing["rank"]) and math.isnan(nothing["pareto_rank"])


def test_with_one_seed_there_is_no_probability_and_everything_is_tied():
    ranking = replicas_of({"a": [(10.0, 0.5)], "b": [(5.0, 0.1)]})
    assert ranking["pareto_rank"].tolist() == [1, 2]
    assert ranking["p_front"].isna().all()
    assert ranking["tied_with"].tolist() == [["b"], ["a"]]


def test_one_objective_has_no_fronts():
    ranking = replicas_of(FIVE, objective=VALID_LL)
    assert ranking["pareto_rank"].isna().all() and ranking["p_front"].isna().all()
    assert "coverage_low" not in ranking
    assert ranking["config_id"].tolist() == ["likely", "middle", "varied", "second", "dull"]


def test_the_probability_of_two_equal_configurations_is_that_of_chance():
    """Two objectives that agree: one of the two dominates the other, either with probability .5."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        a, b = rng.normal(size=(2, 6))
        seeds = {"a": np.stack([a, a], axis=1), "b": np.stack([b, b], axis=1)}
        found.append(front_probabilities(seeds))
    assert all(each["a"] + each["b"] == pytest.approx(1) for each in found)
    assert np.mean([each["a"] for each in found]) == pytest.approx(0.5, abs=0.15)


def test_bootstrap_means_vary_as_means_of_seeds_do():
    rng = np.random.default_rng(0)
    variances = []
    for _ in range(300):
        seeds = rng.normal(size=(3, 1))
        variances.append(_means(seeds, rng).var())
    assert np.mean(variances) == pytest.approx(1 / 3, rel=0.1)
