"""What an update does with a gradient: gradient descent with momentum, or Adam.

One network is updated by torch's fused kernels. Networks that are trained together, along a leading
member axis, have step sizes of their own, and those that are not due keep their parameters and
moments bit for bit.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gansearch.networks.layers import Layer, bound_norms
from gansearch.system.features import TRITON
from gansearch.system.torch_internals import (
    foreach_copy_,
    foreach_lerp_,
    fused_adam_,
    fused_sgd_,
)
from gansearch.training import member_updates
from gansearch.training.remedies import ADAM_EPSILON

Scalar = float | Tensor  # of one training, or of each of several, `[members]`


@dataclass
class Player:
    """The trained parameters of one of the two networks, updated in place.

    Attributes:
        layers: the layers that are trained.
        params: their parameters.
        moments: under sgd b, the decaying sum of gradients; under adam the first and the second
            moment; each a list of tensors shaped like the parameters.
        max_norm: bound of the norm of each unit's incoming weights, infinite for none; None where
            nothing is bounded.
        average: the moving average of the parameters; None where none is kept.
    """

    layers: list[Layer]
    params: list[Tensor]
    moments: list[list[Tensor]]
    max_norm: Scalar | None
    average: list[Tensor] | None = None

    @property
    def tensors(self) -> list[list[Tensor]]:
        """The parameters, each of the moments and, if there is one, the average."""
        averages = [] if self.average is None else [self.average]
        return [self.params, *self.moments, *averages]


def make_player(
    layers: list[Layer],
    optimizer: str,
    max_norm: Scalar | None,
    average: list[Tensor] | None = None,
) -> Player:
    """Return the player that trains `layers`, with moments of zero."""
    params = parameters_of(layers)
    n_moments = 1 if optimizer == "sgd" else 2
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    return Player(layers, params, moments, max_norm, average)


def parameters_of(layers: Sequence[Layer]) -> list[Tensor]:
    """Return the parameters of layers, in the order in which a player has them."""
    return [p for layer in layers for p in layer.parameters()]


@dataclass(frozen=True)
class Step:
    """The size of one update of a network.

    Attributes:
        lr: the learning rate.
        decay: what is left of sgd's moment b: momentum * (last learning rate) / lr, see `descend`.
        beta1, beta2: Adam's decays of its moments.
        number: of the update, from 1, for Adam's bias correction.
    """

    lr: float
    decay: float
    beta1: float
    beta2: float
    number: int


@torch.no_grad()
def descend(
    player: Player,
    grads: Sequence[Tensor],
    step: Step | Sequence[Tensor],
    due: Tensor | None = None,
) -> None:
    """Update a player in place.

    sgd is v' = momentum v - lr grad, params' = params + v', as in the authors' code. With b = -v /
    lr it is b' = decay b + grad, params' = params - lr b', which torch's fused kernel does in one
    pass. adam is that of Kingma and Ba (2015), Algorithm 1.

    Args:
        player: one network, or several.
        grads: the gradients by its parameters.
        step: the size of the step; of several networks their `step_columns`, each `[members, 1]`.
        due: of several networks which are updated, `[members]`; None for one.
    """
    is_sgd = len(player.moments) == 1
    if isinstance(step, Step):
        update_one = _sgd if is_sgd else _adam
        update_one(player, list(grads), step)
    else:
        assert due is not None
        ways = _updates_by_row(due)
        by_row = ways.sgd_by_row if is_sgd else ways.adam_by_row
        for param, grad, *moments in zip(player.params, grads, *player.moments, strict=True):
            rows = [t.flatten(1) for t in (param, grad, *moments)]
            by_row(due.unsqueeze(1), step, *rows)
    if player.max_norm is not None:
        bound_norms(player.layers, player.max_norm, due)


@torch.no_grad()
def update_average(player: Player, share: Scalar, due: Tensor | None = None) -> None:
    """Move a player's average, if it has one, by a share of the way to its parameters, in place.

    Args:
        player: one network, or several.
        share: 1 - decay, see `average_share`; of several networks `[members]`.
        due: as in `descend`.
    """
    if player.average is None:
        return
    if not isinstance(share, Tensor):
        foreach_lerp_(player.average, player.params, share)
        return
    assert due is not None
    by_row = _updates_by_row(due).average_by_row
    for average, param in zip(player.average, player.params, strict=True):
        by_row(due.unsqueeze(1), share.unsqueeze(1), average.flatten(1), param.flatten(1))


def _updates_by_row(due: Tensor) -> Any:
    """Return the module whose functions update several networks on the device of `due`."""
    return (member_kernels() if due.is_cuda else None) or member_updates


def member_kernels() -> ModuleType | None:
    """Return the module of kernels by Triton if this machine's GPU runs them, else None."""
    return _tried_kernels() if TRITON.is_on and torch.cuda.is_available() else None


@cache
def _tried_kernels() -> ModuleType | None:
    """Return the module of kernels, each of which has been built and run once."""
    try:
        kernels = importlib.import_module("gansearch.training.member_kernels")
        one = torch.ones(1, 1, device="cuda")
        due, columns = one > 0, [one] * 4
        kernels.sgd_by_row(due, columns[:2], *(one.clone() for _ in range(3)))
        kernels.adam_by_row(due, columns, *(one.clone() for _ in range(4)))
        kernels.average_by_row(due, one, one.clone(), one.clone())
        torch.cuda.synchronize()
    except Exception as error:  # of Triton, of the C compiler that it calls, of the driver
        torch.cuda.synchronize()  # fails too where the GPU itself has failed
        TRITON.turn_off(error)
        return None
    return kernels


def step_columns(
    lr: Any, decay: Any, beta1: Any, beta2: Any, number: Any, *, is_sgd: bool
) -> tuple[Any, ...]:
    """Return what the update of several networks takes of their steps, in double precision.

    The arguments are those of `Step`, arrays with an entry for each of some steps. 1 - .999 would
    have lost five digits in single precision.
    """
    if is_sgd:
        return lr, decay
    return lr / (1 - beta1**number), beta1, beta2, (1 - beta2**number) ** -0.5


def _sgd(player: Player, grads: list[Tensor], step: Step) -> None:
    (sums,) = player.moments
    if step.decay == 0:  # torch's kernel then takes no sums, but the momentum may rise later
        foreach_copy_(sums, grads)
    fused_sgd_(
        player.params,
        grads,
        sums if step.decay > 0 else [],
        weight_decay=0.0,
        momentum=step.decay,
        lr=step.lr,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def _adam(player: Player, grads: list[Tensor], step: Step) -> None:
    first, second = player.moments
    # Filled on the device: a number copied there would make the host wait for it.
    number = torch.full((), float(step.number), device=grads[0].device)
    fused_adam_(
        player.params,
        grads,
        first,
        second,
        [],
        [number] * len(grads),
        lr=step.lr,
        beta1=step.beta1,
        beta2=step.beta2,
        weight_decay=0.0,
        eps=ADAM_EPSILON,
        amsgrad=False,
        maximize=False,
    )
