"""Algorithm 1 of Goodfellow et al. (2014): `iterate` is one pass through its loop.

The updates serve one network as well as several that are trained together, whose tensors all have
a leading member axis: `[members, n, dim]` instead of `[n, dim]`, and coefficients `[members]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.networks.models import DiscriminatorCall
from gansearch.training.losses import GENERATOR_LOSSES
from gansearch.training.objective import (
    as_float,
    discriminator_objective,
    unrolled_discriminator,
    with_instance_noise,
)
from gansearch.training.optimizers import Step
from gansearch.training.players import Players
from gansearch.training.random_draws import Draws, UpdateDraws
from gansearch.training.schedules import Coefficients, Schedule


@dataclass(frozen=True)
class Update:
    """What an update of a player gives: its loss in nats, and the gradients of its parameters."""

    loss: Tensor
    grads: list[Tensor]


def iterate(
    players: Players, batches: Tensor, draws: Draws, schedule: Schedule
) -> tuple[list[Update], Update]:
    """Update D k times, each on a fresh minibatch of real and of generated examples, then G once.

    Args:
        players: G and D, updated in place.
        batches: real examples, `[k, n, dim]`.
        draws: noise and dropout masks, of this one iteration.
        schedule: step sizes and coefficients.

    Returns:
        D's k updates, and G's.
    """
    config, coefficients = players.config, schedule.coefficients
    if config.update == "simultaneous":
        return _iterate_simultaneously(players, batches, draws, schedule)
    d_updates = []
    for i in range(config.k):
        d_update = update_discriminator(
            players, batches[i], draws.of_discriminator(i), coefficients, schedule.d_steps[i]
        )
        d_updates.append(d_update)
    look_ahead = None
    if config.unrolled_steps > 0:
        look_ahead = _look_ahead(players, batches[-1], draws.of_discriminator(-1), schedule)
    g_update = update_generator(
        players, draws.of_generator(), coefficients, schedule.g_step, look_ahead=look_ahead
    )
    return d_updates, g_update


def update_discriminator(
    players: Players,
    real: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    step: Step | Sequence[Tensor],
    due: Tensor | None = None,
) -> Update:
    """Update D in place: ascend the gradient of log D(x) + log(1 - D(G(z))), Equation 1.

    Args:
        players: G and D.
        real: examples x, `[n, dim]`.
        drawn: the noise z, and the other random numbers of the update.
        coefficients: those of the objective.
        step: the size of the step, as `descend` takes it.
        due: mask of the trainings to update, `[members]`; None for a single one.
    """
    with players.arithmetic(real):
        with torch.no_grad():
            fake = players.generator_net(drawn.noise)
        net = players.discriminator_net
        loss, objective, _ = discriminator_objective(
            players.config, net, real, fake, drawn, coefficients
        )
    grads = players.gradients(objective, players.discriminator)
    players.descend_discriminator(grads, step, due)
    return Update(loss.detach(), grads)


def update_generator(
    players: Players,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    step: Step | Sequence[Tensor],
    due: Tensor | None = None,
    *,
    look_ahead: Callable[[Tensor], DiscriminatorCall] | None = None,
) -> Update:
    """Update G in place: descend log(1 - D(G(z))) or, as section 3 advises, ascend log D(G(z)).

    `look_ahead` returns the D that G is trained against, given G's examples; None for D as it is.
    The other arguments are those of `update_discriminator`.
    """
    with players.arithmetic(drawn.noise):
        fake = players.generator_net(drawn.noise)
        d: DiscriminatorCall = players.discriminator_net if look_ahead is None else look_ahead(fake)
        logits = d(with_instance_noise(fake, drawn.instance_noise, coefficients), drawn.masks)
        loss = GENERATOR_LOSSES[players.config.generator_loss](as_float(logits))
    grads = players.gradients(loss.sum(), players.generator)
    players.descend_generator(grads, step, coefficients.average_share, due)
    return Update(loss.detach(), grads)


def update_both(
    players: Players,
    real: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    steps: tuple[Step | Sequence[Tensor], Step | Sequence[Tensor]],
    dues: tuple[Tensor | None, Tensor | None] = (None, None),
) -> tuple[Update, Update]:
    """Update D and G in place from one pass, as the authors' code does (`update: simultaneous`).

    Returns:
        What `update_discriminator` and `update_generator` do.
    """
    d, g = players.discriminator, players.generator
    with players.arithmetic(real):
        fake = players.generator_net(drawn.noise)
        net = players.discriminator_net
        loss, objective, logits = discriminator_objective(
            players.config, net, real, fake, drawn, coefficients, apart=True
        )
        g_loss = GENERATOR_LOSSES[players.config.generator_loss](logits)
    d_grads = players.gradients(objective, d, is_last=False)
    g_grads = players.gradients(g_loss.sum(), g)
    players.descend_discriminator(d_grads, steps[0], dues[0])
    players.descend_generator(g_grads, steps[1], coefficients.average_share, dues[1])
    return Update(loss.detach(), d_grads), Update(g_loss.detach(), g_grads)


def _iterate_simultaneously(
    players: Players, batches: Tensor, draws: Draws, schedule: Schedule
) -> tuple[list[Update], Update]:
    """Update D k - 1 times, then D and G from one pass."""
    coefficients, last = schedule.coefficients, players.config.k - 1
    d_updates = [
        update_discriminator(
            players, batches[i], draws.of_discriminator(i), coefficients, schedule.d_steps[i]
        )
        for i in range(last)
    ]
    steps = schedule.d_steps[last], schedule.g_step
    d_update, g_update = update_both(
        players, batches[last], draws.of_discriminator(last), coefficients, steps
    )
    return [*d_updates, d_update], g_update


def _look_ahead(
    players: Players, real: Tensor, drawn: UpdateDraws, schedule: Schedule
) -> Callable[[Tensor], DiscriminatorCall]:
    """Return a function from G's examples to the unrolled D (Metz et al. 2017)."""
    step, momentum = schedule.d_steps[-1], schedule.momentum

    def look_ahead(fake: Tensor) -> DiscriminatorCall:
        return unrolled_discriminator(
            players, real, fake, drawn, schedule.coefficients, step, momentum
        )

    return look_ahead
