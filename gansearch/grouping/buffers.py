"""What the ticks of a chunk read: filled before it starts, so that its graph can be replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.networks.dropout import Mask, Masks, drops
from gansearch.networks.models import dropout_rates
from gansearch.training.optimizers import N_STEP_COLUMNS, step_columns
from gansearch.training.players import Players
from gansearch.training.random_draws import Draws, UpdateDraws, part_of
from gansearch.training.schedules import Coefficients, coefficients_at, rates_at
from gansearch.training.training import AdversarialTraining


@dataclass
class Buffers:
    """What the ticks of a chunk read, filled before it starts; all begin `[ticks, slots]`.

    A tick is an update of D in every member that is due, then one of G in every member whose
    iteration ends. The thresholds and scales of masks are `[slots]`, the same in all ticks, so that
    `factors` is only for the mask of one tick.
    """

    rows: Tensor
    d_noise: Tensor
    g_noise: Tensor
    d_masks: Masks
    g_masks: Masks
    d_instance: Tensor | None
    g_instance: Tensor | None
    shares: Tensor | None
    numbers: Tensor  # [ticks, numbers, slots], see `write_schedule`
    due: Tensor  # [ticks, 2, slots], bool: D, G


@dataclass
class HostSchedule:
    """The numbers and who is due, on the host; a GPU takes them when it gets to the chunk."""

    numbers: Tensor
    due: Tensor
    taken: torch.cuda.Event | None


def make_buffers(players: Players, n_slots: int, n_ticks: int, device: str) -> Buffers:
    """Return buffers of zeros for groups of such players."""
    config = players.config
    m, dim = config.batch_size, players.generator_net.dim
    n = m * config.packing
    widths = players.discriminator_net.input_widths()

    def zeros(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(n_ticks, n_slots, *sizes, dtype=dtype, device=device)

    thresholds = [torch.zeros(n_slots, dtype=torch.int16, device=device) for _ in widths]
    scales = [torch.zeros(n_slots, device=device) for _ in widths]

    def masks(n_rows: int) -> Masks:
        layers = zip(dropout_rates(config), widths, thresholds, scales, strict=True)
        return [
            Mask(zeros(n_rows, width, dtype=torch.int16), threshold, scale) if drops(rate) else None
            for rate, width, threshold, scale in layers
        ]

    is_noisy = config.instance_noise_sd > 0
    n_numbers = 2 * N_STEP_COLUMNS[config.optimizer] + len(fields(Coefficients)) + 2
    return Buffers(
        rows=zeros(n, dtype=torch.int64),
        d_noise=zeros(n, config.noise_dim),
        g_noise=zeros(n, config.noise_dim),
        d_masks=masks(2 * m),
        g_masks=masks(m),
        d_instance=zeros(2 * n, dim) if is_noisy else None,
        g_instance=zeros(n, dim) if is_noisy else None,
        shares=zeros(m, 1) if config.gradient_penalty == "one_centered" else None,
        numbers=torch.zeros(n_ticks, n_numbers, n_slots, device=device),
        due=torch.zeros(n_ticks, 2, n_slots, dtype=torch.bool, device=device),
    )


def make_schedule(buffers: Buffers) -> HostSchedule:
    """Return an empty schedule on the host for these buffers."""
    on_gpu = buffers.due.is_cuda
    numbers, due = (
        torch.zeros(t.shape, dtype=t.dtype, pin_memory=on_gpu)
        for t in (buffers.numbers, buffers.due)
    )
    return HostSchedule(numbers, due, torch.cuda.Event() if on_gpu else None)  # type: ignore[no-untyped-call]


def write_schedule(
    numbers: np.ndarray, due: np.ndarray, training: AdversarialTraining, n: int
) -> None:
    """Write down a member's numbers and when it is due, `[ticks, ...]`, for n iterations.

    The numbers are the step columns of D, those of G, the coefficients, and the shares of D's
    and of G's loss in their sums.
    """
    config, k = training.config, training.config.k
    iterations = training.iteration + np.arange(n)
    around = np.maximum(training.iteration - 1 + np.arange(n + 1), 0)
    rates = rates_at(config, around, training.horizon)
    momentum, betas = rates.momentum[1:], (config.adam_beta1, config.adam_beta2)
    columns: list[np.ndarray] = []
    for lrs, per_iteration in ((rates.discriminator_lr, k), (rates.generator_lr, 1)):
        lr, number = (np.repeat(x, per_iteration) for x in (lrs[1:], iterations))
        decay = np.repeat(momentum, per_iteration)
        # Within an iteration D's rate stays.
        decay[::per_iteration] *= lrs[:-1] / lrs[1:]
        number = number * per_iteration + 1 + np.arange(n * per_iteration) % per_iteration
        steps = step_columns(lr, decay, *betas, number, is_sgd=config.optimizer == "sgd")
        columns += [np.repeat(c, k // per_iteration) if np.ndim(c) else c for c in steps]
    ticks, g_ticks = slice(0, n * k), slice(k - 1, n * k, k)
    for i, column in enumerate(columns):
        numbers[ticks, i] = column
    first = len(columns)
    coefficients = coefficients_at(config, iterations)
    for i, field in enumerate(fields(Coefficients), first):
        value = getattr(coefficients, field.name)
        numbers[ticks, i] = np.repeat(value, k) if np.ndim(value) else value
    numbers[ticks, -2], numbers[g_ticks, -1] = 1 / k, 1
    due[ticks, 0], due[g_ticks, 1] = True, True


def write_rates(buffers: Buffers, slot: int, config: AdversarialConfig) -> None:
    """Write down the dropout rates of a slot's member."""
    # The masks of G's pass have those of D's.
    for mask, rate in zip(buffers.d_masks, dropout_rates(config), strict=True):
        if mask is not None:
            mask.set_rate(slot, rate)


def write_draws(buffers: Buffers, slot: int, training: AdversarialTraining, n: int) -> None:
    """Copy a member's random numbers for its next n iterations to where the ticks read them."""
    k, b = training.config.k, buffers
    for start, draws in _pieces(training, n):
        first, end = start * k, (start + len(draws.rows)) * k
        d_ticks, g_ticks = slice(first, end), slice(first + k - 1, end, k)
        b.rows[d_ticks, slot] = draws.rows.flatten(0, 1)
        z = draws.noise.shape[-1]
        b.d_noise[d_ticks, slot, :, :z] = draws.noise[:, :k].flatten(0, 1)
        _write_masks(b.d_masks, d_ticks, slot, draws.d_masks)
        if b.d_instance is not None and draws.d_noise is not None:
            b.d_instance[d_ticks, slot] = draws.d_noise.flatten(0, 1)
        if b.shares is not None and draws.shares is not None:
            b.shares[d_ticks, slot] = draws.shares.flatten(0, 1)
        if training.config.update == "simultaneous":
            continue
        b.g_noise[g_ticks, slot, :, :z] = draws.noise[:, k]
        _write_masks(b.g_masks, g_ticks, slot, draws.g_masks)
        if b.g_instance is not None and draws.g_noise is not None:
            b.g_instance[g_ticks, slot] = draws.g_noise


def draws_at(
    tick: int, noise: Tensor, masks: Masks, instance: Tensor | None, shares: Tensor | None
) -> UpdateDraws:
    """Return the random numbers of one tick's update."""
    return UpdateDraws(*(part_of(value, tick) for value in (noise, masks, instance, shares)))


def _pieces(training: AdversarialTraining, n: int) -> Iterator[tuple[int, Draws]]:
    """Yield a training's random numbers for n iterations, as they were drawn, and where each is."""
    start = 0
    while start < n:
        draws = training.stream.take(n - start)
        yield start, draws
        start += len(draws.rows)


def _write_masks(buffers: Masks, ticks: slice, slot: int, masks: Masks) -> None:
    """Copy a member's masks to its slot in some ticks; layers may be padded there."""
    for mine, theirs in zip(buffers, masks, strict=True):
        if mine is not None and theirs is not None:
            bits = theirs.bits.flatten(0, -3)  # [ticks, packs, inputs of the layer]
            mine.bits[ticks, slot, :, : bits.shape[-1]] = bits
