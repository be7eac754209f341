"""What a trial's report and a final score are: Parzen log-likelihood beside health indicators.

Reports see validation data only. The test set is scored once, at the end, by the protocol of
Goodfellow et al. (2014): 10,000 samples, sigma chosen on the first 1,000 validation examples.
A final score also says how near the samples lie to training examples, since copies score best.
Everything here is a deterministic function of the samples.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import DataError, SamplesError
from gansearch.measures import (
    N_REPORT_SAMPLES,
    Evaluation,
    Indicators,
)
from gansearch.scoring.health import judge_once
from gansearch.scoring.indicators import N_NEIGHBOURS, HealthReference
from gansearch.scoring.neighbours import comparable_distances, training_blocks
from gansearch.scoring.parzen import (
    Array,
    ParzenScore,
    as_samples,
    choose_sigma,
    score,
    score_curve,
    sigma_grid,
)

MIN_SAMPLES = 20
_N_REPORT_REFERENCE = 500
_N_FINAL_REFERENCE = 1000
_N_COPY_CHECKED = 1000
_NPY_MAGIC = b"\x93NUMPY"


class Evaluator:
    """Evaluates a trial's reports against fixed validation and training examples.

    Attributes:
        n_samples: how many samples a report needs.
        reference: the training examples, and their null, that health is judged by.
    """

    def __init__(self, dataset: Dataset, *, device: str = "cpu") -> None:
        """Draw the reference.

        Raises:
            DataError: there are fewer than 40 training examples.
        """
        self.n_samples = N_REPORT_SAMPLES
        self.reference = _health_reference(dataset, _N_REPORT_REFERENCE, device)
        self._valid = torch.from_numpy(
            dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma])
        ).to(device)
        self._grid = _grid(dataset, "fine")
        self._device = device

    def report(self, samples: Array) -> Evaluation:
        """Evaluate `samples` `[n_samples, d]`: images in [0, 1], or points.

        Raises:
            SamplesError: the samples hold values that aren't finite, or have another shape.
        """
        samples = as_samples(samples, self._device)
        sigma, at_edge, valid_ll = choose_sigma(
            samples, self._valid, self._grid, device=self._device
        )
        indicators = self.reference.indicators(samples)
        return Evaluation(valid_ll, sigma, at_edge, **dataclasses.asdict(indicators))


@dataclass(frozen=True)
class FinalScore:
    """The score of finished samples on the test set, their health, and whether they are copies.

    Attributes:
        parzen: log-likelihoods, in nats.
        indicators: of the samples' health.
        null: the indicators of real data.
        train_nn_ratio: see `train_nn_ratio`.
    """

    parzen: ParzenScore
    indicators: Indicators
    null: Indicators
    train_nn_ratio: float


def final_score(
    dataset: Dataset,
    samples: Array,
    *,
    grid: str = "fine",
    n_valid: int | None = None,
    device: str = "cpu",
) -> FinalScore:
    """Score `samples` `[n, d]` on the test set, and take their indicators.

    The protocol wants 10,000 samples. The indicators use 1,000 of them where there are that many,
    drawn at random, since somebody's file may be sorted.

    Args:
        dataset: whose test set is scored.
        samples: images in [0, 1] or contrast normalised as the data set is, or points.
        grid: "fine", or "authors" to compare with published scores (see `sigma_grid`).
        n_valid: sigma is chosen on this many validation examples, the first ones; None for as
            many as the data set says.
        device: where to compute.

    Raises:
        SamplesError: the samples are fewer than 20, hold values that aren't finite, or have another
            shape.
        DataError: there are too few training examples for the indicators.
    """
    samples = as_samples(samples, device)
    _check_count("samples", len(samples))
    reference = _health_reference(dataset, min(_N_FINAL_REFERENCE, len(samples)), device)
    n_valid = n_valid or dataset.n_valid_for_sigma
    parzen = score(
        samples,
        dataset.to_float(dataset.valid[:n_valid]),
        dataset.to_float(dataset.test),
        _grid(dataset, grid),
        device=device,
    )
    drawn = samples[np.random.default_rng(0).permutation(len(samples))[:_N_COPY_CHECKED]]
    return FinalScore(
        parzen=parzen,
        indicators=reference.indicators(drawn),
        null=reference.null,
        train_nn_ratio=train_nn_ratio(dataset, drawn),
    )


def evaluate_samples(
    dataset: Dataset, samples: np.ndarray, *, grid: str = "fine"
) -> dict[str, Any]:
    """Score anybody's samples `[n, d]`, with a verdict on their health, as plain JSON values.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    final = final_score(dataset, samples, grid=grid)
    parzen = final.parzen
    verdict = judge_once(final.indicators, final.null)
    return {
        "dataset": dataset.name,
        "n_samples": parzen.n_samples,
        "test_ll": parzen.test_ll,
        "test_ll_se": parzen.test_ll_se,
        "valid_ll": parzen.valid_ll,
        "sigma": parzen.sigma,
        "sigma_at_edge": parzen.sigma_at_edge,
        "health": {
            **dataclasses.asdict(final.indicators),
            "verdict": verdict.status,
            "reason": verdict.reason,
        },
        "train_nn_ratio": final.train_nn_ratio,
    }


def scores_by_count(
    dataset: Dataset, samples: np.ndarray, *, grid: str = "fine"
) -> list[dict[str, Any]]:
    """Score the first 100, 200, 500, 1,000, ... and at last all of `samples` `[n, d]`.

    A Parzen estimate rises with the number of samples; how it rises tells whether more would help.
    Sigma is chosen anew at each number. Sorted samples must be shuffled before.

    Returns:
        A row a number of samples, with the columns of `curve.parquet` but `name`.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    curve = score_curve(
        samples,
        dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma]),
        dataset.to_float(dataset.test),
        _grid(dataset, grid),
        _counts(len(samples)),
    )
    return [
        {
            "n_samples": each.n_samples,
            "test_ll": each.test_ll,
            "test_ll_se": each.test_ll_se,
            "valid_ll": each.valid_ll,
            "sigma": each.sigma,
            "sigma_at_edge": each.sigma_at_edge,
        }
        for each in curve
    ]


def train_nn_ratio(dataset: Dataset, samples: Array) -> float:
    """Return how near to training examples the samples lie, beside how near new real ones do.

    It is the median distance (L2) from the first 1,000 samples to their nearest training examples,
    over the same of the first 1,000 test examples: near 0 for copies, 1 for what is as far as new
    real examples. The likelihood can't tell copies from the best of models (Theis et al. 2016,
    "A note on the evaluation of generative models"); Meehan et al. (2020), "A non-parametric test
    to detect data-copying in generative models", compare the same two distances by their ranks.
    Where over half of the test examples are themselves copies it says nothing, and is 1.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    new = dataset.to_float(dataset.test[:_N_COPY_CHECKED])
    real = _median_distance_to_training(dataset, new)
    return _median_distance_to_training(dataset, samples[:_N_COPY_CHECKED]) / real if real else 1.0


def nearest_training(dataset: Dataset, samples: Array, n: int) -> np.ndarray:
    """Return the row in `dataset.train` nearest (L2) to each of the first n samples, `[n]`.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    device = samples.device if isinstance(samples, torch.Tensor) else "cpu"
    wanted = as_samples(samples[:n], device).float()
    best = torch.full((len(wanted),), torch.inf, device=wanted.device)
    rows = torch.zeros(len(wanted), dtype=torch.int64, device=wanted.device)
    for start, block in training_blocks(dataset, len(wanted)):
        smallest, row = comparable_distances(wanted, block.to(wanted.device)).min(dim=1)
        closer = smallest < best
        best = torch.where(closer, smallest, best)
        rows = torch.where(closer, row + start, rows)
    return rows.cpu().numpy()


def load_samples(path: Path, dataset: Dataset) -> np.ndarray:
    """Read samples of `dataset` from a `.npy` file, as float32 `[n, d]`, images in [0, 1].

    The array is `[n, d]`, `[n, *shape]` or, of grey images, `[n, height, width]`. Whole numbers are
    divided by the data set's scale; floating-point images must lie in [0, 1] already. Where the
    data set is contrast normalised so are they, unless negative values show that they are already.

    Raises:
        SamplesError: no such file, no such array, or values that can't be what is meant.
    """
    return check_samples(_read_npy(path), dataset, where=str(path))


def check_samples(array: np.ndarray, dataset: Dataset, *, where: str = "samples") -> np.ndarray:
    """Return an array of samples as `load_samples` does; `where` names it in messages.

    Raises:
        SamplesError: as `load_samples`.
    """
    flat = _flattened(where, array, dataset)
    _check_count(where, len(flat))
    if flat.dtype.kind == "f":
        finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            raise SamplesError(
                f"{where}: {int((~finite).sum()):,} of {len(flat):,} samples hold NaN or infinite "
                f"values, sample {int(np.argmin(finite)):,} (from 0) first. Leave such samples out."
            )
    if dataset.is_bounded:
        return _image_values(where, flat, dataset)
    if dataset.is_image:
        return _normalised_values(where, flat, dataset)
    return flat.astype(np.float32)


def _health_reference(dataset: Dataset, n: int, device: str) -> HealthReference:
    """Return a reference of up to n training examples, beside as many for its null."""
    n = min(n, len(dataset.train) // 2)
    if n < MIN_SAMPLES:
        # Of fewer, a ball holds more than a quarter, and a single image may lie in every ball.
        raise DataError(
            f"data set {dataset.name}: {len(dataset.train)} training examples. Health is judged by "
            f"{N_NEIGHBOURS} neighbours within each half of them, so there must be "
            f"{2 * MIN_SAMPLES} at least. Add examples."
        )
    return HealthReference(dataset.to_float(dataset.train[: 5 * n]), n, device=device)


def _check_count(where: str, n_samples: int) -> None:
    if n_samples < MIN_SAMPLES:
        raise SamplesError(
            f"{where}: {n_samples} samples. A score needs {MIN_SAMPLES} at least; the protocol "
            "asks for 10,000."
        )


def _grid(dataset: Dataset, kind: str) -> np.ndarray:
    return sigma_grid(kind, is_image=dataset.is_image, is_bounded=dataset.is_bounded)


def _counts(n: int) -> list[int]:
    """Return 100, 200, 500, 1,000, ... below n, and n."""
    steps = (digit * 10**power for power in range(2, len(str(n))) for digit in (1, 2, 5))
    return [*(step for step in steps if step < n), n]


def _median_distance_to_training(dataset: Dataset, examples: Array) -> float:
    """Return the median distance from examples to their nearest training ones, exactly."""
    nearest = dataset.to_float(dataset.train[nearest_training(dataset, examples, len(examples))])
    found = as_samples(examples, "cpu").double().numpy()
    return float(np.median(np.linalg.norm(found - nearest, axis=1)))


def _read_npy(path: Path) -> np.ndarray:
    remedy = "Save an array with numpy.save: float32 in [0, 1] or uint8 for images."
    try:
        with path.open("rb") as file:
            magic = file.read(len(_NPY_MAGIC))
        if magic != _NPY_MAGIC:
            raise SamplesError(f"{path}: not a .npy file. {remedy}")
        # A memory map, so that a header can't ask for more memory than the file has bytes.
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SamplesError(f"{path}: {error.strerror or error}. It must be a .npy file.") from error
    except (ValueError, EOFError, TokenError) as error:  # the last is of a header cut off
        raise SamplesError(f"{path}: can't be read: {error}. {remedy}") from error
    return array


def _flattened(where: str, array: np.ndarray, dataset: Dataset) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise SamplesError(
            f"{where}: dtype {array.dtype}, which isn't a number's. Samples are float32 in [0, 1] "
            "or uint8 for images."
        )
    shapes = {(dataset.dim,), dataset.shape}
    if dataset.is_image and dataset.shape[2] == 1:
        height, width, _ = dataset.shape
        shapes |= {(height, width), (1, height, width)}
    if array.shape[1:] not in shapes:
        expected = " or ".join(
            f"[n, {', '.join(map(str, shape))}]" for shape in sorted(shapes, key=len)
        )
        raise SamplesError(
            f"{where}: shape {list(array.shape)}. Samples of {dataset.name} have {expected}."
        )
    return array.reshape(len(array), dataset.dim)


def _normalised_values(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return images `[n, d]` as they are trained on: pixels normalised, others as they are."""
    if flat.dtype.kind == "f" and flat.min() < 0:
        return flat.astype(np.float32)
    return dataset.to_float(_image_values(where, flat, dataset) * np.float32(dataset.scale))


def _image_values(where: str, flat: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return image values `[n, d]` as float32 in [0, 1], or raise with the likely remedy."""
    low, high = float(flat.min()), float(flat.max())
    whole = flat.dtype.kind in "iu"
    top = dataset.scale if whole else 1.0
    if whole and high == 1 and low == 0:
        remedy = "If 1 is white, save them as float32."
    elif low >= 0 and high <= top:
        return flat.astype(np.float32) / np.float32(top)
    elif whole or high > 2:
        remedy = "If they run from 0 to 255, save (x / 255).astype('float32')."
    elif low < -0.5:
        remedy = "If they run from -1 to 1, save (x + 1) / 2."
    else:
        remedy = "Save numpy.clip(x, 0, 1)."
    raise SamplesError(
        f"{where}: {flat.dtype} values from {low:g} to {high:g}. Images of {dataset.name} need "
        f"floating-point values in [0, 1], or whole numbers from 0 to {dataset.scale:g}. {remedy}"
    )
