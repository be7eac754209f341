"""The exporter: hands what the recorder sees to trackers, so that none delays or fails a trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import pandas as pd

from gansearch.errors import escape_unprintable
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import config_values
from gansearch.tracking.child import child_maker
from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrialEnd,
)
from gansearch.tracking.worker import Worker

# The pause after a call, as a multiple of the processor time that it took, for all trackers.
_PAUSE_FACTOR = 99
_HANG_SECONDS = 60.0  # after which a call is given up, and its tracker with it
_CLOSE_SECONDS = 10.0  # that the end of a run waits for all trackers
_MAX_WAITING = 20_000  # beginnings, reports and ends of trials that wait for a tracker


def open_exporter(
    folder: RunFolder,
    description: RunDescription,
    names: Sequence[str],
    *,
    tell: Callable[[str], None],
) -> Exporter | None:
    """Return the exporter of a run to the trackers of these names; None without any.

    Trials that ended in earlier sessions are exported if a tracker lacks them.
    """
    if not names:
        return None
    facts = {
        "run": folder.path.name,
        "space": description.space["name"],
        "dataset": description.space["dataset"],
        "objective": ", ".join(description.objective.columns),
        "run_seed": str(description.seed),
    }
    run = TrackedRun.of(
        folder.path,
        f"{description.name}\n{description.started_at}\n{description.seed}",
        {name: escape_unprintable(value) for name, value in facts.items()},
    )
    makers = {name: child_maker(name) for name in names}
    exporter = Exporter(folder, run, makers, tell, earlier=_earlier_reports(folder))
    rows = folder.trials().to_dict("records")
    exporter.catch_up(
        {str(name): value for name, value in row.items()}
        for row in rows
        if row["status"] != "running"
    )
    return exporter


class Exporter:
    """Hands trials to trackers, each in a thread of its own.

    Args:
        folder: of the run whose trials they are.
        run: what trackers are told of it.
        makers: of the trackers, by name; a tracker is made in its thread.
        tell: called with warnings, by the thread that calls the exporter.
        earlier: returns what a trial reported before this session; called in a tracker's thread.
        hang_seconds: after which a call is given up.
        max_waiting: how many things may wait for a tracker.
    """

    def __init__(
        self,
        folder: RunFolder,
        run: TrackedRun,
        makers: Mapping[str, Callable[[TrackedRun], Tracker]],
        tell: Callable[[str], None],
        *,
        earlier: Callable[[str], Sequence[TrackedEvaluation]] = lambda _: (),
        hang_seconds: float = _HANG_SECONDS,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._earlier = earlier
        factor = _PAUSE_FACTOR * max(1, len(makers))
        self._workers = [
            Worker(
                name,
                partial(make, run),
                folder.path / "tracking" / f"{name}.txt",
                pause_factor=factor,
                hang_seconds=hang_seconds,
                max_waiting=max_waiting,
            )
            for name, make in makers.items()
        ]

    def catch_up(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Export trials that ended in earlier sessions, where a tracker lacks their end.

        So after a kill, and where a run gets a tracker late.
        """
        for row in rows:
            for worker in self._workers:
                if row["trial_id"] not in worker.exported:
                    self._begin(worker, row)
                    worker.end(row["trial_id"], self._end_of(row))

    def begin(self, row: Mapping[str, Any]) -> None:
        """Export that a row's trial begins or continues; a repetition has no effect."""
        for worker in self._workers:
            self._begin(worker, dict(row))
        self._warn()

    def report(self, row: Mapping[str, Any]) -> None:
        """Export a row of `history/`."""
        evaluation = TrackedEvaluation.of(row)
        for worker in self._workers:
            worker.report(row["trial_id"], evaluation)
        self._warn()

    def end(self, row: Mapping[str, Any]) -> None:
        """Export how a row's trial ended."""
        for worker in self._workers:
            worker.end(row["trial_id"], self._end_of(dict(row)))
        self._warn()

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Let the trackers finish, and give up those that take longer than `seconds` together."""
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.wait(max(0.0, deadline - time.monotonic()), seconds)
        self._warn()

    def _begin(self, worker: Worker, row: Mapping[str, Any]) -> None:
        trial_id = row["trial_id"]

        def trial() -> TrackedTrial:
            config = config_values(row, self._folder.table)
            return TrackedTrial.of(row, config, self._earlier(trial_id))

        worker.begin(trial_id, trial)

    def _end_of(self, row: Mapping[str, Any]) -> Callable[[], TrialEnd]:
        return lambda: TrialEnd.of(row, self._folder.model_dir(row["trial_id"]))

    def _warn(self) -> None:
        for worker in self._workers:
            worker.give_up_if_it_hangs()
            for warning in worker.take_warnings():
                self._tell(warning)


def _earlier_reports(folder: RunFolder) -> Callable[[str], Sequence[TrackedEvaluation]]:
    """Return a function that reads what a trial has reported up to now; it reads the files once."""
    newest = pd.Timestamp.now(tz="UTC")

    @cache
    def groups() -> dict[Any, pd.DataFrame]:
        history = folder.history()
        return dict(iter(history[history["reported_at"] <= newest].groupby("trial_id")))

    def read(trial_id: str) -> list[TrackedEvaluation]:
        if (reports := groups().get(trial_id)) is None:
            return []
        ordered = reports.sort_values("updates").to_dict("records")
        return [
            TrackedEvaluation.of({str(name): value for name, value in row.items()})
            for row in ordered
        ]

    return read
