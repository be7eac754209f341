"""Watches a training on one-dimensional data, and draws it as Figure 1 of Goodfellow et al. (2014).

It keeps, from the start to the end, a few times what a panel of the picture shows: D over the range
of the data, samples, and where G takes evenly spread noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.figures.charts import game_picture
from gansearch.figures.figure1 import Moment, from_arrays, grid_of, kept, to_arrays
from gansearch.networks.probing import BLOCK, discriminate_at, generate_at, spread_noise
from gansearch.system.precision import full_precision
from gansearch.training.training import AdversarialTraining


class Figure1Observer:
    """Keeps moments of one training that reports at `report_updates`."""

    def __init__(
        self, config: TrialConfig, dataset: Dataset, report_updates: Sequence[int]
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._report_updates = report_updates
        self._moments: list[Moment] = []

    def observe(self, training: AdversarialTraining) -> None:
        """Keep what the picture shows of the training as it is now."""
        with full_precision(training.device):
            moment = moment_of(training, self._dataset)
        self._moments = kept([*self._moments, moment], self._report_updates)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what a checkpoint keeps."""
        return to_arrays(self._moments)

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._moments = from_arrays(arrays)

    def files(self) -> Mapping[str, bytes]:
        """Return the picture, `game.png`."""
        noise = spread_noise(self._config)[:, 0].numpy()
        return {"game.png": game_picture(self._moments, self._dataset, noise)}


def moment_of(training: AdversarialTraining, dataset: Dataset) -> Moment:
    """Return what Figure 1 shows of a training on one-dimensional data as it is now."""
    generator, config, seed = training.generator, training.config, training.sample_seed
    d = discriminate_at(training.discriminator, config, dataset, grid_of(dataset)[:, None])
    noise = spread_noise(config)
    arrows = np.full(len(noise), np.nan)  # while G is trained without its lowest layers
    if len(noise) and generator.first_layer == 0:
        arrows = generate_at(generator, config, seed, noise)[:, 0]
    samples = training.samples(BLOCK)[:, 0]
    return Moment(training.updates, d, samples, arrows.astype(np.float32))
