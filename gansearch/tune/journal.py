"""The file of the run's Optuna study, written so that a kill or a full disk leaves it readable."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from gansearch.errors import StorageError
from gansearch.system.files import unwritable
from gansearch.tune.optuna_internals import begins_or_ends_a_trial


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

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append complete lines.

        Raises:
            StorageError: the file can't be written; `drop_torn_line` removes an incomplete line
                when the journal is opened again.
        """
        try:
            self._append(logs)
        except OSError as error:
            self._faults.append(unwritable(self._path, error))
            raise self._faults[-1] from error

    def _append(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own_lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                if any(begins_or_ends_a_trial(log) for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._own_lock.release()


def drop_torn_line(journal: Path) -> None:
    """Cut off an incomplete last line, which a full disk or a power cut has left.

    Optuna would append its next line to it, and could never read the journal again.
    """
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
