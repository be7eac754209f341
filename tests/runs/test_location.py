"""Runs are found by their names, and the newest by the word for it."""

import shutil

import pytest

from gansearch.errors import ResultsError
from gansearch.runs.location import find_run_folder
from tests.written_runs import described, write_run


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Three runs, of which the second has begun last."""
    for name, day in (("a", 1), ("b", 9), ("c", 3)):
        write_run(tmp_path, name=name, started_at=f"2026-11-{day:02}T06:00:00+00:00")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def test_latest_is_the_run_that_has_begun_last(results):
    assert find_run_folder("latest", results) == results / "b"
    assert find_run_folder(results / "latest", results / "nowhere") == results / "b"


def test_a_run_that_is_really_called_latest_wins(results):
    write_run(results, name="latest", started_at="2026-11-01T06:00:00+00:00")
    assert find_run_folder("latest", results) == results / "latest"


def test_times_of_other_zones_and_without_one_are_compared_as_times(results):
    write_run(results, name="d", started_at="2026-11-09T08:00:00+03:00")  # 05:00 UTC
    assert find_run_folder("latest", results) == results / "b"
    write_run(results, name="e", started_at="2026-11-09T06:30:00")
    assert find_run_folder("latest", results) == results / "e"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"started_at": 3}', "\x00\xff"])
def test_a_run_whose_description_is_damaged_is_not_the_latest_unless_its_copy_tells(
    results, content
):
    (results / "b" / "run.json").write_text(content)
    assert find_run_folder("latest", results) == results / "b"
    (results / "b" / "run.json.copy").write_text(content)
    assert find_run_folder("latest", results) == results / "c"


def test_where_there_is_no_run_there_is_no_latest(results):
    for name in ("a", "b", "c"):
        shutil.rmtree(results / name)
    with pytest.raises(ResultsError, match=r"There is no run in .* yet: start one with"):
        find_run_folder("latest", results)


def test_a_mistyped_name_is_answered_with_the_nearest(results):
    write_run(results, name="digits-1", seed=described().seed)
    with pytest.raises(ResultsError, match=r"Did you mean digits-1\?"):
        find_run_folder("digit-1", results)
