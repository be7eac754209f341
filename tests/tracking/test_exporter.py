"""Trackers that fail, hang or are slow cost warnings; what they lack, a later session sends."""

import threading
import time
from datetime import UTC, datetime

import pytest

from gansearch.config import TrialConfig
from gansearch.tracking import exporter as module
from gansearch.tracking.exporter import Exporter, open_exporter
from gansearch.tracking.tracker import TrackedRun, Tracker, TrackerError
from gansearch.tune.rows import history_row, new_row
from tests.written_runs import described, spec, step, trial, write_run

LONG = 30.0  # seconds, of which a test that passes needs none


class Log(Tracker):
    """Keeps what it receives; `fault` is called first, with the name of the method."""

    def __init__(self, fault=lambda name: None):
        self.trials, self.reports, self.ends, self.closed = [], {}, {}, threading.Event()
        self.fault = fault

    def begin(self, trial):
        self.fault("begin")
        self.trials.append(trial)
        self.reports[trial.trial_id] = [report.updates for report in trial.earlier]

    def report(self, trial_id, reports):
        self.fault("report")
        self.reports[trial_id] += [report.updates for report in reports]

    def end(self, trial_id, end):
        self.fault("end")
        self.ends[trial_id] = end

    def close(self):
        self.fault("close")
        self.closed.set()


class Played:
    """An exporter of a new run to given trackers, and its warnings."""

    def __init__(self, folder, trackers, **options):
        self.said = []
        self.rows = {}
        run = TrackedRun.of(folder.path, "one", {})
        makers = {name: (lambda _, of=of: of) for name, of in trackers.items()}
        self.exporter = Exporter(folder, run, makers, self.said.append, **options)

    def begin(self, number=0):
        row = new_row(spec(number), TrialConfig)
        self.rows[number] = row
        self.exporter.begin(row)

    def report(self, updates, number=0):
        row = self.rows[number]
        self.exporter.report(history_row(row, step(updates, valid_ll=float(updates))))
        row["updates"] = updates

    def end(self, number=0, status="completed"):
        self.rows[number].update(status=status, reason="because", valid_ll=7.0)
        self.exporter.end(self.rows[number])


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path)


def test_a_tracker_receives_each_trial_from_its_beginning_to_its_end(folder):
    log = Log()
    played = Played(folder, {"log": log})
    played.begin()
    played.begin()  # continued by another worker
    for updates in (100, 200):
        played.report(updates)
    (folder.model_dir("t00000")).mkdir(parents=True)
    (folder.model_dir("t00000") / "strip.png").write_bytes(b"png")
    played.end()
    played.exporter.close(LONG)
    (begun,) = log.trials
    assert begun.config["k"] == 1 and begun.tags["phase"] == "search"
    assert log.reports == {"t00000": [100, 200]}
    end = log.ends["t00000"]
    assert (end.status, end.reason, end.updates, end.scores["valid_ll"]) == (
        *("completed", "because"),
        *(200, 7.0),
    )
    assert [path.name for path in end.pictures] == ["strip.png"]
    assert log.closed.is_set() and played.said == []
    assert (folder.path / "tracking" / "log.txt").read_text() == "t00000\n"


def test_a_tracker_that_fails_costs_one_warning_and_leaves_the_others_alone(folder):
    def fail(name):
        raise ConnectionError(f"{name}\nrefused\x07")

    failing, sound = Log(fail), Log()
    played = Played(folder, {"failing": failing, "sound": sound})
    for number in range(30):
        played.begin(number)
        played.report(100, number)
        played.end(number)
    played.exporter.close(LONG)
    assert len(sound.ends) == 30
    first, given_up, lacking = played.said
    assert first == (
        "tracker failing: ConnectionError: begin refused\\x07. The search goes on without it"
    )
    assert "failed 10 times in a row" in given_up
    assert "it lacks 90 messages about trials" in lacking
    assert not (folder.path / "tracking" / "failing.txt").exists()


def test_a_tracker_that_can_not_be_made_says_why_and_costs_nothing_else(folder):
    def refuse(run):
        raise TrackerError("this machine is not logged in")

    said = []
    run = TrackedRun.of(folder.path, "one", {})
    exporter = Exporter(folder, run, {"wandb": refuse}, said.append)
    exporter.begin(new_row(spec(0), TrialConfig))
    exporter.close(LONG)
    assert said[0] == (
        "tracker wandb: this machine is not logged in. The search goes on without it"
    )


def test_one_failure_loses_only_its_own_message(folder):
    failures = iter([None, OSError("busy")])

    def fail_once(name):
        if (error := next(failures, None)) is not None:
            raise error

    log = Log(fail_once)
    played = Played(folder, {"log": log})
    for number in range(3):
        played.begin(number)
        played.end(number)
    played.exporter.close(LONG)
    assert len(log.ends) == 2
    failed, lacking = played.said
    assert "OSError: busy" in failed and "it lacks 1 message about trials" in lacking


def test_a_call_that_hangs_is_given_up_with_a_warning_and_delays_nothing(folder):
    reached, released = threading.Event(), threading.Event()

    def hang(name):
        if name == "report":
            reached.set()
            released.wait(LONG)

    log = Log(hang)
    played = Played(folder, {"slow": log}, hang_seconds=0.01)
    played.begin()
    played.report(100)
    assert reached.wait(LONG)
    time.sleep(0.02)
    started = time.monotonic()
    for updates in range(200, 300):
        played.report(updates)
    played.end()
    played.exporter.close(0.05)
    assert time.monotonic() - started < LONG / 2
    released.set()
    assert played.said[0] == (
        "tracker slow: a call has not returned for 0.01 s. The search goes on without it"
    )
    assert "it lacks" in played.said[-1]
    assert log.ends == {}


def test_the_end_of_a_run_does_not_wait_for_a_tracker_that_takes_longer(folder):
    released = threading.Event()
    log = Log(lambda name: released.wait(LONG))
    played = Played(folder, {"slow": log})
    played.begin()
    played.end()
    played.exporter.close(0.05)
    released.set()
    assert "it took longer than the 0.05 s" in played.said[0]


def test_what_does_not_fit_is_dropped_and_counted(folder):
    reached, released = threading.Event(), threading.Event()

    def hang(name):
        reached.set()
        released.wait(LONG)

    log = Log(hang)
    played = Played(folder, {"slow": log}, max_waiting=10)
    played.begin()
    assert reached.wait(LONG)
    for updates in range(100):
        played.report(updates)
    played.end()
    released.set()
    played.exporter.close(LONG)
    assert log.reports["t00000"] == list(range(10))
    assert played.said == [
        "tracker slow: it lacks 90 messages about trials. gansearch resume sends again what it "
        "can. The search goes on without it"
    ]
    assert "t00000" in log.ends


def test_trackers_pause_for_a_multiple_of_the_time_that_they_take(folder, monkeypatch):
    pauses = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return True

    clock = iter(range(1000))
    monkeypatch.setattr("gansearch.tracking.worker.time.thread_time", lambda: next(clock) / 100)
    log = Log()
    played = Played(folder, {"log": log})
    played.exporter._workers[0]._closing = Event()
    for number in range(3):
        played.begin(number)
    played.exporter.close(LONG)
    assert pauses[0] == pytest.approx(0.99)  # of .01 s: 1 % of the time


def history_of(folder, trial_id, updates):
    row = new_row(spec(int(trial_id[1:])), TrialConfig)
    return [history_row(row, step(u, valid_ll=float(u))) for u in updates]


@pytest.fixture
def interrupted(tmp_path):
    """A run of which a session has ended: two trials are over, one is not."""
    rows = [
        trial("t00000", TrialConfig(k=1)),
        trial(
            "t00001", TrialConfig(k=2), "pruned", reason="the time budget of the search was spent"
        ),
        trial("t00002", TrialConfig(k=3), "running"),
    ]
    folder = write_run(tmp_path, rows)
    for row in rows:
        folder.append_history(history_of(folder, row["trial_id"], (100, 200)))
    return folder


@pytest.fixture
def opened(interrupted, monkeypatch):
    def open_with(log):
        monkeypatch.setattr(module, "child_maker", lambda name: lambda run: log)
        said = []
        return open_exporter(interrupted, described(), ["log"], tell=said.append), said

    return open_with


def test_a_tracker_that_a_run_gets_late_receives_what_ended_before(opened, interrupted):
    log = Log()
    exporter, said = opened(log)
    exporter.close(LONG)
    assert log.reports == {"t00000": [100, 200], "t00001": [100, 200]}
    assert {name: end.status for name, end in log.ends.items()} == {
        "t00000": "completed",
        "t00001": "pruned",
    }
    assert [begun.config["k"] for begun in log.trials] == [1, 2]  # whole numbers, as before
    again = Log()
    exporter, _ = opened(again)
    exporter.close(LONG)
    assert again.trials == [] and said == []


def test_a_trial_that_goes_on_is_sent_with_what_it_reported_before(opened, interrupted):
    log = Log()
    exporter, _ = opened(log)
    row = new_row(spec(2), TrialConfig)
    exporter.begin(row)
    report = history_row(row, step(300, valid_ll=3.0)) | {"reported_at": datetime.now(UTC)}
    exporter.report(report)
    exporter.close(LONG)
    assert log.reports["t00002"] == [100, 200, 300]
    assert "t00002" not in log.ends


def test_a_trial_that_had_run_out_of_time_goes_on_after_its_end(opened, interrupted):
    log = Log()
    exporter, _ = opened(log)
    row = new_row(spec(1), TrialConfig)
    exporter.begin(row)
    exporter.report(history_row(row, step(300, valid_ll=3.0)))
    exporter.end(row | {"status": "completed", "updates": 300})
    exporter.close(LONG)
    assert log.reports["t00001"][-1] == 300
    assert log.ends["t00001"].status == "completed"


def test_without_trackers_there_is_no_exporter(folder):
    assert open_exporter(folder, described(), (), tell=print) is None


def test_a_folder_that_can_not_be_written_costs_a_warning(folder):
    (folder.path / "tracking").write_text("in the way of a folder")
    log = Log()
    played = Played(folder, {"log": log})
    played.begin()
    played.end()
    played.exporter.close(LONG)
    assert "t00000" in log.ends
    (warning,) = played.said
    assert warning.startswith("tracker log: ") and "tracking" in warning


def test_the_list_of_what_a_tracker_has_may_be_damaged(interrupted, opened):
    path = interrupted.path / "tracking" / "log.txt"
    path.parent.mkdir()
    path.write_bytes(b"t00000\n\xff\xfe\n")
    log = Log()
    exporter, _ = opened(log)
    exporter.close(LONG)
    assert set(log.ends) == {"t00001"}
