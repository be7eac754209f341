"""What the command line prints of an error, and the exit code that the error's class decides."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from gansearch.errors import GansearchError, InterruptedRunError, escape_unprintable

_EXIT_INTERRUPTED = 130
_EXPECTED = (click.ClickException, GansearchError, click.Abort, KeyboardInterrupt, OSError)


def is_bug(error: BaseException) -> bool:
    """Return whether an error is one that gansearch does not raise on purpose."""
    return not isinstance(error, _EXPECTED) and not _is_installation(error)


def _is_installation(error: BaseException) -> bool:
    """Return whether a package that gansearch needs is what can't be imported."""
    return isinstance(error, ImportError) and (error.name or "").split(".")[0] != "gansearch"


def print_error(error: BaseException) -> int:
    """Print an error as one message to stderr, and return its exit code."""
    if isinstance(error, click.ClickException):
        error.message = _printable(error.message)  # type: ignore[misc]  # final by annotation only
        with suppress(OSError):
            error.show()
        return error.exit_code
    if isinstance(error, GansearchError):
        prefix = "" if isinstance(error, InterruptedRunError) else "Error: "
        _echo(prefix + _printable(str(error)))
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _echo("Stopped.")
        return _EXIT_INTERRUPTED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        _echo(f"Error: {where}{_printable(error.strerror or str(error))}")
        return 1
    if _is_installation(error):
        _echo(
            f"Error: {sys.prefix}: {_printable(str(error))}. A package that gansearch needs is "
            "absent or damaged. Install gansearch there again: `pip install gansearch`."
        )
        return 1
    _echo(
        f"Error: {type(error).__name__}: {_printable(_last_line_of_traceback(error))}\n"
        "This is a bug in gansearch, not a mistake of yours. Set GANSEARCH_TRACEBACK=1 to see "
        "where it happened, and report it."
    )
    return 1


def _echo(text: str) -> None:
    """Print to stderr; where that fails too, the exit code says what can be said."""
    with suppress(OSError):
        click.echo(text, err=True)


def _printable(text: str) -> str:
    """Return the text of a message, which may have several lines, without control characters."""
    return "\n".join(map(escape_unprintable, text.split("\n")))


def _last_line_of_traceback(error: BaseException) -> str:
    """Return an error's text; some of Ray's errors have a whole traceback as their text."""
    text = str(error).strip()
    return text.splitlines()[-1] if "Traceback (most recent call last)" in text else text
