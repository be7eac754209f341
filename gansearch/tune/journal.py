"""The file of the run's Optuna study, written so that a kill or a full disk leaves it readable."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from gansearch.errors import StorageError
from gansearch.system.files import unwritable
from gansearch.tune.optuna_internals import (
    backend_of,
    begins_or_ends_a_trial,
    forget_where_lines_begin,
)


class Journal(JournalFileBackend):
    """Optuna's journal, flushed to the disk when a trial begins or ends, not at every line.

    A trial has twenty lines and one for each report, and a flush is slow on a busy disk. Lines are
    handed to the operating system at once, so that a kill loses none; a loss of power may lose
    those that were written since a trial began or ended.

    Args:
        path: of the file.
        faults: list to which a failed write is added, since Tune would attribute the exception to
            a trial.
    """

    def __init__(self, path: str, faults: list[StorageError]) -> None:
        # Other processes may write too: `optuna-dashboard` stores notes there.
        self._own_lock = JournalFileSymlinkLock(path)
        super().__init__(path, lock_obj=self._own_lock)
        self._path = Path(path)
        self._faults = faults
        self._is_held = self._must_flush = False

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the lines from a number on."""
        yield from super().read_logs(log_number_from)
        forget_where_lines_begin(self)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write what follows under one lock, and flush it once; each line is written at once."""
        if self._is_held:
            yield
            return
        try:
            self._own_lock.acquire()
        except OSError as error:
            raise self._fault(error) from error
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            try:
                if self._must_flush:
                    self._must_flush = False
                    with self._path.open("ab") as file:
                        os.fsync(file.fileno())
            except OSError as error:
                raise self._fault(error) from error
            finally:
                with suppress(RuntimeError):  # held for so long that another has taken it for stale
                    self._own_lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append complete lines.

        Raises:
            StorageError: the file can't be written; `drop_torn_line` removes an incomplete line
                when the journal is opened again.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self.batch():
            self._must_flush |= any(begins_or_ends_a_trial(log) for log in logs)
            try:
                with self._path.open("ab") as file:
                    file.write(lines.encode())
            except OSError as error:
                raise self._fault(error) from error

    def _fault(self, error: OSError) -> StorageError:
        self._faults.append(unwritable(self._path, error))
        return self._faults[-1]


def journal_batch(study: optuna.Study) -> AbstractContextManager[None]:
    """Write what a study is told in one go, if it has a `Journal`: a lock takes long on a disk."""
    backend = backend_of(study)
    return backend.batch() if isinstance(backend, Journal) else nullcontext()


def drop_stale_lock(journal: Path) -> None:
    """Remove the lock that a killed process has left, for which Optuna would wait 30 s.

    To be called by the process that holds the run's own lock.
    """
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)


def drop_torn_line(journal: Path) -> None:
    """Cut off an incomplete last line, which a full disk or a power cut has left.

    Optuna would append its next line to it, and could never read the journal again.
    """
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
