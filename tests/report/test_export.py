"""JSON, CSV and Markdown."""

import csv
import io
import json
import math

import pytest

from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.report.printed_reports import deadly_run, with_fixed_ids
from tests.written_runs import SECOND, WINNER, curve, replicas, write_run


def test_json_is_strict_and_has_the_ranking_and_the_counts(finished):
    finished.write_curve(curve())

    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    content = json.loads(render(build_report(finished), "json"), parse_constant=refuse)
    assert content["run"]["name"] == "digits-1"
    assert content["budget"]["max_updates"] == 8000
    assert content["counts"]["search"] == {
        "running": 0,
        "completed": 3,
        "pruned": 1,
        "collapsed": 1,
        "diverged": 1,
        "failed": 0,
    }
    assert content["counts"]["replica"]["completed"] == 11
    assert content["updates"] == 138_000
    first, _, last = content["ranking"]
    assert (first["rank"], first["config_id"], first["n_seeds"]) == (1, WINNER.config_id, 3)
    assert first["tied_with"] == [SECOND.config_id]
    assert first["config.maxout_pieces"] is None
    assert first["config.generator_widths"] == [256, 256]
    assert last["is_paper"] is True
    assert last["config.maxout_pieces"] == 5
    assert content["references"][0]["test_ll"] == 29.12
    assert content["references"][0]["source"] is None
    assert content["references"][1]["source"] == "Somebody 2014, Table 1"
    assert content["references"][1]["coverage"] is None
    assert [row["n_samples"] for row in content["curve"]] == [100, 1000, 10_000] * 2
    assert first["train_nn_ratio"] == pytest.approx(0.8)
    assert content["leaderboard"][0]["trial_id"] == "t00001"
    assert content["winner_minus_paper"]["mean"] == pytest.approx(
        first["test_ll"] - last["test_ll"]
    )
    diverged = f"{WINNER.config_id}: of 4 replicas 1 diverged."
    assert content["warnings"][0].startswith(diverged)


def test_a_number_that_is_not_there_is_null_in_json(searching):
    rows = searching.trials().to_dict("records")
    rows[0]["d_loss"] = math.inf
    searching.write_trials(rows)
    text = render(build_report(searching), "json")
    assert "Infinity" not in text
    assert "NaN" not in text
    leader = json.loads(text)["leaderboard"][1]
    assert leader["d_loss"] is None
    assert leader["reason"] == ""


def test_csv_has_the_columns_of_the_ranking_and_plain_numbers(finished):
    rows = list(csv.DictReader(io.StringIO(render(build_report(finished), "csv"))))
    assert list(rows[0]) == list(finished.ranking().columns)
    assert rows[0]["rank"] == "1"
    assert rows[0]["tied_with"] == SECOND.config_id
    assert rows[0]["config.generator_widths"] == "256 256"
    assert rows[0]["config.maxout_pieces"] == ""
    assert rows[2]["config.maxout_pieces"] == "5"
    assert float(rows[0]["test_ll"]) == finished.ranking()["test_ll"][0]


def test_csv_of_a_run_without_a_ranking_has_the_leaderboard(searching):
    rows = list(csv.DictReader(io.StringIO(render(build_report(searching), "csv"))))
    assert [(row["trial_id"], row["valid_ll"]) for row in rows] == [
        ("t00001", "9.2"),
        ("t00000", "3.1"),
    ]


def test_markdown_has_tables_and_shows_marks_as_they_are(finished):
    lines = with_fixed_ids(render(build_report(finished), "markdown")).splitlines()
    assert lines[0] == "# digits-1: finished"
    head = "| rank | config | work | valid LL | test LL | ties | coverage | recall | NN ratio |"
    assert any(line.startswith(head) for line in lines)
    row = "| 3 | paper\\* | 4/4 | 5.0 | 18.9 [17.2, 19.8] |  | 0.70 | 0.60 | 0.90 |"
    assert any(line.startswith(row) for line in lines)
    assert "| adversarial nets | 12 +- 2 | Somebody 2014, Table 1 |" in lines


def test_markup_from_files_is_text_in_markdown(hostile):
    assert (
        "| t00001 | failed | &lt;script>alert(1)&lt;/script> \\| [x]\\(http://evil) \\`code\\` "
        "\\*bold\\* next |"
    ) in render(hostile, "markdown")


def test_json_has_every_cell_and_what_decides_with_null_for_no_number(tmp_path):
    found = json.loads(render(build_report(deadly_run(tmp_path)), "json"))["stability"]
    whole = found["cells"][0]
    assert (whole["kind"], whole["n_survived"], whole["n_trials"]) == ("all", 20, 30)
    assert whole["parameter"] is whole["low"] is None
    decides = {(row["target"], row["parameter"]) for row in found["importances"]}
    assert ("survival", "discriminator_lr") in decides
    (tmp_path / "other").mkdir()
    replicated = build_report(write_run(tmp_path / "other", (), replicas(WINNER)))
    assert json.loads(render(replicated, "json"))["stability"] is None
