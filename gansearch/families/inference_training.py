"""Trainings of G with an inference network E, along with it or after it."""

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
from gansearch.errors import ConfigError
from gansearch.families.inference_parameters import InferenceConfig, stages
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.families.trained_inference import TrainedInference, z_statistics
from gansearch.family import Counts, Metrics, Split
from gansearch.networks.inference import InferenceGenerator
from gansearch.networks.interface import Shape
from gansearch.networks.pairs import (
    PairDiscriminator,
    PairNetworkMaker,
    beside,
    pair_shape,
)
from gansearch.scoring.neighbours import nearest_training
from gansearch.training.diagnostics import norm, raise_if_diverged
from gansearch.training.gradients import Update
from gansearch.training.losses import GENERATOR_LOSSES
from gansearch.training.objective import as_float
from gansearch.training.optimizers import Step, descend, update_average
from gansearch.training.pairs import Minibatch
from gansearch.training.random_draws import Draws
from gansearch.training.schedules import Coefficients, Schedule, steps_at

_N_MEASURED = 1000  # examples of an evaluation's measures
_N_SEARCHED = 200  # for which G's range is searched
_N_PICTURED = 12


class InferenceTraining(TrainedPairTraining):
    """One training of G and E.

    Along: D sees x with E(x), and G(z) with z; G and E are one player. After: D sees x alone, and
    in a second stage, the last `inference_share` of the budget, E alone is trained, on samples of
    the G that is scored; an iteration then is k + 1 updates of E, each on noise of its own.
    """

    config: InferenceConfig
    generator: InferenceGenerator
    average: InferenceGenerator | None
    trained_type = TrainedInference

    def __init__(self, config: InferenceConfig, dataset: Dataset, *args: Any, **how: Any) -> None:
        self._input_shape = _input_shape(config, dataset.shape)
        super().__init__(config, dataset, *args, **how)

    @classmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:  # noqa: ARG003
        """Return what makes the networks."""
        input_shape = _input_shape(config, shape)
        return PairNetworkMaker(
            partial(InferenceGenerator, config, shape),
            partial(PairDiscriminator, config, math.prod(input_shape), input_shape),
        )

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return real examples, along with z as E infers it."""
        if not self._is_along:
            return batch.x
        return beside(batch.x, self.generator.infer(batch.x), self._input_shape)

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return generated examples, along with z as it was drawn."""
        made = self.generator(batch.drawn.noise)
        return beside(made, batch.drawn.noise, self._input_shape) if self._is_along else made

    def generator_loss(self, batch: Minibatch, fake: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the loss of G and E in nats: that both pairs are taken for the other.

        Along, non-saturating: -E[log D(G(z), z)] - E[log(1 - D(x, E(x)))]. Both terms see the same
        dropout masks and instance noise.
        """
        loss = super().generator_loss(batch, fake, coefficients)
        if not self._is_along:
            return loss
        logits = self._logits(self.real_pairs(batch), batch, coefficients)
        return loss + GENERATOR_LOSSES[self.config.generator_loss](-logits)

    def generator_term(self, batch: Minibatch, fake: Tensor) -> Tensor | float:  # noqa: ARG002
        """Return what G and E minimise beside: the error of E(G(z)), if it has a weight."""
        weight = self.config.z_weight
        return weight * self._z_loss(batch.drawn.noise) if self._is_along and weight > 0 else 0.0

    def measure(self, split: Split, *, at_end: bool) -> Mapping[str, float]:
        """Return the measures of `InferenceNets`, of G and E as they are scored."""
        trained, dataset = self._scored, self.dataset
        x = self._held_out(split)
        found = {
            "reconstruction_error": trained.reconstruction_error(x[:_N_MEASURED]),
            "z_error": trained.z_error(),
            **z_statistics(trained.infer(x[:_N_MEASURED]), self.config.noise),
        }
        if at_end:
            found["reconstruction_ratio"] = trained.reconstruction_ratio(x[:_N_SEARCHED])
            if dataset.labels is not None:
                labels = getattr(dataset.labels, split)
                found["neighbour_accuracy"] = trained.neighbour_accuracy(dataset, x, labels)
        return found

    def reconstructions(self) -> np.ndarray:
        """Return validation examples beside what is near them, `[12, 4, dim]`.

        x, G(E(x)), the nearest point of G's range that is found, the nearest training example.
        """
        trained, x = self._scored, self._held_out("valid")[:_N_PICTURED]
        rows = nearest_training(self.dataset, x, len(x))
        of_training = self.dataset.to_float(self.dataset.train[rows])
        return np.stack((x, trained.reconstruct(x), trained.nearest_in_range(x), of_training), 1)

    def step(self, *, measure: bool = False) -> None:
        """Do one iteration; with `measure`, note the gradients' norms."""
        if not self._is_along and self.max_updates is None:
            raise ConfigError(
                "configuration: inference: after: inference_share refers to the budget of the "
                "training, which was built without one. Give the training its max_updates."
            )
        super().step(measure=measure)

    @property
    def counts(self) -> Counts:
        """How far the training is; updates of E alone are none of D or G."""
        n = self.iteration
        if 0 < self._n_first_stage < n:
            n = self._n_first_stage
        return Counts(self.updates, n * self.config.k, n, self.seconds)

    @property
    def _is_along(self) -> bool:
        return self.config.inference == "along"

    @property
    def _is_second_stage(self) -> bool:
        """Whether E alone is trained; at the boundary the second stage has not begun."""
        return 0 < self._n_first_stage < self.iteration

    @property
    def _n_first_stage(self) -> int:
        if self._is_along or self.max_updates is None:
            return 0
        return stages(self.config, self.max_updates)[0]

    @property
    def _scored(self) -> TrainedInference:
        network = self.scored_generator
        assert isinstance(network, InferenceGenerator)
        return TrainedInference(network, self.config, self.sample_seed)

    def _held_out(self, split: Split) -> np.ndarray:
        return self.dataset.to_float(getattr(self.dataset, split))

    def _z_loss(self, noise: Tensor) -> Tensor:
        """Return the mean squared error of E(G(z)), with the gradients that are taken."""
        return F.mse_loss(as_float(self.generator.infer(self.generator(noise))), noise)

    def _iterate(
        self, batches: Tensor, draws: Draws, schedule: Schedule
    ) -> tuple[list[Update], Update]:
        """Do an iteration of Algorithm 1 or, in the second stage, k + 1 updates of E."""
        if not self._trains_encoder_alone:
            return super()._iterate(batches, draws, schedule)
        player = self.players.generator
        for noise, step in zip(draws.noise, self._encoder_steps(schedule), strict=True):
            update = self._encoder_update(noise)
            descend(player, update.grads, step)
        update_average(player, schedule.coefficients.average_share)
        return [update], update

    def _encoder_update(self, noise: Tensor) -> Update:
        """Return the regression of z on fixed samples, as in the authors' `AdversaryPair`."""
        done = self.generator if self.average is None else self.average
        with self.players.arithmetic(noise):
            with torch.no_grad():
                made = done(noise)
            loss = F.mse_loss(as_float(self.generator.infer(made)), noise)
        return Update(loss.detach(), self.players.gradients(loss, self.players.generator))

    def _encoder_steps(self, schedule: Schedule) -> list[Step]:
        """Return the k + 1 steps of E in this iteration, with G's schedule from its own rate."""
        config, before = (
            dataclasses.replace(each, generator_lr=self.config.encoder_lr)
            for each in (self.present, self._before)
        )
        first = steps_at(config, self.stage_iteration, self.horizon, before)[1]
        number = self.stage_iteration * (config.k + 1) + 1
        # Within an iteration the rate stays, so that only the first update finds another before it.
        decays = [first.decay] + [schedule.momentum] * config.k
        return [
            dataclasses.replace(first, decay=decay, number=number + i)
            for i, decay in enumerate(decays)
        ]

    @property
    def _trains_encoder_alone(self) -> bool:
        return not self.generator.trains_generator

    def _begin_second_stage(self) -> None:
        """Fix G and train E, with all moments at zero."""
        self._train(generator=False, encoder=True)

    def _first_layer(self) -> int:
        return 0

    def _train_from(self, first_layer: int) -> None:
        """Train what is trained in the present stage, with moments of zero."""
        assert first_layer == 0
        if self._is_along:
            self._train(generator=True, encoder=True)
        else:
            alone = self._is_second_stage
            self._train(generator=not alone, encoder=alone)

    def _train(self, *, generator: bool, encoder: bool) -> None:
        for net in filter(None, (self.generator, self.average)):
            net.trains_generator, net.trains_encoder = generator, encoder
        super()._train_from(0)

    @torch.no_grad()
    def _average_from(self, first_layer: int) -> list[Tensor] | None:
        """Begin the average of what is trained; what is not trained stays as it is."""
        if self.average is None:
            return None
        if self.generator.trains_generator:
            return super()._average_from(first_layer)
        self.average.encoder.load_state_dict(self.generator.encoder.state_dict())
        return [p.detach() for p in self.average.trained_parameters()]

    def _tensors(self) -> dict[str, Tensor]:
        """Return the state, with what the average has of a network that is not trained."""
        found = super()._tensors()
        if self.average is not None:
            trained = {id(p) for p in self.average.trained_parameters()}
            kept = [(n, p) for n, p in self.average.named_parameters() if id(p) not in trained]
            found |= {f"average.{name}": p.detach() for name, p in kept}
        return found

    def _report(self) -> Metrics:
        """Return the metrics; while E alone is trained there are no losses of D or G.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite.
        """
        if not self._trains_encoder_alone:
            return super()._report()
        watched = {
            "E's loss": self.loss_sums[1],
            "E's gradient": self._grad_norms[1],
            "E's weights": norm(self.players.generator.params),
        }
        raise_if_diverged(watched, self.updates)
        return dataclasses.replace(
            super()._report(), d_loss=None, g_loss=None, d_grad_norm=None, g_grad_norm=None
        )


def _input_shape(config: InferenceConfig, shape: Shape) -> Shape:
    """Return the shape of what D sees."""
    n_beside = config.noise_dim if config.inference == "along" else 0
    return pair_shape(config, shape, n_beside)
