"""The cells of a parameter: its values, or intervals between round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gansearch.ranking.parameters import Parameter

_MOST_BINS = 6
_TRIALS_IN_BIN = 8


@dataclass(frozen=True)
class Bin:
    """A value or an interval of a parameter.

    Attributes:
        label: as reports show it.
        low, high: `low <= x < high`; None without an end.
        holds: which trials it has, `[n]`.
    """

    label: str
    low: float | None
    high: float | None
    holds: np.ndarray


def bins_of(parameter: Parameter) -> list[Bin]:
    """Return the values of a listed parameter, ascending, or intervals between round numbers."""
    values = parameter.column
    if parameter.is_listed:
        bounds = (lambda value: float(value)) if parameter.is_number else (lambda _: None)
        return [
            Bin(_label(value), bounds(value), bounds(value), (values == value).to_numpy())
            for value in sorted(values.dropna().unique())
        ]
    numbers = values.to_numpy(float)
    present = numbers[np.isfinite(numbers)]
    n_bins = int(np.clip(len(present) // _TRIALS_IN_BIN, 2, _MOST_BINS))
    edges = _round_edges(present, n_bins) if parameter.is_log else []
    edges = edges or _quantile_edges(present, n_bins)
    if not edges:
        return [Bin("all", None, None, np.isfinite(numbers))]
    indices = np.where(np.isfinite(numbers), np.searchsorted(edges, numbers, side="right"), -1)
    lows, highs = [None, *edges], [*edges, None]
    return [
        Bin(_interval_label(low, high), low, high, indices == i)
        for i, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]


def _round_edges(values: np.ndarray, n_bins: int) -> list[float]:
    """Return 1, 3, 10, ..., or decades, or every other one: whatever gives most of `n_bins` bins.

    Edges that cut off less than a twentieth of the values are left out.
    """
    low, high = np.quantile(values, [0.05, 0.95])
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    scales = [
        [float(f"{digit}e{e}") for e in exponents for digit in (1, 3)],
        [float(f"1e{e}") for e in exponents],
        *([float(f"1e{e}") for e in exponents if e % 2 == parity] for parity in (1, 0)),
        [float(f"1e{e}") for e in exponents if e % 4 == 0],
    ]
    inside = [[mark for mark in scale if low < mark <= high] for scale in scales]
    return max((marks for marks in inside if len(marks) < n_bins), key=len, default=[])


def _quantile_edges(values: np.ndarray, n_bins: int) -> list[float]:
    """Return rounded quantiles that divide the values into bins of about equal numbers."""
    quantiles = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
    rounded = sorted({float(f"{edge:.2g}") for edge in quantiles})
    return [edge for edge in rounded if values.min() < edge <= values.max()]


def _interval_label(low: float | None, high: float | None) -> str:
    if low is None:
        return f"<{high:.3g}"
    return f">={low:.3g}" if high is None else f"{low:.3g}-{high:.3g}"


def _label(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
