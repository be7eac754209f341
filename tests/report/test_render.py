"""The choice of a format."""

import json

import pytest

from gansearch.errors import BadInputError
from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.report.printed_reports import printed
from tests.written_runs import write_run


def test_a_run_that_has_just_begun_has_a_report_in_every_format(tmp_path):
    folder = write_run(tmp_path, state="searching", wall_seconds=0.0)
    report = build_report(folder)
    assert "Search: 0 of 6 configurations tried." in printed(folder)
    assert json.loads(render(report, "json"))["ranking"] == []
    assert render(report, "csv").startswith("trial_id,number,phase,config_id,")
    assert render(report, "markdown").startswith("# digits-1: searching\n")
    assert "<h1>digits-1: searching</h1>" in render(report, "html")


def test_an_unknown_format_is_answered_with_the_nearest(finished):
    with pytest.raises(BadInputError) as error:
        render(build_report(finished), "jsn")
    assert str(error.value) == "--format jsn: unknown. Did you mean json?"
