"""What a tracker receives of a run and its trials, and what it must do with it."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Any, Self

from gansearch.errors import escape_unprintable

# Of a row's columns, those that are no measure.
_NO_MEASURE = ("trial_id", "number", "phase", "config_id", "seed", "status", "reason", "updates")


class TrackerError(Exception):
    """A tracker can't do something; the message says why and what would help."""


class UnusableError(TrackerError):
    """A tracker can do nothing more."""


@dataclass(frozen=True)
class TrackedRun:
    """A run: a project, an experiment or a folder of a tracker.

    Attributes:
        name: of the run's folder, on one line.
        identity: letters and digits that differ between runs of one name.
        path: of the run's folder, absolute; or its address in an object store.
        is_local: whether the folder is on this machine.
        facts: what the run is, by name.
    """

    name: str
    identity: str
    path: str
    is_local: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Any, origin: str, facts: Mapping[str, str]) -> Self:
        """Return the run in a folder; `origin` says where it differs from others of its name."""
        identity = hashlib.sha256(escape_unprintable(origin).encode()).hexdigest()[:12]
        is_local = isinstance(path, Path)
        text = str(path.resolve() if is_local else path)
        return cls(escape_unprintable(path.name), identity, text, is_local, facts)

    def folder(self, tracker: str) -> Path:
        """Return where a tracker keeps its files of the run, on this machine.

        Raises:
            TrackerError: the run lies in an object store.
        """
        if not self.is_local:
            raise TrackerError(
                f"it writes files beside the run, which lies in an object store, {self.path}. Keep "
                "the run on this machine (--results), or use another tracker"
            )
        return Path(self.path) / "tracking" / tracker


@dataclass(frozen=True)
class TrackedEvaluation:
    """The measures of one evaluation of a trial, at a count of updates; only finite ones."""

    updates: int
    values: Mapping[str, float]
    at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the evaluation in a row of `history/`."""
        return cls(int(row["updates"]), measures_of(row), row["reported_at"])


@dataclass(frozen=True)
class TrackedTrial:
    """A trial that begins or continues: a run of a tracker.

    Attributes:
        trial_id: unique in the run.
        config: its parameters, without those that don't apply.
        tags: its phase, its seed and the id of its configuration.
        earlier: what it reported before this session, in the order of updates.
    """

    trial_id: str
    config: Mapping[str, Any]
    tags: Mapping[str, str]
    earlier: Sequence[TrackedEvaluation] = ()

    @classmethod
    def of(
        cls,
        row: Mapping[str, Any],
        config: Mapping[str, Any],
        earlier: Sequence[TrackedEvaluation] = (),
    ) -> Self:
        """Return the trial of a row of `trials.parquet`, given its parameters."""
        return cls(
            row["trial_id"],
            {name: plain(value) for name, value in config.items() if value is not None},
            {name: str(row[name]) for name in ("phase", "config_id", "seed")},
            earlier,
        )

    def since(self, updates: float) -> list[TrackedEvaluation]:
        """Return what it reported earlier after so many updates."""
        return [report for report in self.earlier if report.updates > updates]


@dataclass(frozen=True)
class TrialEnd:
    """How a trial ended.

    Attributes:
        status, reason: as in `trials.parquet`, on one line.
        updates: that it has done.
        scores: the last value of each measure, and a replica's final scores; only finite ones.
        pictures: PNG files of its samples.
    """

    status: str
    reason: str
    updates: int
    scores: Mapping[str, float]
    pictures: Sequence[Path] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any], model: Any) -> Self:
        """Return the end in a row of `trials.parquet`, with the pictures beside its generator.

        Those in an object store are left out.
        """
        pictures = sorted(model.resolve().glob("[!._]*.png")) if isinstance(model, Path) else []
        reason = escape_unprintable(row["reason"])
        return cls(row["status"], reason, int(row["updates"]), measures_of(row), pictures)

    @property
    def is_sound(self) -> bool:
        """Whether the trial was completed, or stopped for no fault."""
        return self.status in ("completed", "pruned")


class Tracker(ABC):
    """Where the trials of a run are exported to; one thread alone calls it.

    A call may raise anything, which costs a warning and the data of this call.
    """

    @abstractmethod
    def begin(self, trial: TrackedTrial) -> None:
        """Begin a trial, or continue it: of `earlier`, add what the tracker lacks."""

    @abstractmethod
    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Add measures to the curves of a trial that has begun, in the order of updates."""

    @abstractmethod
    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Record how a trial ended."""

    @abstractmethod
    def close(self) -> None:
        """Write what is pending, also of trials that have not ended."""

    def abandon(self) -> None:  # noqa: B027  # only a tracker in a process can do more
        """End at once; another thread than that of a call that hangs may call this."""

    @property
    def seconds(self) -> float:
        """The processor time, in seconds, that the tracker has taken outside this thread."""
        return 0.0


def measures_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers that a row measures, by column."""
    found = {}
    for name, value in row.items():
        if name in _NO_MEASURE or name.startswith("config.") or not isinstance(value, Real):
            continue
        if math.isfinite(value):
            found[name] = float(value)
    return found


def plain(value: Any) -> Any:
    """Return a parameter as bool, int, float or text on one line."""
    return value if isinstance(value, bool | int | float) else escape_unprintable(str(value))
