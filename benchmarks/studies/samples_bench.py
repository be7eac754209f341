"""Samples whose truth is known, made from real images: which of them are called collapsed?

    python benchmarks/studies/samples_bench.py                          # the table for digits
    python benchmarks/studies/samples_bench.py --dataset mnist --data-dir DIR

Validation and test images are split in two halves at random: thresholds were chosen on the tuning
half, and a first look took in the kept half too. *Fresh* images have never been looked at: MNIST's
30,000 training images behind those that the classifier and the references take; a smaller data set
is split anew, and its classifier fitted anew. `make bench-collapse` prints the tables for digits
and, where GANSEARCH_DATA names its folder, MNIST.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.stats import entropy

from gansearch.data.dataset import SPLITS, Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.collapse import Collapse, CollapseTest
from gansearch.scoring.evaluation import health_reference
from gansearch.scoring.indicators import HealthReference

PARTS = ("tuning", "kept", "fresh")
_N_DRAWS = 5
# The classifier takes the first 20,000 training images, and the references the first 5,000.
_N_USED = 20_000


@dataclass(frozen=True)
class Source:
    """Real images that samples are made from.

    Attributes:
        images: `[n, d]` in [0, 1].
        labels: `[n]`.
        shape: of an image.
        n_classes: of the data set.
    """

    images: np.ndarray
    labels: np.ndarray
    shape: tuple[int, ...]
    n_classes: int

    @classmethod
    def of(cls, dataset: Dataset, part: str) -> Source:
        """Return a part, one of `PARTS`, of the images that no classifier was fitted to."""
        labels = dataset.labels
        assert labels is not None
        images = np.concatenate([dataset.valid, dataset.test])
        classes = np.concatenate([labels.valid, labels.test])
        order = np.random.default_rng(0).permutation(len(images))
        if part == "fresh" and _has_unused(dataset):
            images, classes = dataset.train[_N_USED:], labels.train[_N_USED:]
            order = np.arange(len(images))
        half = len(order) // 2
        rows = {"tuning": order[:half], "kept": order[half:], "fresh": order}[part]
        return cls(dataset.to_float(images[rows]), classes[rows], dataset.shape, len(labels.names))

    def draw(
        self, n: int, rng: np.random.Generator, classes: np.ndarray | None = None
    ) -> np.ndarray:
        """Return n images `[n, d]`, each once where there are enough."""
        rows = np.arange(len(self.images))
        if classes is not None:
            rows = rows[np.isin(self.labels, classes)]
        return self.images[rng.choice(rows, n, replace=n > len(rows))]


def _has_unused(dataset: Dataset) -> bool:
    return len(dataset.train) >= 2 * _N_USED


def split_anew(dataset: Dataset) -> Dataset:
    """Return the same examples in three other splits of the same sizes."""
    labels = dataset.labels
    assert labels is not None
    everything = np.concatenate([getattr(dataset, split) for split in SPLITS])
    classes = np.concatenate([getattr(labels, split) for split in SPLITS])
    order = np.random.default_rng(1).permutation(len(everything))
    ends = np.cumsum([len(dataset.train), len(dataset.valid)])
    rows = dict(zip(SPLITS, np.split(order, ends), strict=True))
    anew = dataclasses.replace(labels, **{split: classes[rows[split]] for split in SPLITS})
    examples = {split: everything[rows[split]] for split in SPLITS}
    return dataclasses.replace(dataset, labels=anew, **examples)


Make = Callable[[Source, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One way to make samples, and the statuses that are right for them."""

    name: str
    make: Make
    right: tuple[str, ...]


def few_classes(k: int) -> Make:
    """Return images of k classes."""
    return lambda source, n, rng: source.draw(
        n, rng, rng.choice(source.n_classes, k, replace=False)
    )


def few_images(k: int, noise: float = 0.0, shift: int = 0) -> Make:
    """Return copies of k images, with noise or moved by up to `shift` pixels."""

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        copies = source.draw(k, rng)[rng.integers(k, size=n)]
        if shift:
            steps = rng.integers(-shift, shift + 1, (n, 2))
            images = copies.reshape(-1, *source.shape)
            moved = [np.roll(i, step, (0, 1)) for i, step in zip(images, steps, strict=True)]
            copies = np.stack(moved).reshape(n, -1)
        return np.clip(copies + noise * rng.standard_normal(copies.shape), 0, 1)

    return make


def ten_of_each(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return copies of ten images of each class."""
    classes = range(source.n_classes)
    images = np.concatenate([source.draw(10, rng, np.array([c])) for c in classes])
    return images[rng.integers(len(images), size=n)]


def partly_copies(share: float, k: int) -> Make:
    """Return images of which a share are copies of k images."""

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        images, n_copies = source.draw(n, rng), round(share * n)
        images[:n_copies] = source.draw(k, rng)[rng.integers(k, size=n_copies)]
        return images

    return make


def mostly_one_class(share: float) -> Make:
    """Return images of which a share are of one class and the others of all classes alike."""

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        n_one = round(share * n)
        one = source.draw(n_one, rng, rng.integers(source.n_classes, size=1))
        return np.concatenate([one, source.draw(n - n_one, rng)])

    return make


def geometric_shares(spread: float) -> Make:
    """Return images of all classes with shares in a geometric row, in a random order.

    Their effective number, the exponential of the entropy, is the given share of all classes.
    """

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        powers = np.arange(source.n_classes)

        def shares(ratio: float) -> np.ndarray:
            return ratio**powers / (ratio**powers).sum()

        wanted = max(spread * source.n_classes, 1.1)
        ratio = brentq(lambda r: np.exp(entropy(shares(r))) - wanted, 1e-3, 1 - 1e-9)
        counts = rng.multinomial(n, rng.permutation(shares(ratio)))
        parts = [source.draw(m, rng, np.array([c])) for c, m in enumerate(counts)]
        return np.concatenate(parts)

    return make


def noisy(sd: float) -> Make:
    """Return images with noise."""
    return lambda source, n, rng: np.clip(
        source.draw(n, rng) + sd * rng.standard_normal((n, source.images.shape[1])), 0, 1
    )


def blurred(sd: float) -> Make:
    """Return images after a Gaussian filter."""

    def make(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
        images = source.draw(n, rng).reshape(n, *source.shape)
        filtered: np.ndarray = gaussian_filter(images, (0, sd, sd, 0))
        return filtered.reshape(n, -1)

    return make


def sharpened(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return images with twice the details."""
    images = source.draw(n, rng)
    smooth = gaussian_filter(images.reshape(n, *source.shape), (0, 1, 1, 0)).reshape(n, -1)
    clipped: np.ndarray = np.clip(2 * images - smooth, 0, 1)
    return clipped


def blends(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return points between two images each."""
    weights = rng.random((n, 1))
    return weights * source.draw(n, rng) + (1 - weights) * source.draw(n, rng)


def means(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return means of ten images each."""
    averaged: np.ndarray = source.images[rng.integers(len(source.images), size=(n, 10))].mean(1)
    return averaged


def uniform_noise(source: Source, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise alone."""
    return rng.random((n, source.images.shape[1]))


def cases(n_classes: int) -> list[Case]:
    """Return all cases; of a strong blur any verdict is right."""
    collapsed, between, real = ("collapsed",), ("undetermined",), ("sound", "undetermined")
    not_sound = (*collapsed, *between)
    half = n_classes // 2
    return [
        Case("real", lambda source, n, rng: source.draw(n, rng), ("sound",)),
        *(Case(f"{k} classes", few_classes(k), collapsed) for k in range(1, half + 1)),
        *(Case(f"{k} classes", few_classes(k), between) for k in range(half + 1, n_classes - 1)),
        Case(f"{n_classes - 1} classes", few_classes(n_classes - 1), real),
        Case("91 % one class", mostly_one_class(0.9), collapsed),
        Case("half one class", mostly_one_class(0.45), not_sound),
        *(
            Case(f"geometric shares, spread {x:g}", geometric_shares(x), right)
            for x, right in (
                (0.2, collapsed),
                (0.35, collapsed),
                (0.5, collapsed),
                (0.7, between),
                (0.8, between),
                (0.95, real),
            )
        ),
        *(Case(f"{k} images", few_images(k), collapsed) for k in (1, 2, 10, 50, 100)),
        Case("10 images of each class", ten_of_each, collapsed),
        Case("100 images, noise .05", few_images(100, noise=0.05), collapsed),
        Case("100 images, shifted", few_images(100, shift=1), collapsed),
        Case("250 images", few_images(250), real),
        Case("20 % one image", partly_copies(0.2, 1), real),
        Case("20 % of 20 images", partly_copies(0.2, 20), real),
        Case("80 % one image", partly_copies(0.8, 1), collapsed),
        Case("noise .02", noisy(0.02), real),
        Case("noise .05", noisy(0.05), real),
        Case("noise .1", noisy(0.1), real),
        Case("blur .5", blurred(0.5), real),
        Case("blur 1", blurred(1.0), ("sound", *not_sound)),
        Case("sharpened", sharpened, real),
        Case("blends of two", blends, real),
        Case("means of ten", means, not_sound),
        Case("uniform noise", uniform_noise, collapsed),
    ]


class Bench:
    """Judges the cases of a data set."""

    def __init__(self, dataset: Dataset, part: str = "fresh", *, labels: bool = True) -> None:
        """Prepare the test; without `labels` it knows no classes."""
        if part == "fresh" and not _has_unused(dataset):
            dataset = split_anew(dataset)
        self.source = Source.of(dataset, part)
        self._dataset = dataset if labels else dataclasses.replace(dataset, labels=None)
        self.test = CollapseTest(self._dataset)
        self._reference: Callable[[int], HealthReference] = functools.cache(
            functools.partial(health_reference, self._dataset)
        )

    def judge(self, samples: np.ndarray) -> Collapse:
        """Judge samples as `gansearch evaluate` does."""
        values = samples.astype(np.float32)
        reference = self._reference(min(1000, len(values)))
        order = np.random.default_rng(0).permutation(len(values))
        indicators = reference.indicators(values[order[:1000]])
        return self.test.judge(values, indicators, reference.null)

    def run(self, n: int, n_draws: int) -> pd.DataFrame:
        """Return a row per case: the share of each status, and how often p is below .05."""
        rows = []
        for case in cases(self.source.n_classes):
            rng = np.random.default_rng(n)
            found = [self.judge(case.make(self.source, n, rng)) for _ in range(n_draws)]
            statuses = [each.verdict.status for each in found]
            rows.append(
                {
                    "samples": case.name,
                    "n": n,
                    "collapsed": statuses.count("collapsed") / n_draws,
                    "undetermined": statuses.count("undetermined") / n_draws,
                    "p < .05": sum(each.collapsed_p < 0.05 for each in found) / n_draws,
                    "classes": np.mean([each.n_classes_effective or 0 for each in found]),
                    "wrong": sum(status not in case.right for status in statuses),
                }
            )
        return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", nargs="+", default=["digits"], help="digits, mnist or folder")
    parser.add_argument("--data-dir", type=Path, help="for mnist and folder; also GANSEARCH_DATA")
    parser.add_argument("--part", choices=PARTS, default="fresh", help="of the images")
    parser.add_argument("--without-labels", action="store_true", help="judge as if none were known")
    parser.add_argument("--n", type=int, nargs="+", default=[300])
    parser.add_argument("--draws", type=int, default=_N_DRAWS)
    arguments = parser.parse_args()
    for name in arguments.dataset:
        print_tables(name, arguments)


def print_tables(name: str, arguments: argparse.Namespace) -> None:
    """Print the table of a data set for each number of samples; say so if it isn't there."""
    data_dir, part, n_draws = arguments.data_dir, arguments.part, arguments.draws
    if name == "mnist" and not (data_dir or os.environ.get("GANSEARCH_DATA")):
        print("mnist: left out, GANSEARCH_DATA names no folder")
        return
    start = time.monotonic()
    bench = Bench(load_dataset(name, data_dir), part, labels=not arguments.without_labels)
    for n in arguments.n:
        table = bench.run(n, n_draws)
        print(f"\n## Is collapsed: {name}, {part} images, {n:,} samples, {n_draws} draws\n")
        print(markdown(table))
    print(f"\n{time.monotonic() - start:.0f} s")


def markdown(table: pd.DataFrame) -> str:
    """Return a table with shares of two decimals."""
    lines = [f"| {' | '.join(table.columns)} |", "|" + " --- |" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [f"{cell:.2f}" if isinstance(cell, float) else f"{cell}" for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
