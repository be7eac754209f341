"""What all pictures share: colours, plain axes, PNG files, and a choice of evenly spaced items.

Matplotlib is imported inside the functions that use it: workers draw only strips of samples, and
the import would cost them memory. Figures are created directly, never through pyplot.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design": colour-blind readers can distinguish them as well.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
DPI = 120


def escape_dollars(name: object) -> str:
    """Escape the dollars in a name: matplotlib typesets what is between two as mathematics."""
    return str(name).replace("$", r"\$")


def evenly_spaced(n: int, most: int) -> list[int]:
    """Return at most `most` of the indices 0 to n - 1, ascending, including the last."""
    steps = np.linspace(n - 1, 0, min(n, most)).round().astype(int)
    return [int(i) for i in steps[::-1]]


def short_count(n: int) -> str:
    """Return a number in three digits at most, for an axis.

    >>> [short_count(n) for n in (500, 1000, 12_345, 999_999, 1_500_000)]
    ['500', '1k', '12.3k', '1M', '1.5M']
    """
    rounded = int(float(f"{n:.3g}"))
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if rounded >= size:
            return f"{rounded / size:.12g}{letter}"
    return str(rounded)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches, and its axes without the upper and right spines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def figure_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
