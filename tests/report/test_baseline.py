"""Reports of runs whose space has no baseline, or a preset of its own as one."""

from __future__ import annotations

import json
import re

import pytest

from gansearch.ranking.ranking import rank
from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.runs.description import RunDescription
from tests.report.printed_reports import printed, section_of
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    log_likelihoods,
    replicas,
    run_info,
    searched,
    write_run,
)

R1 = {name: value for name, value in SECOND.to_dict().items() if value is not None}


def written(tmp_path, baseline, paper_config_id):
    """Write a finished run whose space names a baseline."""
    configs = (WINNER, SECOND) if baseline == "none" else (WINNER, SECOND, PAPER)
    rows = [row for config in configs for row in replicas(config)]
    space = {**run_info()["space"], "baseline": baseline}
    space["presets"] = {**space["presets"], "r1": R1}
    folder = write_run(
        *(tmp_path, searched(), rows, MEANS, 29.1), space=space, paper_config_id=paper_config_id
    )
    test_lls = log_likelihoods(rows, MEANS)
    folder.write_ranking(rank(folder.trials(), test_lls, paper_config_id=paper_config_id))
    return folder


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "html"])
def test_a_report_without_a_baseline_says_nothing_of_a_paper(tmp_path, format: str) -> None:
    report = build_report(written(tmp_path, "none", None))
    text = printed(report.folder) if format == "table" else render(report, format)
    # What parameters mean, in the data of the page, may name it.
    shown = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "the paper's configuration" not in shown
    assert report.winner_minus_paper is report.baseline is report.baseline_row is None


def test_without_a_baseline_the_searched_parameters_are_listed(tmp_path) -> None:
    lines = section_of(printed(written(tmp_path, "none", None)), "Configurations")
    assert lines[3].startswith("3b632cbb")
    assert "k=2" in lines[3] and "generator_lr=0.05" in lines[3]
    assert any(line.startswith("r1 (dbd52f8c)") and "k=1" in line for line in lines)


def test_a_baseline_of_ones_own_is_called_by_its_name(tmp_path) -> None:
    text = printed(written(tmp_path, "r1", SECOND.config_id))
    assert "* the preset r1\n" in text
    assert "Differences from the preset r1" in text
    assert "over the preset r1" in " ".join(text.split())
    assert "r1*" in text


def test_run_json_says_that_there_is_no_baseline(tmp_path) -> None:
    run = written(tmp_path, "none", None).read_run()
    assert (run.paper_config_id, run.baseline, run.baseline_name) == (None, None, None)
    assert json.loads(json.dumps(run.to_dict()))["paper_config_id"] is None
    assert run.full_space["baseline"] == "none"


def test_a_run_of_an_older_version_keeps_the_familys_baseline() -> None:
    run = RunDescription.from_dict(run_info())
    assert (run.baseline_name, run.baseline) == ("paper", PAPER)
    assert run.full_space["baseline"] == "paper"


def test_a_baseline_that_is_no_text_is_damage() -> None:
    with pytest.raises(ValueError, match="space: baseline: found '3'"):
        RunDescription.from_dict(run_info(space={**run_info()["space"], "baseline": 3}))
