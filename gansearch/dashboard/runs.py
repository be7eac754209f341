"""What the pages of runs hold at the moment, read again where the files have changed."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gansearch.dashboard.pictures import ServedPictures
from gansearch.errors import ResultsError
from gansearch.report.html import Live, page, sections_html
from gansearch.report.listing import list_run
from gansearch.report.page_data import page_data
from gansearch.report.report import Report, build_report
from gansearch.runs.description import DESCRIPTION_FILES
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import runs_in
from gansearch.runs.lock import is_held
from gansearch.runs.tables import TRIALS_FILE
from gansearch.system.object_store import AnyPath

_FILES = (*DESCRIPTION_FILES, TRIALS_FILE, "ranking.parquet", "references.parquet", "samples.png")


class NoSuchRunError(ResultsError):
    """There is no run of a name."""


@dataclass(frozen=True)
class _Built:
    version: str
    report: Report


class Runs:
    """The runs below a folder. Reads alone; safe to call from any thread.

    Args:
        results: the folder.
    """

    def __init__(self, results: AnyPath) -> None:
        self.results = results
        self._built: dict[str, _Built] = {}
        # Reports are built one at a time: what catches warnings is the same for all threads.
        self._lock = threading.Lock()

    def folder(self, name: str) -> RunFolder:
        """Return the folder of a run.

        Raises:
            NoSuchRunError: there is no run of this name.
        """
        for path in runs_in(self.results):
            if path.name == name:
                return RunFolder(path)
        raise NoSuchRunError(f"{self.results / name}: no such run.")

    def report(self, folder: RunFolder) -> tuple[str, Report]:
        """Return a run's report, with what changes when the report would.

        Raises:
            ResultsError: its files can't be read.
        """
        name = folder.path.name
        with self._lock:
            version = version_of(folder)
            known = self._built.get(name)
            if known is None or known.version != version:
                known = self._built[name] = _Built(version, build_report(folder))
            return version, known.report

    def page(self, folder: RunFolder) -> str:
        """Return the live page of a run.

        Raises:
            ResultsError: its files can't be read.
        """
        base = address_of(folder)
        version, report = self.report(folder)
        live = Live(f"{base}/data", version, list_run(folder).state)
        return page(report, ServedPictures(folder, base), live)

    def changes(self, folder: RunFolder, version: str | None) -> dict[str, Any] | None:
        """Return what a page that has a version needs to be up to date; None if it is.

        Raises:
            ResultsError: its files can't be read.
        """
        if version is not None and version == version_of(folder):
            return None
        version, report = self.report(folder)
        pictures = ServedPictures(folder, address_of(folder))
        return {
            "version": version,
            "state": list_run(folder).state,
            "sections": sections_html(report, pictures),
            "data": page_data(report, pictures),
        }


def address_of(folder: RunFolder) -> str:
    """Return the address of a run's page on its server."""
    return f"/runs/{quote(folder.path.name, safe='')}"


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
