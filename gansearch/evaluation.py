"""What a trial's report and a final score are: Parzen log-likelihood beside health indicators.

Reports see validation data only. The test set is scored once, at the end, by the protocol of
Goodfellow et al. (2014): 10,000 samples, sigma chosen on the first 1,000 validation examples.
Everything here is a deterministic function of the samples.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansearch.data import Dataset
from gansearch.errors import SamplesError
from gansearch.health import HealthReference, Indicators, judge_once
from gansearch.parzen import Array, ParzenScore, as_samples, choose_sigma, score, sigma_grid

MIN_SAMPLES = 20
_N_REPORT_SAMPLES = 1000
_N_REPORT_REFERENCE = 500
_N_FINAL_REFERENCE = 1000
_N_REFERENCE_SAMPLES = 10_000
_N_LLOYD_STEPS = 3
_BLOCK_BYTES = 32 * 2**20
_NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Evaluation:
    """One report's evaluation: nats on validation data, and the health indicators."""

    valid_ll: float
    sigma: float
    sigma_at_edge: bool
    coverage: float
    recall: float
    nn_ratio: float


class Evaluator:
    """Evaluates a trial's reports against fixed validation and training examples.

    Attributes:
        n_samples: how many samples a report needs.
        reference: the training examples, and their null, that health is judged by.
    """

    def __init__(self, dataset: Dataset, *, device: str = "cpu") -> None:
        self.n_samples = _N_REPORT_SAMPLES
        self.reference = _health_reference(dataset, _N_REPORT_REFERENCE, device)
        self._valid = torch.from_numpy(
            dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma])
        ).to(device)
        self._grid = sigma_grid("fine", is_image=dataset.is_image)
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


def final_score(
    dataset: Dataset,
    samples: Array,
    *,
    grid: str = "fine",
    n_valid: int | None = None,
    device: str = "cpu",
) -> tuple[ParzenScore, Indicators]:
    """Score `samples` `[n, d]` on the test set, and take their health indicators.

    The protocol wants 10,000 samples. The indicators use 1,000 of them where there are that many,
    drawn at random, since somebody's file may be sorted.

    Args:
        dataset: whose test set is scored.
        samples: images in [0, 1], or points.
        grid: "fine", or "authors" to compare with published scores (see `sigma_grid`).
        n_valid: sigma is chosen on this many validation examples, the first ones; None for as
            many as the data set says.
        device: where to compute.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    reference = _health_reference(dataset, min(_N_FINAL_REFERENCE, len(samples)), device)
    return _score_against(reference, dataset, samples, grid, n_valid, device)


def evaluate_samples(
    dataset: Dataset, samples: np.ndarray, *, grid: str = "fine"
) -> dict[str, Any]:
    """Score anybody's samples `[n, d]`, with a verdict on their health, as plain JSON values.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    reference = _health_reference(dataset, min(_N_FINAL_REFERENCE, len(samples)), "cpu")
    parzen, indicators = _score_against(reference, dataset, samples, grid, None, "cpu")
    verdict = judge_once(indicators, reference.null)
    return {
        "dataset": dataset.name,
        "n_samples": parzen.n_samples,
        "test_ll": parzen.test_ll,
        "test_ll_se": parzen.test_ll_se,
        "valid_ll": parzen.valid_ll,
        "sigma": parzen.sigma,
        "sigma_at_edge": parzen.sigma_at_edge,
        "health": {
            **dataclasses.asdict(indicators),
            "verdict": verdict.status,
            "reason": verdict.reason,
        },
    }


def reference_scores(dataset: Dataset) -> list[dict[str, object]]:
    """Return the lines that stand beside every ranking, to read its scores by.

    Up to 10,000 training examples are scored as if they were generated; their indicators are those
    of training examples outside the health reference, whose own would cover everything. Of images,
    k-means centroids follow, up to 10,000, one to five training images: on MNIST they score far
    above real data, because Parzen rewards blur.
    """
    samples = dataset.to_float(dataset.train[:_N_REFERENCE_SAMPLES])
    reference = _health_reference(dataset, min(_N_FINAL_REFERENCE, len(samples)), "cpu")
    parzen, _ = _score_against(reference, dataset, samples, "fine", None, "cpu")
    if not dataset.is_image:
        return [_reference_line("training points", parzen, reference.null)]
    n_centroids = min(_N_REFERENCE_SAMPLES, len(dataset.train) // 5)
    reference_of_centroids = _health_reference(dataset, min(reference.n, n_centroids), "cpu")
    centroids = _k_means(dataset, n_centroids)
    return [
        _reference_line("training images", parzen, reference.null),
        _reference_line(
            "k-means centroids",
            *_score_against(reference_of_centroids, dataset, centroids, "fine", None, "cpu"),
        ),
    ]


def nearest_training(dataset: Dataset, samples: np.ndarray, n: int) -> np.ndarray:
    """Return the row in `dataset.train` nearest (L2) to each of the first n samples, `[n]`.

    Raises:
        SamplesError: the samples hold values that aren't finite, or have another shape.
    """
    wanted = as_samples(samples[:n]).float()
    best = torch.full((len(wanted),), torch.inf)
    rows = torch.zeros(len(wanted), dtype=torch.int64)
    n_block = max(1, _BLOCK_BYTES // (4 * max(dataset.dim, len(wanted))))
    for start in range(0, len(dataset.train), n_block):
        block = torch.from_numpy(dataset.to_float(dataset.train[start : start + n_block]))
        # The sample's own norm is the same for every image, so it decides nothing.
        squared = torch.addmm(block.square().sum(dim=1), wanted, block.T, alpha=-2)
        smallest, row = squared.min(dim=1)
        closer = smallest < best
        best = torch.where(closer, smallest, best)
        rows = torch.where(closer, row + start, rows)
    return rows.numpy()


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
    if len(flat) < MIN_SAMPLES:
        raise SamplesError(
            f"{where}: {len(flat)} samples. A score needs {MIN_SAMPLES} at least; the protocol "
            "asks for 10,000."
        )
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
    return HealthReference(dataset.to_float(dataset.train[: 5 * n]), n, device=device)


def _score_against(
    reference: HealthReference,
    dataset: Dataset,
    samples: Array,
    grid: str,
    n_valid: int | None,
    device: str,
) -> tuple[ParzenScore, Indicators]:
    n_valid = n_valid or dataset.n_valid_for_sigma
    samples = as_samples(samples, device)
    parzen = score(
        samples,
        dataset.to_float(dataset.valid[:n_valid]),
        dataset.to_float(dataset.test),
        sigma_grid(grid, is_image=dataset.is_image),
        device=device,
    )
    drawn = np.random.default_rng(0).permutation(len(samples))[: reference.n]
    return parzen, reference.indicators(samples[drawn])


def _reference_line(name: str, parzen: ParzenScore, indicators: Indicators) -> dict[str, object]:
    return {
        "name": name,
        "test_ll": parzen.test_ll,
        "test_ll_se": parzen.test_ll_se,
        "valid_ll": parzen.valid_ll,
        "sigma": parzen.sigma,
        **dataclasses.asdict(indicators),
    }


def _k_means(dataset: Dataset, n_centroids: int) -> torch.Tensor:
    """Return centroids `[n_centroids, d]` after a few of Lloyd's steps from the first examples."""
    centroids = torch.from_numpy(dataset.to_float(dataset.train[:n_centroids]))
    n_block = max(1, _BLOCK_BYTES // (4 * n_centroids))
    for _ in range(_N_LLOYD_STEPS):
        sums, counts = torch.zeros_like(centroids), torch.zeros(n_centroids)
        squared_norms = centroids.square().sum(dim=1)
        for start in range(0, len(dataset.train), n_block):
            block = torch.from_numpy(dataset.to_float(dataset.train[start : start + n_block]))
            nearest = torch.addmm(squared_norms, block, centroids.T, alpha=-2).argmin(dim=1)
            sums.index_add_(0, nearest, block)
            counts += torch.bincount(nearest, minlength=n_centroids)
        # A centroid that lost all its examples stays where it was.
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None], centroids)
    return centroids


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
    except (ValueError, EOFError) as error:
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
