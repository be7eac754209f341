"""Reports of configurations with schedules."""

import csv
import io
import json

import pytest

from gansearch.report.conclusion import conclusion
from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.report.run import open_run
from gansearch.report.sections import describe_config
from gansearch.runs.tables import rows_of
from gansearch.space.load import load_space
from gansearch.tune.given_configs import only_configs
from tests.written_runs import PAPER, WINNER, replicas, trial, write_run

POINTS = [{"at": 500, "discriminator_lr": 0.02}, {"at": 6000, "gradient_penalty": "r1"}]
SCHEDULED = WINNER.replaced(schedule=POINTS)
WORDS = "discriminator_lr 0.1 -> 0.02 at 500; gradient_penalty none -> r1 at 6,000"


@pytest.fixture
def folder(tmp_path):
    """A run whose winner has a schedule, and of which one other trial has one."""
    search = [trial("t00000", PAPER), trial("t00001", SCHEDULED), trial("t00002", WINNER)]
    replicated = [*replicas(SCHEDULED), *replicas(PAPER)]
    means = {SCHEDULED.config_id: 24.0, PAPER.config_id: 18.5}
    return write_run(tmp_path, search, replicated, means, reference_ll=29.12)


def test_the_report_says_of_a_configuration_what_changes_when(folder):
    report = build_report(folder)
    shown = describe_config(report, rows_of(report.ranking)[0])
    assert shown.endswith(f" discriminator_activation=leaky_relu; schedule: {WORDS}")
    assert describe_config(report, rows_of(report.ranking)[1]) == "nothing"
    assert WORDS in conclusion(report).said


def test_json_has_a_schedule_as_its_points_and_csv_as_json(folder):
    report = build_report(folder)
    rows = json.loads(render(report, "json"))["ranking"]
    assert [row["config.schedule"] for row in rows] == [POINTS, None]
    cells = [row["config.schedule"] for row in csv.DictReader(io.StringIO(render(report, "csv")))]
    assert json.loads(cells[0]) == POINTS
    assert cells[1] == ""


def test_the_page_has_a_schedule_in_words_and_points_and_no_axis_for_it(folder):
    data = page_data(build_report(folder), EmbeddedPictures(0))
    trials = data["trials"]
    has_schedule = [config_id == SCHEDULED.config_id for config_id in trials["config_id"]]
    assert trials["points"] == [POINTS if has else None for has in has_schedule]
    assert trials["config.schedule"] == [WORDS if has else None for has in has_schedule]
    (parameter,) = (each for each in data["parameters"] if each["key"] == "schedule")
    assert not parameter["varies"]


def test_a_trial_is_trained_again_by_its_schedule(folder):
    ((_, config),) = only_configs(load_space("digits"), [f"{folder.path}/t00001"])
    assert config == SCHEDULED


def test_a_run_that_python_sees_has_the_schedule(folder):
    run = open_run(folder)
    assert run.best.config["schedule"] == run.trial("t00001").config["schedule"] == POINTS
