"""Log-likelihood under a Parzen window: samples in, nats out.

Section 5 of Goodfellow et al. (2014), after Breuleux et al. (2011): an isotropic Gaussian of
standard deviation sigma sits on every generated sample s_j, and a point x of d dimensions gets

    log p(x) = log (1/n) sum_j exp(-|x - s_j|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi)).

Sigma is chosen on validation data. All sigmas share the distances, which one matrix product a block
of points gives, and memory stays below a bound. `docs/scores.md` says what the score is worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gansearch.errors import BadInputError, SamplesError
from gansearch.scoring.neighbours import DIRECT_DIMS, comparable_distances
from gansearch.scoring.samples import Array, as_samples, as_tensor
from gansearch.system.precision import full_precision

# Of a block's distances: on a CPU few enough for its cache, on a GPU enough to fill it.
_BLOCK_BYTES = {"cpu": 4 * 2**20, "cuda": 64 * 2**20, "mps": 64 * 2**20}
STORE_BYTES = 512 * 2**20  # of all distances to the validation points, kept while sigma is sought
_MIN_BLOCK_POINTS = 64  # fewer would starve the matrix product
# Terms below are counted as this: 2e-35 of the nearest sample's. An exponential that underflows
# takes 30 times as long on a processor.
_MIN_EXPONENT = -80.0
_STRIDES = (16, 4, 1)  # of the search for sigma, coarse to fine


@dataclass(frozen=True)
class ParzenScore:
    """The score of a set of samples; log-likelihoods are in nats an example.

    Attributes:
        sigma: the Gaussians' standard deviation, chosen on the validation points.
        sigma_at_edge: whether sigma is the grid's first or last: then the score is not to be
            trusted, since a better sigma lies outside.
        valid_ll: mean log-likelihood of the validation points.
        test_ll: mean log-likelihood of the test points.
        test_ll_se: its standard error over test points, sd / sqrt(n_test).
        n_samples: how many samples the density was made of.
        per_example: `[n_test]`, each test point's log-likelihood, for paired comparisons.
    """

    sigma: float
    sigma_at_edge: bool
    valid_ll: float
    test_ll: float
    test_ll_se: float
    n_samples: int
    per_example: np.ndarray


def sigma_grid(kind: str, *, is_image: bool, is_bounded: bool = True) -> np.ndarray:
    """Return candidates for sigma, ascending.

    `"authors"` is the grid of the paper's code, `logspace(-1, 0, 10)`, for images in [0, 1]. Its
    wide steps cost up to 12.8 nats in 784 dimensions: scores by it and by `"fine"` don't compare.
    `"fine"` has steps of .005 up to 1 for images in [0, 1]; of 2 % from .01 to about 10 for images
    of another range (not `is_bounded`), as contrast-normalised ones; and of 5 % from .001 to about
    10 for points. Half a step of 2 % costs .3 nats at most in 3,072 dimensions.
    """
    check_grid(kind)
    if kind == "authors":
        return np.logspace(-1, 0, 10)
    if not is_image:
        return 0.001 * 1.05 ** np.arange(190)
    return np.arange(1, 201) / 200 if is_bounded else 0.01 * 1.02 ** np.arange(350)


def check_grid(kind: object) -> None:
    """Raise BadInputError if there is no such grid of sigmas."""
    if kind not in ("authors", "fine"):
        raise BadInputError(f"--sigma-grid {kind!r}: unknown. Known: authors, fine.")


def log_likelihoods(
    samples: Array,
    points: Array,
    sigmas: Sequence[float] | np.ndarray,
    *,
    block_bytes: int | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Return the log-likelihood of every point at every sigma, `[n_sigmas, n_points]`, float64.

    Distances are float32 without TF32, from data centred on the samples' mean. At MNIST's scale
    they err by up to 1e-4, which is .005 nats an image at sigma .1 (.0006 on average), and grows as
    1/sigma^2 like the log-likelihood itself.

    Args:
        samples: `[n, d]`, generated.
        points: `[n_points, d]`, real.
        sigmas: positive standard deviations, of any order.
        block_bytes: bound on a block of distances, by default one that suits the device; 64 points
            a block at least.
        device: where to compute.

    Raises:
        SamplesError: the samples are not `[n, d]`, or hold NaN, infinite or huge values.
    """
    samples, points = _centred(samples, points, device)
    with full_precision(device):
        return _gathered(
            _distance_blocks(samples, points, block_bytes),
            np.empty((len(sigmas), len(points))),
            lambda block: _block_log_likelihoods(block, sigmas, samples.shape[1]),
        )


def choose_sigma(
    samples: Array,
    valid: Array,
    grid: Sequence[float] | np.ndarray,
    *,
    block_bytes: int | None = None,
    store_bytes: int = STORE_BYTES,
    device: torch.device | str = "cpu",
) -> tuple[float, bool, float]:
    """Return (sigma, sigma_at_edge, valid_ll): where the validation points' mean is highest.

    The mean log-likelihood rises to one peak and falls in every case that was tried, so a long
    ascending grid is searched coarse to fine: every 16th, then every 4th about the best, then every
    one. Distances are computed once and kept, or once for each of these stages where keeping them
    would take more than `store_bytes`.

    Raises:
        SamplesError: as `log_likelihoods`.
    """
    samples, valid = _centred(samples, valid, device)
    dim = samples.shape[1]

    def compute() -> Iterable[_Distances]:
        return _distance_blocks(samples, valid, block_bytes)

    with full_precision(device):
        blocks: Callable[[], Iterable[_Distances]] = compute
        if 4 * len(samples) * len(valid) <= store_bytes:
            stored = list(compute())
            blocks = lambda: stored  # noqa: E731
        mean_lls: dict[int, float] = {}
        for candidates in _coarse_to_fine(len(grid), mean_lls):
            sigmas = [float(grid[i]) for i in candidates]
            lls = [_block_log_likelihoods(block, sigmas, dim) for block in blocks()]
            means = np.concatenate(lls, axis=1).mean(axis=1)
            mean_lls.update(zip(candidates, means.tolist(), strict=True))
    best = _argmax(mean_lls)
    return float(grid[best]), best in (0, len(grid) - 1), mean_lls[best]


def score(
    samples: Array,
    valid: Array,
    test: Array,
    grid: Sequence[float] | np.ndarray,
    *,
    device: torch.device | str = "cpu",
) -> ParzenScore:
    """Choose sigma on `valid` `[n_valid, d]`, then score `test` `[n_test, d]` at it, once.

    Raises:
        SamplesError: as `log_likelihoods`.
    """
    sigma, at_edge, valid_ll = choose_sigma(samples, valid, grid, device=device)
    per_example = log_likelihoods(samples, test, [sigma], device=device)[0]
    return _scored(len(samples), (sigma, at_edge, valid_ll), per_example)


def score_curve(
    samples: Array,
    valid: Array,
    test: Array,
    grid: Sequence[float] | np.ndarray,
    counts: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> list[ParzenScore]:
    """Score the first n samples for each n of `counts`, as `score` would, sigma chosen anew.

    Windows must narrow as samples get more, so one sigma for all would be wrong for all but one.
    Distances to the test points are computed once for all counts.

    Raises:
        SamplesError: as `log_likelihoods`.
        ValueError: counts that are not ascending, or more than there are samples.
    """
    if list(counts) != sorted(set(counts)) or not 0 < counts[0] <= counts[-1] <= len(samples):
        raise ValueError(f"counts {list(counts)} of {len(samples)} samples: must ascend.")
    chosen = [choose_sigma(samples[:n], valid, grid, device=device) for n in counts]
    centred, points = _centred(samples[: counts[-1]], test, device)

    def of_each_count(block: _Distances) -> np.ndarray:
        return np.concatenate(
            [
                _block_log_likelihoods(_to_first(n, block), [sigma], centred.shape[1])
                for n, (sigma, _, _) in zip(counts, chosen, strict=True)
            ]
        )

    with full_precision(device):
        per_example = _gathered(
            _distance_blocks(centred, points),
            np.empty((len(counts), len(points))),
            of_each_count,
        )
    return [_scored(*each) for each in zip(counts, chosen, per_example, strict=True)]


def _scored(
    n_samples: int, chosen: tuple[float, bool, float], per_example: np.ndarray
) -> ParzenScore:
    sigma, at_edge, valid_ll = chosen
    return ParzenScore(
        sigma=sigma,
        sigma_at_edge=at_edge,
        valid_ll=valid_ll,
        test_ll=float(per_example.mean()),
        test_ll_se=float(per_example.std(ddof=1) / math.sqrt(len(per_example))),
        n_samples=n_samples,
        per_example=per_example,
    )


@dataclass(frozen=True)
class _Distances:
    """Squared distances from a block of b points to all n samples, split for the exponential.

    Attributes:
        nearest: `[b]` float64, each point's squared distance to the nearest sample.
        gaps: `[b, n]` float32, what the others are further away; 0 at the nearest.
    """

    nearest: torch.Tensor
    gaps: torch.Tensor


def _centred(
    samples: Array, points: Array, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both as float32 less the samples' mean: distances stay, cancellation shrinks."""
    samples, points = as_samples(samples, device), as_tensor(points, device)
    if points.ndim != 2 or points.shape[1] != samples.shape[1]:
        raise SamplesError(
            f"samples: {samples.shape[1]} values each, where the data has shape "
            f"{list(points.shape)}. A sample needs as many values as a real example."
        )
    mean = samples.mean(dim=0, dtype=torch.float64)
    return tuple((x - mean.to(x.dtype)).float() for x in (samples, points))  # type: ignore[return-value]


def _distance_blocks(
    samples: torch.Tensor, points: torch.Tensor, block_bytes: int | None = None
) -> Iterator[_Distances]:
    block_bytes = block_bytes or _BLOCK_BYTES.get(samples.device.type, _BLOCK_BYTES["cpu"])
    n_points = max(_MIN_BLOCK_POINTS, block_bytes // (4 * len(samples)))
    squared_norms = samples.square().sum(dim=1)
    for block in torch.split(points, n_points):
        gaps = comparable_distances(block, samples, squared_norms)
        smallest = gaps.amin(dim=1)
        gaps -= smallest[:, None]
        nearest = smallest.double()
        if samples.shape[1] > DIRECT_DIMS:
            nearest += block.square().sum(dim=1).double()
        yield _Distances(nearest.clamp(min=0), gaps)


def _gathered(
    blocks: Iterable[_Distances],
    found: np.ndarray,
    compute: Callable[[_Distances], np.ndarray],
) -> np.ndarray:
    """Fill and return `found` `[n_rows, n_points]` with `compute` `[n_rows, b]` of each block.

    Results that were allocated between large blocks, and kept, would leave no room for the next
    block where the last one was: memory grew by gigabytes.
    """
    start = 0
    for block in blocks:
        stop = start + len(block.nearest)
        found[:, start:stop] = compute(block)
        start = stop
    return found


def _to_first(n: int, block: _Distances) -> _Distances:
    """Return a block's distances to the first n samples alone."""
    gaps = block.gaps[:, :n]
    smallest = gaps.amin(dim=1)
    return _Distances(block.nearest + smallest.double(), gaps - smallest[:, None])


def _block_log_likelihoods(
    block: _Distances, sigmas: Sequence[float] | np.ndarray, dim: int
) -> np.ndarray:
    """Return `[n_sigmas, b]` float64. The nearest sample's term is taken out, so no sum is 0."""
    n_samples = block.gaps.shape[1]
    kernel = torch.empty_like(block.gaps)
    rows = []
    for sigma in sigmas:
        precision = 0.5 / sigma**2
        # A gap of 0 must stay 0 at the tiniest sigma, so the factor must not become infinite.
        torch.mul(block.gaps, -min(precision, torch.finfo(torch.float32).max), out=kernel)
        log_sum = kernel.clamp_(min=_MIN_EXPONENT).exp_().sum(dim=1).double().log_()
        log_norm = math.log(n_samples) + dim * math.log(sigma * math.sqrt(2 * math.pi))
        rows.append(log_sum - precision * block.nearest - log_norm)
    return torch.stack(rows).cpu().numpy()


def _coarse_to_fine(n: int, mean_lls: dict[int, float]) -> Iterator[list[int]]:
    """Yield the grid's indices that are still to be tried, a stage at a time.

    `mean_lls` is filled by the caller between stages. A grid of less than two coarse steps is
    tried whole.
    """
    if n < 2 * _STRIDES[0]:
        yield list(range(n))
        return
    low, high = 0, n - 1
    for stride, reach in zip(_STRIDES, (*_STRIDES[1:], 0), strict=True):
        candidates = sorted({*range(low, high + 1, stride), high} - mean_lls.keys())
        if candidates:
            yield candidates
        best = _argmax(mean_lls)
        low, high = max(0, best - stride + reach), min(n - 1, best + stride - reach)


def _argmax(mean_lls: dict[int, float]) -> int:
    return max(sorted(mean_lls), key=mean_lls.__getitem__)
