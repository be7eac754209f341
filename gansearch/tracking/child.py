"""A tracker in a process of its own, which can be ended at any time.

The packages of trackers print, ask, start threads and processes, and hold up the end of the process
that uses them: W&B by minutes where its server doesn't answer. So each has a child of the driver's,
of low priority, without a terminal. Requests go to its standard input, a line of JSON each;
replies come back in the same way. When its input ends, as when the driver is killed, it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from gansearch.tracking.names import maker
from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrackerError,
    TrialEnd,
    UnusableError,
)

_NICENESS = 10
# By tracker, the time of the child and of processes that it starts, in multiples of the child's.
_WITH_SERVICE = {"wandb": 2.0}
_LAST_SECONDS = 60  # that the packages may take to end the process after the last reply


class ChildTracker(Tracker):
    """A tracker that passes each call to a child, and waits for its reply."""

    def __init__(self, name: str, run: TrackedRun) -> None:
        # In a session of its own, so that Ctrl-C in the terminal reaches the driver alone.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gansearch.tracking.child", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._run: TrackedRun | None = run
        self._seconds = 0.0
        self._factor = _WITH_SERVICE.get(name, 1.0)

    @property
    def seconds(self) -> float:
        """The processor time of the child, without that of its start."""
        return self._seconds

    def begin(self, trial: TrackedTrial) -> None:
        """Pass a beginning on, after what makes the tracker."""
        self._make()
        self._ask("begin", trial=asdict(trial))

    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Pass reports on."""
        self._ask("report", trial_id=trial_id, reports=list(map(asdict, reports)))

    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Pass an end on."""
        self._ask("end", trial_id=trial_id, end=asdict(end))

    def close(self) -> None:
        """Let the child write what is pending, and end."""
        if self._run is None:
            self._ask("close")
        assert self._process.stdin is not None
        self._process.stdin.close()

    def abandon(self) -> None:
        """Kill the child, and what it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _make(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            self._ask("make", run=asdict(run))
        except UnusableError:
            raise
        except TrackerError as error:
            self.abandon()
            raise UnusableError(str(error)) from error
        self._seconds = 0.0

    def _ask(self, call: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(_line({"call": call, **arguments}))
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except OSError:
            reply = b""
        if not reply:
            raise UnusableError("its process has ended")
        answer = json.loads(reply)
        self._seconds += self._factor * answer["seconds"]
        if answer["error"] is not None:
            raise TrackerError(answer["error"])


def child_maker(name: str) -> Callable[[TrackedRun], Tracker]:
    """Return a function that makes the tracker of that name in a child."""
    return lambda run: ChildTracker(name, run)


def serve(name: str, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Make the calls that are asked for, until there are no more."""
    tracker: Tracker | None = None
    for line in requests:
        asked = json.loads(line)
        started = time.process_time()
        error = None
        try:
            if asked["call"] == "make":
                tracker = maker(name)(TrackedRun(**asked["run"]))
            elif tracker is not None:
                _call(tracker, asked)
        except TrackerError as raised:
            error = str(raised)
        except BaseException as raised:  # some end the process where they can't go on
            error = f"{type(raised).__name__}: {raised}"
        replies.write(_line({"error": error, "seconds": time.process_time() - started}))
        replies.flush()


def _call(tracker: Tracker, asked: Mapping[str, Any]) -> None:
    if asked["call"] == "begin":
        trial = asked["trial"]
        tracker.begin(TrackedTrial(**{**trial, "earlier": _reports(trial["earlier"])}))
    elif asked["call"] == "report":
        tracker.report(asked["trial_id"], _reports(asked["reports"]))
    elif asked["call"] == "end":
        pictures = [Path(path) for path in asked["end"]["pictures"]]
        tracker.end(asked["trial_id"], TrialEnd(**{**asked["end"], "pictures": pictures}))
    else:
        tracker.close()


def _reports(values: Sequence[Mapping[str, Any]]) -> list[TrackedEvaluation]:
    return [
        TrackedEvaluation(v["updates"], v["values"], datetime.fromisoformat(v["at"]))
        for v in values
    ]


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, default=str).encode() + b"\n"


def main() -> None:
    """Serve the tracker that the command line names; packages see neither pipe."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    os.nice(_NICENESS)
    serve(sys.argv[1], requests, replies)
    signal.alarm(_LAST_SECONDS)


if __name__ == "__main__":
    main()
