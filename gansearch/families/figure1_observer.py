"""Watches a training on one-dimensional data, and draws it as Figure 1 of Goodfellow et al. (2014).

It keeps, from the start to the end, a few times what a panel of the picture shows: D over the range
of the data, samples, and where G takes evenly spread noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gansearch.config import AdversarialConfig
from gansearch.data.dataset import Dataset
from gansearch.figures.figure1 import (
    Snapshot,
    figure1_picture,
    from_arrays,
    select_snapshots,
    to_arrays,
    x_grid,
)
from gansearch.networks.probing import BLOCK, discriminate_at, generate_at, spread_noise
from gansearch.system.precision import full_precision
from gansearch.training.training import AdversarialTraining


class Figure1Observer:
    """Keeps snapshots of one training that reports at `report_updates`."""

    def __init__(
        self, config: AdversarialConfig, dataset: Dataset, report_updates: Sequence[int]
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._report_updates = report_updates
        self._snapshots: list[Snapshot] = []

    def observe(self, training: AdversarialTraining) -> None:
        """Keep what the picture shows of the training as it is now."""
        with full_precision(training.device):
            snapshot = take_snapshot(training, self._dataset)
        self._snapshots = select_snapshots([*self._snapshots, snapshot], self._report_updates)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what a checkpoint keeps."""
        return to_arrays(self._snapshots)

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self._snapshots = from_arrays(arrays)

    def files(self) -> Mapping[str, bytes]:
        """Return the picture, `game.png`."""
        noise = spread_noise(self._config)[:, 0].numpy()
        return {"game.png": figure1_picture(self._snapshots, self._dataset, noise)}


def take_snapshot(training: AdversarialTraining, dataset: Dataset) -> Snapshot:
    """Return what Figure 1 shows of a training on one-dimensional data as it is now."""
    generator, config, seed = training.scored_generator, training.config, training.sample_seed
    d = discriminate_at(training.discriminator, config, dataset, x_grid(dataset)[:, None])
    noise = spread_noise(config)
    arrows = np.full(len(noise), np.nan)  # while G is trained without its lowest layers
    if len(noise) and generator.first_layer == 0:
        arrows = generate_at(generator, config, seed, noise)[:, 0]
    samples = training.samples(BLOCK)[:, 0]
    return Snapshot(training.updates, d, samples, arrows.astype(np.float32))
