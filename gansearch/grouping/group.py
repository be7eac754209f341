"""Trainings of one structure that share every kernel: many small GANs on one GPU.

Each has a slot along a leading member axis. What differs within a kernel only as a number (learning
rates, momentum, k, dropout, noise, loss weights) is the member's own; what can't (activations,
optimizer, batch size, which losses) makes another group. Widths are padded to a bucket by units
that stay exactly zero. What a member learns depends neither on its neighbours nor on its slot, nor
on when it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.config import TrialConfig
from gansearch.grouping.buffers import (
    draws_at,
    make_buffers,
    make_schedule,
    write_draws,
    write_rates,
    write_schedule,
)
from gansearch.grouping.graphs import Lane, RecordedChunks
from gansearch.grouping.stacking import both, pairs, stacked_players
from gansearch.training.algorithm1 import update_both, update_discriminator, update_generator
from gansearch.training.examples import Examples
from gansearch.training.optimizers import N_STEP_COLUMNS
from gansearch.training.schedules import Coefficients
from gansearch.training.training import AdversarialTraining


@dataclass
class _Member:
    """A training in a slot, and the number of iterations left to do there."""

    training: AdversarialTraining
    left: int


class Group:
    """A fixed number of slots for trainings of one structure, on one device.

    Args:
        structure: what the trainings have in common.
        shape: of an example.
        examples: that they learn.
        n_slots: how many trainings fit.
        n_ticks: updates of D in a chunk.
        lane: of a GPU where its work is queued; None for one of its own.

    Attributes:
        n_slots, n_ticks, lane: as above.
    """

    def __init__(
        self,
        structure: TrialConfig,
        shape: tuple[int, ...],
        examples: Examples,
        *,
        n_slots: int,
        n_ticks: int,
        lane: Lane | None = None,
    ) -> None:
        self.n_slots = n_slots
        self.n_ticks = n_ticks
        self._config = structure
        self._examples = examples
        self.lane = lane or (Lane() if examples.device == "cuda" else None)
        self._members: dict[int, _Member] = {}
        self._n_step_columns = N_STEP_COLUMNS[structure.optimizer]
        with self._on_lane():
            self._players = stacked_players(structure, shape, n_slots, examples.device)
            self._buffers = make_buffers(self._players, n_slots, n_ticks, examples.device)
            self._loss_sums = torch.zeros(2, n_slots, device=examples.device)
        # Two, so that the next chunk is prepared while a GPU is busy with this one.
        self._schedules = [make_schedule(self._buffers) for _ in range(2)]
        self._chunks = None
        if self.lane is not None:
            self._chunks = RecordedChunks(self.lane, self._buffers.due, self._loss_sums)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return len(self._members) < self.n_slots

    @property
    def is_ready(self) -> bool:
        """Whether the next chunk can be prepared without waiting for the GPU."""
        taken = self._schedules[0].taken
        return taken is None or bool(taken.query())  # type: ignore[no-untyped-call]

    @property
    def trainings(self) -> list[AdversarialTraining]:
        """The trainings that are in."""
        return [member.training for member in self._members.values()]

    def admit(self, training: AdversarialTraining, n_iterations: int) -> None:
        """Admit a training for `n_iterations`; its own tensors are stale until it is released."""
        slot = min(set(range(self.n_slots)) - set(self._members))
        if self.lane is not None:
            self.lane.stream.wait_stream(torch.cuda.current_stream())
        with self._on_lane():
            # What the last one left must not be taken for padding.
            for stacked in self._tensors():
                stacked[slot].zero_()
            for noise in (self._buffers.d_noise, self._buffers.g_noise):
                noise[:, slot].zero_()
            for padded, tensor in self._pairs(training, slot):
                padded.copy_(tensor)
            write_rates(self._buffers, slot, training.config)
            for mine, theirs in zip(both(self._players), both(training.players), strict=True):
                if isinstance(mine.max_norm, Tensor) and theirs.max_norm is not None:
                    mine.max_norm[slot] = theirs.max_norm
        self._members[slot] = _Member(training, n_iterations)

    def release(self, training: AdversarialTraining) -> None:
        """Release a training, with its state copied back; any stream may then use it."""
        slot = self._slot_of(training)
        with self._on_lane():
            for padded, tensor in self._pairs(training, slot):
                tensor.copy_(padded)
        if self.lane is not None:
            self.lane.stream.synchronize()
        del self._members[slot]

    def left(self, training: AdversarialTraining) -> int:
        """Return how many iterations a training has left to do here."""
        return self._members[self._slot_of(training)].left

    def advance(self) -> None:
        """Do one chunk: as many of each member's iterations as fit.

        On a GPU it may still run when this returns, two chunks late at most.
        """
        with self._on_lane():
            done = self._fill()
            with_g = self._ticks_with_g(self._members[slot].training.config.k for slot in done)
            if self._chunks is not None:
                self._chunks.run(self.run_ticks, with_g)
            else:
                self.run_ticks(with_g)
        for slot, n in done.items():
            member = self._members[slot]
            member.training.count(n)
            member.left -= n

    def run_ticks(self, with_g: Sequence[bool]) -> None:
        """Do all ticks of a chunk, and G's part in those in which an iteration can end."""
        for tick, has_g in enumerate(with_g):
            self._tick(tick, with_g=has_g)

    def _fill(self) -> dict[int, int]:
        """Prepare a chunk; return how many iterations each slot's member does in it."""
        schedule = self._schedules[0]
        self._schedules.reverse()
        if schedule.taken is not None:
            schedule.taken.synchronize()
        schedule.due.zero_()
        schedule.numbers[:, -2:].zero_()
        numbers, due = schedule.numbers.numpy(), schedule.due.numpy()
        done: dict[int, int] = {}
        for slot, member in self._members.items():
            config = member.training.config
            n = min(member.left, self.n_ticks // config.k)
            if n > 0:
                write_schedule(numbers[:, :, slot], due[:, :, slot], member.training, n)
                write_draws(self._buffers, slot, member.training, n)
                done[slot] = n
        self._buffers.numbers.copy_(schedule.numbers, non_blocking=True)
        self._buffers.due.copy_(schedule.due, non_blocking=True)
        if schedule.taken is not None:
            schedule.taken.record()
        return done

    def _ticks_with_g(self, ks: Iterable[int]) -> tuple[bool, ...]:
        """Return in which ticks an iteration can end, among members with such k's."""
        ks = set(ks)
        return tuple(any((tick + 1) % k == 0 for k in ks) for tick in range(self.n_ticks))

    def _tick(self, tick: int, *, with_g: bool) -> None:
        b, n_columns = self._buffers, self._n_step_columns
        numbers = b.numbers[tick].unbind()
        d_step, g_step = numbers[:n_columns], numbers[n_columns : 2 * n_columns]
        *coefficients, d_share, g_share = numbers[2 * n_columns :]
        c = Coefficients(*coefficients)
        d_due, g_due = b.due[tick].unbind()
        real = self._examples.at(b.rows[tick])
        drawn = draws_at(tick, b.d_noise, b.d_masks, b.d_instance, b.shares)
        g_loss: Tensor | None = None
        if with_g and self._config.update == "simultaneous":
            d_update, g_update = update_both(
                self._players, real, drawn, c, (d_step, g_step), (d_due, g_due)
            )
            d_loss, g_loss = d_update.loss, g_update.loss
        else:
            d_loss = update_discriminator(self._players, real, drawn, c, d_step, d_due).loss
            if with_g:
                own = draws_at(tick, b.g_noise, b.g_masks, b.g_instance, None)
                g_loss = update_generator(self._players, own, c, g_step, g_due).loss
        self._loss_sums[0].addcmul_(d_loss, d_share)
        if g_loss is not None:
            self._loss_sums[1].addcmul_(g_loss, g_share)

    def _on_lane(self) -> AbstractContextManager[object]:
        """Return the context in which work is queued on the group's lane."""
        return nullcontext() if self.lane is None else torch.cuda.stream(self.lane.stream)

    def _slot_of(self, training: AdversarialTraining) -> int:
        return next(s for s, member in self._members.items() if member.training is training)

    def _tensors(self) -> Iterator[Tensor]:
        for player in both(self._players):
            for kind in player.tensors:
                yield from (tensor.detach() for tensor in kind)

    def _pairs(self, training: AdversarialTraining, slot: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each tensor of a training with the part of the slot's that it takes."""
        yield self._loss_sums[:, slot], training.loss_sums
        yield from pairs(self._players, training.players, slot)
