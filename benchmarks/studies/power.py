"""How often the test for collapse finds what lies between real images and clear collapse.

    python benchmarks/studies/power.py --data-dir DIR --out docs/power.png    # MNIST
    python benchmarks/studies/power.py --dataset digits --n 300

One defect at a time is put into real images of the bench (`samples_bench.py`), more and more of it.
Prints the rates of verdicts and of `collapsed_p` below .05, with Jeffreys intervals.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.studies.samples_bench import (
    PARTS,
    Bench,
    Make,
    Source,
    blurred,
    few_classes,
    few_images,
    noisy,
    partly_copies,
)
from gansearch.data.registry import load_dataset
from gansearch.ranking.shares import jeffreys


def without(share: float) -> Make:
    """Return images that lack a share of one class."""

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        is_one = source.labels == rng.integers(source.n_classes)
        rows = np.flatnonzero(~is_one | (rng.random(len(is_one)) >= share))
        return source.images[rng.choice(rows, n, replace=n > len(rows))]

    return make


def defects(n_classes: int) -> dict[str, dict[float, Make]]:
    """Return how to make samples, by the defect and how much of it there is."""
    return {
        "share of one class lost": {x: without(x) for x in (0.0, 0.5, 0.75, 1.0)},
        "classes": {k: few_classes(k) for k in range(n_classes // 2 - 1, n_classes)},
        "images": {k: few_images(k) for k in (50, 100, 150, 250, 1000)},
        "share of copies of 20 images": {x: partly_copies(x, 20) for x in (0.02, 0.05, 0.1, 0.2)},
        "noise": {x: noisy(x) for x in (0.02, 0.05, 0.1, 0.2)},
        "blur": {x: blurred(x) for x in (0.3, 0.4, 0.5, 1.0)},
    }


def measure(arguments: argparse.Namespace, n: int) -> pd.DataFrame:
    """Return a row per defect and its amount, with counts of what was found in n samples."""
    torch.set_num_threads(1)
    bench = Bench(load_dataset(arguments.dataset, arguments.data_dir), arguments.part)
    rows = []
    for defect, levels in defects(bench.source.n_classes).items():
        if not any(defect.startswith(wanted) for wanted in arguments.defects):
            continue
        for amount, make in levels.items():
            rng = np.random.default_rng(n)
            found = [bench.judge(make(bench.source, n, rng)) for _ in range(arguments.draws)]
            statuses = [each.verdict.status for each in found]
            counts = {status: statuses.count(status) for status in ("collapsed", "undetermined")}
            counts["p < .05"] = sum(each.collapsed_p < 0.05 for each in found)
            rows.append({"defect": defect, "amount": amount, "n": n, **counts})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame, n_draws: int) -> str:
    """Return a row per defect and amount, with the rates for each number of samples."""
    numbers = sorted(table["n"].unique())
    measures = ("collapsed", "undetermined", "p < .05")
    heads = [f"{m}, n = {n:,}" if m == "collapsed" else m for n in numbers for m in measures]
    lines = [f"| defect | amount | {' | '.join(heads)} |", "|" + " --- |" * (2 + len(heads))]
    for (defect, amount), rows in table.groupby(["defect", "amount"], sort=False):
        by_n = rows.set_index("n")
        rates = [f"{by_n.loc[n, m] / n_draws:.2f}" for n in numbers for m in measures]
        lines.append(f"| {defect} | {amount:g} | {' | '.join(rates)} |")
    return "\n".join(lines)


def draw(table: pd.DataFrame, n_draws: int, path: Path) -> None:
    """Write a figure: a panel per defect, with the rates of collapsed and of small p-values."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 6), sharey=True, layout="constrained")
    styles = {"p < .05": "-", "collapsed": "--"}
    for axis, (defect, rows) in zip(axes.flat, table.groupby("defect", sort=False), strict=True):
        for colour, (n, of_n) in zip(("C0", "C1", "C2"), rows.groupby("n"), strict=False):
            amounts = of_n["amount"].to_numpy(float)
            for measure_name, style in styles.items():
                counts = of_n[measure_name].to_numpy(int)
                bounds = np.array([jeffreys(count, n_draws) for count in counts])
                label = f"{measure_name}, n = {n:,}"
                axis.plot(amounts, counts / n_draws, style, color=colour, label=label)
                axis.fill_between(amounts, *bounds.T, color=colour, alpha=0.1)
        axis.set_xlabel(str(defect))
        if defect == "images":
            axis.set_xscale("log")
    axes[0, 0].set_ylabel("rate")
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="mnist", help="digits, mnist or folder")
    parser.add_argument("--data-dir", type=Path, help="for mnist and folder; also GANSEARCH_DATA")
    parser.add_argument("--part", choices=PARTS, default="fresh", help="of the images")
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000, 2000])
    parser.add_argument("--defects", nargs="+", default=[""], help="how their names begin")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path, help="the figure of all defects, .png")
    arguments = parser.parse_args()
    if arguments.out and arguments.defects != [""]:
        parser.error("--out draws all defects; leave out --defects")
    with ProcessPoolExecutor(len(arguments.n), get_context("spawn")) as pool:
        table = pd.concat(pool.map(partial(measure, arguments), arguments.n))
    print(markdown(table, arguments.draws))
    for count in (0, round(0.9 * arguments.draws), arguments.draws):
        low, high = jeffreys(count, arguments.draws)
        print(f"{count} of {arguments.draws}: [{low:.2f}, {high:.2f}]")
    if arguments.out:
        draw(table, arguments.draws, arguments.out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
