"""Where runs lie: making the folder of a new run, and finding that of an old one."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gansearch.errors import ResultsError, did_you_mean
from gansearch.runs.commands import command
from gansearch.runs.description import DESCRIPTION_FILES
from gansearch.runs.tables import unreadable
from gansearch.system.object_store import STORE_REMEDY, AnyPath, RemotePath, parse_path

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_NAME = 200
LATEST = "latest"  # in place of a run's name


def make_run_folder(results: AnyPath, name: str) -> AnyPath:
    """Make the folder of a new run and return its path.

    Raises:
        ResultsError: the name is not a plain name or is taken, or the folder can't be written.
    """
    path = _new_path(results, name)
    if not _make(path):
        remedy = (
            f"Choose another --name, or go on with it: `{command('resume', path)}`."
            if is_run(path)
            # It may also be that of a run which is just beginning, and must not be touched.
            else "There is no run.json in it yet: it may belong to a run that is just beginning. "
            "Choose another --name."
        )
        raise ResultsError(f"{path}: exists. A new run needs a folder of its own. {remedy}")
    return path


def make_numbered_folder(results: AnyPath, name: str) -> AnyPath:
    """Make the folder of a new run under the first free name: `name`, `name-2`, `name-3`.

    Making a folder is atomic, so that runs which begin in the same second, also on machines that
    share `results`, get different ones. Nothing of the kind exists in an object store, where the
    name gets random letters instead.

    Raises:
        ResultsError: as `make_run_folder`.
    """
    if isinstance(results, RemotePath):
        return make_run_folder(results, f"{name}-{secrets.token_hex(3)}")
    numbers = itertools.count(2)
    path = _new_path(results, name)
    while not _make(path):
        path = path.with_name(f"{name}-{next(numbers)}")
    return path


def require_utf8(path: AnyPath) -> None:
    """Raise ResultsError if the bytes of a run's path aren't UTF-8, in which Ray and Arrow hold it.

    Such a run can be reported on, but not go on.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(str(path)).decode(errors="backslashreplace")
        raise ResultsError(
            f"{shown}: the path has bytes that aren't UTF-8, which Ray can't write to. "
            "Rename the folder, or choose another with --results."
        ) from None


def _new_path(results: AnyPath, name: str) -> AnyPath:
    path = path_inside(results, name, what="a run's name").resolve()
    require_utf8(path)
    return path


def _make(path: AnyPath) -> bool:
    """Make the folder of a new run; return whether the name was free.

    Raises:
        ResultsError: the folder can't be written.
    """
    try:
        if isinstance(path, RemotePath):
            _check_writable(path)
        else:
            path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        remedy = STORE_REMEDY if isinstance(path, RemotePath) else "Choose another with --results."
        raise ResultsError(
            f"{path}: can't be made: {error.strerror or error}. Results need a folder that can "
            f"be written. {remedy}"
        ) from error
    return True


def find_run_folder(path: AnyPath | str, results: AnyPath) -> AnyPath:
    """Return the folder of a run, given its path or its name below `results`.

    Of no run of this name, `latest` is the one that has begun last.

    Raises:
        ResultsError: neither is a run (the message names those that exist), or the places can't be
            read, for example without a network.
    """
    named = parse_path(path)
    candidates = [named]
    if isinstance(named, RemotePath):
        results = named.parent
    else:
        candidates.append(results / named)
    try:
        for candidate in candidates:
            if is_run(candidate):
                return candidate.resolve()
        runs = runs_in(results)
        if named.name == LATEST and (newest := _newest(_folder_of_latest(named, results))):
            return newest.resolve()
    except OSError as error:
        raise unreadable(candidate, error) from error
    hint = (
        did_you_mean(named.name, [run.name for run in runs])
        if runs
        else f"There is no run in {results} yet: start one with `gansearch run`, or say where "
        "it is with --results."
    )
    raise ResultsError(f"{path}: no such run. A run is a folder with a run.json. {hint}")


def is_run(path: AnyPath) -> bool:
    """Whether a folder holds a run: it has a description or its copy."""
    return any((path / name).is_file() for name in DESCRIPTION_FILES)


def path_inside(folder: AnyPath, name: str, what: str) -> AnyPath:
    """Return `folder/name` for a plain name, which can't lead out of the folder.

    Args:
        folder: the parent.
        name: of the file or folder inside.
        what: the name is, for the message.

    Raises:
        ResultsError: the name is not plain.
    """
    if not _NAME.fullmatch(name) or name in (".", "..") or len(name) > _LONGEST_NAME:
        raise ResultsError(
            f"{name!r}: can't be {what}. It must have 1 to {_LONGEST_NAME} letters, digits, dots, "
            f"dashes or underscores, such as mnist-2. Choose another."
        )
    return folder / name


def _check_writable(path: RemotePath) -> None:
    """Raise OSError if a run can't be written there, or FileExistsError if something exists."""
    if path.exists():
        raise FileExistsError
    probe = path / ".probe"
    probe.write_bytes(b"")
    probe.unlink()


def runs_in(results: AnyPath) -> list[AnyPath]:
    """Return the folders of the runs below `results`, by name; none where there is no such folder.

    Raises:
        OSError: it can't be read.
    """
    folders = results.iterdir() if results.is_dir() else ()
    return sorted(filter(is_run, folders), key=lambda run: run.name)


def _folder_of_latest(named: AnyPath, results: AnyPath) -> AnyPath:
    """Return where `latest` is looked for: where a path says or, of a mere name, in `results`."""
    is_name = isinstance(named, Path) and len(named.parts) == 1
    return results if is_name else named.parent


def _newest(results: AnyPath) -> AnyPath | None:
    """Return the run that has begun last, of those whose description can be read."""
    started = [(began, run.name, run) for run in runs_in(results) if (began := _started(run))]
    return max(started, key=lambda entry: entry[:2])[-1] if started else None


def _started(run: AnyPath) -> datetime | None:
    """Return when a run has begun, without reading more of it than that."""
    for name in DESCRIPTION_FILES:
        with suppress(OSError, ValueError, KeyError, TypeError):
            began = datetime.fromisoformat(json.loads((run / name).read_bytes())["started_at"])
            return began if began.tzinfo else began.replace(tzinfo=UTC)
    return None
