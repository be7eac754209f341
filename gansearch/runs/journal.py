"""The file of a run's Optuna study, `optuna.journal`, also for a run in an object store.

A journal is appended to, which an object can't be. The process that holds such a run's lock works
on a local copy, and saves it to the store.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from gansearch.system.files import write_atomically
from gansearch.system.object_store import AnyPath, RemotePath

JOURNAL = "optuna.journal"


class Journal:
    """The journal of the run in the folder `run`, for the process that holds its lock."""

    def __init__(self, run: AnyPath) -> None:
        self._run = run
        self._local: TemporaryDirectory[str] | None = None  # of a run in an object store

    def path(self) -> Path:
        """Return where the journal lies on this machine; the first call fetches it from a store."""
        stored = self._run / JOURNAL
        if not isinstance(stored, RemotePath):
            return stored
        if self._local is None:
            self._local = TemporaryDirectory(prefix="gansearch-")
            with suppress(FileNotFoundError):
                Path(self._local.name, JOURNAL).write_bytes(stored.read_bytes())
        return Path(self._local.name, JOURNAL)

    def save(self) -> None:
        """Write a local copy, and any that was set aside beside it, to the object store."""
        if self._local is None:
            return
        for local in Path(self._local.name).glob(f"*{JOURNAL}*"):
            if local.suffix != ".lock":
                write_atomically(self._run / local.name, local.read_bytes())
