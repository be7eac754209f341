"""What a score is held against: what the data itself scores, and what others have published.

A Parzen log-likelihood means little alone. Three lines are computed from the data, which take
minutes on MNIST, so they are kept in the user's cache folder, by a hash of the data and of the way
of computing them. Published figures stand beside them, for the data sets that they belong to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import StorageError
from gansearch.measures import N_FINAL_SAMPLES, SUSPICIOUS_NN_RATIO
from gansearch.scoring.evaluation import (
    Evaluator,
    evaluate_samples,
    final_score,
    scores_by_count,
)
from gansearch.scoring.neighbours import comparable_distances, training_blocks
from gansearch.system.files import write_atomically

# To be raised whenever lines of the same data come out otherwise than before.
_VERSION = 1
_MAX_CURVE = 50_000
_JITTER = 1e-6  # of the pixels' mean variance
_N_LLOYD_STEPS = 3
_ROUNDING = 0.01  # nats, as the same samples may score on another machine

_TABLE_1 = "Goodfellow et al. 2014, Table 1"
_LI = "Li et al. 2015, Generative moment matching networks, Table 1"
_MAKHZANI = "Makhzani et al. 2015, Adversarial autoencoders, Table 2"
# Name, nats, standard error, source: from 10,000 samples, sigma by cross-validation as here.
_PUBLISHED: dict[str, Sequence[tuple[str, float, float, str]]] = {
    "mnist": (
        ("DBN", 138, 2, _TABLE_1),
        ("stacked CAE", 121, 1.6, _TABLE_1),
        ("deep GSN", 214, 1.1, _TABLE_1),
        ("adversarial nets", 225, 2, _TABLE_1),
        (
            "conditional adversarial nets",
            *(
                132,
                1.8,
                "Mirza and Osindero 2014, Conditional generative adversarial nets, Table 1",
            ),
        ),
        ("GMMN", 147, 2, _LI),
        ("GMMN + autoencoder", 282, 2, _LI),
        ("adversarial autoencoder", 340, 2, _MAKHZANI),
    ),
    "tfd": (
        ("DBN", 1909, 66, _TABLE_1),
        ("stacked CAE", 2110, 50, _TABLE_1),
        ("deep GSN", 1890, 29, _TABLE_1),
        ("adversarial nets", 2057, 26, _TABLE_1),
        ("GMMN", 2085, 25, _LI),
        ("GMMN + autoencoder", 2204, 20, _LI),
        ("adversarial autoencoder", 2252, 16, _MAKHZANI),
    ),
}


@dataclass(frozen=True)
class References:
    """What scores on a data set are held against.

    Attributes:
        lines: with the columns of `references.parquet`; those that were published, not computed
            here, have a `source`, and None where nothing was published.
        curve: what so many training examples score, with the columns of `curve.parquet`.
    """

    lines: list[dict[str, Any]]
    curve: list[dict[str, Any]]


def reference_scores(dataset: Dataset, *, compute: bool = True) -> References:
    """Return what scores on `dataset` are held against, from the cache where it is there.

    Without `compute`, what is not in the cache is left out; published figures are always there.

    Computed are, each of up to 10,000 samples: training examples, as if they had been generated;
    of images, k-means centroids, one to five training images, which score far above real data
    because Parzen rewards blur; and draws from a Gaussian with the mean and covariance of the
    training examples, clipped to [0, 1] where these are pixels, which no generator should fail to
    beat. A cache that is damaged is computed anew, and one that can't be written is done without.
    """
    path = _cache_path(dataset)
    content = _read(path) if path else None
    if content is None and not compute:
        content = {"lines": [], "curve": []}
    if content is None:
        content = {"lines": _computed_lines(dataset), "curve": _training_curve(dataset)}
        if path:
            # What can't be kept is computed again another time; this time it is there.
            with contextlib.suppress(StorageError):
                write_atomically(path, _encoded(content))
    return References([*content["lines"], *_published_lines(dataset)], content["curve"])


def training_report(dataset: Dataset) -> dict[str, Any]:
    """Return what training examples score as a trial's report is scored, beside which it stands.

    The lines of `reference_scores` don't compare with reports: they are of more samples, and of
    test examples. This takes a fraction of a second, less than to look it up by the data's hash.

    Returns:
        `name`; `n_samples`, as many as a report has, or all where there are fewer; and `valid_ll`,
        in nats.

    Raises:
        DataError: there are fewer than 40 training examples.
    """
    evaluator = Evaluator(dataset)
    training = dataset.to_float(dataset.train[: evaluator.n_samples])
    return {
        "name": _training_name(dataset),
        "n_samples": len(training),
        "valid_ll": evaluator.report(training).valid_ll,
    }


def evaluate_beside(
    dataset: Dataset, samples: np.ndarray, references: References, *, grid: str = "fine"
) -> dict[str, Any]:
    """Return `evaluate_samples`, the reference lines, and warnings that their comparison gives.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    found = evaluate_samples(dataset, samples, grid=grid)
    told = _warnings(dataset, found, references.curve)
    return found | {"references": references.lines, "warnings": told}


def curve_beside(
    dataset: Dataset, samples: np.ndarray, references: References, *, name: str, grid: str = "fine"
) -> list[dict[str, Any]]:
    """Return `scores_by_count` of samples, in random order, then those of training examples.

    Returns:
        Rows of `curve.parquet`; `name` marks those of `samples`.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    shuffled = samples[np.random.default_rng(0).permutation(len(samples))]
    curve = scores_by_count(dataset, shuffled, grid=grid)
    return [*({"name": name, **row} for row in curve), *references.curve]


def _warnings(
    dataset: Dataset, found: Mapping[str, Any], training_curve: Sequence[Mapping[str, Any]]
) -> list[str]:
    told = []
    if found["n_samples"] < N_FINAL_SAMPLES:
        told.append(_too_few(found["n_samples"], training_curve))
    if not training_curve:
        told.append(
            "The score was not held against that of the training examples themselves, which takes "
            "minutes to compute and is not in the cache. It is computed, and kept there, by "
            f"`gansearch evaluate SAMPLES.npy --dataset {dataset.name}` without --json or with "
            "--curve, and at the end of every run."
        )
    elif above := _above_training(found, training_curve):
        told.append(above)
    if found["train_nn_ratio"] < SUSPICIOUS_NN_RATIO:
        told.append(
            f"The samples lie {found['train_nn_ratio']:.2g} times as far from training examples "
            "as new real ones do: they may be copies, or blurred. Look at each beside its "
            "nearest."
        )
    if found["sigma_at_edge"]:
        told.append("The best sigma is at the edge of its grid, so the score is broken.")
    return told


def _too_few(n_samples: int, training_curve: Sequence[Mapping[str, Any]]) -> str:
    shown = ""
    if training_curve and training_curve[0]["n_samples"] <= n_samples:
        real = _training_ll(training_curve, n_samples)
        most = _training_ll(training_curve, N_FINAL_SAMPLES)
        n_most = min(N_FINAL_SAMPLES, training_curve[-1]["n_samples"])
        if n_samples < n_most:
            name = training_curve[0]["name"]
            shown = f" ({name}: {real:.1f} nats from {n_samples:,}, {most:.1f} from {n_most:,})"
    return (
        f"The score comes from {n_samples:,} samples, where the protocol takes "
        f"{N_FINAL_SAMPLES:,}. Fewer score lower{shown}: hold it only against scores of as many."
    )


def _above_training(
    found: Mapping[str, Any], training_curve: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return a warning if the score lies above that of as many training examples, or of all."""
    n_samples, n_real = found["n_samples"], training_curve[-1]["n_samples"]
    real = _training_ll(training_curve, n_samples)
    if found["test_ll"] <= real + _ROUNDING:
        return None
    name = training_curve[0]["name"]
    rewards = "The Parzen estimate rewards blurred samples and copies. Look at the samples."
    if n_samples <= n_real:
        return f"The score lies above the {real:.1f} nats of as many {name}. {rewards}"
    growth = "More samples score higher."
    if n_real >= 2 * training_curve[0]["n_samples"]:
        gain = real - _training_ll(training_curve, n_real / 2)
        growth = (
            f"More samples score higher: the last doubling of these gave {gain:.1f} nats, and as "
            "much for each further doubling may be honest."
        )
    return (
        f"The score, from {n_samples:,} samples, lies above the {real:.1f} nats of {n_real:,} "
        f"{name}, the most there are to compare with. {growth} {rewards}"
    )


def _training_ll(training_curve: Sequence[Mapping[str, Any]], n_samples: float) -> float:
    """Return what so many training examples score; of more than there are, what all do."""
    counts = [row["n_samples"] for row in training_curve]
    lls = [row["test_ll"] for row in training_curve]
    # A score grows with the logarithm of the number, piece by piece.
    return float(np.interp(np.log(n_samples), np.log(counts), lls))


def _computed_lines(dataset: Dataset) -> list[dict[str, Any]]:
    training = dataset.to_float(dataset.train[:N_FINAL_SAMPLES])
    lines = [_line(_training_name(dataset), dataset, training, is_training=True)]
    if dataset.is_image:
        n_centroids = min(N_FINAL_SAMPLES, len(dataset.train) // 5)
        lines.append(_line("k-means centroids", dataset, _k_means(dataset, n_centroids)))
    return [*lines, _line("fitted Gaussian", dataset, _gaussian(dataset, N_FINAL_SAMPLES))]


def _training_curve(dataset: Dataset) -> list[dict[str, Any]]:
    n = _MAX_CURVE if dataset.is_image else N_FINAL_SAMPLES
    curve = scores_by_count(dataset, dataset.to_float(dataset.train[:n]))
    return [{"name": _training_name(dataset), **row} for row in curve]


def _training_name(dataset: Dataset) -> str:
    return "training images" if dataset.is_image else "training points"


def _line(
    name: str, dataset: Dataset, samples: np.ndarray, *, is_training: bool = False
) -> dict[str, Any]:
    final = final_score(dataset, samples)
    # Training examples are among those that health is judged by, and would cover themselves.
    indicators = final.null if is_training else final.indicators
    return {
        "name": name,
        "test_ll": final.parzen.test_ll,
        "test_ll_se": final.parzen.test_ll_se,
        "valid_ll": final.parzen.valid_ll,
        "sigma": final.parzen.sigma,
        **dataclasses.asdict(indicators),
        "train_nn_ratio": final.train_nn_ratio,
        "n_samples": len(samples),
        "source": None,
    }


def _published_lines(dataset: Dataset) -> list[dict[str, Any]]:
    # tfd-2 and so on are other folds of the same data, and the figures are means over all folds.
    family = dataset.name.partition("-")[0]
    nothing = dict.fromkeys(
        ("valid_ll", "sigma", "coverage", "recall", "nn_ratio", "train_nn_ratio")
    )
    return [
        {"name": name, "test_ll": float(test_ll), "test_ll_se": float(test_ll_se)}
        | nothing
        | {"n_samples": N_FINAL_SAMPLES, "source": source}
        for name, test_ll, test_ll_se, source in _PUBLISHED.get(family, ())
    ]


def _k_means(dataset: Dataset, n_centroids: int) -> np.ndarray:
    """Return centroids `[n_centroids, d]` after a few of Lloyd's steps from the first examples."""
    centroids = torch.from_numpy(dataset.to_float(dataset.train[:n_centroids]))
    for _ in range(_N_LLOYD_STEPS):
        sums, counts = torch.zeros_like(centroids), torch.zeros(n_centroids)
        squared_norms = centroids.square().sum(dim=1)
        for _, block in training_blocks(dataset, n_centroids):
            nearest = comparable_distances(block, centroids, squared_norms).argmin(dim=1)
            sums.index_add_(0, nearest, block)
            counts += torch.bincount(nearest, minlength=n_centroids)
        # A centroid that lost all its examples stays where it was.
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None], centroids)
    return centroids.numpy()


def _gaussian(dataset: Dataset, n: int) -> np.ndarray:
    """Return n draws `[n, d]` from the Gaussian of the training examples' mean and covariance."""
    mean = torch.from_numpy(dataset.mean()).double()
    covariance = torch.zeros(dataset.dim, dataset.dim, dtype=torch.float64)
    for _, block in training_blocks(dataset, dataset.dim):
        deviations = block.double() - mean
        covariance.addmm_(deviations.T, deviations, alpha=1 / len(dataset.train))
    # Pixels that never vary make it singular.
    covariance.diagonal().add_(_JITTER * covariance.diagonal().mean())
    normal = torch.randn(n, dataset.dim, generator=torch.Generator().manual_seed(0))
    draws: np.ndarray = (
        mean.float() + normal @ torch.linalg.cholesky(covariance).float().T
    ).numpy()
    return draws.clip(0, 1) if dataset.is_bounded else draws


def _cache_path(dataset: Dataset) -> Path | None:
    """Return where the lines of this very data are kept; None where there is no home for it."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # A relative path is to be ignored, says the XDG base directory specification.
        cache = Path(given) if Path(given).is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return cache / "gansearch" / "references" / f"{dataset.name}-{_digest(dataset)}.json"


def _digest(dataset: Dataset) -> str:
    rules = (dataset.shape, dataset.scale, dataset.contrast, dataset.n_valid_for_sigma)
    digest = hashlib.sha256(repr((_VERSION, N_FINAL_SAMPLES, _MAX_CURVE, rules)).encode())
    for part in (dataset.train, dataset.valid, dataset.test):
        digest.update(repr((part.shape, part.dtype.str)).encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def _encoded(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _read(path: Path) -> dict[str, Any] | None:
    """Return what `_encoded` has made, or None where it is absent or not what was written."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    content: dict[str, Any] = json.loads(text)
    return content
