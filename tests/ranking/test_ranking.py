"""The ranking against textbook tests where these apply, and against known truth by simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gansearch.errors import ResultsError
from gansearch.ranking.ranking import compare, holm, rank
from gansearch.ranking.shares import jeffreys, p_value_of_shares
from gansearch.report.seeds_section import selection_measure
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import ResultsWarning
from tests.written_runs import RANKING_COLUMNS


def study(scores, **columns):
    """Return the replicas' rows and log-likelihoods of `{config_id: [[n] for each seed]}`."""
    rows, test_lls = [], {}
    for config_id, seeds in scores.items():
        for number, lls in enumerate(seeds):
            trial_id = f"r-{config_id}-{number}"
            test_lls[trial_id] = np.asarray(lls, float)
            rows.append(
                {
                    "trial_id": trial_id,
                    "number": number,
                    "seed": number,
                    "updates": 8000,
                    "config_id": config_id,
                    "phase": "replica",
                    "status": "completed",
                    "valid_ll": 10.0,
                    "coverage": 0.5,
                    "recall": 0.4,
                    "nn_ratio": 0.9,
                    "sigma": 0.2,
                    "train_nn_ratio": 0.8,
                    "config.k": 1,
                }
                | columns
            )
    return pd.DataFrame(rows), test_lls


def constant(*means, n=50):
    """Return log-likelihoods that are the same for all test examples: only the seeds vary."""
    return [np.full(n, mean) for mean in means]


def ranked(scores, paper=None):
    return rank(*study(scores), paper_config_id=paper)


def test_among_equal_validation_scores_ranks_go_by_the_mean_test_score_over_seeds():
    ranking = ranked({"a": constant(1, 2, 3), "b": constant(9, 10, 11), "c": constant(5, 5, 6)})
    assert ranking["config_id"].tolist() == ["b", "c", "a"]
    assert ranking["rank"].tolist() == [1, 2, 3]
    assert ranking["test_ll"].tolist() == pytest.approx([10, 16 / 3, 2])
    assert ranking["n_seeds"].tolist() == [3, 3, 3]
    assert ranking["n_failed"].tolist() == [0, 0, 0]


# Against the textbook


def lowered(scores, n_failed=0):
    """Return the mean with the bad seeds that are counted, and its variance with one of them."""
    bad = np.mean(scores) - 5 * np.std(scores, ddof=1)
    worse = [*scores, bad]
    return np.mean([*worse, *[bad] * n_failed]), np.var(worse, ddof=1) / len(worse)


def test_where_only_seeds_vary_the_interval_is_student_s_with_one_more_bad_seed_below():
    means = [8.0, 9.5, 11.0, 8.75]
    row = ranked({"a": constant(*means)}).iloc[0]
    mean, variance = lowered(means)
    _, high = stats.t.interval(0.95, 3 * 7 / 8, np.mean(means), stats.sem(means))
    low = mean - stats.t.ppf(0.975, 3) * math.sqrt(variance)
    assert (row["test_ll_low"], row["test_ll_high"]) == pytest.approx((low, high))
    assert row["test_ll_se"] == pytest.approx(stats.sem(means))


@pytest.mark.parametrize("n_failed", [0, 2])
def test_where_only_seeds_vary_a_difference_is_welch_s_with_bad_seeds_of_the_better_one(n_failed):
    a, b = [28.0, 29.5, 31.0, 28.75], [6.0, 12.0, 5.0]
    found = compare(constant(*a), constant(*b), n_failed=(n_failed, 1))
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    mean, variance = lowered(a, n_failed)
    other = stats.sem(b) ** 2
    degrees = (variance + other) ** 2 / (variance**2 / 3 + other**2 / 2)
    error = math.sqrt(variance + other)
    lead = mean - np.mean(b)
    assert found.low == pytest.approx(lead - stats.t.ppf(0.975, degrees) * error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(lead / error, degrees))
    turned = compare(constant(*b), constant(*a), n_failed=(1, n_failed))
    assert turned.high == -found.low
    assert found.high > 2 * found.mean - found.low  # its own seeds vary more, and one has failed


def test_where_only_examples_vary_a_difference_is_the_paired_test_s():
    rng = np.random.default_rng(0)
    shared = rng.normal(200, 200, 10_000)
    a, b = shared + rng.normal(1, 60, 10_000), shared
    difference = compare([a, a], [b, b, b])
    paired = stats.ttest_rel(a, b)
    assert difference.p_value == pytest.approx(paired.pvalue, rel=0.01)
    # The quantile of 10,000 examples is the normal law's within .0003 of 1.96.
    assert difference.low == pytest.approx(paired.confidence_interval(0.95).low, abs=0.001)


def test_test_examples_that_two_configurations_share_do_not_hide_their_difference():
    rng = np.random.default_rng(0)
    shared = rng.normal(200, 200, 10_000)
    ranking = ranked(
        {
            "a": [shared + 3 + rng.normal(0, 10, 10_000) for _ in range(3)],
            "b": [shared + rng.normal(0, 10, 10_000) for _ in range(3)],
        }
    )
    first, second = ranking.iloc[0], ranking.iloc[1]
    assert first["config_id"] == "a"
    assert first["test_ll_low"] < second["test_ll_high"]
    assert first["tied_with"] == second["tied_with"] == []


def test_holm_s_adjustment_is_that_of_the_literature():
    # p.adjust(c(.01, .04, .03, .005), "holm") of R.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert holm([]).tolist() == []


def test_a_pair_apart_by_itself_may_be_tied_among_many():
    a, b = [10.0, 11.0, 12.0], [19.0, 20.0, 21.0]
    assert 0.01 < compare(constant(*a), constant(*b)).p_value < 0.05
    alone = ranked({"a": constant(*a), "b": constant(*b)})
    assert alone["tied_with"].tolist() == [[], []]
    others = {name: constant(0, 30, 60) for name in "cdef"}
    among = ranked({"a": constant(*a), "b": constant(*b), **others}).set_index("config_id")
    assert "b" in among.loc["a", "tied_with"]


lls = st.lists(st.lists(st.floats(-100, 100), min_size=4, max_size=4), min_size=2, max_size=5).map(
    lambda seeds: [np.array(lls) for lls in seeds]
)


@settings(max_examples=200, deadline=None)
@given(lls, lls)
def test_the_interval_leaves_out_zero_exactly_where_the_p_value_is_below_one_in_twenty(a, b):
    difference = compare(a, b)
    assert 0 <= difference.p_value <= 1
    assert difference.low <= difference.mean <= difference.high
    if abs(difference.p_value - 0.05) > 1e-9:
        assert (difference.low > 0 or difference.high < 0) == (difference.p_value < 0.05)


@settings(max_examples=100, deadline=None)
@given(lls, lls)
def test_a_comparison_turned_round_changes_its_sign_alone(a, b):
    there, back = compare(a, b), compare(b, a)
    assert there.mean == -back.mean
    assert there.p_value == pytest.approx(back.p_value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_a_configuration_is_tied_with_a_copy_of_itself():
    same = constant(8, 9, 10)
    assert compare(same, same).p_value == 1
    ranking = ranked({"a": same, "b": same})
    assert ranking["tied_with"].tolist() == [["b"], ["a"]]


def test_without_any_variation_a_difference_is_certain_and_equality_too():
    assert compare(constant(2, 2), constant(1, 1)).p_value < 1e-90
    assert compare(constant(1, 1), constant(1, 1)).p_value == 1


def test_comparing_other_examples_or_nothing_is_refused():
    with pytest.raises(ResultsError, match=r"found 1 and 1 seeds, with \[3, 4\] test examples"):
        compare([np.zeros(3)], [np.zeros(4)])
    with pytest.raises(ResultsError, match="found 0 and 1 seeds"):
        compare([], [np.zeros(4)])


# The order


def test_ranks_go_by_the_validation_scores_and_test_scores_are_shown():
    frame, test_lls = study({"a": constant(30, 31, 32), "b": constant(10, 11, 12)})
    frame.loc[frame["config_id"] == "b", "valid_ll"] = 20.0
    ranking = rank(frame, test_lls, paper_config_id=None)
    assert ranking["config_id"].tolist() == ["b", "a"]
    assert ranking["valid_ll"].tolist() == [20, 10]
    assert ranking["test_ll"].tolist() == [11, 31]


def test_a_lead_on_validation_data_that_the_test_set_turns_round_is_a_tie():
    frame, test_lls = study({"a": constant(90, 91, 92), "b": constant(10, 11, 12)})
    frame.loc[frame["config_id"] == "b", "valid_ll"] = 20.0
    assert rank(frame, test_lls, paper_config_id=None)["tied_with"].tolist() == [["a"], ["b"]]


def test_all_validation_examples_decide_where_every_replica_has_their_score():
    frame, test_lls = study({"a": constant(1, 1), "b": constant(1, 1)})
    frame["valid_ll_all"] = [7.0, 7.0, 9.0, 9.0]
    frame["valid_ll"] = [9.0, 9.0, 7.0, 7.0]
    ranking = rank(frame, test_lls, paper_config_id=None)
    assert ranking["config_id"].tolist() == ["b", "a"]
    assert ranking["valid_ll_all"].tolist() == [9, 7]
    frame.loc[3, "valid_ll_all"] = np.nan
    ranking = rank(frame, test_lls, paper_config_id=None)
    assert ranking["config_id"].tolist() == ["a", "b"]
    assert selection_measure(ranking) == "valid_ll"


def test_one_seed_of_copies_shows_among_others():
    frame, test_lls = study({"a": constant(1, 1, 1, 1), "b": constant(0, 0)})
    frame["copy_p"] = [0.9, 1e-100, 0.8, 1.0, 0.7, np.nan]
    ranking = rank(frame, test_lls, paper_config_id=None)
    assert ranking["copy_p"].tolist() == pytest.approx([4e-100, 0.7])


def failing(scores, n_failed, valid=None):
    """A study in which the last replicas of each configuration collapsed."""
    frame, test_lls = study(scores)
    for config_id, n in n_failed.items():
        failed = frame[frame["config_id"] == config_id].index[-n:]
        frame.loc[failed, "status"] = "collapsed"
        frame.loc[failed, "updates"] = 2000
    for config_id, valid_ll in (valid or {}).items():
        frame.loc[frame["config_id"] == config_id, "valid_ll"] = valid_ll
    return rank(frame, test_lls, paper_config_id=None).set_index("config_id")


def test_what_mostly_fails_ranks_below_what_mostly_works_however_well_its_survivors_do():
    ranking = failing(
        {"x": constant(110, 111, 0, 0, 0), "y": constant(100, 101, 102, 0, 0)},
        {"x": 3, "y": 2},
        {"x": 110.0, "y": 100.0},
    )
    assert ranking.index.tolist() == ["y", "x"]
    assert ranking["rank"].tolist() == [1, 2]
    assert ranking["p_works"].tolist() == [0.6, 0.4]
    assert ranking["tied_with"].tolist() == [["x"], ["y"]]  # of five each, that may be chance


def test_half_is_not_more_than_half():
    ranking = failing(
        {"x": constant(110, 110, 0, 0), "y": constant(100, 101, 102, 0)}, {"x": 2, "y": 1}
    )
    assert ranking.index.tolist() == ["y", "x"]


def test_a_share_that_is_surely_larger_tells_two_configurations_apart_whatever_the_scores():
    ranking = failing(
        {"x": constant(*[110, 111], *[0] * 8), "y": constant(*range(100, 110))}, {"x": 8}
    )
    assert ranking.index.tolist() == ["y", "x"]
    assert ranking["tied_with"].tolist() == [[], []]
    found = p_value_of_shares((10, 10), (2, 10))
    assert found == pytest.approx(stats.fisher_exact([[10, 0], [2, 8]], "greater").pvalue * 2)


def test_the_share_that_works_has_jeffreys_interval_and_a_price_in_updates():
    row = failing({"x": constant(8, 9, 10, 0)}, {"x": 1}).loc["x"]
    assert (row["n_seeds"], row["n_failed"], row["p_works"]) == (3, 1, 0.75)
    assert (row["p_works_low"], row["p_works_high"]) == jeffreys(3, 4)
    assert row["updates_per_success"] == (3 * 8000 + 2000) / 3
    assert row["test_ll_seeds"] == [8, 9, 10]
    assert row["test_ll_worst"] == 8


def test_where_none_works_the_share_is_zero_and_there_is_no_price():
    row = failing({"x": constant(8, 9), "y": constant(1, 2)}, {"x": 2}).loc["x"]
    assert (row["p_works"], row["p_works_low"], row["p_works_high"]) == (0, *jeffreys(0, 2))
    assert np.isnan(row["updates_per_success"])
    assert np.isnan(row["test_ll_worst"])
    assert row["test_ll_seeds"] == []


def test_each_failed_replica_of_the_better_one_counts_against_its_lead():
    a, b = constant(30, 31, 32), constant(10, 11, 12)
    leads = [compare(a, b, n_failed=(n, 0)) for n in range(3)]
    assert [lead.mean for lead in leads] == [20, 20, 20]
    assert leads[0].low > leads[1].low > leads[2].low
    assert leads[0].p_value < leads[1].p_value < leads[2].p_value
    assert compare(a, b, n_failed=(0, 2)).p_value == leads[0].p_value


# Few seeds, failed seeds


def test_one_seed_gives_a_score_without_an_interval_and_a_tie_with_all():
    ranking = ranked(
        {"a": constant(50), "b": constant(10, 11, 12), "c": constant(1, 1.5, 2)}
    ).set_index("config_id")
    assert ranking.loc["a", "rank"] == 1
    assert ranking.loc["a", "test_ll"] == 50
    assert ranking.loc["a", ["test_ll_se", "test_ll_low", "test_ll_high"]].isna().all()
    assert ranking["tied_with"].to_dict() == {"a": ["b", "c"], "b": ["a"], "c": ["a"]}
    lonely = compare(constant(50), constant(10, 11, 12))
    assert lonely.mean == 39
    assert all(math.isnan(x) for x in (lonely.low, lonely.high, lonely.p_value))


def test_seeds_may_differ_in_number():
    ranking = ranked({"a": constant(10, 11, 12, 11, 10, 12), "b": constant(1, 2)})
    assert ranking["n_seeds"].tolist() == [6, 2]
    # With 7/8 of a degree of freedom the quantile is 17.5.
    half_width = ranking.loc[1, "test_ll_high"] - ranking.loc[1, "test_ll"]
    assert half_width == pytest.approx(stats.t.ppf(0.975, 7 / 8) / 2)


def with_statuses(scores, statuses):
    frame, test_lls = study(scores)
    frame["status"] = frame["trial_id"].map(statuses).fillna("completed")
    return frame, {k: v for k, v in test_lls.items() if statuses.get(k) is None}


def test_failed_seeds_count_and_are_not_in_the_score():
    frame, test_lls = with_statuses(
        {"a": constant(10, 12, -400, -500, -600), "b": constant(1, 2)},
        {"r-a-2": "collapsed", "r-a-3": "diverged", "r-a-4": "failed"},
    )
    frame.loc[frame["trial_id"] == "r-a-2", "valid_ll"] = -1000.0
    row = rank(frame, test_lls, paper_config_id=None).set_index("config_id").loc["a"]
    assert (row["n_seeds"], row["n_failed"]) == (2, 3)
    assert row["test_ll"] == 11
    assert row["valid_ll"] == 10


def test_a_collapsed_seed_never_scores_even_with_log_likelihoods_on_disk():
    frame, test_lls = study({"a": constant(900, 10, 12)})
    frame.loc[0, "status"] = "collapsed"
    row = rank(frame, test_lls, paper_config_id=None).iloc[0]
    assert (row["test_ll"], row["n_failed"]) == (11, 1)


def test_a_configuration_whose_seeds_all_failed_comes_last_and_unranked():
    frame, test_lls = with_statuses(
        {"a": constant(9, 9), "b": constant(1, 2)}, {"r-a-0": "collapsed", "r-a-1": "diverged"}
    )
    ranking = rank(frame, test_lls, paper_config_id="a")
    assert ranking["config_id"].tolist() == ["b", "a"]
    last = ranking.iloc[1]
    nothing = ["rank", "test_ll", "test_ll_se", "test_ll_low", "test_ll_high", "valid_ll"]
    assert last[nothing].isna().all()
    assert (last["n_seeds"], last["n_failed"], last["tied_with"]) == (0, 2, [])
    assert ranking["is_paper"].tolist() == [False, True]
    assert ranking["tied_with"].tolist() == [[], []]


def test_a_replica_that_still_runs_is_neither_scored_nor_failed():
    frame, test_lls = with_statuses({"a": constant(9, 10, 11)}, {"r-a-2": "running"})
    row = rank(frame, test_lls, paper_config_id=None).iloc[0]
    assert (row["n_seeds"], row["n_failed"]) == (2, 0)


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        (None, "it has no test log-likelihoods"),
        (np.ones(49), "it has 49 test examples, the others 50"),
        (np.array([*np.ones(49), np.nan]), "some of its test log-likelihoods are not finite"),
    ],
)
def test_a_completed_replica_without_usable_log_likelihoods_counts_as_failed(damaged, problem):
    frame, test_lls = study({"a": constant(9, 10, 11)})
    del test_lls["r-a-1"]
    if damaged is not None:
        test_lls["r-a-1"] = damaged
    with pytest.warns(ResultsWarning, match=f"replica r-a-1: {problem}. It counts as failed."):
        row = rank(frame, test_lls, paper_config_id=None).iloc[0]
    assert (row["n_seeds"], row["n_failed"], row["test_ll"]) == (2, 1, 10)


def test_trials_of_the_search_have_no_part_in_the_ranking():
    frame, test_lls = study({"a": constant(1, 2)})
    searched, _ = study({"z": constant(99)}, phase="search")
    ranking = rank(pd.concat([searched, frame]), test_lls, paper_config_id=None)
    assert ranking["config_id"].tolist() == ["a"]


def test_the_ranking_is_written_and_read_with_the_columns_of_the_contract(tmp_path):
    folder = RunFolder(tmp_path)
    nothing = rank(folder.trials(), {}, paper_config_id=None)
    assert nothing.empty
    assert tuple(nothing.columns) == RANKING_COLUMNS
    frame, test_lls = study({"a": constant(1, 2, 3), "b": constant(5, 6), "c": constant(9)})
    frame.loc[frame["config_id"] == "c", "status"] = "failed"
    folder.write_trials(frame.to_dict("records"))
    ranking = rank(folder.trials(), test_lls, paper_config_id="a")
    folder.write_ranking(ranking)
    read = folder.ranking()
    assert tuple(read.columns) == RANKING_COLUMNS
    assert read["config_id"].tolist() == ["b", "a", "c"]
    names = ["rank", "n_seeds", "n_failed", "test_ll", "test_ll_se", "is_paper", "config.k"]
    pd.testing.assert_frame_equal(read[names], ranking[names], check_dtype=False)


def test_a_replica_that_the_time_budget_cut_short_says_nothing_of_its_configuration():
    rows, lls = study({"a": constant(3.0, 2.0), "b": constant(1.0, 1.5)})
    whole = rank(rows, lls, paper_config_id=None)
    cut = rows.iloc[[0, -1]].assign(trial_id=["cut-a", "cut-b"], status="pruned", number=9)
    pd.testing.assert_frame_equal(
        rank(pd.concat([rows, cut]), lls, paper_config_id=None), whole, check_dtype=False
    )
    alone = cut.iloc[:1].assign(config_id="c")
    assert "c" not in set(rank(pd.concat([rows, alone]), lls, paper_config_id=None)["config_id"])
