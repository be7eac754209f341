"""The arithmetic of Algorithm 1: an update of D, an update of G, or both from one pass.

It serves one network as well as several that are trained together, whose tensors all have a leading
member axis: `[members, n, dim]` instead of `[n, dim]`, and coefficients `[members]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.func
from torch import Tensor

from gansearch.config import TrialConfig
from gansearch.networks.layers import per_member
from gansearch.networks.models import Discriminator, Generator
from gansearch.system.precision import arithmetic
from gansearch.training.losses import GENERATOR_LOSSES, discriminator_loss
from gansearch.training.optimizers import Player, Scalar, Step, descend
from gansearch.training.random_draws import UpdateDraws
from gansearch.training.remedies import Judge, gradient_penalty, instance_noise_sd, unrolled


@dataclass(frozen=True)
class Coefficients:
    """The numbers in the objectives, which trainings that share a pass have of their own.

    Attributes:
        loss_scale: factor on D's loss.
        label_smoothing: what D's target for real examples lies below 1.
        penalty_weight: factor on the gradient penalty.
        instance_noise_sd: sd of the noise on D's inputs, as its schedule has it.
    """

    loss_scale: Scalar
    label_smoothing: Scalar
    penalty_weight: Scalar
    instance_noise_sd: Scalar


@dataclass(frozen=True)
class Game:
    """Two players, and by what rules they are trained.

    Attributes:
        config: the hyperparameters; of several networks, what they have in common.
        generator_net, discriminator_net: the networks.
        generator, discriminator: what is trained of them.
    """

    config: TrialConfig
    generator_net: Generator
    discriminator_net: Discriminator
    generator: Player
    discriminator: Player


@dataclass(frozen=True)
class Rates:
    """The learning rates and the momentum of an iteration, or of several, by their schedules."""

    generator_lr: Any
    discriminator_lr: Any
    momentum: Any


def rates_at(config: TrialConfig, iteration: int | np.ndarray, n_train: int) -> Rates:
    """Return the rates of `iteration` (from 0), one or many, as in the authors' configuration.

    Learning rates are divided by `lr_decay` each iteration down to `min_lr`; the momentum rises
    linearly from epoch 1 to epoch `momentum_epochs`, an epoch being `n_train / m` iterations.
    """
    decay = np.power(config.lr_decay, -np.float64(iteration))
    epoch = 1 + iteration * config.batch_size / n_train
    progress = np.minimum((epoch - 1) / max(config.momentum_epochs - 1, 1e-9), 1.0)

    def decayed(lr: float) -> Any:
        # A rate that starts below the floor stays as given.
        return np.maximum(lr * decay, min(config.min_lr, lr))

    return Rates(
        decayed(config.generator_lr),
        decayed(config.discriminator_lr),
        config.momentum + progress * (config.final_momentum - config.momentum),
    )


def steps_at(config: TrialConfig, iteration: int, n_train: int) -> tuple[list[Step], Step]:
    """Return the k steps of D in an iteration (from 0 in its stage), and that of G."""
    now, last = (rates_at(config, max(i, 0), n_train) for i in (iteration, iteration - 1))

    def step(lr: float, last_lr: float, number: int) -> Step:
        decay = now.momentum * last_lr / lr
        return Step(lr, decay, config.adam_beta1, config.adam_beta2, number)

    first = iteration * config.k + 1
    # Within an iteration the rate stays, so that only the first update finds another before it.
    last_lrs = [last.discriminator_lr] + [now.discriminator_lr] * (config.k - 1)
    lr = now.discriminator_lr
    return (
        [step(lr, last_lr, first + i) for i, last_lr in enumerate(last_lrs)],
        step(now.generator_lr, last.generator_lr, iteration + 1),
    )


def coefficients_at(config: TrialConfig, iteration: int | np.ndarray) -> Coefficients:
    """Return the coefficients in `iteration` (from 0 in its stage), one or many."""
    return Coefficients(
        config.discriminator_loss_scale,
        config.label_smoothing,
        config.gradient_penalty_weight,
        instance_noise_sd(config, iteration * (config.k + 1)),
    )


def update_discriminator(
    game: Game,
    real: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    step: Step | Sequence[Tensor],
    due: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Update D in place on a real and a generated minibatch.

    Args:
        game: the players.
        real: examples `[n, dim]`.
        drawn: the update's random numbers.
        coefficients: those of the objective.
        step: the size of the step, as `descend` takes it.
        due: of several networks which are updated; None for one.

    Returns:
        D's loss in nats, and the gradients by its parameters.
    """
    with _arithmetic(game, real):
        with torch.no_grad():
            fake = game.generator_net(drawn.noise)
        net = game.discriminator_net
        loss, objective, _ = _discriminate(game.config, net, real, fake, drawn, coefficients)
    grads = _gradients(game, objective, game.discriminator)
    _descend_discriminator(game, grads, step, due)
    return loss.detach(), grads


def update_generator(
    game: Game,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    step: Step | Sequence[Tensor],
    due: Tensor | None = None,
    *,
    look_ahead: Callable[[Tensor], Judge] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Update G in place against D, or what `look_ahead` makes of D given G's examples.

    Returns:
        G's loss in nats, and the gradients by its parameters.
    """
    with _arithmetic(game, drawn.noise):
        fake = game.generator_net(drawn.noise)
        judge: Judge = game.discriminator_net if look_ahead is None else look_ahead(fake)
        logits = judge(_noised(fake, drawn.instance_noise, coefficients), drawn.masks)
        loss = GENERATOR_LOSSES[game.config.generator_loss](_unrounded(logits))
    grads = _gradients(game, loss.sum(), game.generator)
    descend(game.generator, grads, step, due)
    return loss.detach(), grads


def update_both(
    game: Game,
    real: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    steps: tuple[Step | Sequence[Tensor], Step | Sequence[Tensor]],
    dues: tuple[Tensor | None, Tensor | None] = (None, None),
) -> tuple[tuple[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]:
    """Update D and G in place from one pass, `update: simultaneous`.

    Returns:
        What `update_discriminator` and `update_generator` do.
    """
    d, g = game.discriminator, game.generator
    with _arithmetic(game, real):
        fake = game.generator_net(drawn.noise)
        net = game.discriminator_net
        loss, objective, logits = _discriminate(
            game.config, net, real, fake, drawn, coefficients, apart=True
        )
        g_loss = GENERATOR_LOSSES[game.config.generator_loss](logits)
    d_grads = _gradients(game, objective, d, is_last=False)
    g_grads = _gradients(game, g_loss.sum(), g)
    _descend_discriminator(game, d_grads, steps[0], dues[0])
    descend(g, g_grads, steps[1], dues[1])
    return (loss.detach(), d_grads), (g_loss.detach(), g_grads)


def unrolled_judge(
    game: Game, real: Tensor, last: tuple[UpdateDraws, Coefficients, Step, float], fake: Tensor
) -> Judge:
    """Return D as it would be after more updates on its last real batch and G's `fake`.

    Their random numbers, coefficients, step and momentum are those of D's `last` update. Metz et
    al. (2017) unroll on fresh batches or on the same ones; the same ones need no further draws.
    """
    config, net, d = game.config, game.discriminator_net, game.discriminator
    drawn, coefficients, step, momentum = last
    names = [name for name, _ in net.named_parameters()]

    def judge_with(params: Sequence[Tensor]) -> Judge:
        weights = dict(zip(names, params, strict=True))

        def judge(x: Tensor, masks: Sequence[Tensor | None], n_batches: int = 1) -> Tensor:
            logits: Tensor = torch.func.functional_call(net, weights, (x, masks, n_batches))
            return logits

        return judge

    def objective(params: list[Tensor]) -> Tensor:
        return _discriminate(config, judge_with(params), real, fake, drawn, coefficients)[1]

    ahead = unrolled(config, d.params, d.moments, objective, step.lr, momentum, step.number)
    return judge_with(ahead)


def _discriminate(
    config: TrialConfig,
    judge: Judge,
    real: Tensor,
    fake: Tensor,
    drawn: UpdateDraws,
    coefficients: Coefficients,
    *,
    apart: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return D's loss, in nats, the sum that it minimises, and its logits of `fake`.

    D sees real and generated examples in one pass, or, for a gradient by the latter alone, `apart`.
    """
    m = config.batch_size
    both = _noised(torch.cat((real, fake), -2), drawn.instance_noise, coefficients)
    real, fake = torch.split(both, m * config.packing, -2)
    real_masks = [None if mask is None else mask[..., :m, :] for mask in drawn.masks]
    if apart:
        fake_masks = [None if mask is None else mask[..., m:, :] for mask in drawn.masks]
        real_logits, fake_logits = judge(real, real_masks), judge(fake, fake_masks)
    else:
        real_logits, fake_logits = torch.split(judge(both, drawn.masks, n_batches=2), m, -1)
    real_logits, fake_logits = _unrounded(real_logits), _unrounded(fake_logits)
    loss = discriminator_loss(real_logits, fake_logits, coefficients.label_smoothing)
    objective = coefficients.loss_scale * loss
    if config.gradient_penalty != "none":
        weight = coefficients.penalty_weight
        objective = objective + gradient_penalty(
            config, judge, real, fake, real_masks, drawn.shares, weight
        )
    return loss, objective.sum(), fake_logits


def _descend_discriminator(
    game: Game, grads: list[Tensor], step: Step | Sequence[Tensor], due: Tensor | None
) -> None:
    descend(game.discriminator, grads, step, due)
    if game.config.discriminator_normalization == "spectral":
        for layer in game.discriminator.layers:
            layer.power_iterate()


def _gradients(
    game: Game, objective: Tensor, player: Player, *, is_last: bool = True
) -> list[Tensor]:
    """Return the gradients of a sum by a player's parameters."""
    with arithmetic(game.config.precision, objective.device.type, backward=True):
        return list(torch.autograd.grad(objective, player.params, retain_graph=not is_last))


def _noised(x: Tensor, noise: Tensor | None, coefficients: Coefficients) -> Tensor:
    """Return D's input with instance noise (Sonderby et al. 2017)."""
    if noise is None:
        return x
    noised: Tensor = x + per_member(coefficients.instance_noise_sd, noise) * noise
    return noised


def _unrounded(logits: Tensor) -> Tensor:
    """Return logits in which a loss can be computed."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _arithmetic(game: Game, tensor: Tensor) -> AbstractContextManager[object]:
    return arithmetic(game.config.precision, tensor.device.type)
