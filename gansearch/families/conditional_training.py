"""Trainings of conditional adversarial nets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.families.conditional_nets import ConditionalConfig
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.networks.interface import Shape
from gansearch.networks.pairs import (
    PairDiscriminator,
    PairGenerator,
    PairNetworkMaker,
    beside,
    pair_shape,
)
from gansearch.training.pairs import Minibatch


class ConditionalGenerator(PairGenerator):
    """G(z, c). The last coordinate of its noise decides the class, by the classes' frequencies."""

    def __init__(self, config: ConditionalConfig, shape: Shape, shares: list[float]) -> None:
        widened = dataclasses.replace(config, noise_dim=config.noise_dim + len(shares))
        super().__init__(widened, shape, config.noise_dim + 1)
        self._noise = config.noise
        self.register_buffer("bounds", torch.tensor(shares).cumsum(0)[:-1])

    def classes(self, noise: Tensor) -> Tensor:
        """Return the class that each row of noise stands for, one-hot, `[n, classes]`."""
        last = noise[..., -1].contiguous()
        if self._noise == "uniform":
            uniform = last / (2 * math.sqrt(3)) + 0.5
        else:
            uniform = torch.special.ndtr(last)
        found = torch.searchsorted(self.bounds, uniform, right=True)
        return F.one_hot(found, len(self.bounds) + 1).to(noise.dtype)

    def given(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Return examples `[n, dim]` of given classes, one-hot, by all but the last coordinate."""
        made: Tensor = self.net(torch.cat((noise[..., :-1], classes), -1))
        return made

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`, of all classes."""
        return self.given(noise, self.classes(noise))


class ConditionalTraining(TrainedPairTraining):
    """One training of G(z, c) against D(x, c)."""

    def __init__(self, config: ConditionalConfig, dataset: Dataset, *args: Any, **how: Any) -> None:
        super().__init__(config, dataset, *args, **how)
        assert dataset.labels is not None
        labels = torch.from_numpy(dataset.labels.train.astype(np.int64))
        self._classes = F.one_hot(labels, len(dataset.labels.names)).float().to(self.device)
        self._input_shape = pair_shape(config, dataset.shape, self._classes.shape[1])

    @classmethod
    def details_of(cls, config: Any, dataset: Dataset) -> dict[str, Any]:
        """Return the names of the classes and their shares of the training set."""
        assert dataset.labels is not None
        counts = np.bincount(dataset.labels.train, minlength=len(dataset.labels.names))
        return {
            "classes": list(dataset.labels.names),
            "shares": (counts / counts.sum()).tolist(),
        }

    @classmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:
        """Return what makes the networks."""
        shares = details["shares"]
        input_shape = pair_shape(config, shape, len(shares))
        return PairNetworkMaker(
            partial(ConditionalGenerator, config, shape, shares),
            partial(PairDiscriminator, config, math.prod(input_shape), input_shape),
        )

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return real examples with their classes."""
        return beside(batch.x, self._classes[batch.rows], self._input_shape)

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return generated examples with the classes that they were generated for."""
        classes = self.generator.classes(batch.drawn.noise)
        made = self.generator.given(batch.drawn.noise, classes)
        return beside(made, classes, self._input_shape)
