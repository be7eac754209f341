"""Runs side by side: what may be compared, who is better, what differs, what is shared."""

import io
import json

import pytest
from rich.console import Console

from gansearch.data.fingerprint import Fingerprint, SplitFingerprint
from gansearch.errors import BadInputError
from gansearch.own_measures import OwnMeasure
from gansearch.report.compare import compare_runs
from gansearch.report.compare_sections import comparison_sections
from gansearch.report.tables import print_section
from gansearch.runs.folder import RunFolder
from tests.report.printed_reports import with_fixed_ids
from tests.written_runs import (
    PAPER,
    SECOND,
    WINNER,
    described,
    finished_run,
    replicas,
    run_info,
    searched,
    searching_run,
    trial,
    write_run,
)


def ranked_run(results, name, means, **info):
    """A run that compared the configurations of `means` by four replicas each."""
    configs = [c for c in (WINNER, SECOND, PAPER) if c.config_id in means]
    rows = [row for config in configs for row in replicas(config)]
    return write_run(results, (), rows, means, name=name, **info)


@pytest.fixture
def two(tmp_path):
    """Two runs of the same data; the winner of b is better by ten nats."""
    a = ranked_run(tmp_path, "a", {SECOND.config_id: 14.0, PAPER.config_id: 9.0})
    b = ranked_run(tmp_path, "b", {WINNER.config_id: 24.0, PAPER.config_id: 9.0})
    for folder, valid in ((a, 4.0), (b, 6.0)):
        ranking = folder.ranking()
        ranking.loc[ranking["rank"] == 1, "valid_ll"] = valid
        ranking["valid_ll_all"] = ranking["valid_ll"]
        folder.write_ranking(ranking)
    return a, b


def printed(comparison, width=100):
    to = Console(file=io.StringIO(), width=width, color_system=None)
    for section in comparison_sections(comparison):
        print_section(section, to)
    return with_fixed_ids("\n".join(line.rstrip() for line in to.file.getvalue().splitlines()))


def fingerprint(sha256="0" * 64, n=100):
    splits = {name: SplitFingerprint(n, "<f4", sha256) for name in ("train", "valid", "test")}
    return Fingerprint((8, 8, 1), 1.0, None, 10, **splits).to_dict()


def described_as(folder, **changes):
    folder.write_run(described(**{"name": folder.path.name, **changes}))
    return folder


def test_the_better_winner_leads_by_an_interval_over_the_same_test_examples(two):
    comparison = compare_runs(two)
    assert comparison.obstacles == comparison.search_obstacles == ()
    (lead,) = comparison.leads
    assert (lead.run, lead.other) == ("b", "a")
    assert lead.difference.low < lead.difference.mean < lead.difference.high
    assert lead.difference.mean == pytest.approx(10, abs=0.5)
    assert "The winner of b is better than that of a by 10.0 [" in printed(comparison)


def test_the_rankings_are_one_with_the_best_first(two):
    comparison = compare_runs(two)
    rows = [(row.run, row.config_id) for row in comparison.ranking()]
    assert rows[0] == ("b", WINNER.config_id)
    assert {run for run, _ in rows} == {"a", "b"}
    assert compare_runs(two[::-1]).ranking()[0] == comparison.ranking()[0]


def test_a_configuration_of_both_is_found_by_its_id(two):
    comparison = compare_runs(two)
    (shared,) = comparison.shared
    assert (shared.config_id, shared.label) == (PAPER.config_id, "paper")
    assert [row.test for row in shared.finals] == pytest.approx([9.0, 9.0], abs=0.5)
    assert shared.searched == (None, None)


def test_a_final_score_and_one_of_a_search_stand_apart(tmp_path):
    finished = finished_run(tmp_path, name="a")
    going_on = searching_run(tmp_path / "b")
    comparison = compare_runs([finished, going_on])
    text = " ".join(printed(comparison).split())
    assert "digits-1: no ranking yet, so there are no final scores to compare." in text
    assert "these two kinds are never compared" in text
    assert comparison.leads == ()
    (paper,) = (each for each in comparison.shared if each.label == "paper")
    assert paper.finals[1] is None
    assert paper.searched == (3.1, 3.1)
    assert "3.10 (search)" in text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (fingerprint("1" * 64), "train: 100 examples each, but others, or in another order"),
        (fingerprint(n=50), "train: 100 examples of 8x8x1 in the first, 50 in the other"),
    ],
)
def test_scores_of_other_data_are_not_compared(two, data, why):
    a, b = (described_as(folder, data=fingerprint()) for folder in two)
    assert compare_runs([a, b]).obstacles == ()
    comparison = compare_runs([a, described_as(b, data=data)])
    (obstacle,) = comparison.obstacles
    assert obstacle.startswith("a and b have not learned the same data (")
    assert why in obstacle
    assert comparison.leads == ()
    text = " ".join(printed(comparison).split())
    assert "Their scores can't be compared: a and b have not learned the same data" in text
    assert [row.run for row in comparison.ranking()] == ["a", "a", "b", "b"]


def test_runs_of_older_versions_are_compared_by_the_name_of_their_data_set(two):
    a, b = two
    space = {**run_info()["space"], "dataset": "mnist"}
    (obstacle,) = compare_runs([a, described_as(b, space=space)]).obstacles
    assert obstacle == "a and b have learned different data sets (digits, mnist)."


def test_scores_by_another_objective_are_not_compared(tmp_path):
    a = write_run(tmp_path, searched(), name="a")
    b = write_run(tmp_path, name="b")
    fid = OwnMeasure("fid", "m.py:fid", "minimize")
    measured = {"measures": [fid.to_dict()], "objective": "fid"}
    b = RunFolder(described_as(b, space={**run_info()["space"], **measured}).path)
    b.write_trials([trial("t00000", PAPER) | {"measure.fid": 3.0}])
    comparison = compare_runs([a, b])
    assert comparison.obstacles == ("a goes by valid_ll, b by fid.",)
    assert comparison.runs[1].best.value == 3.0


def test_scores_of_searches_from_other_numbers_of_samples_are_not_compared(two):
    a, b = two
    comparison = compare_runs([a, described_as(b, n_evaluation_samples=500)])
    assert comparison.obstacles == ()
    said = "The scores of the searches come from different numbers of samples (a: 1,000, b: 500)."
    assert comparison.search_obstacles == (said,)
    assert said in " ".join(printed(comparison).split())


def test_what_differs_in_spaces_and_budgets_is_listed_and_nothing_else(two):
    a, b = two
    space = run_info()["space"]
    changed = {
        **space,
        "budget": {**space["budget"], "trials": 60},
        "search": {"generator_lr": {"float": [0.01, 0.1], "log": True}},
        "fixed": {"k": 2},
    }
    described_as(b, space=changed, seed=7)
    found = {each.name: each.values for each in compare_runs([a, b]).differences}
    assert found == {
        "k": ("int 1 to 3", "2"),
        "generator_lr": (None, "float 0.01 to 0.1 log"),
        "budget.trials": ("6", "60"),
        "seed": ("0", "7"),
    }


def test_runs_of_one_space_differ_in_nothing(two):
    text = printed(compare_runs(two))
    assert "Nothing: the runs have the same space, budget and seed." in text


def test_three_runs_and_runs_of_one_name_in_two_folders_can_be_told_apart(tmp_path, two):
    other = ranked_run(tmp_path / "other", "a", {WINNER.config_id: 24.0})
    comparison = compare_runs([*two, other])
    assert len({run.name for run in comparison.runs}) == 3
    assert len(comparison.leads) == 2


def test_a_comparison_is_plain_json_with_null_for_what_is_missing(two):
    values = compare_runs(two).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert [run["name"] for run in values["runs"]] == ["a", "b"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_of_a_comparison_is_wider_than_the_terminal(two, width):
    text = printed(compare_runs(two), width)
    assert max(map(len, text.splitlines())) <= width


def test_one_run_or_one_twice_is_refused(two):
    with pytest.raises(BadInputError, match="One run alone can't be compared"):
        compare_runs(two[:1])
    with pytest.raises(BadInputError, match="given twice"):
        compare_runs([two[0], two[0]])
