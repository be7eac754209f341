"""Trainings of one structure that share every kernel: many small GANs on one GPU.

Each has a slot along a leading member axis. What differs within a kernel only as a number (learning
rates, momentum, k, dropout, noise, loss weights) is the member's own; what can't (activations,
optimizer, batch size, which losses) makes another group. Widths are padded to a bucket by units
that stay exactly zero. What a member learns depends neither on its neighbours nor on its slot, nor
on when it came.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from gansearch.config import TrialConfig
from gansearch.networks.layers import Layer
from gansearch.networks.models import Discriminator, Generator, dropout_rates, layers_of
from gansearch.training.optimizers import Player, make_player, step_columns
from gansearch.training.random_draws import Draws, Masks, UpdateDraws, drops
from gansearch.training.training import AdversarialTraining, Examples
from gansearch.training.updates import (
    Coefficients,
    Game,
    coefficients_at,
    rates_at,
    update_both,
    update_discriminator,
    update_generator,
)

# What members of a group share, beside the widths; all else is their own or no longer matters once
# the weights are drawn.
_SHARED = (
    *("update", "generator_loss", "gradient_penalty", "batch_size", "precision", "optimizer"),
    *("generator_activation", "generator_normalization", "generator_output"),
    *("discriminator_activation", "discriminator_normalization"),
    *("packing", "maxout_pieces", "leaky_slope"),
)
# What they share of these is whether there is any.
_SWITCHES = (
    *("dropout_input", "dropout_hidden", "instance_noise_sd"),
    *("generator_max_norm", "discriminator_max_norm"),
)
_N_STEP_COLUMNS = {"sgd": 2, "adam": 4}  # of `step_columns`
_MAX_GRAPHS = 4  # of a group: each takes some megabytes, and less than a second to record
# Graphs by the stream that each was recorded on.
_STREAMS: weakref.WeakKeyDictionary[torch.cuda.CUDAGraph, int] = weakref.WeakKeyDictionary()
_N_STREAMS = 32  # that torch has, and gives in turn


def structure_of(config: TrialConfig) -> TrialConfig | None:
    """Return what trainings must have in common to share a group with `config`.

    None where it can't share: convolutions, whose kernels the members would not share anyway, and
    what reaches over the members' own steps (unrolling, spectral norm, minibatch standard
    deviation, pretraining).
    """
    is_dense = (config.generator_network, config.discriminator_network) == ("dense", "dense")
    apart = (
        config.unrolled_steps > 0
        or config.minibatch_sd > 0
        or config.discriminator_normalization == "spectral"
        or config.pretraining != "none"
    )
    if not is_dense or apart:
        return None
    values = {name: getattr(config, name) for name in _SHARED}
    for name in _SWITCHES:
        value = getattr(config, name)
        is_on = drops(value) if name.startswith("dropout") else value > 0
        values[name] = 0.5 if is_on else 0.0
    names = (config.generator_activation, config.discriminator_activation)
    for player, activation in zip(("generator", "discriminator"), names, strict=True):
        # A padded sigmoid unit would not be zero.
        pad = (lambda width: width) if "sigmoid" in activation else bucket
        values[f"{player}_widths"] = tuple(map(pad, getattr(config, f"{player}_widths")))
    return TrialConfig(noise_dim=bucket(config.noise_dim), **values)


def bucket(width: int) -> int:
    """Return the width, at least `width`, that nets of about it are padded to: four an octave.

    >>> [bucket(width) for width in (3, 64, 100, 240, 1200)]
    [8, 64, 112, 256, 1280]
    """
    step = max(8, 1 << max(0, width.bit_length() - 3))
    return -(-width // step) * step


@dataclass
class _Member:
    """A training in a slot, and how many iterations it shall still do there."""

    training: AdversarialTraining
    left: int


@dataclass
class _Buffers:
    """What the ticks of a chunk read, filled before it starts; all begin `[ticks, slots]`.

    A tick is an update of D in every member that is due, then one of G in every member whose
    iteration ends.
    """

    rows: Tensor
    d_noise: Tensor
    g_noise: Tensor
    d_masks: Masks
    g_masks: Masks
    d_instance: Tensor | None
    g_instance: Tensor | None
    shares: Tensor | None
    numbers: Tensor  # [ticks, numbers, slots], see `Group._plan`
    due: Tensor  # [ticks, 2, slots], bool: D, G


@dataclass
class _Plan:
    """The numbers and who is due, on the host; a GPU takes them when it gets to the chunk."""

    numbers: Tensor
    due: Tensor
    taken: torch.cuda.Event | None


class Group:
    """A fixed number of slots for trainings of one structure, on one device.

    Attributes:
        n_slots: how many trainings fit.
        n_ticks: updates of D in a chunk.
    """

    def __init__(
        self,
        structure: TrialConfig,
        shape: tuple[int, ...],
        examples: Examples,
        *,
        n_slots: int,
        n_ticks: int,
    ) -> None:
        self.n_slots = n_slots
        self.n_ticks = n_ticks
        self._config = structure
        self._examples = examples
        self._members: dict[int, _Member] = {}
        self._game = _stacked_game(structure, shape, n_slots, examples.device)
        self._buffers = _make_buffers(self._game, n_slots, n_ticks, examples.device)
        self._n_step_columns = _N_STEP_COLUMNS[structure.optimizer]
        self._loss_sums = torch.zeros(2, n_slots, device=examples.device)
        # Two, so that the next chunk is prepared while a GPU is busy with this one.
        self._plans = [_make_plan(self._buffers) for _ in range(2)]
        self._recorded: dict[tuple[bool, ...], torch.cuda.CUDAGraph] = {}

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return len(self._members) < self.n_slots

    @property
    def trainings(self) -> list[AdversarialTraining]:
        """The trainings that are in."""
        return [member.training for member in self._members.values()]

    def admit(self, training: AdversarialTraining, n_iterations: int) -> None:
        """Take a training in, to do `n_iterations`; its own tensors rest until it is released."""
        slot = min(set(range(self.n_slots)) - set(self._members))
        # What the last one left must not be taken for padding.
        for stacked in self._tensors():
            stacked[slot].zero_()
        for noise in (self._buffers.d_noise, self._buffers.g_noise):
            noise[:, slot].zero_()
        for padded, tensor in self._pairs(training, slot):
            padded.copy_(tensor)
        for mine, theirs in zip(_players(self._game), _players(training.game), strict=True):
            if isinstance(mine.max_norm, Tensor) and theirs.max_norm is not None:
                mine.max_norm[slot] = theirs.max_norm
        self._members[slot] = _Member(training, n_iterations)

    def release(self, training: AdversarialTraining) -> None:
        """Let a training go, with all that it has learnt."""
        slot = self._slot_of(training)
        for padded, tensor in self._pairs(training, slot):
            tensor.copy_(padded)
        del self._members[slot]

    def left(self, training: AdversarialTraining) -> int:
        """Return how many iterations a training shall still do here."""
        return self._members[self._slot_of(training)].left

    def advance(self) -> None:
        """Do one chunk: as many of each member's iterations as fit.

        On a GPU it may still run when this returns, two chunks late at most.
        """
        done = self._fill()
        with_g = self._ticks_with_g(self._members[slot].training.config.k for slot in done)
        if self._examples.device == "cuda":
            self._replay(with_g)
        else:
            self._run(with_g)
        for slot, n in done.items():
            member = self._members[slot]
            member.training.count(n)
            member.left -= n

    def _fill(self) -> dict[int, int]:
        """Prepare a chunk; return how many iterations each slot's member does in it."""
        plan = self._plans[0]
        self._plans.reverse()
        if plan.taken is not None:
            plan.taken.synchronize()
        plan.due.zero_()
        plan.numbers[:, -2:].zero_()
        numbers, due = plan.numbers.numpy(), plan.due.numpy()
        done: dict[int, int] = {}
        for slot, member in self._members.items():
            config = member.training.config
            n = min(member.left, self.n_ticks // config.k)
            if n > 0:
                self._plan(numbers[:, :, slot], due[:, :, slot], member.training, n)
                self._draw(slot, member.training, n)
                done[slot] = n
        self._buffers.numbers.copy_(plan.numbers, non_blocking=True)
        self._buffers.due.copy_(plan.due, non_blocking=True)
        if plan.taken is not None:
            plan.taken.record()
        return done

    def _plan(
        self, numbers: np.ndarray, due: np.ndarray, training: AdversarialTraining, n: int
    ) -> None:
        """Write down a member's numbers and when it is due, `[ticks, ...]`, for n iterations.

        The numbers are the step columns of D, those of G, the coefficients, and the shares of D's
        and of G's loss in their sums.
        """
        config, k = training.config, training.config.k
        iterations = training.iteration + np.arange(n)
        around = np.maximum(training.iteration - 1 + np.arange(n + 1), 0)
        rates = rates_at(config, around, self._examples.n)
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

    def _draw(self, slot: int, training: AdversarialTraining, n: int) -> None:
        """Copy a member's random numbers for its next n iterations to where the ticks read them."""
        k, b = training.config.k, self._buffers
        for start, draws in _pieces(training, n):
            first, end = start * k, (start + len(draws.rows)) * k
            d_ticks, g_ticks = slice(first, end), slice(first + k - 1, end, k)
            b.rows[d_ticks, slot] = draws.rows.flatten(0, 1)
            z = draws.noise.shape[-1]
            b.d_noise[d_ticks, slot, :, :z] = draws.noise[:, :k].flatten(0, 1)
            for mine, theirs in zip(b.d_masks, draws.d_masks, strict=True):
                if mine is not None and theirs is not None:
                    mine[d_ticks, slot, :, : theirs.shape[-1]] = theirs.flatten(0, 1)
            if b.d_instance is not None and draws.d_noise is not None:
                b.d_instance[d_ticks, slot] = draws.d_noise.flatten(0, 1)
            if b.shares is not None and draws.shares is not None:
                b.shares[d_ticks, slot] = draws.shares.flatten(0, 1)
            if self._config.update == "simultaneous":
                continue
            b.g_noise[g_ticks, slot, :, :z] = draws.noise[:, k]
            for mine, theirs in zip(b.g_masks, draws.g_masks, strict=True):
                if mine is not None and theirs is not None:
                    mine[g_ticks, slot, :, : theirs.shape[-1]] = theirs
            if b.g_instance is not None and draws.g_noise is not None:
                b.g_instance[g_ticks, slot] = draws.g_noise

    def _ticks_with_g(self, ks: Iterable[int]) -> tuple[bool, ...]:
        """Return in which ticks an iteration can end, among members with such k's."""
        ks = set(ks)
        return tuple(any((tick + 1) % k == 0 for k in ks) for tick in range(self.n_ticks))

    def _replay(self, with_g: tuple[bool, ...]) -> None:
        """Do a chunk by the graph recorded for such ticks, recording it first."""
        graph = self._recorded.pop(with_g, None)
        if graph is None:
            if (stream := _unused_stream()) is None:
                self._run(with_g)
                return
            graph = self._record(with_g, stream)
        self._recorded[with_g] = graph  # the last one used comes last
        graph.replay()

    def _record(self, with_g: tuple[bool, ...], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()  # before a graph is dropped that may still run
        while len(self._recorded) >= _MAX_GRAPHS:
            del self._recorded[next(iter(self._recorded))]
        due, sums = self._buffers.due.clone(), self._loss_sums.clone()
        self._buffers.due.zero_()  # so that warming up changes no weight
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._run(with_g)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # They run one at a time and leave nothing in their memory, so that they can share it.
        pool = next(iter(self._recorded.values())).pool() if self._recorded else None
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._run(with_g)
        _STREAMS[graph] = stream.cuda_stream
        self._loss_sums.copy_(sums)
        self._buffers.due.copy_(due)
        return graph

    def _run(self, with_g: Sequence[bool]) -> None:
        """Do all ticks of a chunk, and G's part in those in which an iteration can end."""
        for tick, has_g in enumerate(with_g):
            self._tick(tick, with_g=has_g)

    def _tick(self, tick: int, *, with_g: bool) -> None:
        b, n_columns = self._buffers, self._n_step_columns
        numbers = b.numbers[tick].unsqueeze(-1).unbind()
        d_step, g_step = numbers[:n_columns], numbers[n_columns : 2 * n_columns]
        *coefficients, d_share, g_share = b.numbers[tick, 2 * n_columns :].unbind()
        c = Coefficients(*coefficients)
        d_due, g_due = b.due[tick].unbind()
        real = self._examples.at(b.rows[tick])
        drawn = _at_tick(tick, b.d_noise, b.d_masks, b.d_instance, b.shares)
        g_loss: Tensor | None = None
        if with_g and self._config.update == "simultaneous":
            (d_loss, _), (g_loss, _) = update_both(
                self._game, real, drawn, c, (d_step, g_step), (d_due, g_due)
            )
        else:
            d_loss, _ = update_discriminator(self._game, real, drawn, c, d_step, d_due)
            if with_g:
                own = _at_tick(tick, b.g_noise, b.g_masks, b.g_instance, None)
                g_loss, _ = update_generator(self._game, own, c, g_step, g_due)
        self._loss_sums[0].addcmul_(d_loss, d_share)
        if g_loss is not None:
            self._loss_sums[1].addcmul_(g_loss, g_share)

    def _slot_of(self, training: AdversarialTraining) -> int:
        return next(s for s, member in self._members.items() if member.training is training)

    def _tensors(self) -> Iterator[Tensor]:
        for player in _players(self._game):
            yield from (p.detach() for p in player.params)
            for moment in player.moments:
                yield from moment

    def _pairs(self, training: AdversarialTraining, slot: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each tensor of a training with the part of the slot's that it takes."""
        yield self._loss_sums[:, slot], training.loss_sums
        for mine, theirs in zip(_players(self._game), _players(training.game), strict=True):
            pieces = [
                layer.activation.pieces for layer in theirs.layers for _ in layer.parameters()
            ]
            for kind, own in zip(
                (mine.params, *mine.moments), (theirs.params, *theirs.moments), strict=True
            ):
                for n_pieces, stacked, tensor in zip(pieces, kind, own, strict=True):
                    yield _corner(stacked.detach()[slot], tensor.detach(), n_pieces)


def _stacked_game(
    structure: TrialConfig, shape: tuple[int, ...], n_slots: int, device: str
) -> Game:
    """Return players whose tensors have a leading axis of `n_slots`, all zero."""
    g, d = Generator(structure, shape), Discriminator(structure, shape)
    players = []
    bounded = structure.generator_max_norm > 0, structure.discriminator_max_norm > 0
    for layers, is_bounded in zip((layers_of(g), layers_of(d)), bounded, strict=True):
        for layer in layers:
            _stack(layer, n_slots, device)
        bounds = torch.full((n_slots,), torch.inf, device=device) if is_bounded else None
        players.append(make_player(layers, structure.optimizer, bounds))
    return Game(structure, g, d, *players)


def _stack(layer: Layer, n_slots: int, device: str) -> None:
    for name, parameter in list(layer.named_parameters()):
        stacked = torch.zeros(n_slots, *parameter.shape, device=device)
        setattr(layer, name, nn.Parameter(stacked))


def _make_buffers(game: Game, n_slots: int, n_ticks: int, device: str) -> _Buffers:
    config = game.config
    m, dim = config.batch_size, game.generator_net.dim
    n = m * config.packing
    widths = game.discriminator_net.input_widths()

    def zeros(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(n_ticks, n_slots, *sizes, dtype=dtype, device=device)

    def masks(n_rows: int) -> Masks:
        pairs = zip(dropout_rates(config), widths, strict=True)
        return [zeros(n_rows, width) if rate > 0 else None for rate, width in pairs]

    is_noisy = config.instance_noise_sd > 0
    n_numbers = 2 * _N_STEP_COLUMNS[config.optimizer] + len(fields(Coefficients)) + 2
    return _Buffers(
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


def _make_plan(buffers: _Buffers) -> _Plan:
    on_gpu = buffers.due.is_cuda
    numbers, due = (
        torch.zeros(t.shape, dtype=t.dtype, pin_memory=on_gpu)
        for t in (buffers.numbers, buffers.due)
    )
    return _Plan(numbers, due, torch.cuda.Event() if on_gpu else None)  # type: ignore[no-untyped-call]


def _unused_stream() -> torch.cuda.Stream | None:
    """Return a stream that no living graph was recorded on, or None.

    A graph goes on with the workspace of cuBLAS that belongs to its stream, which another one that
    was recorded there takes along when it is dropped (pytorch issue 193402).
    """
    taken = set(_STREAMS.values())
    for _ in range(_N_STREAMS):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        if stream.cuda_stream not in taken:
            return stream
    return None


def _at_tick(
    tick: int, noise: Tensor, masks: Masks, instance: Tensor | None, shares: Tensor | None
) -> UpdateDraws:
    return UpdateDraws(
        noise[tick],
        [None if mask is None else mask[tick] for mask in masks],
        None if instance is None else instance[tick],
        None if shares is None else shares[tick],
    )


def _pieces(training: AdversarialTraining, n: int) -> Iterator[tuple[int, Draws]]:
    """Yield a training's random numbers for n iterations, as they were drawn, and where each is."""
    start = 0
    while start < n:
        draws = training.draws(n - start)
        yield start, draws
        start += len(draws.rows)


def _players(game: Game) -> tuple[Player, Player]:
    return game.generator, game.discriminator


def _corner(padded: Tensor, tensor: Tensor, n_pieces: int) -> tuple[Tensor, Tensor]:
    """Return the part of a padded tensor that another one takes, and that one in its shape.

    Units come last, `n_pieces` times one after the other, and each of these is padded.
    """
    by_piece, small = (torch.unflatten(t, -1, (n_pieces, -1)) for t in (padded, tensor))
    return by_piece[tuple(slice(n) for n in small.shape)], small
