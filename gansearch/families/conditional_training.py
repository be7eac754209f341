"""Trainings of conditional adversarial nets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansearch.conditional_parameters import ConditionalConfig
from gansearch.data.dataset import Dataset
from gansearch.families.conditional_generator import TrainedConditionalGenerator, generate_classes
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.family import Split
from gansearch.networks.conditional import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalNetworkMaker,
)
from gansearch.networks.interface import AnyGenerator, Shape
from gansearch.networks.pairs import PairNetworkMaker
from gansearch.pair_parameters import PairParameters
from gansearch.scoring.classes import ClassScores
from gansearch.training.gradients import Update
from gansearch.training.objective import as_float
from gansearch.training.pairs import Minibatch
from gansearch.training.schedules import Coefficients


class ConditionalTraining(TrainedPairTraining):
    """One training of G(z, c) against D(x, c)."""

    config: ConditionalConfig
    generator: ConditionalGenerator
    discriminator: ConditionalDiscriminator

    def __init__(self, config: ConditionalConfig, dataset: Dataset, *args: Any, **how: Any) -> None:
        super().__init__(config, dataset, *args, **how)
        assert dataset.labels is not None
        labels = torch.from_numpy(dataset.labels.train.astype(np.int64))
        self._classes = F.one_hot(labels, len(dataset.labels.names)).float().to(self.device)

    @classmethod
    def details_of(
        cls,
        config: Any,  # noqa: ARG003
        dataset: Dataset,
    ) -> dict[str, Any]:
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
        return ConditionalNetworkMaker(
            partial(ConditionalGenerator, config, shape, shares),
            partial(ConditionalDiscriminator, config, shape, len(shares)),
        )

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return real examples with their classes."""
        return torch.cat((batch.x, self._classes[batch.rows]), -1)

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return generated examples with the classes that they were generated for."""
        classes = self.generator.classes(batch.drawn.noise)
        return torch.cat((self.generator.given(batch.drawn.noise, classes), classes), -1)

    def discriminator_term(self, batch: Minibatch, real: Tensor, fake: Tensor) -> Tensor | float:
        """Return -L_C of Odena et al. (2017), section 3, times its weight; 0 without it."""
        if self.config.condition != "auxiliary":
            return 0.0
        return self._class_losses(torch.cat((real, fake)), batch, 2).view(2, -1).mean(-1).sum()

    def generator_term(self, batch: Minibatch, fake: Tensor) -> Tensor | float:
        """Return G's part of the same: of generated examples, which alone depend on G."""
        if self.config.condition != "auxiliary":
            return 0.0
        return self._class_losses(fake, batch, 1).mean()

    def _class_losses(self, pairs: Tensor, batch: Minibatch, n_batches: int) -> Tensor:
        """Return the weighted cross-entropy of the classes of pairs, `[n]`."""
        net = self.discriminator
        logits = as_float(net.class_logits(pairs, batch.drawn.masks, n_batches))
        losses = F.cross_entropy(logits, net.given_classes(pairs), reduction="none")
        return self.config.auxiliary_weight * losses

    def _discriminator_update(self, batch: Minibatch, coefficients: Coefficients) -> Update:
        return super()._discriminator_update(self._with_exact_classes(batch), coefficients)

    def _generator_update(self, batch: Minibatch, coefficients: Coefficients) -> Update:
        return super()._generator_update(self._with_exact_classes(batch), coefficients)

    def _with_exact_classes(self, batch: Minibatch) -> Minibatch:
        """Return a batch whose instance noise leaves the classes as they are."""
        noise = batch.drawn.instance_noise
        if noise is None:
            return batch
        noise = F.pad(noise[..., : -self._classes.shape[1]], (0, self._classes.shape[1]))
        return dataclasses.replace(
            batch, drawn=dataclasses.replace(batch.drawn, instance_noise=noise)
        )

    @property
    def trained_generator(self) -> TrainedConditionalGenerator:
        """The generator that is scored, as it is read from a run's folder."""
        return self.trained(self.scored_generator, self.config, self.sample_seed, self.details)

    @classmethod
    def trained(
        cls,
        network: AnyGenerator,
        config: PairParameters,
        seed: int,
        details: Mapping[str, Any],
    ) -> TrainedConditionalGenerator:
        """Return a trained generator, as it is read from a run's folder."""
        return TrainedConditionalGenerator(network, config, seed, tuple(details["classes"]))

    @cached_property
    def _scores(self) -> ClassScores:
        return ClassScores(self.dataset)

    def measure(self, split: Split, *, at_end: bool) -> Mapping[str, float]:
        """Return what `ClassScores` measures of as many generated examples of each class."""
        scores = self._scores
        given = scores.classes_to_generate(at_end=at_end)
        samples = generate_classes(self.trained_generator, given)
        return scores.measure(samples, given, split)
