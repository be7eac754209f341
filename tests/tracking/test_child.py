"""A tracker in a process of its own: what it says comes back, and it can be ended at any time."""

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime

import pytest

from gansearch.tracking.child import ChildTracker, serve
from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    TrackerError,
    TrialEnd,
    UnusableError,
)
from gansearch.tracking.worker import Worker

LONG = 60.0
TRIAL = TrackedTrial("t00000", {"k": 2}, {"phase": "search", "config_id": "a", "seed": "7"})
REPORT = TrackedEvaluation(100, {"valid_ll": 1.5}, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def run(tmp_path):
    return TrackedRun.of(tmp_path, "origin", {})


def test_calls_reach_the_tracker_and_the_child_ends_with_its_input(run, tmp_path):
    child = ChildTracker("tensorboard", run)
    child.begin(TRIAL)
    child.report("t00000", [REPORT])
    assert child.seconds > 0
    with pytest.raises(TrackerError, match="KeyError: 't00007'"):
        child.report("t00007", [REPORT])
    child.end("t00000", TrialEnd("completed", "", 100, {"valid_ll": 1.5}))
    child.close()
    assert child._process.wait(LONG) == 0
    (events,) = (tmp_path / "tracking" / "tensorboard" / "t00000").iterdir()
    assert b"valid_ll" in events.read_bytes()


def test_a_tracker_that_can_not_be_made_says_why_once():
    run = TrackedRun("run", "origin", "s3://bucket/run", is_local=False)
    child = ChildTracker("tensorboard", run)
    with pytest.raises(UnusableError, match="in an object store, s3://bucket/run"):
        child.begin(TRIAL)
    assert child._process.wait(LONG) == -signal.SIGKILL


def test_a_child_that_hangs_or_dies_is_ended_without_waiting(run, tmp_path):
    made = []

    def make():
        made.append(ChildTracker("tensorboard", run))
        os.kill(made[0]._process.pid, signal.SIGSTOP)
        return made[0]

    worker = Worker(
        *("tensorboard", make, tmp_path / "list.txt"),
        pause_factor=0,
        hang_seconds=LONG,
        max_waiting=10,
    )
    worker.begin("t00000", lambda: TRIAL)
    worker.close()
    worker.wait(0.05, 0.05)
    assert made[0]._process.wait(LONG) == -signal.SIGKILL
    worker.wait(LONG, LONG)
    assert "it took longer than the 0.05 s" in worker.take_warnings()[0]


def test_a_tracker_that_ends_its_process_or_prints_leaves_the_replies_whole(monkeypatch, run):
    class Bad:
        def __init__(self, run):
            print("hello")

        def begin(self, trial):
            sys.exit("not logged in")

    monkeypatch.setattr("gansearch.tracking.child.maker", lambda name: Bad)
    asked = [{"call": "make", "run": vars(run)}, {"call": "begin", "trial": vars(TRIAL)}]
    requests = io.BytesIO("".join(json.dumps(each) + "\n" for each in asked).encode())
    replies = io.BytesIO()
    serve("bad", requests, replies)
    made, begun = (json.loads(line) for line in replies.getvalue().splitlines())
    assert made["error"] is None and begun["error"] == "SystemExit: not logged in"
