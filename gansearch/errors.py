"""The exceptions of gansearch.

Every message says where the fault lies, what was found, the rule it breaks and the remedy, so that
the command line can print it as it is: `mnist.yaml:7: generator_lr: low=0.0 with log: true. A log
scale needs low > 0. Use low: 1e-5, or drop log.`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GansearchError(Exception):
    """Base of all errors that gansearch raises on purpose; `exit_code` is the command line's."""

    exit_code = 1


class BadInputError(GansearchError):
    """What the user gave can't be used, and the user can mend it."""

    exit_code = 2


class ConfigError(BadInputError):
    """A trial's configuration or a budget breaks a rule."""


class SpaceError(BadInputError):
    """A search-space file breaks a rule, or no such space exists."""


class DataError(BadInputError):
    """A data set is unknown, absent or unreadable."""


class SamplesError(BadInputError):
    """A file or array of generated samples can't be scored."""


class ResultsError(BadInputError):
    """A run's folder is absent, taken, or holds something unreadable."""


class DivergedError(GansearchError):
    """A loss, a gradient or a weight is no longer finite; the message says which, and when."""


class ShortOfMemoryError(GansearchError):
    """A training got no memory; the message says how much, where, and what to change."""


class EngineLostError(GansearchError):
    """The process that trains all trials of a GPU together was lost, with all of them."""


class StorageError(GansearchError):
    """What a run has to write can't be written; everything before it is kept."""


class RunFailedError(GansearchError):
    """The search ran but has no result to show, for example because every trial failed."""


class InterruptedRunError(GansearchError):
    """The user stopped the run; its state is saved."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the closing words of an unknown-name message: the nearest known name, or all of them.

    >>> did_you_mean("generater_lr", ["generator_lr", "k"])
    'Did you mean generator_lr?'
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {nearest[0]}?" if nearest else f"Known: {', '.join(names)}."
