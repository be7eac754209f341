"""What the pages of runs hold at the moment, read again where the files have changed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import Any
from urllib.parse import quote

from gansearch.dashboard.pictures import ServedPictures
from gansearch.errors import ResultsError
from gansearch.report.html import Live, page, sections_html
from gansearch.report.page_data import page_data
from gansearch.report.report import Report, build_report
from gansearch.runs.description import DESCRIPTION_FILES
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import is_run
from gansearch.runs.lock import is_held
from gansearch.runs.tables import TRIALS_FILE
from gansearch.system.object_store import AnyPath

_MOST_REPORTS = 8  # that are kept
_FILES = (*DESCRIPTION_FILES, TRIALS_FILE, "ranking.parquet", "references.parquet", "samples.png")


class NoSuchRunError(ResultsError):
    """There is no run of a name."""


class Runs:
    """The runs below a folder. Reads alone; safe to call from any thread.

    Args:
        results: the folder.
    """

    def __init__(self, results: AnyPath) -> None:
        self.results = results
        self._reports: OrderedDict[str, tuple[str, Report]] = OrderedDict()
        self._lock = threading.Lock()

    def folder(self, name: str) -> RunFolder:
        """Return the folder of a run.

        Raises:
            NoSuchRunError: there is no run of this name.
        """
        is_name = "/" not in name and name not in ("", ".", "..")
        if not is_name or not is_run(self.results / name):
            raise NoSuchRunError(f"{self.results}: there is no run {name}.")
        return RunFolder(self.results / name)

    def report(self, folder: RunFolder) -> tuple[str, Report]:
        """Return a run's report, with what changes when the report would.

        Raises:
            ResultsError: its files can't be read.
        """
        name = folder.path.name
        with self._lock:  # several pages of a run ask at once, and one answer does for all
            version = version_of(folder)
            known = self._reports.pop(name, None)
            if known is None or known[0] != version:
                known = version, build_report(folder)
            self._reports[name] = known
            if len(self._reports) > _MOST_REPORTS:
                self._reports.popitem(last=False)
            return known

    def page(self, folder: RunFolder) -> str:
        """Return the live page of a run.

        Raises:
            ResultsError: its files can't be read.
        """
        base = address_of(folder.path.name)
        version, report = self.report(folder)
        live = Live(f"{base}/data", version, report.run.shown_state)
        return page(report, ServedPictures(folder, base), live)

    def changes(self, folder: RunFolder, version: str | None) -> dict[str, Any] | None:
        """Return what a page that has a version needs to be up to date; None if it is.

        Raises:
            ResultsError: its files can't be read.
        """
        if version is not None and version == version_of(folder):
            return None
        version, report = self.report(folder)
        pictures = ServedPictures(folder, address_of(folder.path.name))
        return {
            "version": version,
            "state": report.run.shown_state,
            "sections": sections_html(report, pictures),
            "data": page_data(report, pictures),
        }


def address_of(name: str) -> str:
    """Return the address of the page of a run."""
    return f"/runs/{quote(os.fsencode(name), safe='')}"


def version_of(folder: RunFolder) -> str:
    """Return a text that changes when files of a run do that its report is made of."""
    seen: list[tuple[str, Any]] = [(name, _stat(folder.path / name)) for name in _FILES]
    for place in ("history", "models"):
        inside = folder.path / place
        names = sorted(path.name for path in inside.iterdir()) if inside.is_dir() else []
        seen.append((place, (len(names), names[-1] if names else "", _stat(inside))))
    seen.append(("lock", is_held(folder.path / "lock")))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _stat(path: AnyPath) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
