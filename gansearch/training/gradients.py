"""The gradients of an update, by autograd: for all networks and objectives.

`dense_gradients` has the same three functions for most dense networks, in fewer calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.networks.interface import DiscriminatorCall
from gansearch.training.losses import GENERATOR_LOSSES
from gansearch.training.objective import (
    as_float,
    discriminator_objective,
    with_instance_noise,
)
from gansearch.training.players import Players
from gansearch.training.random_draws import UpdateDraws
from gansearch.training.schedules import Coefficients


@dataclass(frozen=True)
class Update:
    """What an update of a player takes: its loss in nats, and the gradients of its parameters."""

    loss: Tensor
    grads: list[Tensor]


def of_discriminator(
    players: Players, real: Tensor, drawn: UpdateDraws, coefficients: Coefficients
) -> Update:
    """Return D's loss on examples x `[n, dim]` and on G(z), and its gradients."""
    with players.arithmetic(real):
        with torch.no_grad():
            fake = players.generator_net(drawn.noise)
        loss, objective, _ = discriminator_objective(
            players.config, players.discriminator_net, real, fake, drawn, coefficients
        )
    return Update(loss.detach(), players.gradients(objective, players.discriminator))


def of_generator(
    players: Players,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    look_ahead: Callable[[Tensor], DiscriminatorCall] | None = None,
) -> Update:
    """Return G's loss and its gradients; `look_ahead` as `update_generator` takes it."""
    with players.arithmetic(drawn.noise):
        fake = players.generator_net(drawn.noise)
        d: DiscriminatorCall = players.discriminator_net if look_ahead is None else look_ahead(fake)
        logits = d(with_instance_noise(fake, drawn.instance_noise, coefficients), drawn.masks)
        loss = GENERATOR_LOSSES[players.config.generator_loss](as_float(logits))
    return Update(loss.detach(), players.gradients(loss.sum(), players.generator))


def of_both(
    players: Players, real: Tensor, drawn: UpdateDraws, coefficients: Coefficients
) -> tuple[Update, Update]:
    """Return both from one pass, in which G's examples are those that D learns from."""
    with players.arithmetic(real):
        fake = players.generator_net(drawn.noise)
        loss, objective, logits = discriminator_objective(
            players.config,
            players.discriminator_net,
            real,
            fake,
            drawn,
            coefficients,
            apart=True,
        )
        g_loss = GENERATOR_LOSSES[players.config.generator_loss](logits)
    d_grads = players.gradients(objective, players.discriminator, is_last=False)
    g_grads = players.gradients(g_loss.sum(), players.generator)
    return Update(loss.detach(), d_grads), Update(g_loss.detach(), g_grads)
