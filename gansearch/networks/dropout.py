"""Dropout: random numbers of 16 bits that decide over a layer's inputs where it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gansearch.networks.layers import per_member

_LEVELS = 1 << 16  # of dropout rates
_LEAST = -(1 << 15)  # of the numbers


@dataclass(frozen=True)
class Mask:
    """Which inputs of a layer are kept, and by what these are multiplied.

    Numbers instead of factors: half the bytes, and a kernel that reads an input anyway finds the
    factor as it goes.

    Attributes:
        bits: a random number for each input, `[..., n, inputs]`, int16.
        threshold: of the numbers that are kept, the least; of several networks int16, `[members]`.
        scale: 1 / (share kept); of several networks `[members]`.
    """

    bits: Tensor
    threshold: int | Tensor
    scale: float | Tensor

    @cached_property
    def factors(self) -> Tensor:
        """By what each input is multiplied, `[..., n, inputs]`: 0 where it is dropped."""
        kept = torch.empty(self.bits.shape, device=self.bits.device)
        # Written as floats: booleans would take several times as long to convert.
        torch.ge(self.bits, per_member(self.threshold, self.bits), out=kept)
        return kept.mul_(per_member(self.scale, kept))

    def set_rate(self, member: int, rate: float) -> None:
        """Give one of several networks its own dropout rate.

        Before the mask's `factors` are read, which are kept.
        """
        assert isinstance(self.threshold, Tensor) and isinstance(self.scale, Tensor)
        own = mask_at(rate, self.bits)
        self.threshold[member], self.scale[member] = own.threshold, own.scale

    def rows(self, rows: slice) -> Mask:
        """Return the mask of some rows of the inputs."""
        return self if rows == slice(None) else replace(self, bits=self.bits[..., rows, :])

    def __getitem__(self, which: int | slice) -> Mask:
        """Return a part of what was drawn at once, by the first axis."""
        return replace(self, bits=self.bits[which])

    def to(self, device: str) -> Mask:
        """Return a single network's mask on a device."""
        return replace(self, bits=self.bits.to(device))


Masks = Sequence[Mask | None]  # one entry a layer, None where nothing is dropped


def rows_of(masks: Masks, rows: slice) -> Masks:
    """Return the masks of some rows of each layer's inputs."""
    return [None if mask is None else mask.rows(rows) for mask in masks]


def mask_at(rate: float, bits: Tensor) -> Mask:
    """Return the mask at a dropout rate in [0, 1), given random numbers."""
    n_dropped = _n_dropped(rate)
    return Mask(bits, _LEAST + n_dropped, _LEVELS / (_LEVELS - n_dropped))


def drops(rate: float) -> bool:
    """Return whether a dropout rate is large enough to drop anything."""
    return _n_dropped(rate) > 0


def _n_dropped(rate: float) -> int:
    """Return how many of the equally likely numbers are dropped."""
    return round(rate * _LEVELS)
