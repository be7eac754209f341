"""Measures of your own beside gansearch's: a Frechet distance of features, and one of pixels.

    gansearch run --space examples/own_measure.yaml

A measure is a function of samples and of real examples, float32 arrays of images `[n, channels,
height, width]` in [0, 1]; with `features` it gets what that function makes of them. For the FID,
use `features="inception-v3-compat"`, torch-fidelity's Inception (docs/scores.md).
"""

import gansearch


def coarse(images):
    """Return each image in cells of 2x2 pixels, `[n, k]`."""
    n, channels, height, width = images.shape
    cells = images.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    return cells.reshape(n, -1)


@gansearch.measure(direction="minimize", features=coarse)
def frechet(samples, real):
    return gansearch.frechet_distance(samples, real)


@gansearch.measure(direction="minimize", unit="share of the ink")
def ink(samples, real):
    return abs(samples.mean() - real.mean()) / real.mean()
