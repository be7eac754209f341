"""Files that commands write where the user asks: checked before the work, written atomically."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from gansearch.errors import BadInputError, StorageError
from gansearch.system.files import save_atomically

_REPORTS = {
    "": "table",
    ".txt": "table",
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
}
_REMEDIES = {
    errno.EISDIR: "Name a file in it.",
    errno.ENOTDIR: "A part of the path is a file. Name another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOSPC: "What was there before is kept. Make room.",
    errno.EDQUOT: "What was there before is kept. Make room.",
}


def report_format(out: Path | None, given: str | None) -> str:
    """Return the format of a report: the one given, else by the ending of its file, else a table.

    Raises:
        BadInputError: the ending is unknown and no format is given, or they contradict each other.
    """
    if out is None:
        return given or "table"
    by_ending = _REPORTS.get(out.suffix.lower())
    if given is None and by_ending is None:
        raise BadInputError(
            f"--out {out}: the ending {out.suffix} is not known. A report is written as .txt, "
            ".json, .csv, .md or .html, or as --format says."
        )
    if given is not None and by_ending not in (None, "table", given):
        raise BadInputError(
            f"--format {given}, --out {out}: they contradict each other. Leave --format out, or "
            "change the ending."
        )
    return given or by_ending or "table"


def check_output(flag: str, out: Path, endings: Sequence[str] = (), rule: str = "") -> None:
    """Check that a file can be written, before the work whose result goes there.

    Missing parent folders are no fault: `write_output` makes them.

    Args:
        flag: that names the file, for messages.
        out: the file.
        endings: that the file may have, in small letters; empty for any.
        rule: the sentence of a message that names the endings.

    Raises:
        BadInputError: standard output, an unknown ending, or a place that can't be written.
    """
    if str(out) == "-":
        raise BadInputError(
            f"{flag} -: this is not standard output. {flag} takes a file; without it, "
            "`gansearch report` and `gansearch evaluate` print. Name a file, or leave it out."
        )
    if endings and out.suffix.lower() not in endings:
        raise BadInputError(
            f"{flag} {out}: the ending {out.suffix or '(none)'} is not known. {rule}"
        )
    try:
        if stat.S_ISDIR(out.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unwritable(flag, out, error) from error
    # A link is written where it leads.
    folder = next(path for path in Path(os.path.realpath(out)).parents if os.path.lexists(path))
    if not os.access(folder, os.W_OK | os.X_OK) and not _is_special(out):
        code = errno.EACCES if folder.is_dir() else errno.ENOTDIR
        raise _unwritable(flag, out, OSError(code, os.strerror(code)))


def write_output(flag: str, out: Path, save: Callable[[BinaryIO], Any]) -> None:
    """Let `save` write a file, atomically and with its parent folders; a device directly.

    Raises:
        BadInputError: it can't be written; what was there before is intact.
    """
    try:
        if _is_special(out):
            with out.open("wb") as file:
                save(file)
        else:
            save_atomically(Path(os.path.realpath(out)), save)
    except OSError as error:
        raise _unwritable(flag, out, error) from error
    except StorageError as error:
        assert isinstance(error.__cause__, OSError)
        raise _unwritable(flag, out, error.__cause__) from error


def _is_special(out: Path) -> bool:
    """Whether the file is a device or a pipe, such as /dev/null, which nothing may replace."""
    return out.exists() and not out.is_file()


def _unwritable(flag: str, out: Path, error: OSError) -> BadInputError:
    remedy = _REMEDIES.get(error.errno or 0, "Name another file or folder.")
    return BadInputError(f"{flag} {out}: can't be written: {error.strerror or error}. {remedy}")
