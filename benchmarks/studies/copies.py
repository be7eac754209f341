"""What do `train_nn_ratio` and `copy_p` say of copies, of near copies, and of new images?

    python benchmarks/studies/copies.py                          # digits
    python benchmarks/studies/copies.py --dataset mnist --data-dir DIR

Prints a row for each kind of "generator", 1,000 samples each, or fewer where the data has fewer;
and how often `copy_p` is low for draws of new images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring.copying import copying
from gansearch.scoring.neighbours import N_COPY_SAMPLES
from gansearch.scoring.references import reference_scores

N_DRAWS = 100


def kinds(dataset: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the samples `[n, d]` of each kind."""
    new = new_images(dataset)[:N_COPY_SAMPLES]
    n = len(new)
    copies = dataset.to_float(dataset.train[:n])
    yield "training images", copies
    for share in (0.5, 0.4, 0.1):
        of_copies = round(share * n)
        name = f"{share:.0%} training images, the others new"
        yield name, np.concatenate([copies[:of_copies], new[of_copies:]])
    noise = np.random.default_rng(0).normal(size=copies.shape)
    for sd in (0.01, 0.05, 0.1, 0.2):
        yield f"training images with noise of sd {sd}", (copies + sd * noise).clip(0, 1)
    yield "training images, pixels times .85", 0.85 * copies
    yield "training images, shifted by a pixel", shifted(dataset, copies)
    yield "new images", new
    if dataset.name == "mnist":
        yield "new images by other people (test)", dataset.to_float(dataset.test[:N_COPY_SAMPLES])
    yield "blends of two training images", (copies + copies[::-1]) / 2


def new_images(dataset: Dataset) -> np.ndarray:
    """Return real images that `copying` does not read, validation images if there are enough."""
    others = dataset.valid[N_COPY_SAMPLES:]
    return dataset.to_float(others if len(others) >= 2 * N_COPY_SAMPLES else dataset.test)


def shifted(dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """Return images `[n, d]` moved to the right by a pixel."""
    rows = images.reshape(-1, *dataset.shape)
    moved = np.roll(rows, 1, axis=2)
    moved[:, :, 0] = 0
    return moved.reshape(images.shape)


def main() -> None:
    """Print both tables for one data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits", choices=("digits", "mnist"))
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    dataset = load_dataset(args.dataset, args.data_dir)
    print("| samples | train_nn_ratio | copy_p |\n|---|---|---|")
    for name, samples in kinds(dataset):
        found = copying(dataset, samples.astype(np.float32))
        print(f"| {name} | {found.train_nn_ratio:.2f} | {found.copy_p:.2g} |", flush=True)
    for line in reference_scores(dataset).lines:
        if line["source"] is None and line["name"] != "training images":
            print(f"| {line['name']} | {line['train_nn_ratio']:.2f} | {line['copy_p']:.2g} |")
    rng, new = np.random.default_rng(0), new_images(dataset)
    n = min(500, len(new) // 2)
    p = np.array([copying(dataset, rng.permutation(new)[:n]).copy_p for _ in range(N_DRAWS)])
    low, lower = (p < 0.05).sum(), (p < 0.01).sum()
    print(f"\nOf {N_DRAWS} draws of {n} new images, p is below .05 in {low}, below .01 in {lower}.")


if __name__ == "__main__":
    main()
