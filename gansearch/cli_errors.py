"""What the command line prints of an error, and the exit code that the error's class decides."""

from __future__ import annotations

import click

from gansearch.errors import GansearchError, InterruptedRunError

_EXIT_INTERRUPTED = 130
_EXPECTED = (click.ClickException, GansearchError, click.Abort, KeyboardInterrupt)


def is_bug(error: BaseException) -> bool:
    """Return whether an error is one that gansearch does not raise on purpose."""
    return not isinstance(error, _EXPECTED)


def print_error(error: BaseException) -> int:
    """Print an error as one message to stderr, and return its exit code."""
    if isinstance(error, click.ClickException):
        error.message = _printable(error.message)  # type: ignore[misc]  # final by annotation only
        error.show()
        return error.exit_code
    if isinstance(error, GansearchError):
        prefix = "" if isinstance(error, InterruptedRunError) else "Error: "
        click.echo(prefix + _printable(str(error)), err=True)
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return _EXIT_INTERRUPTED
    click.echo(
        f"Error: {type(error).__name__}: {_printable(_last_line_of_traceback(error))}\n"
        "This is a bug in gansearch, not a mistake of yours. Set GANSEARCH_TRACEBACK=1 to see "
        "where it happened, and report it.",
        err=True,
    )
    return 1


def _printable(text: str) -> str:
    """Return a text with its control characters, as from files and flags, escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _last_line_of_traceback(error: BaseException) -> str:
    """Return an error's text; some of Ray's errors have a whole traceback as their text."""
    text = str(error).strip()
    return text.splitlines()[-1] if "Traceback (most recent call last)" in text else text
