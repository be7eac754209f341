"""Warnings about samples that score as they are but seem to lie on another scale than the data.

Values may be in the range that a data set asks for and still mean something else: images at half
brightness, black on white, transposed, or points in other units. No number tells these from the
work of a bad generator, so they are scored, and what looks wrong is said.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.scoring.neighbours import distances_to_training
from gansearch.scoring.pixels import contrast_of

_UNUSED = 0.25  # of the data's range, at its dark or its bright end
_NEARER = 0.5  # times as far from another arrangement's mean image as from the data's
_NEARER_POINTS = 0.25  # times as far from training points, once points are scaled and shifted
_N_FOR_SCALE = 1000
# Of contrast-normalised images.
_OFF_NORM = 0.15
_OFF_MEAN = 0.05
_SPREAD = 0.5


def mismatch_warnings(dataset: Dataset, samples: np.ndarray) -> Iterator[str]:
    """Yield a sentence for each sign that samples `[n, d]` are not on the scale of `dataset`."""
    if not dataset.is_image:
        yield from _other_units(dataset, samples)
        return
    if dataset.contrast is None:
        yield from _other_range(dataset, samples)
    else:
        yield from _other_contrast(samples, dataset.contrast)
    yield from _other_arrangement(dataset, samples)


def _other_range(dataset: Dataset, samples: np.ndarray) -> Iterator[str]:
    """Warn where the samples leave the data's darkest or brightest values unused."""
    low, high = (float(end) / dataset.scale for end in (dataset.train.min(), dataset.train.max()))
    darkest, brightest = float(samples.min()), float(samples.max())
    unused = max(darkest - low, high - brightest)
    if unused > _UNUSED * (high - low):
        yield (
            f"The values of the samples run from {darkest:.3g} to {brightest:.3g}, those of the "
            f"data from {low:.3g} to {high:.3g} (1 is {dataset.scale:g} as a whole number). If "
            "this is another scale and not the generator's doing, the score is wrong: save them "
            "in [0, 1]."
        )


def _other_contrast(samples: np.ndarray, contrast: float) -> Iterator[str]:
    """Warn where images that were taken as normalised are so only roughly."""
    means, norms = contrast_of(samples, contrast)
    low, norm, high = np.quantile(norms, [0.05, 0.5, 0.95])
    mean = float(np.median(np.abs(means)))
    if abs(norm - 1) > _OFF_NORM or mean > _OFF_MEAN or high - low > _SPREAD * norm:
        yield (
            "The samples have negative values, so they were taken as contrast normalised already. "
            f"But their norms run from {low * contrast:.3g} to {high * contrast:.3g} where the "
            f"data has {contrast:g}, and their means reach {np.abs(means).max():.2g} of the "
            "root mean square where it has 0. If they are pixels on another scale, the score is "
            "wrong: save them in [0, 1]."
        )


def _other_arrangement(dataset: Dataset, samples: np.ndarray) -> Iterator[str]:
    """Warn where another arrangement of the pixels has a mean image much nearer the data's."""
    real = dataset.to_float(dataset.train[:_N_FOR_SCALE]).mean(axis=0).reshape(dataset.shape)
    mean = samples.mean(axis=0, dtype=np.float64).reshape(dataset.shape)
    distance = float(np.linalg.norm(mean - real))
    for name, remedy, other in _arrangements(dataset, mean):
        if np.linalg.norm(other - real) < _NEARER * distance:
            yield (
                f"The samples look {name}: their mean image is then much nearer that of the data. "
                f"If they are, the score is wrong: save {remedy}."
            )


def _arrangements(dataset: Dataset, mean: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield mistakes in storing images: a name, what undoes it in `[n, *shape]`, and its mean."""
    height, width, channels = dataset.shape
    if dataset.contrast is None:
        yield "inverted", "1 - x", 1 - mean
    if height == width:
        yield "transposed", "numpy.transpose(x, (0, 2, 1, 3))", mean.transpose(1, 0, 2)
    yield "upside down", "x[:, ::-1]", mean[::-1]
    yield "mirrored", "x[:, :, ::-1]", mean[:, ::-1]
    if channels > 1:
        first = mean.ravel().reshape(channels, height, width).transpose(1, 2, 0)
        yield (
            "flattened channel by channel",
            f"x.reshape(-1, {channels}, {height}, {width}).transpose(0, 2, 3, 1)",
            first,
        )
        yield "in the order blue, green, red", "x[..., ::-1]", mean[..., ::-1]


def _other_units(dataset: Dataset, samples: np.ndarray) -> Iterator[str]:
    """Warn where points would lie much nearer the data if they were shifted and scaled."""
    drawn = samples[np.random.default_rng(0).permutation(len(samples))[:_N_FOR_SCALE]]
    centre, spread = samples.mean(axis=0, dtype=np.float64), _spread(samples)
    if not spread > 0:
        return
    factor = _spread(dataset.train) / spread
    shift = dataset.train.mean(axis=0, dtype=np.float64) - centre * factor
    now = np.median(distances_to_training(dataset, drawn))
    then = np.median(distances_to_training(dataset, (drawn * factor + shift).astype(np.float32)))
    if then < _NEARER_POINTS * now:
        if dataset.units is not None:  # the samples came in these
            offset, unit = dataset.units.offset, dataset.units.unit
            shift = unit * shift + offset * (1 - factor)
        shown = ", ".join(f"{value:.3g}" for value in shift)
        yield (
            f"The samples lie {now:.2g} from the nearest training points (median), and only "
            f"{then:.2g} once they are scaled and shifted. If they are in other units, the score "
            f"is wrong: save x * {factor:.3g} + [{shown}]."
        )


def _spread(points: np.ndarray) -> float:
    """Return the root mean square distance of points `[n, d]` from their mean, an axis."""
    return float(np.sqrt(points.var(axis=0, dtype=np.float64).mean()))
