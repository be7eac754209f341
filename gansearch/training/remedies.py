"""Remedies against mode collapse that act on D's objective and on what G sees of D.

Those that are part of D itself (packing, minibatch standard deviation, spectral normalisation) are
in `models` and `layers`, label smoothing is in `losses`. `docs/remedies.md` has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.networks.dropout import Masks
from gansearch.networks.interface import DiscriminatorCall

ADAM_EPSILON = 1e-8
_NORM_EPSILON = 1e-12


def instance_noise_sd(config: AdversarialConfig, updates: int | np.ndarray) -> Any:
    """Return the sd of the noise on D's inputs after `updates` parameter updates of a stage.

    It falls linearly to 0 over `instance_noise_updates`, and stays where that is 0 (Sonderby et al.
    2017, section 4, who anneal it linearly).
    """
    if config.instance_noise_updates == 0:
        return config.instance_noise_sd
    return config.instance_noise_sd * np.maximum(0.0, 1 - updates / config.instance_noise_updates)


def gradient_penalty(
    config: AdversarialConfig,
    discriminator: DiscriminatorCall,
    real: Tensor,
    fake: Tensor,
    masks: Masks,
    shares: Tensor | None,
    weight: float | Tensor,
) -> Tensor:
    """Return the penalty on the gradient of D's logit by its input, a whole pack, `[...]`.

    r1: weight / 2 E[|grad|^2] at real examples (Mescheder et al. 2018, Equation 9). one_centered:
    weight E[(|grad| - 1)^2] on the lines between real and generated ones (Gulrajani et al. 2017,
    Equation 3).

    Args:
        config: the trial's hyperparameters.
        discriminator: D.
        real: examples `[n, dim]`.
        fake: generated ones, `[n, dim]`.
        masks: D's dropout masks in its pass over the real examples.
        shares: for each pack how far it lies towards the real one, in [0, 1], `[n / packing, 1]`;
            None under r1.
        weight: factor on the penalty, of each network.
    """
    if shares is None:
        points = real.detach()
    else:
        points = torch.lerp(fake, real, shares.repeat_interleave(config.packing, -2))
    points.requires_grad_()
    logits = discriminator(points, masks)
    (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    by_pack = torch.unflatten(gradient, -2, (-1, config.packing)).flatten(-2)
    squared_norms: Tensor = by_pack.square().sum(-1)
    if config.gradient_penalty == "r1":
        return weight / 2 * squared_norms.mean(-1)
    # Where dropout or dead units leave no gradient, the norm's own second derivative is infinite.
    norms = (squared_norms + _NORM_EPSILON).sqrt()
    return weight * (norms - 1).square().mean(-1)


def unrolled(
    config: AdversarialConfig,
    params: Sequence[Tensor],
    moments: Sequence[Sequence[Tensor]],
    objective: Callable[[list[Tensor]], Tensor],
    lr: float,
    momentum: float,
    step: int,
) -> list[Tensor]:
    """Return D's parameters after `unrolled_steps` simulated ones (Metz et al. 2017, Equation 7).

    Each is what D's optimizer would do on `objective`, from its moments as they are, as a function
    that gradients pass through; a bound on norms is left out. `params` and `moments` stay as they
    are. `step` is the number of updates that D has had, for Adam's bias correction.
    """
    ahead = [p.detach().requires_grad_() for p in params]
    averages = [list(moment) for moment in moments]
    for i in range(config.unrolled_steps):
        grads = torch.autograd.grad(
            objective(ahead), ahead, create_graph=True, materialize_grads=True
        )
        if config.optimizer == "sgd":
            # See `optimizers.descend`; the learning rate is the last update's.
            (sums,) = averages
            averages = [[momentum * b + g for b, g in zip(sums, grads, strict=True)]]
            ahead = [p - lr * b for p, b in zip(ahead, averages[0], strict=True)]
        else:
            ahead, averages = _adam(config, ahead, averages, grads, lr, step + i + 1)
    return ahead


def _adam(
    config: AdversarialConfig,
    params: Sequence[Tensor],
    moments: Sequence[Sequence[Tensor]],
    grads: Sequence[Tensor],
    lr: float,
    step: int,
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return parameters and moments after a step of Adam."""
    beta1, beta2 = config.adam_beta1, config.adam_beta2
    rate, correction = lr / (1 - beta1**step), 1 - beta2**step
    stepped = []
    averages: list[list[Tensor]] = [[], []]
    for p, first, second, g in zip(params, *moments, grads, strict=True):
        averages[0].append(beta1 * first + (1 - beta1) * g)
        averages[1].append(beta2 * second + (1 - beta2) * g.square())
        # Of a weight that never had a gradient, the root's own would be infinite.
        root = (averages[1][-1] / correction + ADAM_EPSILON**2).sqrt()
        stepped.append(p - rate * averages[0][-1] / (root + ADAM_EPSILON))
    return stepped, averages
