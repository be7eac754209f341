"""Measures of the user's own in reports."""

import json

import numpy as np
import pytest

from gansearch.own_measures import OwnMeasure
from gansearch.ranking.ranking import rank
from gansearch.report.export import to_csv, to_json
from gansearch.report.html import to_html
from gansearch.report.report import build_report
from gansearch.report.sections import sections
from gansearch.runs.folder import RunFolder
from tests.written_runs import finished_run, run_info

FID = OwnMeasure("fid", "/gone/metrics.py:fid", "minimize", "px", "/gone/net.pt")
NEVER = OwnMeasure("never", "/gone/metrics.py:never")


@pytest.fixture
def report(tmp_path):
    """Return that of a run whose user's code is gone."""
    space = run_info()["space"] | {"measures": [FID.to_dict(), NEVER.to_dict()]}
    path = finished_run(tmp_path, space=space).path
    folder = RunFolder(path)
    trials = folder.trials()
    trials["measure.fid"] = np.linspace(3, 4, len(trials))
    trials["measure.fid_test"] = trials["measure.fid"] + 1
    folder.write_trials(trials.to_dict("records"))
    run = folder.read_run()
    lls = folder.test_lls()
    ranking = rank(
        trials, lls, paper_config_id=run.paper_config_id, names=run.names, measures=run.measures
    )
    folder.write_ranking(ranking)
    lines = folder.references()
    lines["measure.fid"] = [2.5, *[None] * (len(lines) - 1)]
    folder.write_references(lines)
    folder.append_history(
        [
            {
                "trial_id": "t00000",
                "number": 0,
                "phase": "search",
                "updates": n,
                "measure.fid": 9 / n,
            }
            for n in (2000, 4000)
        ]
    )
    return build_report(folder)


def section(report, key):
    return next(each for each in sections(report) if each.key == key)


def test_a_report_shows_own_measures_with_their_intervals_and_none_of_the_users_code(report):
    found = section(report, "own_measures")
    assert [name for name, _ in found.columns] == ["samples", "fid", "fid, test"]
    row = report.ranking.iloc[0]
    fid, low, high = (row[f"measure.fid{end}"] for end in ("", "_low", "_high"))
    assert low < fid < high
    assert found.rows[0][1] == f"{fid:.4g} [{low:.4g}, {high:.4g}]"
    assert found.rows[-1][1:] == ["2.5", "-"]  # training images
    assert found.notes[-1] == "fid, in px: lower is better."
    assert len(section(report, "own_search").rows) == len(report.leaderboard)


def test_own_measures_are_in_every_format_for_programs(report):
    first = json.loads(to_json(report))["ranking"][0]
    assert first["measure.fid"] == pytest.approx(report.ranking["measure.fid"].iloc[0])
    assert first["measure.never"] is None
    assert "measure.fid_test_low" in to_csv(report).partition("\n")[0]
    page = to_html(report)
    assert "Your own measures" in page
    assert "Your measure fid at the evaluations" in page


def test_a_report_of_a_run_without_own_measures_says_nothing_of_them(finished):
    assert not {each.key for each in sections(build_report(finished))} & {
        "own_measures",
        "own_search",
    }
