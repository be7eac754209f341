"""Trainings of one structure that share every kernel: many small GANs on one GPU.

Each has a slot along a leading member axis. What differs within a kernel only as a number (learning
rates, momentum, k, dropout, noise, loss weights) is the member's own; what can't (activations,
optimizer, batch size, which losses) makes another group. Widths are padded to a bucket by units
that stay exactly zero. What a member learns depends neither on its neighbours nor on its slot, nor
on when it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from gansearch.config import TrialConfig
from gansearch.draws import Draws, Masks, UpdateDraws, drops
from gansearch.layers import Layer
from gansearch.models import Discriminator, Generator, dropout_rates, layers_of
from gansearch.optimizers import Player, Step
from gansearch.training import Examples, Training
from gansearch.updates import (
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
# The numbers of each tick and member, in the order of `_Buffers.numbers`.
_NUMBERS = (
    *("d_lr", "d_decay", "d_number", "g_lr", "g_decay", "g_number"),
    *("beta1", "beta2", "loss_scale", "label_smoothing", "penalty_weight"),
    *("instance_noise_sd", "loss_share"),
)


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

    training: Training
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
    numbers: Tensor  # [ticks, slots, len(_NUMBERS)], float64
    due: Tensor  # [ticks, slots, 2], bool: D, G


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
        self._loss_sums = torch.zeros(n_slots, 2, device=examples.device)
        # Filled on the host, and copied at once.
        self._numbers = np.zeros((n_ticks, n_slots, len(_NUMBERS)))
        self._due = np.zeros((n_ticks, n_slots, 2), dtype=bool)
        self._recorded: dict[frozenset[int], torch.cuda.CUDAGraph] = {}

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return len(self._members) < self.n_slots

    @property
    def trainings(self) -> list[Training]:
        """The trainings that are in."""
        return [member.training for member in self._members.values()]

    def admit(self, training: Training, n_iterations: int) -> None:
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

    def release(self, training: Training) -> None:
        """Let a training go, with all that it has learnt."""
        slot = self._slot_of(training)
        for padded, tensor in self._pairs(training, slot):
            tensor.copy_(padded)
        del self._members[slot]

    def left(self, training: Training) -> int:
        """Return how many iterations a training shall still do here."""
        return self._members[self._slot_of(training)].left

    def advance(self) -> None:
        """Do one chunk: as many of each member's iterations as fit."""
        done = self._fill()
        ks = frozenset(self._members[slot].training.config.k for slot in done)
        if self._examples.device == "cuda":
            self._replay(ks)
        else:
            self._run(ks)
        for slot, n in done.items():
            member = self._members[slot]
            member.training.count(n)
            member.left -= n

    def _fill(self) -> dict[int, int]:
        """Prepare a chunk; return how many iterations each slot's member does in it."""
        self._due[:] = False
        done: dict[int, int] = {}
        for slot, member in self._members.items():
            config = member.training.config
            n = min(member.left, self.n_ticks // config.k)
            if n > 0:
                self._plan(slot, member.training, n)
                self._draw(slot, member.training, n)
                done[slot] = n
        self._buffers.numbers.copy_(torch.from_numpy(self._numbers))
        self._buffers.due.copy_(torch.from_numpy(self._due))
        return done

    def _plan(self, slot: int, training: Training, n: int) -> None:
        """Write down a member's step sizes and coefficients for its next n iterations."""
        config, k = training.config, training.config.k
        iterations = training.iteration + np.arange(n)
        n_train = self._examples.n
        now = rates_at(config, iterations, n_train)
        last = rates_at(config, np.maximum(iterations - 1, 0), n_train)
        ticks = slice(0, n * k)
        columns = {name: self._numbers[ticks, slot, i] for i, name in enumerate(_NUMBERS)}
        for player in ("discriminator", "generator"):
            lr, last_lr = (getattr(rates, f"{player}_lr") for rates in (now, last))
            decay = now.momentum * last_lr / lr
            columns[f"{player[0]}_lr"][:] = np.repeat(lr, k)
            columns[f"{player[0]}_decay"][:] = np.repeat(decay, k)
        # Within an iteration D's rate stays.
        columns["d_decay"].reshape(n, k)[:, 1:] = np.asarray(now.momentum)[:, None]
        columns["d_number"][:] = training.iteration * k + 1 + np.arange(n * k)
        columns["g_number"][:] = np.repeat(iterations + 1, k)
        columns["beta1"][:], columns["beta2"][:] = config.adam_beta1, config.adam_beta2
        columns["loss_share"][:] = 1 / k
        coefficients = coefficients_at(config, iterations)
        for field in fields(Coefficients):
            columns[field.name].reshape(n, k)[:] = np.reshape(
                getattr(coefficients, field.name), (-1, 1)
            )
        self._due[ticks, slot, 0] = True
        self._due[k - 1 : n * k : k, slot, 1] = True

    def _draw(self, slot: int, training: Training, n: int) -> None:
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

    def _replay(self, ks: frozenset[int]) -> None:
        """Do a chunk by the graph recorded for such a set of k's, recording it first."""
        if ks not in self._recorded:
            self._record(ks)
        self._recorded[ks].replay()

    def _record(self, ks: frozenset[int]) -> None:
        due = self._buffers.due.clone()
        self._buffers.due.zero_()  # so that warming up changes nothing
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._run(ks)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Its own stream: graphs recorded on one share a workspace of cuBLAS.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self._run(ks)
        self._buffers.due.copy_(due)
        self._recorded[ks] = graph

    def _run(self, ks: frozenset[int]) -> None:
        """Do all ticks of a chunk; G is left out of those in which no iteration can end."""
        for tick in range(self.n_ticks):
            self._tick(tick, with_g=any((tick + 1) % k == 0 for k in ks))

    def _tick(self, tick: int, *, with_g: bool) -> None:
        b = self._buffers
        n = dict(zip(_NUMBERS, b.numbers[tick].unbind(-1), strict=True))
        d_due, g_due = b.due[tick].unbind(-1)
        d_step = Step(n["d_lr"], n["d_decay"], n["beta1"], n["beta2"], n["d_number"])
        g_step = Step(n["g_lr"], n["g_decay"], n["beta1"], n["beta2"], n["g_number"])
        c = Coefficients(*(n[field.name].float() for field in fields(Coefficients)))
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
        share = n["loss_share"].float()
        self._loss_sums[:, 0] += torch.where(d_due, d_loss * share, 0.0)
        if g_loss is not None:
            self._loss_sums[:, 1] += torch.where(g_due, g_loss, 0.0)

    def _slot_of(self, training: Training) -> int:
        return next(s for s, member in self._members.items() if member.training is training)

    def _tensors(self) -> Iterator[Tensor]:
        for player in _players(self._game):
            yield from (p.detach() for p in player.params)
            for moment in player.moments:
                yield from moment

    def _pairs(self, training: Training, slot: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each tensor of a training with the part of the slot's that it takes."""
        yield self._loss_sums[slot], training.loss_sums
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
    nets: tuple[Generator | Discriminator, ...] = g, d
    max_norms = structure.generator_max_norm, structure.discriminator_max_norm
    players = []
    for net, max_norm in zip(nets, max_norms, strict=True):
        layers = layers_of(net)
        for layer in layers:
            _stack(layer, n_slots, device)
        params: list[Tensor] = [p for layer in layers for p in layer.parameters()]
        n_moments = 1 if structure.optimizer == "sgd" else 2
        moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
        bounds = torch.full((n_slots,), torch.inf, device=device) if max_norm > 0 else None
        players.append(Player(layers, params, moments, bounds))
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
    return _Buffers(
        rows=zeros(n, dtype=torch.int64),
        d_noise=zeros(n, config.noise_dim),
        g_noise=zeros(n, config.noise_dim),
        d_masks=masks(2 * m),
        g_masks=masks(m),
        d_instance=zeros(2 * n, dim) if is_noisy else None,
        g_instance=zeros(n, dim) if is_noisy else None,
        shares=zeros(m, 1) if config.gradient_penalty == "one_centered" else None,
        numbers=zeros(len(_NUMBERS), dtype=torch.float64),
        due=zeros(2, dtype=torch.bool),
    )


def _at_tick(
    tick: int, noise: Tensor, masks: Masks, instance: Tensor | None, shares: Tensor | None
) -> UpdateDraws:
    return UpdateDraws(
        noise[tick],
        [None if mask is None else mask[tick] for mask in masks],
        None if instance is None else instance[tick],
        None if shares is None else shares[tick],
    )


def _pieces(training: Training, n: int) -> Iterator[tuple[int, Draws]]:
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
