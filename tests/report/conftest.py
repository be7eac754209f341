"""Runs that the tests of reports share."""

import math

import pytest

from gansearch.report.report import build_report
from tests.written_runs import PAPER, WINNER, finished_run, searching_run, trial, write_run


@pytest.fixture
def finished(tmp_path):
    return finished_run(tmp_path)


@pytest.fixture
def searching(tmp_path):
    return searching_run(tmp_path)


HOSTILE = "<script>alert(1)</script> | [x](http://evil) `code` *bold*\nnext"


@pytest.fixture
def hostile(tmp_path):
    rows = [
        trial("t00000", PAPER),
        trial("t00001", WINNER, "failed", valid_ll=math.nan, reason=HOSTILE),
    ]
    return build_report(write_run(tmp_path, rows, command=HOSTILE))


@pytest.fixture(autouse=True)
def _processes_live(request, monkeypatch):
    """Let runs that have not ended be at work, unless a test is about those whose process died."""
    if "killed" not in request.node.name and request.path.name != "test_listing.py":
        monkeypatch.setattr("gansearch.runs.folder.is_held", lambda path: True)
