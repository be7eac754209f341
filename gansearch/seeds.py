"""The seed of a run, and the seed of every trial, which derives from it."""

from __future__ import annotations

import hashlib
import operator
import reprlib
import secrets
from typing import Any

from gansearch.errors import BadInputError

_LARGEST = 2**128 - 1  # as many bits as NumPy recommends for a seed
_DRAWN_BITS = 32


def run_seed(seed: Any) -> int:
    """Return the seed of a run as an `int`; for None a random one, which `run.json` records.

    Raises:
        BadInputError: not a whole number in `[0, 2**128)`.
    """
    if seed is None:
        return secrets.randbits(_DRAWN_BITS)
    try:
        whole = operator.index(seed)
        if isinstance(seed, bool) or not 0 <= whole <= _LARGEST:
            raise ValueError
    except (TypeError, ValueError):
        # Python refuses to write out integers of more than 4300 digits.
        is_huge = isinstance(seed, int) and abs(seed) > _LARGEST
        found = "a number of more than 128 bits" if is_huge else reprlib.repr(seed)
        raise BadInputError(
            f"seed: found {found}. A seed is a whole number from 0 to 2**128 - 1, from which the "
            "seeds of the sampler and of every trial derive. Choose another."
        ) from None
    return whole


def trial_seed(run_seed: int, phase: str, index: int) -> int:
    """Return the seed, in `[0, 2**31)`, of trial `index` of a phase; it differs between phases."""
    digest = hashlib.sha256(f"{run_seed}/{phase}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
