"""Algorithm 1 where D sees pairs: real examples and generated ones, with what belongs to each.

The families of section 7 of Goodfellow et al. (2014) differ in what a pair is, and in what the
players learn beside the game of Equation 1.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.networks.models import draw_noise
from gansearch.system.precision import full_precision
from gansearch.training.diagnostics import N_PROBED
from gansearch.training.gradients import Update
from gansearch.training.losses import GENERATOR_LOSSES
from gansearch.training.objective import as_float, discriminator_objective, with_instance_noise
from gansearch.training.random_draws import Draws, UpdateDraws
from gansearch.training.schedules import Coefficients, Schedule
from gansearch.training.training import AdversarialTraining


@dataclass(frozen=True)
class Minibatch:
    """Real examples and random numbers of one update.

    Attributes:
        x: real examples, `[n, dim]`.
        rows: their rows in the training set, `[n]`.
        drawn: the noise, and the other random numbers.
    """

    x: Tensor
    rows: Tensor
    drawn: UpdateDraws


class PairTraining(AdversarialTraining):
    """One training in which D tells pairs apart.

    Subclasses say what a pair is. They may add terms to both objectives.
    """

    @abstractmethod
    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return the pairs of the real examples, `[n, pair_dim]`."""

    @abstractmethod
    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return generated pairs, `[n, pair_dim]`, through which G's gradients flow."""

    def discriminator_term(
        self,
        batch: Minibatch,  # noqa: ARG002
        real: Tensor,  # noqa: ARG002
        fake: Tensor,  # noqa: ARG002
    ) -> Tensor | float:
        """Return what D minimises beside its loss on `real` and `fake` pairs; 0 by default."""
        return 0.0

    def generator_loss(self, batch: Minibatch, fake: Tensor, coefficients: Coefficients) -> Tensor:
        """Return G's loss in nats, given its pairs: by default that of `generator_loss`."""
        logits = self._logits(fake, batch, coefficients)
        return GENERATOR_LOSSES[self.config.generator_loss](logits)

    def _logits(self, pairs: Tensor, batch: Minibatch, coefficients: Coefficients) -> Tensor:
        """Return D's logits of pairs, under the instance noise and dropout of a minibatch."""
        seen = with_instance_noise(pairs, batch.drawn.instance_noise, coefficients)
        return as_float(self.discriminator(seen, batch.drawn.masks))

    def generator_term(self, batch: Minibatch, fake: Tensor) -> Tensor | float:  # noqa: ARG002
        """Return what G minimises beside its loss; 0 by default."""
        return 0.0

    def _iterate(
        self, batches: Tensor, draws: Draws, schedule: Schedule
    ) -> tuple[list[Update], Update]:
        """Update D k times, then G once; G sees the real examples that D has seen last."""
        players, coefficients = self.players, schedule.coefficients
        d_updates = []
        for i in range(self.config.k):
            batch = Minibatch(batches[i], draws.rows[i], draws.of_discriminator(i))
            d_updates.append(self._discriminator_update(batch, coefficients))
            players.descend_discriminator(d_updates[-1].grads, schedule.d_steps[i], None)
        last = Minibatch(batches[-1], draws.rows[-1], draws.of_generator())
        g_update = self._generator_update(last, coefficients)
        players.descend_generator(g_update.grads, schedule.g_step, coefficients.average_share, None)
        return d_updates, g_update

    def _discriminator_update(self, batch: Minibatch, coefficients: Coefficients) -> Update:
        with self.players.arithmetic(batch.x):
            with torch.no_grad():
                real, fake = self.real_pairs(batch), self.fake_pairs(batch)
            loss, objective, _ = discriminator_objective(
                self.present, self.discriminator, real, fake, batch.drawn, coefficients
            )
            objective = objective + self.discriminator_term(batch, real, fake)
        return Update(loss.detach(), self.players.gradients(objective, self.players.discriminator))

    def _generator_update(self, batch: Minibatch, coefficients: Coefficients) -> Update:
        with self.players.arithmetic(batch.x):
            fake = self.fake_pairs(batch)
            loss = self.generator_loss(batch, fake, coefficients)
            objective = loss + self.generator_term(batch, fake)
        return Update(loss.detach(), self.players.gradients(objective, self.players.generator))

    def probed_logits(self) -> Tensor:
        """Return D's logits of up to 1,000 real and 1,000 generated pairs, `[2, n]`."""
        rng = torch.Generator().manual_seed(self.sample_seed)
        n = min(N_PROBED, self.examples.n)
        logits = []
        with torch.no_grad(), full_precision(self.device):
            for rows in torch.split(torch.arange(n), max(self.config.batch_size, 100)):
                batch = self._probe(rows, rng)
                pairs = torch.cat((self.real_pairs(batch), self.fake_pairs(batch)))
                logits.append(self.discriminator(pairs, n_batches=2).float().view(2, -1))
        return torch.cat(logits, dim=1)

    def _probe(self, rows: Tensor, rng: torch.Generator) -> Minibatch:
        """Return the training examples at `rows` with random numbers from `rng`, on the CPU."""
        noise = draw_noise(self.config, (len(rows), self.generator.noise_dim), rng)
        n_extra = self.discriminator.n_extra
        extra = torch.rand(len(rows), n_extra, generator=rng).to(self.device) if n_extra else None
        drawn = UpdateDraws(noise.to(self.device), [], None, None, extra)
        rows = rows.to(self.device)
        return Minibatch(self.examples.at(rows), rows, drawn)
