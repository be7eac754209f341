"""What D minimises: its loss on real and generated examples, with the penalties of later papers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.func
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.networks.dropout import Masks, rows_of
from gansearch.networks.interface import DiscriminatorCall
from gansearch.networks.layers import per_member
from gansearch.training.losses import discriminator_loss
from gansearch.training.optimizers import Step
from gansearch.training.players import Players
from gansearch.training.random_draws import UpdateDraws
from gansearch.training.remedies import gradient_penalty, unrolled
from gansearch.training.schedules import Coefficients


def discriminator_objective(
    config: AdversarialConfig,
    discriminator: DiscriminatorCall,
    real: Tensor,
    fake: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    *,
    apart: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return D's loss in nats, the sum that it minimises, and its logits of `fake`.

    D sees real and generated examples `[n, dim]` in one pass or, for a gradient with respect to
    the latter alone, `apart`.
    """
    m = config.batch_size
    both = with_instance_noise(torch.cat((real, fake), -2), drawn.instance_noise, coefficients)
    real, fake = torch.split(both, m * config.packing, -2)
    real_masks = rows_of(drawn.masks, slice(m))
    if apart:
        fake_masks = rows_of(drawn.masks, slice(m, None))
        real_logits = discriminator(real, real_masks)
        fake_logits = discriminator(fake, fake_masks)
    else:
        logits = discriminator(both, drawn.masks, n_batches=2)
        real_logits, fake_logits = torch.split(logits, m, -1)
    real_logits, fake_logits = as_float(real_logits), as_float(fake_logits)
    loss = discriminator_loss(real_logits, fake_logits, coefficients.label_smoothing)
    objective = coefficients.loss_scale * loss
    if config.gradient_penalty != "none":
        weight = coefficients.penalty_weight
        objective = objective + gradient_penalty(
            config, discriminator, real, fake, real_masks, drawn.shares, weight
        )
    return loss, objective.sum(), fake_logits


def unrolled_discriminator(
    players: Players,
    real: Tensor,
    fake: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    step: Step,
    momentum: float,
) -> DiscriminatorCall:
    """Return D as it would be after `unrolled_steps` more updates on `real` and G's `fake`.

    The random numbers, coefficients, step and momentum are those of D's last update. Metz et al.
    (2017) unroll on fresh batches or on the same ones; the same ones need no further draws.
    """
    config, net, d = players.config, players.discriminator_net, players.discriminator
    names = [name for name, p in net.named_parameters() if p.requires_grad]

    def with_params(params: Sequence[Tensor]) -> DiscriminatorCall:
        weights = dict(zip(names, params, strict=True))

        def call(x: Tensor, masks: Masks, n_batches: int = 1) -> Tensor:
            logits: Tensor = torch.func.functional_call(net, weights, (x, masks, n_batches))
            return logits

        return call

    def objective(params: list[Tensor]) -> Tensor:
        d_with_params = with_params(params)
        return discriminator_objective(config, d_with_params, real, fake, drawn, coefficients)[1]

    return with_params(
        unrolled(config, d.params, d.moments, objective, step.lr, momentum, step.number)
    )


def with_instance_noise(x: Tensor, noise: Tensor | None, coefficients: Coefficients) -> Tensor:
    """Return D's input with instance noise (Sonderby et al. 2017)."""
    if noise is None:
        return x
    noised: Tensor = x + per_member(coefficients.instance_noise_sd, noise) * noise
    return noised


def as_float(logits: Tensor) -> Tensor:
    """Return logits in which a loss can be computed."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits
