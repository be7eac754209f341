"""Searches whose processes are killed: a short form of `make chaos`, and that it finds losses."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from gansearch.runs.history import HISTORY_COLUMNS
from tests.benchmark_scripts import SCRIPTS, script
from tests.written_runs import PAPER, WINNER, finished_run, replicas, searched


@pytest.fixture(scope="module")
def chaos():
    return script("studies.chaos")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)  # its searches wait for minutes where cores are few and busy
def test_nothing_is_lost_when_driver_worker_and_raylet_are_killed(tmp_path):
    short = ["--kills", "3", "--trials", "2", "--updates", "4000", "--replicas", "1", "--seed", "3"]
    done = subprocess.run(
        [
            *(sys.executable, str(SCRIPTS / "studies" / "chaos.py"), "--stages", "alone"),
            *(*short, "--results", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    log = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + log
    told = " ".join(done.stdout.split())
    assert " 3 kills " in told and told.endswith(" 0 lost")
    for target in ("driver", "worker", "raylet"):
        assert f"│ {target} " in told


def whole_run(tmp_path):
    folder = finished_run(tmp_path)
    folder.write_trials([*searched(), *replicas(WINNER), *replicas(PAPER)])
    ids = folder.trials()[["trial_id", "number", "phase"]].to_dict("records")
    rest = dict.fromkeys(HISTORY_COLUMNS) | {"valid_ll": 1.0}
    folder.append_history([rest | row | {"updates": n} for row in ids for n in (4000, 8000)])
    return folder


def lost(chaos, tmp_path, change=lambda folder: None, **seen):
    """What the check tells of a sound run that was changed, or of which more had been seen."""
    folder = whole_run(tmp_path)
    change(folder)
    log = tmp_path / "log"
    log.write_text("")
    run = SimpleNamespace(folder=folder, log=log, size=chaos.Size(6, 8000, 4))
    counts = chaos.Counts()
    chaos.check(run, {"n_reads": 9, "unreadable": [], "reports": [], "ends": {}} | seen, counts)
    return counts.lost


def test_a_sound_run_has_lost_nothing(chaos, tmp_path):
    assert lost(chaos, tmp_path, reports=[["t00001", 4000, 1.0]]) == []


def test_a_report_that_was_seen_and_is_gone_is_found(chaos, tmp_path):
    assert lost(chaos, tmp_path, reports=[["t00001", 77, 1.0]]) == [
        "digits-1: t00001 at 77: 1.0 -> None"
    ]


def test_an_end_that_was_seen_and_is_another_is_found(chaos, tmp_path):
    assert lost(chaos, tmp_path, ends={"t00001": "failed"}) == [
        "digits-1: t00001 had failed, has completed"
    ]


def test_a_report_that_is_there_twice_is_found(chaos, tmp_path):
    def double(folder):
        history = folder.history().to_dict("records")
        folder.append_history(history[:1])

    assert lost(chaos, tmp_path, double) == ["digits-1: 1 reports are there twice"]


def test_trials_and_replicas_that_are_not_there_are_found(chaos, tmp_path):
    def thin(folder):
        rows = folder.trials().to_dict("records")
        folder.write_trials([row for row in rows if row["trial_id"] not in ("t00003",)][:-1])

    assert lost(chaos, tmp_path, thin) == [
        "digits-1: 5 trials of 6",
        "digits-1: other replicas than promised",
    ]


def test_a_file_that_could_not_be_read_for_a_moment_is_found(chaos, tmp_path):
    found = lost(chaos, tmp_path, unreadable=["trials.parquet: torn"])
    assert found == ["digits-1: unreadable for a moment: trials.parquet: torn"]


def test_the_reader_sees_all_reports_ends_and_torn_files(chaos, tmp_path, monkeypatch):
    folder = whole_run(tmp_path)
    n_reports = len(folder.history())
    (folder.path / "history" / "part-00000099.parquet").write_bytes(b"PAR1 torn")
    looks = iter([False, True])
    monkeypatch.setattr(chaos.select, "select", lambda *_: (next(looks), [], []))
    monkeypatch.setattr(chaos.os, "nice", lambda _: None)
    seen = chaos.read_over_and_over(folder.path)
    assert len(seen["reports"]) == n_reports
    assert len(seen["ends"]) == len(folder.trials())
    assert [text.split(":")[0] for text in seen["unreadable"]] == ["part-00000099.parquet"]


def test_every_target_and_every_moment_has_its_turn(chaos):
    plan = chaos.Plan(chaos.Stage("cluster"), seed=1)
    assert {plan.target() for _ in range(3)} == {"driver", "worker", "node"}
    assert {plan.moment() for _ in range(4)} == set(chaos.MOMENTS)
    again = chaos.Plan(chaos.Stage("cluster"), seed=1)
    plan = chaos.Plan(chaos.Stage("cluster"), seed=1)
    assert [plan.target() for _ in range(9)] == [again.target() for _ in range(9)]
