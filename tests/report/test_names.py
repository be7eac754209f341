"""Configurations that are presets of the space have their names in everything that people read."""

from __future__ import annotations

import json
from io import StringIO

import pandas as pd
import pytest

from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.render import render
from gansearch.report.report import build_report
from tests.report.printed_reports import printed, section_of
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    described,
    replicas,
    run_info,
    searched,
    write_run,
)

PRESETS = {
    "paper": {"generator_widths": [128, 128], "discriminator_widths": [64, 64]},
    "r1": {name: value for name, value in WINNER.to_dict().items() if value is not None},
}


@pytest.fixture
def named(tmp_path):
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    space = {**run_info()["space"], "presets": PRESETS}
    return write_run(tmp_path, searched(), replicated, MEANS, reference_ll=29.1, space=space)


def test_tables_have_the_names_of_presets_and_their_ids_beside_the_parameters(named) -> None:
    text = printed(named)
    for title in ("Ranking by", "Every seed", "Fidelity", "The search's best"):
        cells = {cell for line in section_of(text, title)[3:] for cell in line.split()}
        assert {"r1", "dbd52f8c"} <= cells
        assert "3b632cbb" not in cells
    assert section_of(text, "Differences from")[3].split()[:2] == ["r1", "(3b632cbb)"]


def test_json_and_csv_have_the_name_beside_the_id(named) -> None:
    report = build_report(named)
    content = json.loads(render(report, "json"))
    for table in ("ranking", "leaderboard"):
        names = {row["config_id"]: row["name"] for row in content[table]}
        assert names[WINNER.config_id] == "r1"
        assert names[PAPER.config_id] == "paper"
        assert names[SECOND.config_id] is None
    rows = pd.read_csv(StringIO(render(report, "csv"))).set_index("config_id")
    assert rows["name"].dropna().to_dict() == {WINNER.config_id: "r1", PAPER.config_id: "paper"}


def test_html_has_the_names_and_so_has_the_data_of_its_plots(named) -> None:
    report = build_report(named)
    assert '<td class="left">r1</td>' in render(report, "html")
    data = page_data(report, EmbeddedPictures(0))
    assert [row["label"] for row in data["ranking"]] == ["r1", SECOND.config_id, "paper"]
    assert {"r1", "paper"} <= set(data["trials"]["label"])


def test_warnings_call_a_preset_by_its_name(tmp_path) -> None:
    rows = replicas(WINNER, 1)
    space = {**run_info()["space"], "presets": PRESETS}
    folder = write_run(tmp_path, searched(), rows, MEANS, space=space)
    assert any(warning.startswith("r1: one seed only") for warning in build_report(folder).warnings)


def test_the_ranking_of_an_older_run_gets_its_names_when_it_is_read(named) -> None:
    named.write_ranking(named.ranking().drop(columns="name"))
    assert named.ranking()["name"].isna().all()
    assert build_report(named).ranking["name"].tolist() == ["r1", None, "paper"]


def test_a_name_is_shown_on_one_line_and_a_preset_that_cannot_be_read_has_none() -> None:
    presets = {"a\x07b" * 20: {"k": 2}, "odd": {"k": "two"}, "other": {"gone": 1}}
    names = described(space={**run_info()["space"], "presets": presets}).names
    assert sorted(names.values()) == [("a\\x07b" * 20)[:40], "paper"]


def test_the_baseline_comes_first_among_names_of_one_configuration() -> None:
    presets = {"same": PRESETS["paper"], "paper": PRESETS["paper"]}
    names = described(space={**run_info()["space"], "presets": presets}).names
    assert names == {PAPER.config_id: "paper"}
