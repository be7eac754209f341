"""Algorithm 1 of Goodfellow et al. (2014): `iterate` is one pass through its loop.

The updates serve one network as well as several that are trained together, whose tensors all have
a leading member axis: `[members, n, dim]` instead of `[n, dim]`, and coefficients `[members]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from gansearch.networks.interface import DiscriminatorCall
from gansearch.training import dense_gradients, gradients
from gansearch.training.gradients import Update
from gansearch.training.objective import unrolled_discriminator
from gansearch.training.optimizers import Step
from gansearch.training.players import Players
from gansearch.training.random_draws import Draws, UpdateDraws
from gansearch.training.schedules import Coefficients, Schedule


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
    is_simultaneous = config.update == "simultaneous"
    d_updates = []
    for i in range(config.k - is_simultaneous):
        d_update = update_discriminator(
            players, batches[i], draws.of_discriminator(i), coefficients, schedule.d_steps[i]
        )
        d_updates.append(d_update)
    if is_simultaneous:
        d_update, g_update = update_both(
            players,
            batches[-1],
            draws.of_discriminator(-1),
            coefficients,
            (schedule.d_steps[-1], schedule.g_step),
        )
        return [*d_updates, d_update], g_update
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
    update: Update = _gradients_of(players).of_discriminator(players, real, drawn, coefficients)
    players.descend_discriminator(update.grads, step, due)
    return update


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
    if look_ahead is not None:
        update = gradients.of_generator(players, drawn, coefficients, look_ahead)
    else:
        update = _gradients_of(players).of_generator(players, drawn, coefficients)
    players.descend_generator(update.grads, step, coefficients.average_share, due)
    return update


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
    d_update, g_update = _gradients_of(players).of_both(players, real, drawn, coefficients)
    players.descend_discriminator(d_update.grads, steps[0], dues[0])
    players.descend_generator(g_update.grads, steps[1], coefficients.average_share, dues[1])
    return d_update, g_update


def _gradients_of(players: Players) -> Any:
    """Return the module that finds the gradients of such players."""
    return dense_gradients if dense_gradients.covers(players.config) else gradients


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
