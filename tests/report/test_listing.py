"""The list of runs, also of those that are damaged."""

import io
import os

import pytest
from rich.console import Console

from gansearch.report.listing import list_runs, listing_section
from gansearch.report.tables import print_section
from gansearch.runs.folder import RunFolder
from gansearch.runs.lock import is_held
from tests.report.printed_reports import with_fixed_ids
from tests.written_runs import PAPER, finished_run, searched, searching_run, write_run


def of(results):
    return {run.name: run for run in list_runs(results)}


def printed(results, width):
    to = Console(file=io.StringIO(), width=width, color_system=None)
    print_section(listing_section(list_runs(results)), to)
    return with_fixed_ids("\n".join(line.rstrip() for line in to.file.getvalue().splitlines()))


def test_a_finished_run_has_its_counts_and_the_score_of_its_winner(tmp_path):
    finished_run(tmp_path)
    (run,) = list_runs(tmp_path)
    assert (run.state, run.space, run.dataset) == ("finished", "digits", "digits")
    assert (run.n_trials, run.n_trials_planned, run.n_replicas) == (6, 6, 12)
    assert run.best.is_final
    assert (run.best.measure, run.best.n_samples) == ("test_ll", 10_000)
    assert run.best.low < run.best.value < run.best.high


def test_the_best_of_a_search_is_never_an_unsound_trial(tmp_path):
    write_run(tmp_path, searched(), state="interrupted")
    best = list_runs(tmp_path)[0].best
    assert (best.is_final, best.measure, best.value, best.low) == (False, "valid_ll", 9.2, None)
    assert best.n_samples == 1000


def test_a_run_without_trials_and_a_comparison_without_a_search_are_listed(tmp_path):
    write_run(tmp_path, name="new", state="searching")
    write_run(tmp_path, name="only", only=[PAPER.to_dict()])
    runs = of(tmp_path)
    assert (runs["new"].best, runs["new"].n_trials, runs["new"].fault) == (None, 0, None)
    assert runs["only"].n_trials_planned is None
    assert "only  finished" in printed(tmp_path, 100)


def test_a_run_is_running_while_a_process_holds_it_and_interrupted_when_that_has_died(tmp_path):
    folder = searching_run(tmp_path)
    assert list_runs(tmp_path)[0].state == "interrupted"
    with folder.lock():
        assert list_runs(tmp_path)[0].state == "running"
        assert (folder.path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert list_runs(tmp_path)[0].state == "interrupted"


@pytest.mark.parametrize(
    "holder", ["", "process 999999999999 on here\n", "process 4194304999 on {host}\n", "x", "\n"]
)
def test_a_lock_that_nothing_holds_is_free_whatever_it_says(tmp_path, holder):
    path = tmp_path / "lock"
    path.write_text(holder.format(host=os.uname().nodename))
    assert not is_held(path)
    assert not is_held(tmp_path / "absent")


def test_to_look_at_a_lock_is_not_in_the_way_of_who_takes_it(tmp_path):
    folder = searching_run(tmp_path)
    for _ in range(3):
        assert not is_held(folder.path / "lock")
        with folder.lock():
            assert is_held(folder.path / "lock")


def test_the_newest_comes_first_and_damaged_ones_say_what_is_damaged(tmp_path):
    for name, day in (("a", 1), ("b", 9), ("c", 3)):
        write_run(tmp_path, searched(), name=name, started_at=f"2026-11-{day:02}T06:00:00+00:00")
    (tmp_path / "c" / "trials.parquet").write_bytes(b"PAR1")
    for name, content in (("d", b"{"), ("e", b"\xff\x00"), ("f", b"[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_bytes(content)
    (tmp_path / "no run").mkdir()
    runs = list_runs(tmp_path)
    assert [run.name for run in runs] == ["b", "c", "a", "d", "e", "f"]
    assert [run.name for run in runs if run.state == "damaged"] == ["c", "d", "e", "f"]
    assert "trials.parquet: can't be read" in runs[1].fault
    text = printed(tmp_path, 100)
    assert "d: " in text
    assert "run.json: can't be read" in " ".join(text.split())


def test_an_error_that_nobody_expected_damages_one_line_only(tmp_path, monkeypatch):
    write_run(tmp_path, searched(), name="a")
    write_run(tmp_path, searched(), name="b")
    trials = RunFolder.trials

    def fail(folder):
        if folder.path.name == "a":
            raise RuntimeError("odd")
        return trials(folder)

    monkeypatch.setattr(RunFolder, "trials", fail)
    runs = of(tmp_path)
    assert (runs["a"].state, runs["a"].fault) == ("damaged", "RuntimeError: odd")
    assert runs["b"].state == "finished"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_list_reads_like_this(tmp_path, width):
    finished_run(tmp_path, name="digits-20261124-060000")
    searching_run(tmp_path / "other").path.rename(tmp_path / "killed")
    text = printed(tmp_path, width)
    assert max(map(len, text.splitlines())) <= width
    said = " ".join(text.split())
    assert "can't be compared" in said
    for cell in ("digits-20261124-060000", "interrupted", "3b632cbb", "valid_ll", "24.5"):
        assert cell in said


def test_where_there_is_no_run_the_list_is_empty(tmp_path):
    assert list_runs(tmp_path) == list_runs(tmp_path / "absent") == []
