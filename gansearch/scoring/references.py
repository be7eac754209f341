"""Reference lines that scores are compared with: scores of the data itself, and published ones.

A Parzen log-likelihood means little alone. Three lines are computed from the data. This takes
minutes on MNIST, so they are cached in the user's cache folder, by a hash of the data and of the
way of computing them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.errors import StorageError
from gansearch.measures import N_EVALUATION_SAMPLES, N_FINAL_SAMPLES, columns
from gansearch.scoring.evaluation import Evaluator, final_score, scores_by_count
from gansearch.scoring.neighbours import comparable_distances, training_blocks
from gansearch.scoring.published import published_lines
from gansearch.system.files import write_atomically
from gansearch.system.paths import cache_folder

# Raise it whenever the same data gives other lines than before.
_VERSION = 5
_MAX_CURVE = 50_000
_JITTER = 1e-6  # of the pixels' mean variance
_N_LLOYD_STEPS = 3


@dataclass(frozen=True)
class References:
    """What scores on a data set are compared with.

    Attributes:
        lines: rows of `references.parquet`; published ones have a `source`, and None for what was
            not published.
        curve: scores of training examples by their number, as rows of `curve.parquet`.
    """

    lines: list[dict[str, Any]]
    curve: list[dict[str, Any]]


def reference_scores(
    dataset: Dataset, *, compute: bool = True, tell: Callable[[str], None] = lambda _: None
) -> References:
    """Return the reference lines of `dataset`, from the cache if they are there.

    Without `compute`, lines that are not in the cache are left out, except published ones.

    The computed lines, each of up to 10,000 samples, are: training examples, as if they had been
    generated; of images, k-means centroids, one for every five training images, which score far
    above real data because Parzen rewards blur; and draws from a Gaussian with the mean and
    covariance of the training examples, clipped to [0, 1] for pixels, which every generator should
    beat. A damaged cache file is recomputed; if none can be written, the lines are not cached.

    `tell` is called with each part of the work, in words, before it begins.
    """
    path = _cache_path(dataset)
    content = _read(path) if path else None
    if content is None and not compute:
        content = {"lines": [], "curve": []}
    if content is None:
        lines = _computed_lines(dataset, tell)
        content = {"lines": lines, "curve": _training_curve(dataset, tell)}
        if path:
            # If they can't be cached, they are computed again the next time.
            with contextlib.suppress(StorageError):
                write_atomically(path, _encoded(content))
    return References([*content["lines"], *published_lines(dataset)], content["curve"])


def are_cached(dataset: Dataset) -> bool:
    """Return whether the reference lines of `dataset` need not be computed."""
    path = _cache_path(dataset)
    return path is not None and path.exists()


def evaluate_training_examples(
    dataset: Dataset, *, n_samples: int = N_EVALUATION_SAMPLES
) -> dict[str, Any]:
    """Score training examples in the way that a trial's samples are scored during a search.

    The lines of `reference_scores` don't compare with a trial's evaluations: they use more samples,
    and test examples. This takes a fraction of a second, less than hashing the data for the cache.

    Returns:
        `name`; `n_samples`, as many as an evaluation has, or all if there are fewer; and
        `valid_ll`, in nats.

    Raises:
        DataError: there are fewer than 40 training examples.
    """
    evaluator = Evaluator(dataset, n_samples=n_samples)
    training = dataset.to_float(dataset.train[: evaluator.n_samples])
    return {
        "name": _training_name(dataset),
        "n_samples": len(training),
        "valid_ll": evaluator.valid_ll(training),
    }


def _computed_lines(dataset: Dataset, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    tell(f"reference lines, once per data set: scoring {_training_name(dataset)}")
    training = dataset.to_float(dataset.train[:N_FINAL_SAMPLES])
    lines = [_line(_training_name(dataset), dataset, training, is_training=True)]
    if dataset.is_image:
        tell("reference lines, once per data set: k-means centroids")
        n_centroids = min(N_FINAL_SAMPLES, len(dataset.train) // 5)
        lines.append(_line("k-means centroids", dataset, _k_means(dataset, n_centroids)))
    tell("reference lines, once per data set: a fitted Gaussian")
    return [*lines, _line("fitted Gaussian", dataset, _gaussian(dataset, N_FINAL_SAMPLES))]


def _training_curve(dataset: Dataset, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    tell(f"reference lines, once per data set: scoring {_training_name(dataset)} by their number")
    n = _MAX_CURVE if dataset.is_image else N_FINAL_SAMPLES
    curve = scores_by_count(dataset, dataset.to_float(dataset.train[:n]))
    return [{"name": _training_name(dataset), **row} for row in curve]


def _training_name(dataset: Dataset) -> str:
    return "training images" if dataset.is_image else "training points"


def _line(
    name: str, dataset: Dataset, samples: np.ndarray, *, is_training: bool = False
) -> dict[str, Any]:
    final = final_score(dataset, samples)
    if is_training:
        # The health reference is made of training examples, which would cover themselves.
        final = dataclasses.replace(final, indicators=final.null, fidelity=final.null_fidelity)
    measured = {column: final.measured[column] for column in columns("reference")}
    return {"name": name, **measured, "n_samples": len(samples), "source": None}


def _k_means(dataset: Dataset, n_centroids: int) -> np.ndarray:
    """Return centroids `[n_centroids, d]` after a few Lloyd steps from the first examples."""
    centroids = torch.from_numpy(dataset.to_float(dataset.train[:n_centroids]))
    for _ in range(_N_LLOYD_STEPS):
        sums, counts = torch.zeros_like(centroids), torch.zeros(n_centroids)
        squared_norms = centroids.square().sum(dim=1)
        for _, block in training_blocks(dataset, n_centroids):
            nearest = comparable_distances(block, centroids, squared_norms).argmin(dim=1)
            sums.index_add_(0, nearest, block)
            counts += torch.bincount(nearest, minlength=n_centroids)
        # A centroid without examples stays where it is.
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None], centroids)
    return centroids.numpy()


def _gaussian(dataset: Dataset, n: int) -> np.ndarray:
    """Return n draws `[n, d]` from a Gaussian with the training examples' mean and covariance."""
    mean = torch.from_numpy(dataset.mean()).double()
    covariance = torch.zeros(dataset.dim, dataset.dim, dtype=torch.float64)
    for _, block in training_blocks(dataset, dataset.dim):
        deviations = block.double() - mean
        covariance.addmm_(deviations.T, deviations, alpha=1 / len(dataset.train))
    # Pixels that never vary would make it singular.
    covariance.diagonal().add_(_JITTER * covariance.diagonal().mean())
    normal = torch.randn(n, dataset.dim, generator=torch.Generator().manual_seed(0))
    draws: np.ndarray = (
        mean.float() + normal @ torch.linalg.cholesky(covariance).float().T
    ).numpy()
    return draws.clip(0, 1) if dataset.is_bounded else draws


def _cache_path(dataset: Dataset) -> Path | None:
    """Return the path of the cached lines of this data; None if there is no home folder."""
    cache = cache_folder()
    if cache is None:
        return None
    name = re.sub(r"[^\w.-]", "-", dataset.name)  # of the user's own data it may be anything
    return cache / "references" / f"{name}-{_digest(dataset)}.json"


def _digest(dataset: Dataset) -> str:
    data = Fingerprint.of(dataset).to_dict()
    content = repr((_VERSION, N_FINAL_SAMPLES, _MAX_CURVE, data))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _encoded(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _read(path: Path) -> dict[str, Any] | None:
    """Decode what `_encoded` wrote; None if the file is absent or damaged."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    content: dict[str, Any] = json.loads(text)
    return content
