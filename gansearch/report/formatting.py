"""Numbers, times and texts as reports show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# From here on numbers have an exponent: scores of diverged trainings may have any magnitude.
_HUGE = 1e6


def label_of(row: Mapping[str, Any]) -> str:
    """Return what tables call the configuration of a row of a ranking: its name, or else its id."""
    name = row.get("name")
    return name if isinstance(name, str) else str(row["config_id"])


def format_interval(mean: float, low: float, high: float, decimals: int, unit: str = "") -> str:
    """Return a mean with its interval, `24.5 [23.1, 25.9]`; without one where `low` is NaN."""
    text = f"{format_number(mean, decimals)}{unit}"
    if math.isnan(low):
        return text
    return f"{text} [{format_number(low, decimals)}, {format_number(high, decimals)}]"


def format_ranks(ranks: Sequence[int]) -> str:
    """Return ascending ranks as `1, 2, 5-9`: in a large study most ranks are tied."""
    runs = [
        [rank for _, rank in run]
        for _, run in groupby(enumerate(ranks), key=lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )


def score_decimals(scores: pd.Series[float]) -> int:
    """Return how many decimals the scores of one table have."""
    return 1 if scores.abs().max() >= 10 else 2


def format_count(value: float) -> str:
    """Return a count with commas between thousands; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:,.0f}"


def format_number(value: float, decimals: int) -> str:
    """Return a number in at most nine characters, thousands without decimals; a dash for NaN."""
    if math.isnan(value):
        return "-"
    if abs(value) >= _HUGE:
        return f"{value:.2e}"
    return f"{value:.{decimals if abs(value) < 1000 else 0}f}"


def format_share(share: float) -> str:
    """Return a share as a percentage: `38 %`."""
    return f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 12 min, 3 h 5 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(given: str) -> float:
    """Return a time such as 2h, 90m, 1h30m or 45s in seconds.

    Raises:
        ValueError: it is none, has no unit, or is no positive number of seconds.
    """
    text = given.strip().lower()
    if re.fullmatch(r"\d*[1-9]\d*(\.\d+)?|0*\.\d*[1-9]\d*", text):
        raise ValueError(f"{given!r} has no unit. Write {text}s, {text}m or {text}h.")
    if re.fullmatch(r"[0.]+", text):
        seconds = 0.0
    elif re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
        parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise ValueError(f"{given!r} is not a time. Write 2h, 90m, 1h30m or 45s.")
    if not seconds > 0:
        raise ValueError(f"{given!r}: a time budget must be positive.")
    if math.isinf(seconds):
        raise ValueError(f"{given!r}: leave the flag out for a run without a limit.")
    return seconds


def printable(text: str) -> str:
    """Return a text on one line, without what a terminal would take for commands."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    # Several spaces may belong to a path.
    line = re.sub(r"\s*[^\S ]\s*", " ", plain).strip()
    return "".join(c for c in line if c.isprintable())
