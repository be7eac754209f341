"""Names of files as messages show them: any bytes can be in a name, and any number of files bad."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from gansearch.errors import escape_unprintable

_N_SHOWN = 3
_MAX_LENGTH = 200


def format_path(path: PurePath | str) -> str:
    """Return a path on one line that every terminal can print, cut in the middle if it is long."""
    text = escape_unprintable(str(path))
    if len(text) <= _MAX_LENGTH:
        return text
    return f"{text[: _MAX_LENGTH // 2]}...{text[-_MAX_LENGTH // 2 :]}"


def format_paths(paths: Sequence[PurePath | str]) -> str:
    """Return the first paths, and how many more there are."""
    return shorten_list([format_path(path) for path in paths[:_N_SHOWN]], len(paths))


def shorten_list(shown: Sequence[str], n: int) -> str:
    """Return the first entries of a list of n, and how many more there are."""
    more = f" and {n - len(shown[:_N_SHOWN]):,} more" if n > len(shown[:_N_SHOWN]) else ""
    return ", ".join(shown[:_N_SHOWN]) + more
