"""Masks: which part of an example is visible, and which is hidden.

A mask is a row of `n_units` values, 1 where the example is visible and 0 where it is hidden. A unit
is a pixel, with all its channels, or a coordinate of a point. Masks are made of numbers in [0, 1),
many at once on any device:

    random     each unit is visible with probability p, and p is uniform on (0, 1)
    halves     the left, right, upper or lower half of an image is hidden
    blocks     a rectangle is hidden, whose sides are a quarter to three quarters of the image's
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

KINDS = ("random", "halves", "blocks")
_N_OF_MASK = 5  # numbers that a mask takes beside one for each unit

Shape = tuple[int, ...]


def kinds_of(shape: Shape) -> tuple[str, ...]:
    """Return the kinds of masks that suit examples of `shape`: points have no neighbourhood.

    >>> kinds_of((8, 8, 1)), kinds_of((2,))
    (('random', 'halves', 'blocks'), ('random',))
    """
    return KINDS if len(shape) == 3 else ("random",)


def n_units(shape: Shape) -> int:
    """Return the number of pixels, or of coordinates."""
    return shape[0] * shape[1] if len(shape) == 3 else math.prod(shape)


def n_numbers(shape: Shape) -> int:
    """Return how many numbers in [0, 1) `masks_from` takes for a mask."""
    return _N_OF_MASK + n_units(shape)


def masks_from(
    numbers: Tensor, kinds: tuple[str, ...], shape: Shape, all_hidden_share: float = 0.0
) -> Tensor:
    """Return masks `[..., n_units]` of equally frequent kinds.

    Each hides something, and shows something or is one of those that hide all.

    Args:
        numbers: independent and uniform in [0, 1), `[..., n_numbers(shape)]`.
        kinds: of `kinds_of(shape)`.
        shape: of an example, as `Dataset.shape`.
        all_hidden_share: probability that all is hidden, in [0, 1).
    """
    which = (numbers[..., 0] - all_hidden_share) / (1 - all_hidden_share) * len(kinds)
    # Rounding may lead to the number beyond the last.
    kind = which.floor().clamp(max=len(kinds) - 1)[..., None]
    visible = torch.zeros_like(numbers[..., _N_OF_MASK:])
    for i, name in enumerate(kinds):
        drawn = _random(numbers) if name == "random" else _outside_rectangle(numbers, name, shape)
        visible = torch.where(kind == i, drawn, visible)
    return visible


def masks_of_kind(kind: str, shape: Shape, n: int, seed: int) -> Tensor:
    """Return n masks `[n, n_units]` of one kind, on the CPU, from a seed."""
    rng = torch.Generator().manual_seed(seed)
    return masks_from(torch.rand(n, n_numbers(shape), generator=rng), (kind,), shape)


def over_channels(masks: Tensor, shape: Shape) -> Tensor:
    """Return masks `[..., n_units]` as values of examples, `[..., dim]`.

    >>> over_channels(torch.tensor([1.0, 0.0]), (1, 2, 3))
    tensor([1., 1., 1., 0., 0., 0.])
    """
    if len(shape) < 3 or shape[2] == 1:
        return masks
    return masks[..., None].expand(*masks.shape, shape[2]).flatten(-2)


def _random(numbers: Tensor) -> Tensor:
    """Return masks whose units are visible with a probability of their own.

    Where all would be visible, or none, a unit that is chosen at random is the exception.
    """
    units = numbers[..., _N_OF_MASK:]
    visible = units < numbers[..., 1:2]
    chosen = (numbers[..., 2:3] * units.shape[-1]).floor()
    is_chosen = torch.arange(units.shape[-1], device=units.device) == chosen
    all_alike = visible.all(-1, keepdim=True) | ~visible.any(-1, keepdim=True)
    shown = visible ^ (all_alike & is_chosen)
    return shown.to(numbers.dtype)


def _outside_rectangle(numbers: Tensor, kind: str, shape: Shape) -> Tensor:
    """Return masks of images that hide a half, or a block."""
    a, b, c, d = numbers[..., 1:_N_OF_MASK].unbind(-1)
    height, width, _ = shape
    if kind == "halves":
        side = (4 * a).floor()  # left, right, upper, lower
        is_last = (side % 2 == 1).to(a.dtype)
        # Of images of one row or column, one half of their length.
        is_across = (side < 2) if min(height, width) > 1 else torch.full_like(a, width > 1) > 0
        rows = _span(height, torch.where(is_across, height, max(1, height // 2)), is_last)
        columns = _span(width, torch.where(is_across, max(1, width // 2), width), is_last)
    else:
        rows = _span(height, _side(height, a), b)
        columns = _span(width, _side(width, c), d)
    hidden = rows[..., :, None] & columns[..., None, :]
    return (~hidden).flatten(-2).to(numbers.dtype)


def _side(length: int, size: Tensor) -> Tensor:
    """Return a block's side: from a quarter (size 0) to three quarters (1) of the image's."""
    low = max(1, length // 4)
    return low + (size * (max(low, 3 * length // 4) - low + 1)).floor()


def _span(length: int, n: Tensor, where: Tensor) -> Tensor:
    """Return which of `length` places belong to a stretch of n, from the first (0) to the last."""
    start = (where * (length - n + 1)).floor().minimum(length - n)[..., None]
    places = torch.arange(length, device=n.device)
    return (places >= start) & (places < start + n[..., None])
