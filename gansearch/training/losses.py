"""The objectives of the game, as pure functions of the discriminator's logits.

D(x) = sigmoid(logits). Every function takes logits `[..., n]` and averages over the last axis, so
that leading axes (several members trained together) come through.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gansearch.networks.layers import per_member
from gansearch.system.precision import apply_elementwise


def discriminator_loss(
    real_logits: Tensor, fake_logits: Tensor, label_smoothing: float | Tensor = 0.0
) -> Tensor:
    """Return -V(D, G) of Equation 1: -E[log D(x)] - E[log(1 - D(G(z)))], in nats, `[...]`.

    With one-sided label smoothing s (Salimans et al. 2016, section 3.4) the target for real
    examples is 1 - s: its part is -E[(1 - s) log D(x) + s log(1 - D(x))].
    """
    loss = _softplus(-real_logits).mean(-1) + _softplus(fake_logits).mean(-1)
    if isinstance(label_smoothing, float) and label_smoothing == 0:
        return loss
    # log(1 - D) = log D - logit
    return loss + label_smoothing * real_logits.mean(-1)


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return G's part of Equation 1, E[log(1 - D(G(z)))], in nats, `[...]`."""
    return -_softplus(fake_logits).mean(-1)


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -E[log D(G(z))], in nats, `[...]`: the same fixed point, stronger early gradients.

    Section 3 of the paper: "rather than training G to minimize log(1 - D(G(z))) we can train G to
    maximize log D(G(z))".
    """
    return _softplus(-fake_logits).mean(-1)


GENERATOR_LOSSES = {
    "minimax": minimax_generator_loss,
    "non_saturating": non_saturating_generator_loss,
}


def discriminator_loss_with_gradient(
    logits: Tensor, label_smoothing: float | Tensor, scale: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Return `discriminator_loss` and, times `scale`, its gradient by the logits.

    Args:
        logits: of m real and m generated packs, `[..., 2 m]`.
        label_smoothing: as `discriminator_loss` takes it.
        scale: factor on the gradient, of each network.
    """
    real, fake = torch.chunk(logits, 2, -1)
    by_real = per_member(label_smoothing, real) - _sigmoid(-real)
    by_logits = torch.cat((by_real, _sigmoid(fake)), -1) * (1 / fake.shape[-1])
    loss = discriminator_loss(real, fake, label_smoothing)
    return loss, by_logits.mul_(per_member(scale, by_logits))


def generator_loss_with_gradient(logits: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the loss of G's `name`, and its gradient by the logits `[..., m]`."""
    towards = logits if name == "minimax" else -logits
    return GENERATOR_LOSSES[name](logits), _sigmoid(towards) * (-1 / logits.shape[-1])


def _softplus(z: Tensor) -> Tensor:
    """Return log(1 + exp(z)); of several members to the same bits for each as of any other."""
    return F.softplus(z) if z.ndim == 1 else apply_elementwise(F.softplus, z)


def _sigmoid(z: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-z)), to the same bits as `_softplus`."""
    return torch.sigmoid(z) if z.ndim == 1 else apply_elementwise(torch.sigmoid, z)
