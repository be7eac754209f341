"""The README shows what a search prints."""

from pathlib import Path

from gansearch.cli_output import _FILES
from gansearch.report.report import build_report
from gansearch.report.sections import sections
from tests.written_runs import finished_run

README = (Path(__file__).parents[2] / "README.md").read_text()
# Only data sets with published figures have this section, and digits is none of them.
ELSEWHERE = "published"


def test_the_readme_shows_every_section_that_a_finished_run_prints_in_its_order(tmp_path):
    _, *parts = sections(build_report(finished_run(tmp_path)))
    titles = [f"\n    {part.title}\n" for part in parts if part.key != ELSEWHERE]
    assert len(titles) >= 6
    places = [README.find(title) for title in titles]
    assert -1 not in places
    assert places == sorted(places)


def test_the_readme_shows_the_files_that_the_end_of_a_run_lists():
    for name, content in _FILES.items():
        assert f"\n      {name:<17} {content}\n" in README
