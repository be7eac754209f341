"""A row of numbers as a tiny chart, one character each."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.,-=+*#"  # where the encoding has no blocks


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Return numbers as characters of growing height, from the least to the greatest of them.

    Of more than `width` numbers as many are taken at equal distances, the last always. NaN and
    infinite ones are left out.

    >>> sparkline([0, 1, 2, 3], 8)
    '▁▃▆█'
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) > width:
        step = (len(finite) - 1) / max(1, width - 1)
        finite = [finite[len(finite) - 1 - round(i * step)] for i in reversed(range(width))]
    if not finite:
        return ""
    characters = _ASCII if ascii_only else _BLOCKS
    low, span = min(finite), max(finite) - min(finite)
    if not 0 < span < math.inf:
        return characters[len(characters) // 2] * len(finite)
    return "".join(
        characters[round((value - low) / span * (len(characters) - 1))] for value in finite
    )
