"""The Kullback-Leibler divergence of a generator from the data, estimated where that is possible.

Wang, Kulkarni and Verdú (2009), "Divergence estimation for multidimensional densities via
k-nearest-neighbor distances": of n real points and m samples, the density of either at a real point
is taken from the distance to the nearest other one,

    KL(data || generator) ~ (d / n) sum_i log(to_sample_i / to_real_i) + log(m / (n - 1)).

It needs no width, so it tells a generator that is too narrow, which the Parzen score and FLD
forgive. Beyond a few dimensions no number of samples that could be had is enough.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import KDTree

from gansearch.data.dataset import Dataset
from gansearch.errors import SamplesError
from gansearch.scoring.samples import Array, as_samples

_MAX_DIMS = 4  # in more, no number of samples would do
# Distances are no smaller than this, as a share of the data's largest value: float32 can't tell.
_RESOLUTION = 1e-7


def kl_divergence(dataset: Dataset, samples: Array) -> float | None:
    """Estimate KL(data || generator) in nats from `samples` `[m, d]` and all test examples.

    Near 0 for samples of the data's law, and slightly below by chance. Where the generator never
    comes near some of the data the divergence is infinite or close to it; the estimate is finite,
    and grows with how far away that is.

    Returns:
        The estimate; None for data of more than 4 dimensions.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    if dataset.dim > _MAX_DIMS:
        return None
    real = dataset.to_float(dataset.test).astype(np.float64)
    given = as_samples(samples, "cpu").double().numpy()
    if given.shape[1] != dataset.dim:
        raise SamplesError(
            f"KL divergence: samples of {given.shape[1]} values, the data set {dataset.name} has "
            f"{dataset.dim}. All need the same."
        )
    least = _RESOLUTION * max(float(np.abs(real).max()), 1e-30)
    to_real = np.asarray(KDTree(real).query(real, [2])[0]).clip(min=least)
    to_sample = np.asarray(KDTree(given).query(real, [1])[0]).clip(min=least)
    ratio = float(np.log(to_sample / to_real).mean())
    return dataset.dim * ratio + math.log(len(given) / (len(real) - 1))
