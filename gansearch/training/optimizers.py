"""What an update does with a gradient: gradient descent with momentum, or Adam.

One network is updated by torch's fused kernels. Networks that are trained together, along a leading
member axis, have step sizes of their own, and those that are not due keep their parameters and
moments bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gansearch.networks.interface import Network
from gansearch.networks.layers import Layer, bound_norms
from gansearch.system.features import functions_for, triton_module
from gansearch.system.torch_internals import (
    foreach_copy_,
    foreach_lerp_,
    fused_adam_,
    fused_sgd_,
)
from gansearch.training import member_updates
from gansearch.training.remedies import ADAM_EPSILON

N_STEP_COLUMNS = {"sgd": 2, "adam": 4}  # of `step_columns`, by optimizer
_KERNELS = "gansearch.training.member_kernels"

Scalar = float | Tensor  # of one training, or of each of several, `[members]`


@dataclass
class Player:
    """The trained parameters of one of the two networks, updated in place.

    Attributes:
        layers: the layers that are trained; none of a network of others.
        params: the parameters that are trained.
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
    net: Network,
    optimizer: str,
    max_norm: Scalar | None = None,
    average: list[Tensor] | None = None,
) -> Player:
    """Return the player that trains a network, with moments of zero."""
    params = net.trained_parameters()
    n_moments = 1 if optimizer == "sgd" else 2
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    return Player(net.trained_layers(), params, moments, max_norm, average)


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
        step: the size of the step; of several networks their `step_columns`, each `[members]`.
        due: of several networks which are updated, `[members]`; None for one.
    """
    is_sgd = len(player.moments) == 1
    if isinstance(step, Step):
        update_one = _sgd if is_sgd else _adam
        update_one(player, list(grads), step)
    else:
        assert due is not None
        functions = _functions(due)
        update_all = functions.update_sgd if is_sgd else functions.update_adam
        update_all(due, step, player.params, grads, *player.moments)
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
    _functions(due).update_average(due, share, player.average, player.params)


def prepare_updates(player: Player) -> None:
    """Get ready what updates of several networks take, before any is recorded in a graph."""
    kernels = triton_module(_KERNELS) if player.params[0].is_cuda else None
    if kernels is not None:
        kernels.prepare(player.params)


def _functions(due: Tensor) -> Any:
    """Return the module whose functions update several networks on the device of `due`."""
    return functions_for(due, 1, member_updates, _KERNELS)


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
