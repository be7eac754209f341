"""Charts of a run: learning curves, ranking, scores by number of samples, map of survival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gansearch.figures.style import (
    BLACK,
    BLUE,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    escape_dollars,
    evenly_spaced,
    figure_png,
    new_figure,
)
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.scoring.lines import line_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gansearch.own_measures import OwnMeasure

_STATUS_STYLES = {
    "completed": (GREEN, "solid"),
    "pruned": (SKY, "solid"),
    "collapsed": (PURPLE, "dashed"),
    "diverged": (ORANGE, "dashdot"),
    "failed": (VERMILION, "dotted"),
    "running": (BLACK, "solid"),
}
_LINE_STYLES = ("dashed", "dotted", "dashdot")
_MAX_CURVES = 500
_MAX_RANKED = 30
_N_BINS = 40  # of D's outputs
_NAMES_INCHES = 2.8  # height that the names of published figures need, written upright


def learning_curves(
    history: pd.DataFrame,
    trials: pd.DataFrame,
    training: Mapping[str, Any] | None = None,
    measure: OwnMeasure | None = None,
    *,
    updates_title: str = "updates",
) -> bytes:
    """Draw valid_ll against updates, one line per trial in the colour of its status; PNG.

    With `measure`, that is drawn instead.

    Of more than 500 trials, 500 are drawn, evenly spaced by number.

    Args:
        history: rows of `history/`, at least one with a finite value.
        trials: rows of `trials.parquet`.
        training: `name`, `n_samples` and `valid_ll` of training examples, scored as a trial's
            evaluations are; drawn as a horizontal line. The other reference lines come from
            more samples, so they are not comparable.
        measure: of the user's own.
        updates_title: what the family calls its updates.
    """
    column = measure.column if measure else "valid_ll"
    scored = history[np.isfinite(history[column])]
    names = sorted(scored["trial_id"].unique())
    chosen = [names[i] for i in evenly_spaced(len(names), _MAX_CURVES)]
    drawn = scored[scored["trial_id"].isin(chosen)].sort_values("updates")
    curves = {str(name): curve for name, curve in drawn.groupby("trial_id")}
    statuses = trials.set_index("trial_id")["status"]
    figure, axes = new_figure(7, 4)
    for status in _STATUS_STYLES:
        of_status = [name for name in chosen if statuses.get(name) == status]
        if of_status:
            points = [curves[name][["updates", column]].to_numpy() for name in of_status]
            _draw_curves(axes, points, status)
    if training:
        label = f"{training['n_samples']:,} {escape_dollars(training['name'])}"
        axes.axhline(training["valid_ll"], color=VERMILION, linestyle="dashed", label=label)
    _limit_to_good_scores(axes, scored[column], training["valid_ll"] if training else None, measure)
    axes.set_xlabel(escape_dollars(updates_title))
    if len(chosen) < len(names):
        axes.set_title(f"{len(chosen)} of {len(names):,} trials", fontsize=9, loc="right")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, columnspacing=1)
    return figure_png(figure)


def _draw_curves(axes: Axes, curves: Sequence[np.ndarray], status: str) -> None:
    """Draw a line for each `[n, 2]` of updates and values."""
    from matplotlib.collections import LineCollection

    colour, style = _STATUS_STYLES[status]
    width = 1.6 if status == "completed" else 0.9
    label = f"{len(curves)} {status}"
    axes.add_collection(
        LineCollection(curves, colors=colour, linestyles=style, linewidths=width, label=label)
    )
    # A trial with a single evaluation has no line.
    first = np.array([curve[0] for curve in curves])
    axes.plot(first[:, 0], first[:, 1], ".", color=colour, markersize=3)


def _limit_to_good_scores(
    axes: Axes, values: pd.Series[float], line: float | None, measure: OwnMeasure | None
) -> None:
    """Limit the vertical axis to the good trials; a bad one may be thousands of nats below.

    `line`, a score drawn as a horizontal line, stays visible.
    """
    scores = measure.as_score(values) if measure else values
    worst, quarter, best = np.quantile(scores, [0, 0.25, 1])
    low, high = max(worst, 2 * quarter - best), best
    if line is not None:
        low, high = min(low, line), max(high, line)
    margin = 0.05 * (high - low) or 1.0
    axes.autoscale()
    ends = low - margin, high + margin
    axes.set_ylim(*sorted(map(measure.as_score, ends)) if measure else ends)
    cut_off = "higher" if measure and measure.direction == "minimize" else "lower"
    cut = f"\n({cut_off} ones cut off)" if low > worst else ""
    what = _titled(measure) if measure else "validation log-likelihood, nats"
    axes.set_ylabel(escape_dollars(f"{what}{cut}"))


def _titled(measure: OwnMeasure) -> str:
    """Return a measure's name with its unit, if it has one."""
    return ", ".join(filter(None, (measure.name, measure.unit)))


def ranking_figure(
    ranking: pd.DataFrame,
    references: pd.DataFrame,
    measure: OwnMeasure | None = None,
    seeds: Sequence[Sequence[float]] = (),
) -> bytes:
    """Draw test log-likelihoods with their intervals, the best on top, and reference lines; PNG.

    With `measure`, its values against the test set are drawn instead.

    A stroke is the score of one seed.
    Published figures are thin grey lines with their names on them.

    Args:
        ranking: rows of `ranking.parquet`, at least one with a score; the first 30 are drawn.
        references: rows of `references.parquet`, or none.
        measure: of the user's own.
        seeds: its value of each seed, a list for each row of `ranking`.
    """
    column = measure.test_column if measure else "test_ll"
    drawn = np.flatnonzero(np.isfinite(ranking[column]))[:_MAX_RANKED]
    rows = ranking.iloc[drawn]
    of_rows = [seeds[i] for i in drawn] if measure else rows["test_ll_seeds"]
    computed, published = _by_origin(references, column)
    height = 1.3 + 0.33 * len(rows)
    figure, axes = new_figure(7, max(height, _NAMES_INCHES) if published else height)
    places = np.arange(len(rows))
    scores = rows[column].to_numpy()
    # With one seed there is no interval.
    below = np.nan_to_num(scores - rows[f"{column}_low"].to_numpy(float))
    above = np.nan_to_num(rows[f"{column}_high"].to_numpy(float) - scores)
    axes.errorbar(
        scores, places, xerr=np.stack([below, above]), fmt="o", color=BLUE, capsize=3, markersize=5
    )
    for row, of_seeds in enumerate(of_rows):
        if of_seeds is not None:  # as in a ranking of an older version
            axes.plot(of_seeds, np.full(len(of_seeds), row), "|", color=BLACK, markersize=9)
    for name, score, style in computed:
        axes.axvline(score, color=VERMILION, linestyle=style, label=name)
    for name, test_ll, _ in published:
        axes.axvline(test_ll, color=GREY, linewidth=0.8, zorder=0)
        place = axes.get_xaxis_transform()
        label = axes.text(test_ll, 0.02, name, transform=place, rotation=90, color=GREY)
        label.set(fontsize=6, ha="right", va="bottom")
    labels = [_label(row) for row in rows.to_dict("records")]
    axes.set_yticks(places, labels, family="monospace", fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    what = f"{_titled(measure)}, against the test set" if measure else "test log-likelihood, nats"
    axes.set_xlabel(f"{what}, with 95 % intervals", parse_math=False)
    if computed:
        # Names are long where they say from how many samples a score comes.
        figure.legend(loc="outside upper center", fontsize=8, ncols=2)
    return figure_png(figure)


def _label(row: Mapping[Any, Any]) -> str:
    """Return the name of a configuration, or else its id; without a name the paper's is marked."""
    if isinstance(name := row.get("name"), str):
        return name
    return f"{row['config_id']}{' (paper)' if row['is_paper'] else ''}"


def score_curves(curve: pd.DataFrame, references: pd.DataFrame) -> bytes:
    """Draw test log-likelihoods against the number of samples, one line per name; PNG.

    The data's own scores have the colour of the reference lines; those without a curve, and the
    published figures, are marks at their number of samples.

    Args:
        curve: rows of `curve.parquet`, at least one.
        references: rows of `references.parquet`, or none.
    """
    figure, axes = new_figure(7, 4.5)
    _, published = _by_origin(references)
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
    counts = references.loc[references["source"].notna(), "n_samples"]
    by_height = sorted(zip(published, counts, strict=True), key=lambda pair: pair[0][1])
    for i, ((name, test_ll, _), count) in enumerate(by_height):
        axes.plot(count, test_ll, "D", color=GREY, markersize=4, zorder=0)
        # Alternately to the left and to the right, since some lie close together.
        place = (6 - 12 * (i % 2), 0)
        label = axes.annotate(name, (count, test_ll), place, textcoords="offset points")
        label.set(color=GREY, fontsize=7, ha=("left", "right")[i % 2], va="center")
    axes.set_xscale("log")
    axes.set_xlabel("samples")
    axes.set_ylabel("test log-likelihood, nats, +- 1.96 se")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8, ncols=4)
    return figure_png(figure)


def stability_figure(cells: pd.DataFrame, importances: pd.DataFrame) -> bytes:
    """Draw survivors by k and the ratio of the learning rates, and importances; PNG.

    Cells without a trial stay blank. If there are too few trials for importances, the map is
    drawn alone.

    Args:
        cells: the map's rows of `stability.parquet`.
        importances: rows of `importances.parquet`; at least one with an importance, or a map.
    """
    from matplotlib.figure import Figure

    has_importances = bool(importances["importance"].notna().any())
    n_rows = max(
        cells["value"].nunique(), 0.7 * importances["parameter"].nunique() * has_importances, 4
    )
    n_parts = (not cells.empty) + has_importances
    figure = Figure(figsize=(4.75 * n_parts, 1.4 + 0.42 * n_rows), dpi=DPI, layout="constrained")
    parts = list(figure.subplots(1, n_parts, squeeze=False)[0])
    if not cells.empty:
        _draw_map(parts[0], cells)
    if has_importances:
        _draw_importances(parts[-1], importances)
    return figure_png(figure)


def _draw_map(axes: Axes, cells: pd.DataFrame) -> None:
    ks, ratios = cells["value"].unique(), cells["ratio"].unique()
    shares = cells["p_survives"].to_numpy(float).reshape(len(ks), len(ratios))
    # Cividis looks nearly the same with and without colour blindness (Nunez et al. 2018).
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    counts = zip(cells["n_survived"], cells["n_trials"], shares.ravel(), strict=True)
    for i, (n_survived, n_trials, share) in enumerate(counts):
        if n_trials:
            place = (i % len(ratios), i // len(ratios))
            colour = "black" if share > 0.5 else "white"
            label = f"{n_survived}/{n_trials}"
            axes.annotate(label, place, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(ratios)), list(ratios), fontsize=8)
    axes.set_yticks(range(len(ks)), list(ks), fontsize=8)
    axes.set(xlabel="discriminator_lr / generator_lr", ylabel="k")
    axes.set_title("survivors/trials", fontsize=10, loc="left")
    colours = axes.figure.colorbar(image, ax=axes, shrink=0.9)
    colours.set_label("share that survived", fontsize=8)
    colours.ax.tick_params(labelsize=8)


def _draw_importances(axes: Axes, importances: pd.DataFrame) -> None:
    """Draw two bars per parameter, the most important on top."""
    table = importances.pivot_table(
        index="parameter", columns="target", values="importance", sort=False
    ).reindex(columns=["survival", "quality"])
    table = table.loc[table.max(axis=1).sort_values(kind="stable").index]
    places = np.arange(len(table))
    for target, colour, up in (("survival", VERMILION, 0.2), ("quality", BLUE, -0.2)):
        known = table[target].notna().any()
        label = target if known else f"{target}: too few trials"
        lengths = table[target].fillna(0).clip(lower=0)
        axes.barh(places + up, lengths, 0.38, color=colour, label=label)
    axes.set_yticks(places, list(table.index), fontsize=8)
    axes.set(xlim=(0, 1), xlabel="share of skill lost when permuted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=1, frameon=False)


def discriminator_outputs(outputs: np.ndarray) -> bytes:
    """Draw the histograms of D's outputs `[2, n]` on real and on generated examples; PNG."""
    figure, axes = new_figure(7, 2.6)
    edges = np.linspace(0, 1, _N_BINS + 1).tolist()
    titles = (("real", BLUE), ("generated", VERMILION))
    for values, (title, colour) in zip(outputs, titles, strict=True):
        axes.hist(values, edges, color=colour, alpha=0.6, label=f"{len(values):,} {title}")
    axes.axvline(0.5, color=BLACK, linestyle="dashed", label="D = 1/2")
    axes.set(xlim=(0, 1), xlabel="D", ylabel="examples")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8)
    return figure_png(figure)


def _is_training(references: pd.DataFrame) -> pd.Series[bool]:
    return references["name"].astype(str).str.startswith("training")


def _with_count(row: Mapping[Any, Any]) -> str:
    """Return a reference's name, with its number of samples where a final score has another."""
    name, n_samples = escape_dollars(line_title(row)), row["n_samples"]
    return name if n_samples == N_FINAL_SAMPLES else f"{name}, only {n_samples:,} samples"


def _by_origin(
    references: pd.DataFrame, column: str = "test_ll"
) -> tuple[list[tuple[str, float, str]], list[tuple[str, float, str]]]:
    """Return name, score and line style of the computed references, and of the published ones."""
    if column not in references:
        return [], []
    references = references[references[column].notna()]
    is_published = references["source"].notna()
    computed, published = (
        [
            (_with_count(row), float(row[column]), style)
            for row, style in zip(rows.to_dict("records"), cycle(_LINE_STYLES), strict=False)
        ]
        for rows in (references[~is_published], references[is_published])
    )
    return computed, published
