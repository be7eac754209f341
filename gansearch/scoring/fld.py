"""Feature likelihood divergence (Jiralerspong et al. 2023, arXiv 2302.04440).

A Gaussian is centred on each generated sample. Its variance is fitted to training examples, so it
shrinks on a copy of one, which then explains no new example. The score is the density of test
examples under the mixture, compared with that of a mixture around training examples. It falls with
bad samples, with missing modes and with copies; the Parzen score misses copies, since it fits one
variance to validation examples.

One more Gaussian, as wide as the data, has the weight of a sample. Without it an example that no
sample explains would decide the score by the least variance that is allowed, which says nothing.
So no score is far above that of knowing the data's mean and variance alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.rules import count_of
from gansearch.scoring.neighbours import comparable_distances
from gansearch.scoring.samples import MIN_SAMPLES, Array, as_samples

N_FLD_SAMPLES = 1000
N_FLD_TRAINING, N_FLD_TEST = 5000, 2000
_MAX_STEPS = 20
_CONVERGED = 1e-3  # nats a dimension, between two steps
# A share of the mean variance of the features: no variance is smaller, so that copies have a score.
_LEAST_VARIANCE = 1e-4
# A fixed component at the mean explains examples that lie far from all samples; its distances are
# shortened by this factor, as in the authors' code.
_ORIGIN_SHRINKAGE = 0.9**2
_LEAST_SCALE = 0.1  # of a feature, as a share of all features' root mean square deviation
_BLOCK_BYTES = 32 * 2**20
# Shares below e to this are counted as this: an exponential, or its product with a small distance,
# that underflows takes far longer.
_MIN_EXPONENT = -60.0


def feature_likelihood_divergence(
    train: Array, test: Array, generated: Array, *, standardise: bool = True
) -> float:
    """Return the FLD of generated examples, in nats per 100 dimensions; lower is better.

    Near 0 for samples as good as training examples that the fit hasn't seen. Highest for copies of
    those that it has seen and for samples far from all data: as high as if only the mean and the
    variance of the data were known. Per 100 dimensions, it estimates the divergence of the
    generator from the data beyond that of as many real examples. At most 1,000 generated examples
    are used and half as many as there are training examples; as many training examples are the
    standard. Only the same numbers of examples compare.

    Args:
        train: features `[n, f]` of the training examples, 40 or more.
        test: `[m, f]` of new real examples.
        generated: `[k, f]` of samples, 20 or more.
        standardise: whether to scale each feature by its deviation among test examples, or by a
            tenth of all features' root mean square deviation if that is larger. False for features
            that have one scale, such as pixels.

    Raises:
        SamplesError: too few examples, numbers of features that differ, values that aren't finite,
            or training examples that are all the same.
    """
    train, test, generated = (as_samples(each, "cpu").double() for each in (train, test, generated))
    _check(train, test, generated)
    centre = test.mean(dim=0)
    scale = _scale(test) if standardise else torch.ones_like(centre)
    train, test, generated = (
        ((each - centre) / scale).float() for each in (train, test, generated)
    )
    n = min(N_FLD_SAMPLES, len(train) // 2, len(generated))
    background = _log_density_of_all(train, test)
    standard = _Mixture.fit(train[:n], train[n:]).mean_log_density(test, background)
    found = _Mixture.fit(generated[:n], train).mean_log_density(test, background)
    return 100 * (standard - found) / train.shape[1]


def dataset_fld(dataset: Dataset, samples: Array) -> float:
    """Return the FLD of samples `[n, d]` by the values of the data set, which have one scale.

    At most 5,000 training and 2,000 test examples are used.

    Raises:
        SamplesError: as `feature_likelihood_divergence`.
    """
    train, test = (
        dataset.to_float(split[:n])
        for split, n in ((dataset.train, N_FLD_TRAINING), (dataset.test, N_FLD_TEST))
    )
    return feature_likelihood_divergence(train, test, samples, standardise=False)


def _check(train: torch.Tensor, test: torch.Tensor, generated: torch.Tensor) -> None:
    if not train.shape[1] == test.shape[1] == generated.shape[1]:
        raise SamplesError(
            f"FLD: {train.shape[1]}, {test.shape[1]} and {generated.shape[1]} features of "
            "training, test and generated examples. All need the same."
        )
    if len(train) < 2 * MIN_SAMPLES or len(generated) < MIN_SAMPLES:
        raise SamplesError(
            f"FLD: {count_of(len(train), 'training example')}, "
            f"{count_of(len(generated), 'generated example')}. It needs {2 * MIN_SAMPLES} and "
            f"{MIN_SAMPLES} at least."
        )
    if not (train != train[:1]).any():
        raise SamplesError("FLD: all training examples are the same. It needs features that vary.")


def _scale(test: torch.Tensor) -> torch.Tensor:
    deviations = test.std(dim=0, correction=0)
    mean = float(deviations.square().mean().sqrt())
    return deviations.clamp(min=_LEAST_SCALE * mean) if mean > 0 else torch.ones_like(deviations)


def _log_density_of_all(train: torch.Tensor, test: torch.Tensor) -> torch.Tensor:
    """Return the log-density of test examples `[m]` under one Gaussian around all training ones."""
    centre = train.mean(dim=0, keepdim=True)
    log_variance = (train - centre).square().mean().log()[None]
    return _log_densities(_squared_distances(test, centre), log_variance, test.shape[1])[:, 0]


@dataclass(frozen=True)
class _Mixture:
    """Equally weighted Gaussians: centres `[n, f]` and the logarithm of each variance, `[n]`."""

    centres: torch.Tensor
    log_variances: torch.Tensor

    @classmethod
    def fit(cls, centres: torch.Tensor, data: torch.Tensor) -> _Mixture:
        """Fit the variances to `data` `[m, f]` by expectation maximisation.

        The authors take 50 steps of Adam on the same likelihood; this needs no learning rate.
        """
        d = data.shape[1]
        squared = _squared_distances(data, centres)
        mean = data.mean(dim=0)
        spread = (data - mean).square().sum(dim=1)
        least = _LEAST_VARIANCE * float(spread.mean()) / d
        # The last column is the component at the mean. Its weight is that of all others together.
        squared = torch.cat([squared, _ORIGIN_SHRINKAGE * spread[:, None]], dim=1)
        log_weights = torch.full((len(centres) + 1,), -math.log(len(centres)))
        log_weights[-1] = 0.0
        variances = (squared.amin(dim=0) / d).clamp(min=least)
        variances[-1] = squared[:, -1].mean() / d
        before = -math.inf
        for _ in range(_MAX_STEPS):
            variances, likelihood = _step(squared, variances, log_weights, d)
            variances = variances.clamp(min=least)
            if likelihood - before < _CONVERGED * d:
                break
            before = likelihood
        return cls(centres, variances[:-1].log())

    def mean_log_density(self, data: torch.Tensor, background: torch.Tensor) -> float:
        """Return the mean log-density of `data` `[m, f]`, in nats.

        `background` `[m]` is the log-density of each under one more component.
        """
        d = data.shape[1]
        squared = _squared_distances(data, self.centres)
        logs, _ = _sums_and_shares(_log_densities(squared, self.log_variances, d))
        found = torch.logaddexp(logs, background).double().mean()
        return float(found) - math.log(len(self.centres) + 1)


def _step(
    squared: torch.Tensor, variances: torch.Tensor, log_weights: torch.Tensor, d: int
) -> tuple[torch.Tensor, float]:
    """Return the variances after a step, and the mean log-likelihood before it."""
    weights, weighted = torch.zeros_like(variances), torch.zeros_like(variances)
    likelihood = 0.0
    log_variances = variances.log()
    for block in _blocks(squared):
        logs = _log_densities(block, log_variances, d).add_(log_weights)
        of_all, shares = _sums_and_shares(logs)
        likelihood += float(of_all.sum())
        weights += shares.sum(dim=0)
        weighted += torch.einsum("nm,nm->m", shares, block)
    # A component that explains nothing stays as it is.
    moved = weights > torch.finfo(weights.dtype).tiny
    found = torch.where(moved, weighted / (d * weights.clamp(min=1e-30)), variances)
    return found, likelihood / len(squared)


def _sums_and_shares(logs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logsumexp of each row, `[n]`, and the shares in it, which take the place of `logs`."""
    largest = logs.amax(dim=1, keepdim=True)
    shares = logs.sub_(largest).clamp_(min=_MIN_EXPONENT).exp_()
    sums = shares.sum(dim=1, keepdim=True)
    return (largest + sums.log())[:, 0], shares.div_(sums)


def _log_densities(squared: torch.Tensor, log_variances: torch.Tensor, d: int) -> torch.Tensor:
    constants = -d / 2 * (log_variances + math.log(2 * math.pi))
    return torch.addcmul(constants, squared, (-log_variances).exp(), value=-0.5)


def _squared_distances(data: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    squared = comparable_distances(data, centres)
    if data.shape[1] > 4:
        squared += data.square().sum(dim=1, keepdim=True)
    return squared.clamp_(min=0)


def _blocks(squared: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield blocks of rows, so that what is computed from them stays small."""
    n_rows = max(1, _BLOCK_BYTES // (4 * squared.shape[1]))
    for start in range(0, len(squared), n_rows):
        yield squared[start : start + n_rows]
