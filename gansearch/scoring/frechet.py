"""The Frechet distance of two sets of features, as of Inception in the FID (Heusel et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np


def frechet_distance(samples: Any, real: Any) -> float:
    """Return the squared Frechet distance of Gaussians fitted to two sets of features.

    With means m, w and covariances C, D it is |m - w|^2 + tr(C + D - 2 (C D)^(1/2)), from 0 for
    the same up. It falls as the numbers of examples rise, so compare only equal numbers.

    Args:
        samples: features `[n, ...]` of samples, flattened to `[n, k]`.
        real: features of real examples, with the same k.

    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
    9.0

    Raises:
        ValueError: another k, or fewer than two examples.
    """
    # Imported here: it takes half a second.
    from scipy.linalg import eigh, eigvalsh

    a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (samples, real))
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features {list(a.shape)} and {list(b.shape)}: both need n > 1, one k")
    of_a, of_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # The trace of the root of C D is that of the root of C^(1/2) D C^(1/2), which is symmetric: no
    # complex numbers, also where there are fewer examples than features.
    values, vectors = eigh(of_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    trace = np.sqrt(eigvalsh(root @ of_b @ root).clip(0)).sum()
    distance = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(max(0.0, distance + np.trace(of_a) + np.trace(of_b) - 2 * trace))
