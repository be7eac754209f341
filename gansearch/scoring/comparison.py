"""Comparing a score with the reference lines, and warning about what the comparison shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.measures import N_FINAL_SAMPLES, SUSPICIOUS_NN_RATIO
from gansearch.scoring.evaluation import evaluate_samples, scores_by_count
from gansearch.scoring.lines import edge_warnings
from gansearch.scoring.mismatch import mismatch_warnings
from gansearch.scoring.references import References

_ROUNDING = 0.01  # nats, as the same samples may score on another machine


def evaluate_with_references(
    dataset: Dataset, samples: np.ndarray, references: References, *, grid: str = "fine"
) -> dict[str, Any]:
    """Return `evaluate_samples` with the reference lines, and warnings from comparing the two.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    found = evaluate_samples(dataset, samples, grid=grid)
    warnings = [
        *_warnings(dataset, found, references.curve),
        *mismatch_warnings(dataset, samples),
        *edge_warnings(references.lines),
    ]
    return found | {"references": references.lines, "warnings": warnings}


def curve_with_references(
    dataset: Dataset, samples: np.ndarray, references: References, *, name: str, grid: str = "fine"
) -> list[dict[str, Any]]:
    """Return `scores_by_count` of the shuffled samples, followed by those of training examples.

    Returns:
        Rows of `curve.parquet`; `name` marks those of `samples`.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    shuffled = samples[np.random.default_rng(0).permutation(len(samples))]
    curve = scores_by_count(dataset, shuffled, grid=grid)
    return [*({"name": name, **row} for row in curve), *references.curve]


def _warnings(
    dataset: Dataset, found: Mapping[str, Any], training_curve: Sequence[Mapping[str, Any]]
) -> list[str]:
    warnings = list(dataset.notes)
    if found["n_samples"] < N_FINAL_SAMPLES:
        warnings.append(_too_few(found["n_samples"], training_curve))
    if not training_curve:
        warnings.append(
            "The score was not compared with that of the training examples themselves, which takes "
            "minutes to compute and is not in the cache. `gansearch evaluate SAMPLES.npy --dataset "
            f"{dataset.name}` without --json or with --curve computes and caches it, and so does "
            "the end of every run."
        )
    elif above := _above_training(found, training_curve):
        warnings.append(above)
    if found["train_nn_ratio"] < SUSPICIOUS_NN_RATIO:
        warnings.append(
            f"The samples lie {found['train_nn_ratio']:.2g} times as far from training examples "
            "as new real ones do: they may be copies, or blurred. Compare each with its "
            "nearest."
        )
    if found["sigma_at_edge"]:
        warnings.append("The best sigma is at the edge of its grid, so the score is not valid.")
    return warnings


def _too_few(n_samples: int, training_curve: Sequence[Mapping[str, Any]]) -> str:
    comparison = ""
    if training_curve and training_curve[0]["n_samples"] <= n_samples:
        real = _training_ll(training_curve, n_samples)
        most = _training_ll(training_curve, N_FINAL_SAMPLES)
        n_most = min(N_FINAL_SAMPLES, training_curve[-1]["n_samples"])
        if n_samples < n_most:
            name = training_curve[0]["name"]
            comparison = (
                f" ({name}: {real:.1f} nats from {n_samples:,}, {most:.1f} from {n_most:,})"
            )
    return (
        f"The score comes from {n_samples:,} samples, where the protocol takes "
        f"{N_FINAL_SAMPLES:,}. Fewer score lower{comparison}: compare it only with scores of as "
        "many."
    )


def _above_training(
    found: Mapping[str, Any], training_curve: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return a warning if the score exceeds that of as many training examples, or of all."""
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
            "much for each further doubling may be genuine."
        )
    return (
        f"The score, from {n_samples:,} samples, lies above the {real:.1f} nats of {n_real:,} "
        f"{name}, the most there are to compare with. {growth} {rewards}"
    )


def _training_ll(training_curve: Sequence[Mapping[str, Any]], n_samples: float) -> float:
    """Return the score of `n_samples` training examples, or of all if there are fewer."""
    counts = [row["n_samples"] for row in training_curve]
    lls = [row["test_ll"] for row in training_curve]
    # Between two counts the score is linear in the logarithm of the count.
    return float(np.interp(np.log(n_samples), np.log(counts), lls))
