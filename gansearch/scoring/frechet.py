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
    from scipy.linalg import qr, svdvals

    a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (samples, real))
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features {list(a.shape)} and {list(b.shape)}: both need n > 1, one k")
    means = a.mean(axis=0), b.mean(axis=0)
    # With C = R'R and D = S'S, the trace of (C D)^(1/2) is the sum of the singular values of R S':
    # no complex numbers, and little work where there are fewer examples than features.
    r, s = (
        qr(each - mean, mode="r", overwrite_a=True)[0][: each.shape[1]] / np.sqrt(len(each) - 1)
        for each, mean in zip((a, b), means, strict=True)
    )
    trace = np.square(r).sum() + np.square(s).sum() - 2 * svdvals(r @ s.T).sum()
    return float(max(0.0, np.square(means[0] - means[1]).sum() + trace))
