"""The random numbers of a training: minibatches, noise and dropout masks, drawn many at once.

They come from the trial's own stream and in an order of their own, so that a training is the same
whatever trains beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.networks.dropout import Mask, Masks, drops, mask_at
from gansearch.networks.models import draw_noise, dropout_rates
from gansearch.system.devices import use_here


@dataclass(frozen=True)
class UpdateDraws:
    """What one update of D or of G takes, beside D's real examples. Of n = m packing examples.

    Attributes:
        noise: G's, `[..., n, noise_dim]`.
        masks: the dropout masks of D's pass, over 2m packs (D's update) or m (G's).
        instance_noise: of unit variance, `[..., 2n, dim]` or `[..., n, dim]`, or None.
        shares: where between real and generated packs the gradient penalty is taken, `[..., m, 1]`,
            or None.
        extra: `AnyDiscriminator.n_extra` numbers, uniform in [0, 1), `[..., n, n_extra]`; or None.
    """

    noise: Tensor
    masks: Masks
    instance_noise: Tensor | None
    shares: Tensor | None
    extra: Tensor | None = None


@dataclass(frozen=True)
class Draws:
    """The random numbers of consecutive iterations, which are the first axis of every tensor.

    A minibatch is m packs of `packing` examples, so n = m packing of these.

    Attributes:
        rows: indices into the training set, `[iterations, k, n]`.
        noise: `[iterations, k, n, noise_dim]`, and one batch more for G's own update where it has
            one.
        d_masks: the dropout masks of D's updates, `[iterations, k, 2m, inputs of the layer]`.
        g_masks: those of G's own pass, `[iterations, m, inputs of the layer]`.
        d_noise: instance noise of D's updates, `[iterations, k, 2n, dim]`, or None.
        g_noise: that of G's own pass, `[iterations, n, dim]`, or None.
        shares: of the gradient penalty, `[iterations, k, m, 1]`, or None.
        extra: numbers in [0, 1), `[iterations, k, n, n_extra]`, and one batch more for G's own
            update where it has one; or None.
    """

    rows: Tensor
    noise: Tensor
    d_masks: Masks
    g_masks: Masks
    d_noise: Tensor | None
    g_noise: Tensor | None
    shares: Tensor | None
    extra: Tensor | None = None

    def __getitem__(self, which: int | slice) -> Draws:
        """Return one of the iterations, without their axis, or some of them, with it."""
        if which == slice(0, len(self.rows)):
            return self
        return Draws(**{f.name: part_of(getattr(self, f.name), which) for f in fields(self)})

    def to(self, device: str) -> Draws:
        """Return the draws on a device; the same ones where they lie there already."""
        if self.rows.device.type == torch.device(device).type:
            return self
        return Draws(**{f.name: _to(getattr(self, f.name), device) for f in fields(self)})

    @property
    def tensors(self) -> list[Tensor]:
        """All that were drawn."""
        values = [getattr(self, f.name) for f in fields(self)]
        lists = [value if isinstance(value, list) else [value] for value in values]
        drawn = (value for values in lists for value in values if value is not None)
        return [value.bits if isinstance(value, Mask) else value for value in drawn]

    def of_discriminator(self, i: int) -> UpdateDraws:
        """Return what update i of D takes, of a single iteration."""
        drawn = self.noise, self.d_masks, self.d_noise, self.shares, self.extra
        return UpdateDraws(*(part_of(value, i) for value in drawn))

    def of_generator(self) -> UpdateDraws:
        """Return what G's own update takes, of a single iteration."""
        return UpdateDraws(
            self.noise[-1], self.g_masks, self.g_noise, None, part_of(self.extra, -1)
        )


def draw(
    config: AdversarialConfig,
    n_iterations: int,
    noise_dim: int,
    dim: int,
    input_widths: Sequence[int],
    n_train: int,
    rng: torch.Generator,
    *,
    rows: Tensor | None = None,
    n_extra: int = 0,
) -> Draws:
    """Draw the random numbers of `n_iterations`.

    Args:
        config: the trial's hyperparameters.
        n_iterations: how many iterations to draw for.
        noise_dim: dimension of the noise that G takes.
        dim: values in an example as D takes it.
        input_widths: number of inputs of each of D's layers.
        n_train: how many training examples there are.
        rng: the trial's own stream.
        rows: of the minibatches, `[n_iterations, k, n]`; None to draw them with replacement.
        n_extra: further numbers for each example.
    """
    k, m = config.k, config.batch_size
    n, own = m * config.packing, config.update == "alternating"
    how: dict[str, Any] = {"generator": rng, "device": rng.device}
    is_noisy = config.instance_noise_sd > 0
    is_between = config.gradient_penalty == "one_centered"
    d_masks, g_masks = _draw_masks(config, n_iterations, input_widths, rng)
    return Draws(
        rows=torch.randint(n_train, (n_iterations, k, n), **how) if rows is None else rows,
        noise=draw_noise(config, (n_iterations, k + own, n, noise_dim), rng),
        d_masks=d_masks,
        g_masks=g_masks,
        d_noise=torch.randn(n_iterations, k, 2 * n, dim, **how) if is_noisy else None,
        g_noise=torch.randn(n_iterations, n, dim, **how) if is_noisy and own else None,
        shares=torch.rand(n_iterations, k, m, 1, **how) if is_between else None,
        extra=torch.rand(n_iterations, k + own, n, n_extra, **how) if n_extra else None,
    )


def part_of(value: Any, which: int | slice) -> Any:
    """Return a part, by the first axis, of a tensor, of a mask or of each in a list; None of None.

    >>> part_of([torch.arange(6).view(3, 2), None], 1)
    [tensor([2, 3]), None]
    """
    if isinstance(value, list):
        return [part_of(entry, which) for entry in value]
    return None if value is None else value[which]


class DrawStream:
    """The random numbers of one training, drawn for several iterations at once.

    Args:
        draw_many: takes the first iteration and the number of iterations, and draws for them from
            `rng`.
        rng: the training's own stream.
        n_at_once: iterations to draw for at a time.
    """

    def __init__(
        self, draw_many: Callable[[int, int], Draws], rng: torch.Generator, n_at_once: int
    ) -> None:
        self._draw_many = draw_many
        self._rng = rng
        self._next = 0  # iteration to be taken next
        self.draw_by(n_at_once)

    def draw_by(self, n_at_once: int) -> None:
        """Drop the remaining draws, and let each further draw be for `n_at_once` iterations."""
        self._n_drawn = self._n_used = n_at_once

    def take(self, n_iterations: int) -> Draws:
        """Return the draws of the next iteration, or of up to `n_iterations`.

        There are fewer where those that were drawn at once end.
        """
        if self._n_used == self._n_drawn:
            self._rng_before = self._rng.get_state()
            self._drawn = self._draw_many(self._next, self._n_drawn)
            self._n_used = 0
        start = self._n_used
        self._n_used = min(start + n_iterations, self._n_drawn)
        self._next += self._n_used - start
        if self._rng.device.type == "cuda":
            for tensor in self._drawn.tensors:  # drawn where this training was then
                use_here(tensor)
        return self._drawn[start : self._n_used]

    def discard(self) -> None:
        """Drop the remaining draws."""
        self.draw_by(self._n_drawn)

    def draw_otherwise(self, draw_many: Callable[[int, int], Draws]) -> None:
        """Drop the remaining draws, and draw by another function from here on."""
        self._draw_many = draw_many
        self.discard()

    @property
    def n_used(self) -> int:
        """Iterations that were taken of what was drawn at once, since `rng_state`."""
        return self._n_used % self._n_drawn

    @property
    def rng_state(self) -> Tensor:
        """The generator's state before the present draws; its state now where none are left."""
        return self._rng.get_state() if self.n_used == 0 else self._rng_before

    def restore(self, rng_state: Tensor, n_used: int, iteration: int) -> None:
        """Take over the `rng_state` and `n_used` of another stream, before an iteration."""
        self._rng.set_state(rng_state)
        self.discard()
        self._next = iteration - n_used
        if n_used > 0:
            self.take(n_used)


def _draw_masks(
    config: AdversarialConfig, n_iterations: int, input_widths: Sequence[int], rng: torch.Generator
) -> tuple[Masks, Masks]:
    """Return the masks of D's updates and of G's, cut from one draw of random bits."""
    k, m, own = config.k, config.batch_size, config.update == "alternating"
    layers = list(zip(dropout_rates(config), input_widths, strict=True))
    passes = [(n_iterations, k, 2 * m), (n_iterations, m)][: 1 + own]
    sizes = [math.prod(rows) * width for rows in passes for rate, width in layers if drops(rate)]
    drawn = iter(torch.split(_random_bits(sum(sizes), rng), sizes))
    masks: list[Masks] = [
        [mask_at(rate, next(drawn).view(*rows, n)) if drops(rate) else None for rate, n in layers]
        for rows in passes
    ]
    return masks[0], masks[1] if own else [None] * len(layers)


def _random_bits(n: int, rng: torch.Generator) -> Tensor:
    """Return n random numbers of 16 bits each, int16."""
    # Four from each draw of 64 bits: on a CPU a float for each would take four times as long.
    words = torch.empty((n + 3) // 4, dtype=torch.int64, device=rng.device)
    return words.random_(-(2**63), None, generator=rng).view(torch.int16)[:n]


def _to(value: Any, device: str) -> Any:
    if isinstance(value, list):
        return [_to(entry, device) for entry in value]
    return None if value is None else value.to(device)
