"""The chart of scores by the number of samples."""

from __future__ import annotations

from itertools import cycle

import pandas as pd

from gansearch.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    escape_dollars,
    figure_png,
    new_figure,
)
from gansearch.runs.tables import rows_of
from gansearch.scoring.lines import line_title


def score_curves(curve: pd.DataFrame, references: pd.DataFrame) -> bytes:
    """Draw test log-likelihoods against the number of samples, one line per name; PNG.

    The data's own scores have the colour of the reference lines; those without a curve, and the
    published figures, are marks at their number of samples.

    Args:
        curve: rows of `curve.parquet`, at least one.
        references: rows of `references.parquet`, or none.
    """
    figure, axes = new_figure(7, 4.5)
    for name, rows in curve.groupby("name", sort=False):
        is_training = str(name).startswith("training")
        axes.errorbar(
            rows["n_samples"],
            rows["test_ll"],
            yerr=1.96 * rows["test_ll_se"],
            fmt="o--" if is_training else "o-",
            color=VERMILION if is_training else BLUE,
            markersize=4,
            capsize=2,
            label=escape_dollars(name),
        )
    others = references[references["source"].isna() & ~_is_training(references)]
    for row, marker in zip(others.to_dict("records"), cycle("sv^"), strict=False):
        place = (row["n_samples"], row["test_ll"])
        axes.plot(*place, marker, color=VERMILION, label=escape_dollars(row["name"]))
    published = references[references["source"].notna()].sort_values("test_ll")
    for i, line in enumerate(rows_of(published)):
        name, place = escape_dollars(line_title(line)), (line["n_samples"], line["test_ll"])
        axes.plot(*place, "D", color=GREY, markersize=4, zorder=0)
        # Alternately to the left and to the right, since some lie close together.
        label = axes.annotate(name, place, (6 - 12 * (i % 2), 0), textcoords="offset points")
        label.set(color=GREY, fontsize=7, ha=("left", "right")[i % 2], va="center")
    axes.set_xscale("log")
    axes.set_xlabel("samples")
    axes.set_ylabel("test log-likelihood, nats, +- 1.96 se")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8, ncols=4)
    return figure_png(figure)


def _is_training(references: pd.DataFrame) -> pd.Series[bool]:
    return references["name"].astype(str).str.startswith("training")
