"""Trainings in which G and D are coordinated, or z is distributed, in other ways."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.families.coordinated_parameters import CoordinatedConfig
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.family import Counts, Metrics
from gansearch.networks.activations import LINEAR
from gansearch.networks.interface import Shape
from gansearch.networks.layers import Dense, Layer
from gansearch.networks.pairs import (
    PairDiscriminator,
    PairGenerator,
    PairNetworkMaker,
    bounds_of,
    classes_of_noise,
)
from gansearch.training.gradients import Update
from gansearch.training.losses import GENERATOR_LOSSES, discriminator_loss
from gansearch.training.optimizers import Player
from gansearch.training.pairs import Minibatch
from gansearch.training.random_draws import Draws
from gansearch.training.schedules import Coefficients, Schedule

_UNIFORM_BOUND = math.sqrt(3)
_FIRST_SCALE = 0.2  # of a mixture's components, as in Gurumurthy et al. (2017)


class PriorGenerator(PairGenerator):
    """G(z) with z made from noise; of a mixture, one more coordinate decides the component.

    Attributes:
        bounds: of that coordinate, between one component and the next.
    """

    bounds: Tensor

    def __init__(self, config: CoordinatedConfig, shape: Shape) -> None:
        is_mixture = config.prior == "mixture"
        super().__init__(config, shape, config.noise_dim + is_mixture)
        self._prior = config
        if is_mixture:
            how = config.prior_components, config.noise_dim, LINEAR
            self.means = Dense(*how, normalised=False)
            self.scales = Dense(*how, normalised=False)
            shares = [1 / config.prior_components] * config.prior_components
            self.register_buffer("bounds", bounds_of(config.noise, shares), persistent=False)

    def trained_layers(self) -> list[Layer]:
        """Return all layers; of a mixture also its means and scales."""
        own = [self.means, self.scales] if self._prior.prior == "mixture" else []
        return [*own, *super().trained_layers()]

    @torch.no_grad()
    def initialise(self, data_mean: Tensor, rng: torch.Generator) -> None:
        """Draw the initial weights in place, and the means of a mixture from its noise's range."""
        super().initialise(data_mean, rng)
        if self._prior.prior == "mixture":
            self.means.weight.uniform_(-1, 1, generator=rng)
            self.scales.weight.fill_(_FIRST_SCALE)
            self.means.bias.zero_()
            self.scales.bias.zero_()

    def z(self, noise: Tensor) -> Tensor:
        """Return z `[n, d]` from noise `[n, noise_dim]`."""
        if self._prior.prior == "spherical":
            norm = torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
            scaled: Tensor = noise * (math.sqrt(noise.shape[-1]) / norm.clamp(min=1e-12))
            return scaled
        if self._prior.prior == "plain":
            return noise
        component = classes_of_noise(noise, self.bounds)
        z: Tensor = self.means(component) + self.scales(component) * noise[..., :-1]
        return z

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`, from truncated noise where that is asked for."""
        bound = self._prior.truncation
        if bound > 0 and self._prior.noise == "normal":
            low = torch.special.ndtr(torch.tensor(-bound, device=noise.device))
            noise = torch.special.ndtri(torch.lerp(low, 1 - low, torch.special.ndtr(noise)))
        made: Tensor = self.net(self.z(noise))
        return made


class CoordinatedTraining(TrainedPairTraining):
    """One training; D sees examples alone.

    Attributes:
        n_updates: of D and of G, `[2]`.
    """

    config: CoordinatedConfig
    generator: PriorGenerator

    def __init__(self, config: CoordinatedConfig, dataset: Dataset, *args: Any, **how: Any) -> None:
        super().__init__(config, dataset, *args, **how)
        self.n_updates = torch.zeros(2, dtype=torch.int64)
        both = self._both
        self._beside: list[list[Tensor]] = []  # the last gradients, or the weights to return to
        if config.coordination == "optimistic":
            self._beside = [[torch.zeros_like(p) for p in player.params] for player in both]
        elif config.coordination == "lookahead":
            self._beside = [[p.detach().clone() for p in player.params] for player in both]

    @classmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:  # noqa: ARG003
        """Return what makes the networks."""
        return PairNetworkMaker(
            partial(PriorGenerator, config, shape),
            partial(PairDiscriminator, config, math.prod(shape), shape),
        )

    @property
    def updates(self) -> int:
        """Parameter updates done, of D and of G together."""
        return int(self.n_updates.sum())

    @property
    def counts(self) -> Counts:
        """How far the training is."""
        n_d, n_g = self.n_updates.tolist()
        return Counts(n_d + n_g, n_d, n_g, self.seconds)

    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates are done, and report.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite.
        """
        start = time.perf_counter()
        while self.updates < updates and time.perf_counter() - start < time_limit_seconds:
            self.step(measure=True)  # it isn't known before how many updates an iteration takes
        self.seconds += time.perf_counter() - start
        return self._report() if self.updates >= updates else None

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return the real examples."""
        return batch.x

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return generated examples."""
        z = self.generator.z(batch.drawn.noise)
        made: Tensor = self.generator.net(self._moved(z))
        return made

    def _moved(self, z: Tensor) -> Tensor:
        """Return z after a step along the gradient of D's logit; gradients pass through z alone."""
        if self.config.latent_step == 0:
            return z
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            logits = self.discriminator(self.generator.net(at))
            (gradient,) = torch.autograd.grad(logits.sum(), at)
        moved = z + self.config.latent_step * gradient
        is_bounded = (self.config.noise, self.config.prior) == ("uniform", "plain")
        return moved.clamp(-_UNIFORM_BOUND, _UNIFORM_BOUND) if is_bounded else moved

    def _iterate(
        self, batches: Tensor, draws: Draws, schedule: Schedule
    ) -> tuple[list[Update], Update]:
        """Update D up to k times, then G unless it is good enough."""
        config, coefficients = self.config, schedule.coefficients
        d_updates, n_before = [], int(self.n_updates[0])
        for i in range(config.k):
            batch = Minibatch(batches[i], draws.rows[i], draws.of_discriminator(i))
            d_updates.append(self._discriminator_update(batch, coefficients))
            if config.d_target > 0 and float(d_updates[-1].loss) < config.d_target:
                break
            step = replace(schedule.d_steps[i], number=int(self.n_updates[0]) + 1)
            grads = self._followed(d_updates[-1].grads, 0)
            self.players.descend_discriminator(grads, step, None)
            self.n_updates[0] += 1
        last = Minibatch(batches[-1], draws.rows[-1], draws.of_generator())
        g_update = self._generator_update(last, coefficients)
        d_was_updated = int(self.n_updates[0]) > n_before
        if not (d_was_updated and config.applies("g_target") and self._is_good(g_update)):
            step = replace(schedule.g_step, number=int(self.n_updates[1]) + 1)
            grads = self._followed(g_update.grads, 1)
            self.players.descend_generator(grads, step, coefficients.average_share, None)
            self.n_updates[1] += 1
        if config.coordination == "lookahead":
            self._look_ahead()
        return d_updates, g_update

    def _is_good(self, update: Update) -> bool:
        return self.config.g_target > 0 and float(update.loss) < self.config.g_target

    def generator_loss(self, batch: Minibatch, fake: Tensor, coefficients: Coefficients) -> Tensor:
        """Return G's loss in nats, perhaps against D without dropout."""
        if not self.config.dropout_for_generator:
            drawn = replace(batch.drawn, masks=[None] * len(self.discriminator.input_widths()))
            batch = replace(batch, drawn=drawn)
        return super().generator_loss(batch, fake, coefficients)

    def discriminator_term(self, batch: Minibatch, real: Tensor, fake: Tensor) -> Tensor | float:  # noqa: ARG002
        """Return half the weighted squared norm of both gradients, under consensus."""
        return self._consensus_term(batch)

    def generator_term(self, batch: Minibatch, fake: Tensor) -> Tensor | float:  # noqa: ARG002
        """Return the same for G."""
        return self._consensus_term(batch)

    def _consensus_term(self, batch: Minibatch) -> Tensor | float:
        """Return weight / 2 |v|^2, v the gradients of both (Mescheder et al. 2017, Equation 10).

        Without dropout, whose masks are those of one player's pass.
        """
        if self.config.coordination != "consensus":
            return 0.0
        with torch.enable_grad():
            both = torch.cat((self.real_pairs(batch), self.fake_pairs(batch)))
            real, fake = torch.chunk(self.discriminator(both, n_batches=2), 2)
            losses = (
                (discriminator_loss(real, fake), self.players.discriminator),
                (GENERATOR_LOSSES[self.config.generator_loss](fake), self.players.generator),
            )
            grads = [
                grad
                for loss, player in losses
                for grad in torch.autograd.grad(loss, player.params, create_graph=True)
            ]
        squared = torch.stack([grad.square().sum() for grad in grads]).sum()
        return self.config.consensus_weight / 2 * squared

    def _followed(self, grads: list[Tensor], player: int) -> list[Tensor]:
        """Return the gradients that a player's step follows.

        Optimistic steps follow 2 g_t - g_(t-1) (Daskalakis et al. 2018, Equation 6), with the usual
        momentum or Adam behind them.
        """
        if self.config.coordination != "optimistic":
            return grads
        last = self._beside[player]
        followed = [2 * now - before for now, before in zip(grads, last, strict=True)]
        _copy(last, grads)
        return followed

    @torch.no_grad()
    def _look_ahead(self) -> None:
        """Return both players part of the way, where it is due (Chavdarova et al. 2021, Alg. 1)."""
        if (self.iteration + 1) % self.config.lookahead_iterations:
            return
        for player, slow in zip(self._both, self._beside, strict=True):
            for at_return, now in zip(slow, player.params, strict=True):
                at_return.lerp_(now, self.config.lookahead_share)
            _copy(player.params, slow)

    @property
    def _both(self) -> tuple[Player, Player]:
        return self.players.discriminator, self.players.generator

    def _tensors(self) -> dict[str, Tensor]:
        beside = {
            f"beside.{i}.{j}": tensor
            for i, tensors in enumerate(self._beside)
            for j, tensor in enumerate(tensors)
        }
        return {**super()._tensors(), "n_updates": self.n_updates, **beside}


@torch.no_grad()
def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
