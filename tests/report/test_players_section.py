"""What D says at the end of training, in reports."""

import math

import numpy as np
import pytest

from gansearch.report.html import to_html
from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.players_section import value_of
from gansearch.report.report import build_report, winning_replica
from gansearch.report.sections import sections
from gansearch.runs.generators import OUTPUTS_FILE, read_outputs, write_outputs


def players(report):
    return [each for each in sections(report) if each.key == "players"]


def with_outputs(folder, value):
    """Write outputs of D for the replicas of a finished run: `value` on all examples."""
    trials = folder.trials()
    for trial_id in trials.loc[trials["phase"] == "replica", "trial_id"]:
        model_dir = folder.model_dir(trial_id)
        model_dir.mkdir(parents=True, exist_ok=True)
        write_outputs(model_dir, np.full((2, 50), value, np.float32))
    return build_report(folder)


def test_where_d_is_a_half_the_value_is_minus_log_4(finished):
    (section,) = players(with_outputs(finished, 0.5))
    assert [name for name, _ in section.columns] == [
        *("config", "D on real", "D on generated", "V(D, G)"),
    ]
    assert section.rows[0][1:] == ["0.50", "0.50", "-1.39"]
    assert value_of(np.full((2, 3), 0.5, np.float32)) == pytest.approx(-math.log(4))


def test_the_value_is_that_of_equation_1_and_finite_where_d_is_certain():
    outputs = np.array([[0.9, 0.8], [0.2, 0.4]], np.float32)
    expected = (math.log(0.9) + math.log(0.8)) / 2 + (math.log(0.8) + math.log(0.6)) / 2
    assert value_of(outputs) == pytest.approx(expected, rel=1e-6)
    assert math.isfinite(value_of(np.array([[0.0], [1.0]], np.float32)))


def test_the_page_has_the_histogram_of_the_winners_d(finished):
    outputs = page_data(with_outputs(finished, 0.5), EmbeddedPictures(0))["outputs"]
    assert len(outputs["edges"]) == 41
    assert sum(outputs["real"]) == outputs["real"][20] > 0


def test_a_run_without_stored_outputs_says_nothing_of_d(finished):
    assert players(build_report(finished)) == []
    assert "Histogram of the winner" not in to_html(build_report(finished))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array"])
def test_damaged_outputs_are_left_out(finished, content):
    report = with_outputs(finished, 0.5)
    model_dir = report.folder.model_dir(winning_replica(report))
    (model_dir / OUTPUTS_FILE).write_bytes(content)
    assert read_outputs(model_dir) is None
    to_html(report)
