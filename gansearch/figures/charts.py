"""Pictures: samples beside their neighbours and between one another, learning curves, the ranking.

Samples are never picked. Matplotlib is imported where it draws, since the workers, which draw only
strips of samples, would pay for it in memory; its figures are objects of their own, never pyplot's.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image, ImageColor, ImageDraw, ImageFont

from gansearch.data.dataset import Dataset
from gansearch.figures.figure1 import (
    Moment,
    bandwidth,
    data_density,
    estimated_density,
    grid_of,
    optimal_discriminator,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design": told apart by colour-blind readers as well.
_BLACK, _ORANGE, _SKY, _GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
_BLUE, _VERMILION, _PURPLE, _GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
_STATUS_STYLES = {
    "completed": (_GREEN, "solid"),
    "pruned": (_SKY, "solid"),
    "collapsed": (_PURPLE, "dashed"),
    "diverged": (_ORANGE, "dashdot"),
    "failed": (_VERMILION, "dotted"),
    "running": (_BLACK, "solid"),
}
_LINE_STYLES = ("dashed", "dotted", "dashdot")
_TILE_PIXELS = 48  # a shown image is at least this high
_MAX_TILE_PIXELS = 96  # and at most this high and wide
_PAGE_PIXELS = 1200  # a grid is at most this wide
_POINT_TILE_PIXELS = 96
_FONT_PIXELS = 13
_FRAME, _GAP, _PAIR_GAP = 2, 2, 8
_MAX_POINTS = 5000
_GAME_COLUMNS = 3
_LEAST_DENSITY = 0.03  # share of the greatest below which the optimal D is a matter of chance
_MAX_STRIP = 20
_MAX_CURVES = 500
_MAX_RANKED = 30
_NAMES_INCHES = 2.8  # height that the names of published figures need, written upright
_DPI = 120


def sample_grid(
    samples: np.ndarray,
    dataset: Dataset,
    *,
    nearest: np.ndarray | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draw all of `samples`, each with its nearest training image to its right if given.

    This is Figure 2 of Goodfellow et al. (2014), with a neighbour for each sample. Points are drawn
    over training points and the true modes instead, by their first two coordinates, and
    one-dimensional ones as a histogram.

    Args:
        samples: `[n, d]`, images as `Dataset.to_float` gives them, or points.
        dataset: which they imitate.
        nearest: `[n, d]`, the training image that is nearest to each sample; no use for points.
        columns: samples in a row of the grid; None for eight, or more where there are more than 64
            samples, but not more than fit a page.
    """
    if not dataset.is_image:
        return _point_picture(samples, dataset)
    tiles = _image_tiles(samples, dataset)
    caption = f"{len(samples):,} unpicked samples"
    if nearest is not None:
        neighbours = _framed(_image_tiles(nearest, dataset))
        tiles = np.concatenate([_framed(tiles, "white"), neighbours], axis=2)
        caption += ", each with its nearest training image (framed)"
    if columns is None:
        fitting = (_PAGE_PIXELS - _PAIR_GAP) // (tiles.shape[2] + _PAIR_GAP)
        columns = min(fitting, max(8, math.ceil(math.sqrt(len(samples)))))
    return _captioned(_mosaic(tiles, columns, _PAIR_GAP), caption)


def strip(samples_by_update: Sequence[np.ndarray], dataset: Dataset) -> Image.Image:
    """Draw samples of the same noise over a training, left to right.

    Args:
        samples_by_update: one `[n, d]` a report, as in `sample_grid`; at least one. Evenly spaced
            ones are shown where there are many, always with the last.
        dataset: which they imitate.
    """
    chosen = [samples_by_update[i] for i in _evenly_spaced(len(samples_by_update), _MAX_STRIP)]
    if not dataset.is_image:
        tiles = np.stack([_point_tile(samples, dataset) for samples in chosen])
        return _captioned(_mosaic(tiles, len(chosen), _GAP), "from the first report to the last")
    by_sample = np.stack(chosen, axis=1).reshape(-1, dataset.dim)
    tiles = _image_tiles(by_sample, dataset)
    caption = "from the first report to the last; a row, the same noise"
    return _captioned(_mosaic(tiles, len(chosen), _GAP), caption)


def interpolation_picture(paths: np.ndarray, dataset: Dataset) -> Image.Image:
    """Draw what G makes of straight lines in noise space, a row a line.

    This is Figure 3 of Goodfellow et al. (2014). Points are drawn as paths over training points, by
    their first two coordinates, and one-dimensional ones as curves over the way along the line.

    Args:
        paths: `[rows, steps, d]` as in `sample_grid`, each row from one unpicked sample to another.
        dataset: which they imitate.
    """
    n_rows, n_steps, _ = paths.shape
    if not dataset.is_image:
        return _path_picture(paths, dataset)
    tiles = _image_tiles(paths.reshape(n_rows * n_steps, -1), dataset)
    told = "a row, a straight line in noise space between two unpicked samples"
    return _captioned(_mosaic(tiles, n_steps, _GAP), told)


def game_picture(moments: Sequence[Moment], dataset: Dataset, noise: np.ndarray) -> bytes:
    """Draw the game in one dimension, a panel a moment, as Figure 1 of the paper; PNG.

    Above, the densities of data and samples, D, and the optimal D: this compares the samples'
    estimated density to the data's, smoothed as much, and is left out where there is neither.
    Below, lines lead from z on its own axis to x = G(z).

    Args:
        moments: at least one.
        dataset: of one dimension.
        noise: the z that `Moment.arrows` come from, `[n_arrows]`, ascending, or empty.
    """
    from matplotlib.figure import Figure

    columns = min(_GAME_COLUMNS, len(moments))
    n_rows = -(-len(moments) // columns)
    size = (0.6 + 3.1 * columns, 0.7 + (3.2 if len(noise) else 2.5) * n_rows)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    grid = figure.add_gridspec(n_rows, columns)
    for i, moment in enumerate(moments):
        cell = grid[i // columns, i % columns].subgridspec(2, 1, height_ratios=[3, 1], hspace=0)
        upper = figure.add_subplot(cell[0] if len(noise) else cell[:])
        probability = _draw_game(upper, moment, dataset)
        if i % columns == 0:
            upper.set_ylabel("density", fontsize=9)
        else:
            upper.set_yticklabels([])
        if i % columns == columns - 1 or i == len(moments) - 1:
            probability.set_ylabel("D", fontsize=9)
        else:
            probability.set_yticklabels([])
        if len(noise):
            _draw_arrows(figure.add_subplot(cell[1]), moment, dataset, noise)
    lines = [*upper.get_lines(), *probability.get_lines()]
    figure.legend(handles=lines, loc="outside upper center", ncols=4, fontsize=9)
    return _png(figure)


def _draw_game(axes: Axes, moment: Moment, dataset: Dataset) -> Axes:
    """Draw a panel's densities and, on an axis of their own that is returned, D and its optimum."""
    x = grid_of(dataset)
    width = bandwidth(moment.samples, x)
    p_data, p_g = data_density(dataset, x), estimated_density(moment.samples, x, width)
    smoothed = data_density(dataset, x, width)
    certain = np.maximum(smoothed, p_g) > _LEAST_DENSITY * smoothed.max()
    optimum = np.where(certain, optimal_discriminator(smoothed, p_g), np.nan)
    axes.plot(x, p_data, ":", color=_BLACK, linewidth=2, label="density of the data")
    axes.plot(x, p_g, color=_GREEN, linewidth=2, label="density of the samples")
    # A collapsed generator's density is a needle; it is cut off.
    axes.set(ylim=(0, 2.5 * p_data.max()), xlim=(x[0], x[-1]))
    title = f"update {moment.updates:,}" if moment.updates else "before training"
    axes.set_title(title, fontsize=9)
    probability = axes.twinx()
    probability.plot(x, optimum, color=_VERMILION, linewidth=1, label="the optimal D(x)")
    probability.plot(x, moment.d, "--", color=_BLUE, linewidth=1.5, label="D(x)")
    probability.set(ylim=(0, 1))
    for either in (axes, probability):
        either.spines["top"].set_visible(False)
        either.tick_params(labelsize=8)
    return probability


def _draw_arrows(axes: Axes, moment: Moment, dataset: Dataset, noise: np.ndarray) -> None:
    """Draw lines up from each z, on an axis scaled to the width of the panel, to G(z)."""
    x = grid_of(dataset)
    place = np.interp(
        noise, (noise[0], noise[-1]), (x[0] + 0.15 * np.ptp(x), x[-1] - 0.15 * np.ptp(x))
    )
    axes.plot(np.stack([place, moment.arrows]), [[0], [1]], color=_GREY, linewidth=0.7)
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), yticks=[0, 1], yticklabels=["z", "x"])
    axes.spines[["left", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, left=False)
    axes.set_xticks([])


def png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def learning_curves(
    history: pd.DataFrame, trials: pd.DataFrame, training: Mapping[str, Any] | None = None
) -> bytes:
    """Draw valid_ll against updates, a line a trial in the colour of its status; PNG.

    Of more than 500 trials, 500 are drawn, evenly spaced by number.

    Args:
        history: rows of `history/`, at least one with a finite valid_ll.
        trials: rows of `trials.parquet`.
        training: `name`, `n_samples` and `valid_ll` of training examples, scored as reports are: a
            line of its own. Other reference lines are of more samples, and don't compare.
    """
    scored = history[np.isfinite(history["valid_ll"])]
    names = sorted(scored["trial_id"].unique())
    shown = [names[i] for i in _evenly_spaced(len(names), _MAX_CURVES)]
    drawn = scored[scored["trial_id"].isin(shown)].sort_values("updates")
    curves = {str(name): curve for name, curve in drawn.groupby("trial_id")}
    statuses = trials.set_index("trial_id")["status"]
    figure, axes = _figure(7, 4)
    for status in _STATUS_STYLES:
        of_status = [name for name in shown if statuses.get(name) == status]
        if of_status:
            points = [curves[name][["updates", "valid_ll"]].to_numpy() for name in of_status]
            _draw_curves(axes, points, status)
    if training:
        label = f"{training['n_samples']:,} {_plain(training['name'])}"
        axes.axhline(training["valid_ll"], color=_VERMILION, linestyle="dashed", label=label)
    _focus(axes, scored["valid_ll"], training["valid_ll"] if training else None)
    if len(shown) < len(names):
        axes.set_title(f"{len(shown)} of {len(names):,} trials", fontsize=9, loc="right")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, columnspacing=1)
    return _png(figure)


def _draw_curves(axes: Axes, curves: Sequence[np.ndarray], status: str) -> None:
    """Draw a line for each `[n, 2]` of updates and valid_ll."""
    from matplotlib.collections import LineCollection

    colour, style = _STATUS_STYLES[status]
    width = 1.6 if status == "completed" else 0.9
    label = f"{len(curves)} {status}"
    axes.add_collection(
        LineCollection(curves, colors=colour, linestyles=style, linewidths=width, label=label)
    )
    # A trial that has reported once has no line.
    first = np.array([curve[0] for curve in curves])
    axes.plot(first[:, 0], first[:, 1], ".", color=colour, markersize=3)


def _focus(axes: Axes, scores: pd.Series[float], line: float | None) -> None:
    """Limit the vertical axis to where trials compete; a bad one lies thousands of nats below.

    A line that is drawn beside them is in sight too.
    """
    worst, quarter, best = np.quantile(scores, [0, 0.25, 1])
    low, high = max(worst, 2 * quarter - best), best
    if line is not None:
        low, high = min(low, line), max(high, line)
    margin = 0.05 * (high - low) or 1.0
    axes.autoscale()
    axes.set_ylim(low - margin, high + margin)
    cut = "\n(lower ones cut off)" if low > worst else ""
    axes.set_xlabel("parameter updates, of D and G together")
    axes.set_ylabel(f"validation log-likelihood, nats{cut}")


def ranking_figure(ranking: pd.DataFrame, references: pd.DataFrame) -> bytes:
    """Draw test log-likelihoods with their intervals, the best on top, beside real data's; PNG.

    Published figures are thin grey lines with their names on them.

    Args:
        ranking: rows of `ranking.parquet`, at least one with a score; the first 30 are drawn.
        references: rows of `references.parquet`, or none.
    """
    rows = ranking[np.isfinite(ranking["test_ll"])].head(_MAX_RANKED)
    computed, published = _by_origin(references)
    height = 1.3 + 0.33 * len(rows)
    figure, axes = _figure(7, max(height, _NAMES_INCHES) if published else height)
    places = np.arange(len(rows))
    scores = rows["test_ll"].to_numpy()
    # With one seed there is no interval.
    below = np.nan_to_num(scores - rows["test_ll_low"].to_numpy(float))
    above = np.nan_to_num(rows["test_ll_high"].to_numpy(float) - scores)
    axes.errorbar(
        scores, places, xerr=np.stack([below, above]), fmt="o", color=_BLUE, capsize=3, markersize=5
    )
    for name, test_ll, style in computed:
        axes.axvline(test_ll, color=_VERMILION, linestyle=style, label=name)
    for name, test_ll, _ in published:
        axes.axvline(test_ll, color=_GREY, linewidth=0.8, zorder=0)
        place = axes.get_xaxis_transform()
        told = axes.text(test_ll, 0.02, name, transform=place, rotation=90, color=_GREY)
        told.set(fontsize=6, ha="right", va="bottom")
    labels = [
        f"{row['config_id']}{' (paper)' if row['is_paper'] else ''}"
        for row in rows.to_dict("records")
    ]
    axes.set_yticks(places, labels, family="monospace", fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("test log-likelihood, nats, with 95 % intervals")
    if computed:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8, ncols=3)
    return _png(figure)


def score_curves(curve: pd.DataFrame, references: pd.DataFrame) -> bytes:
    """Draw test log-likelihoods against the number of samples, a line a name, with references; PNG.

    Training examples are in the reference lines' colour; published figures are grey marks at the
    number of samples that they come from.

    Args:
        curve: rows of `curve.parquet`, at least one.
        references: rows of `references.parquet`, or none.
    """
    figure, axes = _figure(7, 4.5)
    computed, published = _by_origin(references)
    for name, rows in curve.groupby("name", sort=False):
        is_training = str(name).startswith("training")
        axes.errorbar(
            rows["n_samples"],
            rows["test_ll"],
            yerr=1.96 * rows["test_ll_se"],
            fmt="o--" if is_training else "o-",
            color=_VERMILION if is_training else _BLUE,
            markersize=4,
            capsize=2,
            label=_plain(name),
        )
    for name, test_ll, style in computed:
        if not name.startswith("training"):
            axes.axhline(test_ll, color=_VERMILION, linestyle=style, label=name)
    counts = references.loc[references["source"].notna(), "n_samples"]
    by_height = sorted(zip(published, counts, strict=True), key=lambda pair: pair[0][1])
    for i, ((name, test_ll, _), count) in enumerate(by_height):
        axes.plot(count, test_ll, "D", color=_GREY, markersize=4, zorder=0)
        # To the left and to the right in turn, since some lie close together.
        place = (6 - 12 * (i % 2), 0)
        told = axes.annotate(name, (count, test_ll), place, textcoords="offset points")
        told.set(color=_GREY, fontsize=7, ha=("left", "right")[i % 2], va="center")
    axes.set_xscale("log")
    axes.set_xlabel("samples")
    axes.set_ylabel("test log-likelihood, nats, +- 1.96 se")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8, ncols=4)
    return _png(figure)


def stability_figure(cells: pd.DataFrame, importances: pd.DataFrame) -> bytes:
    """Draw the map of survivors by k and the learning rates' ratio, and what decides; PNG.

    Cells without a trial stay blank. Where too few trials tell what decides, the map is alone.

    Args:
        cells: the map's rows of `stability.parquet`.
        importances: rows of `importances.parquet`; at least one with an importance, or a map.
    """
    from matplotlib.figure import Figure

    tells = bool(importances["importance"].notna().any())
    n_rows = max(cells["value"].nunique(), 0.7 * importances["parameter"].nunique() * tells, 4)
    n_parts = (not cells.empty) + tells
    figure = Figure(figsize=(4.75 * n_parts, 1.4 + 0.42 * n_rows), dpi=_DPI, layout="constrained")
    parts = list(figure.subplots(1, n_parts, squeeze=False)[0])
    if not cells.empty:
        _draw_map(parts[0], cells)
    if tells:
        _draw_importances(parts[-1], importances)
    return _png(figure)


def _draw_map(axes: Axes, cells: pd.DataFrame) -> None:
    ks, ratios = cells["value"].unique(), cells["ratio"].unique()
    shares = cells["p_survives"].to_numpy(float).reshape(len(ks), len(ratios))
    # Cividis was made to be read alike with and without colour blindness (Nunez et al. 2018).
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    counts = zip(cells["n_survived"], cells["n_trials"], shares.ravel(), strict=True)
    for i, (n_survived, n_trials, share) in enumerate(counts):
        if n_trials:
            place = (i % len(ratios), i // len(ratios))
            colour = "black" if share > 0.5 else "white"
            told = f"{n_survived}/{n_trials}"
            axes.annotate(told, place, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(ratios)), list(ratios), fontsize=8)
    axes.set_yticks(range(len(ks)), list(ks), fontsize=8)
    axes.set(xlabel="discriminator_lr / generator_lr", ylabel="k")
    axes.set_title("survivors/trials", fontsize=10, loc="left")
    colours = axes.figure.colorbar(image, ax=axes, shrink=0.9)
    colours.set_label("share that survived", fontsize=8)
    colours.ax.tick_params(labelsize=8)


def _draw_importances(axes: Axes, importances: pd.DataFrame) -> None:
    """Draw two bars a parameter, the most decisive on top."""
    told = importances.pivot_table(
        index="parameter", columns="target", values="importance", sort=False
    ).reindex(columns=["survival", "quality"])
    told = told.loc[told.max(axis=1).sort_values(kind="stable").index]
    places = np.arange(len(told))
    for target, colour, up in (("survival", _VERMILION, 0.2), ("quality", _BLUE, -0.2)):
        known = told[target].notna().any()
        label = target if known else f"{target}: too few trials to tell"
        lengths = told[target].fillna(0).clip(lower=0)
        axes.barh(places + up, lengths, 0.38, color=colour, label=label)
    axes.set_yticks(places, list(told.index), fontsize=8)
    axes.set(xlim=(0, 1), xlabel="share of the forest's skill lost without it")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=1, frameon=False)


def _by_origin(
    references: pd.DataFrame,
) -> tuple[list[tuple[str, float, str]], list[tuple[str, float, str]]]:
    """Return the name, score and line style of references that were computed, and published."""
    is_published = references["source"].notna()
    computed, published = (
        [
            (_plain(row["name"]), float(row["test_ll"]), style)
            for row, style in zip(rows.to_dict("records"), cycle(_LINE_STYLES), strict=False)
        ]
        for rows in (references[~is_published], references[is_published])
    )
    return computed, published


def _plain(name: object) -> str:
    """Return a name as matplotlib shows it, which takes what is between dollars for mathematics."""
    return str(name).replace("$", r"\$")


def _evenly_spaced(n: int, most: int) -> list[int]:
    """Return at most so many of the indices 0 to n - 1, ascending, the last among them."""
    steps = np.linspace(n - 1, 0, min(n, most)).round().astype(int)
    return [int(i) for i in steps[::-1]]


def _image_tiles(images: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, d]` as RGB tiles `[n, h, w, 3]`, of a size to look at.

    Small ones are enlarged by a whole factor, so that their pixels stay squares.
    """
    height, width, channels = dataset.shape
    pixels = (dataset.to_pixels(np.nan_to_num(images)) * 255).round().astype(np.uint8)
    tiles = pixels.reshape(-1, height, width, channels)
    if channels == 1:
        tiles = tiles.repeat(3, axis=3)
    side = max(height, width)
    if side > _MAX_TILE_PIXELS:
        size = [max(1, round(length * _MAX_TILE_PIXELS / side)) for length in (width, height)]
        return np.stack([_resized(tile, (size[0], size[1])) for tile in tiles])
    factor = max(1, min(-(-_TILE_PIXELS // height), _MAX_TILE_PIXELS // width))
    enlarged: np.ndarray = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    return enlarged


def _resized(tile: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS))


def _framed(tiles: np.ndarray, colour: str = _ORANGE) -> np.ndarray:
    n, height, width, _ = tiles.shape
    framed = np.empty((n, height + 2 * _FRAME, width + 2 * _FRAME, 3), np.uint8)
    framed[:] = ImageColor.getrgb(colour)
    framed[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = tiles
    return framed


def _mosaic(tiles: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Lay out tiles `[n, h, w, 3]` row by row on white, `gap` pixels apart."""
    n, height, width, _ = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, tile in enumerate(tiles):
        top = gap + i // columns * (height + gap)
        left = gap + i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _captioned(picture: np.ndarray, caption: str) -> Image.Image:
    height, width, _ = picture.shape
    letters = max(12, int(width / (0.55 * _FONT_PIXELS)))
    lines = textwrap.wrap(caption, letters)
    image = Image.new("RGB", (width, height + len(lines) * (_FONT_PIXELS + 4) + 4), "white")
    image.paste(Image.fromarray(picture))
    font = ImageFont.load_default(_FONT_PIXELS)
    position = (_PAIR_GAP, height)
    ImageDraw.Draw(image).multiline_text(position, "\n".join(lines), "black", font, spacing=4)
    return image


def _point_tile(samples: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Draw a few points `[n, d]` in the frame of the training data, with the modes as rings."""
    low, high = _frame_of(dataset)
    image = Image.new("RGB", (_POINT_TILE_PIXELS, _POINT_TILE_PIXELS), "#eeeeee")
    draw = ImageDraw.Draw(image)
    if dataset.modes is not None:
        for x, y in _pixels(dataset.modes, low, high):
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), outline=_GREY)
    for x, y in _pixels(samples, low, high):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_BLUE)
    return np.asarray(image)


def _pixels(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return where points `[n, d]` lie on a tile, `[n, 2]`; those far outside, just outside."""
    share = (_plane(np.nan_to_num(points)) - low) / (high - low)
    share[:, 1] = 1 - share[:, 1]
    pixels: np.ndarray = share.clip(-0.1, 1.1) * _POINT_TILE_PIXELS
    return pixels


def _plane(points: np.ndarray) -> np.ndarray:
    """Return the first two coordinates of points `[n, d]`; the second is 0 where d is 1."""
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    return points[:, :2].astype(np.float64)


def _frame_of(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the training data's box, each `[2]`, widened by a fifth."""
    points = _plane(dataset.train)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.2 * (high - low), 1.0)
    return low - margin, high + margin


def _point_picture(samples: np.ndarray, dataset: Dataset) -> Image.Image:
    low, high = _frame_of(dataset)
    train = _shown_training(dataset)
    if samples.shape[1] == 1:
        figure, axes = _figure(6, 4)
        _draw_histograms(axes, samples[:, 0], train[:, 0], low[0], high[0])
    else:
        figure, axes = _figure(6, 6)
        _draw_scatter(axes, samples, train, dataset.modes)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    plane = _plane(samples)
    n_outside = int((~((plane >= low) & (plane <= high)).all(axis=1)).sum())
    told = f", {n_outside:,} of them outside the frame" if n_outside else ""
    axes.set_title(f"{len(samples):,} unpicked samples{told}", fontsize=10, loc="left")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return Image.open(io.BytesIO(_png(figure))).convert("RGB")


def _shown_training(dataset: Dataset) -> np.ndarray:
    return dataset.train[:: max(1, len(dataset.train) // _MAX_POINTS)]


def _path_picture(paths: np.ndarray, dataset: Dataset) -> Image.Image:
    low, high = _frame_of(dataset)
    if paths.shape[2] == 1:
        figure, axes = _figure(6, 4)
        _draw_ways(axes, paths[:, :, 0])
        axes.set(ylim=grid_of(dataset)[[0, -1]])
    else:
        figure, axes = _figure(6, 6)
        _draw_paths(axes, paths, _shown_training(dataset), dataset.modes)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_title(
        f"{len(paths)} straight lines in noise space between unpicked samples",
        fontsize=10,
        loc="left",
    )
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return Image.open(io.BytesIO(_png(figure))).convert("RGB")


def _draw_ways(axes: Axes, paths: np.ndarray) -> None:
    """Draw one-dimensional paths `[rows, steps]` over the share of the way between their ends."""
    way = np.linspace(0, 1, paths.shape[1])
    axes.plot(way, paths.T, ".-", color=_BLUE, alpha=0.6, linewidth=1, markersize=2)
    ends = np.stack([np.repeat([0, 1], len(paths)), paths[:, [0, -1]].T.ravel()])
    axes.plot(*ends, "o", color=_VERMILION, markersize=4, label="samples")
    axes.set(xlabel="share of the way in noise space", ylabel="x", xlim=(-0.02, 1.02))


def _draw_paths(axes: Axes, paths: np.ndarray, train: np.ndarray, modes: np.ndarray | None) -> None:
    _draw_scatter(axes, paths[:, [0, -1]].reshape(-1, paths.shape[2]), train, modes)
    for i, path in enumerate(paths):
        x, y = _plane(path).T
        label = "between them" if i == 0 else None
        axes.plot(x, y, ".-", color=_SKY, linewidth=1, markersize=3, zorder=0.9, label=label)


def _draw_histograms(
    axes: Axes, samples: np.ndarray, train: np.ndarray, low: float, high: float
) -> None:
    edges = np.linspace(low, high, 61).tolist()
    axes.hist(train, edges, density=True, color=_GREY, label="training points")
    axes.hist(samples, edges, density=True, histtype="step", color=_BLUE, label="samples")
    axes.set(xlabel="x", ylabel="density", xlim=(low, high))


def _draw_scatter(
    axes: Axes, samples: np.ndarray, train: np.ndarray, modes: np.ndarray | None
) -> None:
    x, y = _plane(train).T
    axes.scatter(x, y, s=4, color="#cccccc", label="training points")
    x, y = _plane(samples).T
    axes.scatter(x, y, s=9, color=_BLUE, alpha=0.5, linewidths=0, label="samples")
    if modes is not None:
        x, y = _plane(modes).T
        axes.scatter(x, y, s=90, marker="+", color=_VERMILION, label="modes")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of so many inches and its axes, plain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
