"""A run by several objectives, as the report shows it."""

import csv
import io
import json

import pytest

from gansearch.report.compare import compare_runs
from gansearch.report.conclusion import conclusion
from gansearch.report.export import to_csv, to_json
from gansearch.report.labels import trial_label
from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.report import build_report
from gansearch.report.sections import sections
from tests.written_runs import BEHIND, ON_FRONT, PAPER, finished_run, front_run, trial, write_run

FIRST, MIDDLE, LAST = (config.config_id for config in ON_FRONT)


@pytest.fixture
def folder(tmp_path):
    return front_run(tmp_path)


@pytest.fixture
def report(folder):
    return build_report(folder)


def section(report, key):
    return next(each for each in sections(report) if each.key == key)


def column(part, name):
    return [row[[title for title, _ in part.columns].index(name)] for row in part.rows]


def test_the_table_has_each_objective_with_its_interval_the_front_and_the_ties(report):
    ranking = section(report, "ranking")
    assert (
        ranking.title
        == "Ranking by how many work, then by the Pareto fronts of valid_ll and coverage"
    )
    assert [name for name, _ in ranking.columns] == [
        *("rank", "front", "p front", "config", "work", "test LL", "coverage", "ties")
    ]
    assert column(ranking, "front") == ["1", "1", "1", "2", "2"]
    assert column(ranking, "ties") == ["2, 3", "1, 3", "1, 2", "5", "4"]
    assert column(ranking, "coverage")[0].startswith("0.42 [0.3")
    assert column(ranking, "test LL")[0].startswith("24.5 [")
    assert any("then by the front, then by valid_ll" in note for note in ranking.notes)
    # What has no room there is in the table of more measures.
    assert "recall" in [name for name, _ in section(report, "measures").columns]


def test_the_conclusion_names_the_front_its_best_and_what_is_behind(report):
    said = conclusion(report)
    assert said.said == (
        f"3 of 5 configurations are on the front of valid_ll and coverage: {FIRST}, {MIDDLE} and "
        f"{LAST}"
    )
    assert f"test LL is best with {FIRST}, 24.5 [" in said.lead
    assert f"coverage is best with {LAST}, 0.82 [" in said.lead
    assert said.lead.endswith(f"Shown to be behind it: paper and {BEHIND.config_id}.")
    assert said.commands[0][1] == f"for samples of {FIRST}"


def test_what_is_not_shown_to_be_behind_is_said_to_be_open(tmp_path):
    folder = front_run(tmp_path)
    ranking = folder.ranking()
    ranking["tied_with"] = [
        [other for other in ranking["config_id"] if other != each] for each in ranking["config_id"]
    ]
    folder.write_ranking(ranking)
    lead = conclusion(build_report(folder)).lead
    assert f"Not shown to be behind it: paper and {BEHIND.config_id}; more seeds may tell." in lead


def test_before_the_ranking_the_searchs_front_is_counted(tmp_path):
    rows = [
        trial("t00000", PAPER, valid_ll=3.0, coverage=0.9),
        trial("t00001", ON_FRONT[0], valid_ll=9.0, coverage=0.1),
        trial("t00002", ON_FRONT[1], valid_ll=2.0, coverage=0.2),
        trial("t00003", ON_FRONT[2], "collapsed", valid_ll=99.0, coverage=1.0),
    ]
    space = front_run(tmp_path / "other").read_run().space
    report = build_report(write_run(tmp_path, rows, space=space, state="interrupted"))
    assert report.leaderboard["trial_id"].tolist() == ["t00001", "t00000", "t00002"]
    assert report.leaderboard["pareto_rank"].tolist() == [1, 1, 2]
    best = conclusion(report).lead
    assert best.startswith(
        f"First of 2 trainings on the search's front: {FIRST} (t00001), valid_ll 9.00 nats"
    )
    assert ", coverage 0.1: " in best
    board = section(report, "leaderboard")
    assert board.title == "The search's best by the fronts of valid_ll and coverage"
    assert column(board, "front") == ["1", "1", "2"]


def test_json_and_csv_have_the_fronts(report):
    found = json.loads(to_json(report))
    assert [row["pareto_rank"] for row in found["ranking"]] == [1, 1, 1, 2, 2]
    assert found["ranking"][0]["p_front"] == 1
    assert found["ranking"][0]["coverage_low"] < 0.42 < found["ranking"][0]["coverage_high"]
    assert {row["pareto_rank"] for row in found["leaderboard"]} >= {1}
    assert found["run"]["space"]["objectives"] == ["valid_ll", "coverage"]
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [row["pareto_rank"] for row in rows] == ["1", "1", "1", "2", "2"]


def test_the_page_draws_the_front_of_the_ranking_and_of_the_search(report):
    page = page_data(report, EmbeddedPictures(0))
    assert page["run"]["objectives"] == [
        {"key": "valid_ll", "test": "test_ll", "minimize": False},
        {"key": "coverage", "test": "coverage", "minimize": False},
    ]
    assert [scale["key"] for scale in page["scales"]] == ["test_ll", "coverage"]
    first = page["ranking"][0]
    assert first["front"] == 1 and first["p_front"] == 1
    assert first["scores"]["coverage"]["seeds"] == [0.4, 0.41, 0.42, 0.43]
    fronts = dict(zip(page["trials"]["trial_id"], page["trials"]["front"], strict=True))
    statuses = dict(zip(page["trials"]["trial_id"], page["trials"]["status"], strict=True))
    assert 1 in fronts.values()
    assert all(fronts[name] is None for name, status in statuses.items() if status == "collapsed")
    assert all(fronts[name] is None for name in fronts if name.startswith("r-"))


def test_a_label_has_the_front_and_every_score(folder):
    label = trial_label(folder, f"r-{FIRST}-0")
    assert label.startswith(f"rank 1 of 5, front 1: {FIRST}, test LL 24.5 [")
    assert ", coverage 0.42 [" in label
    assert ", coverage 0." in trial_label(folder, "t00000")


def test_runs_by_other_objectives_are_not_compared_by_score(folder, tmp_path):
    other = finished_run(tmp_path / "other", name="one")
    found = compare_runs([folder, other])
    assert found.obstacles == ("digits-1 goes by valid_ll and coverage, one by valid_ll.",)
    same = front_run(tmp_path / "same", name="again")
    found = compare_runs([folder, same])
    assert found.obstacles == () and len(found.leads) == 1


def test_one_objective_has_no_front_anywhere(tmp_path):
    report = build_report(finished_run(tmp_path))
    assert "front" not in [name for name, _ in section(report, "ranking").columns]
    assert "pareto_rank" not in report.leaderboard
    page = page_data(report, EmbeddedPictures(0))
    assert page["run"]["objectives"] == [] and "front" not in page["trials"]
