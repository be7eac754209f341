"""The gradients of an update by explicit products: for dense networks without normalisation.

The functions are those of `gradients`, whose results they equal to rounding error. All products
have the arithmetic of a backward pass, since a `DensePass` chooses its types itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.networks.dense_pass import DensePass
from gansearch.networks.models import is_dense
from gansearch.system.features import functions_for
from gansearch.training import losses
from gansearch.training.gradients import Update
from gansearch.training.objective import as_float, with_instance_noise
from gansearch.training.optimizers import Player
from gansearch.training.players import Players
from gansearch.training.random_draws import UpdateDraws
from gansearch.training.schedules import Coefficients


def covers(config: AdversarialConfig) -> bool:
    """Return whether the gradients of a configuration can be had without autograd."""
    return (
        isinstance(config, TrialConfig)
        and is_dense(config)
        and config.generator_normalization == config.discriminator_normalization == "none"
        and config.gradient_penalty == "none"
        and config.unrolled_steps == config.minibatch_sd == 0
    )


@torch.no_grad()
def of_discriminator(
    players: Players, real: Tensor, drawn: UpdateDraws, coefficients: Coefficients
) -> Update:
    """Return D's loss on examples x `[n, dim]` and on G(z), and its gradients."""
    d = _pass(players, players.discriminator)
    with players.arithmetic(real, backward=True):
        fake = _pass(players, players.generator).forward(drawn.noise)
        logits = _logits(players, d, torch.cat((real, fake), -2), drawn, coefficients)
        return _of_discriminator(d, logits, coefficients)


@torch.no_grad()
def of_generator(players: Players, drawn: UpdateDraws, coefficients: Coefficients) -> Update:
    """Return G's loss and its gradients."""
    g, d = _pass(players, players.generator), _pass(players, players.discriminator)
    with players.arithmetic(drawn.noise, backward=True):
        fake = g.forward(drawn.noise)
        logits = _logits(players, d, fake, drawn, coefficients)
        return _of_generator(players.config, g, d, logits)


@torch.no_grad()
def of_both(
    players: Players, real: Tensor, drawn: UpdateDraws, coefficients: Coefficients
) -> tuple[Update, Update]:
    """Return both from one pass, in which G's examples are those that D learns from."""
    g, d = _pass(players, players.generator), _pass(players, players.discriminator)
    m = players.config.batch_size
    with players.arithmetic(real, backward=True):
        fake = g.forward(drawn.noise)
        logits = _logits(players, d, torch.cat((real, fake), -2), drawn, coefficients)
        of_d = _of_discriminator(d, logits, coefficients)
        return of_d, _of_generator(players.config, g, d, logits[..., m:], slice(m, None))


def _logits(
    players: Players, d: DensePass, x: Tensor, drawn: UpdateDraws, coefficients: Coefficients
) -> Tensor:
    """Return D's logits `[..., packs]` of examples `[..., n, dim]`."""
    x = with_instance_noise(x, drawn.instance_noise, coefficients)
    packs = torch.unflatten(x, -2, (-1, players.config.packing)).flatten(-2)
    return as_float(d.forward(packs, drawn.masks).squeeze(-1))


def _pass(players: Players, player: Player) -> DensePass:
    is_short = players.config.precision == "bf16"
    return DensePass(player.layers, torch.bfloat16 if is_short else torch.float32)


def _of_discriminator(d: DensePass, logits: Tensor, coefficients: Coefficients) -> Update:
    loss, by_logits = _functions(logits).discriminator_loss_with_gradient(
        logits, coefficients.label_smoothing, coefficients.loss_scale
    )
    return Update(loss, d.by_params(by_logits.unsqueeze(-1)))


def _of_generator(
    config: AdversarialConfig,
    g: DensePass,
    d: DensePass,
    logits: Tensor,
    rows: slice = slice(None),
) -> Update:
    """Return G's update, given the logits of its examples, D's packs of which are `rows`."""
    loss, by_logits = _functions(logits).generator_loss_with_gradient(logits, config.generator_loss)
    by_packs = d.by_input(by_logits.unsqueeze(-1), rows)
    by_examples = torch.unflatten(by_packs, -1, (config.packing, -1)).flatten(-3, -2)
    return Update(loss, g.by_params(by_examples))


def _functions(logits: Tensor) -> Any:
    """Return the module whose functions take the losses of such logits."""
    return functions_for(logits, 2, losses, "gansearch.training.loss_kernels")
