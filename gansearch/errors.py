"""The exceptions of gansearch.

Every message says where the error is, what was found, the rule that it breaks and the remedy. The
command line prints it unchanged: `mnist.yaml:7: generator_lr: low=0.0 with log: true. A log
scale needs low > 0. Use low: 1e-5, or drop log.`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GansearchError(Exception):
    """Base of all errors that gansearch raises on purpose, with the exit code of the command."""

    exit_code = 1


class BadInputError(GansearchError):
    """An input can't be used, and the user can correct it."""

    exit_code = 2


class ConfigError(BadInputError):
    """A trial's configuration or a budget breaks a rule."""


class OutsideError(ConfigError):
    """The user's own code failed by a file, a connection, a GPU or a hang, and may work later."""


class SpaceError(BadInputError):
    """A search-space file breaks a rule, or no such space exists."""


class DataError(BadInputError):
    """A data set is unknown, missing or unreadable."""


class SamplesError(BadInputError):
    """A file or array of generated samples can't be scored."""


class ResultsError(BadInputError):
    """The folder of a run is missing, in use, or has an unreadable file."""


class DivergedError(GansearchError):
    """A loss, a gradient or a weight is not finite; the message says which, and at what update."""


class ShortOfMemoryError(GansearchError):
    """An allocation failed; the message says how much, on the GPU or host, and what to change."""


class EngineLostError(GansearchError):
    """The process that trains all trials of a GPU together was lost."""


class GpuLostError(GansearchError):
    """A worker can't use its GPU, so that no trial can train there."""


class StorageError(GansearchError):
    """A file of a run can't be written; everything written before is intact."""


class RunFailedError(GansearchError):
    """The search ran but has no result, for example because every trial failed."""


class InterruptedRunError(GansearchError):
    """The user stopped the run; its state, if it had begun, is saved."""

    exit_code = 130


def escape_unprintable(text: str) -> str:
    """Return a text, as from files and flags, that every terminal shows as it is, on one line.

    >>> escape_unprintable("a\x07b")
    'a\\x07b'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known name, or all of them.

    >>> did_you_mean("generater_lr", ["generator_lr", "k"])
    'Did you mean generator_lr?'
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {nearest[0]}?" if nearest else f"Known: {', '.join(names)}."
