"""torch's global random numbers, which networks of the user's own draw from.

Their initial weights, dropout and noise come from one generator that all of a process shares. So
that a training is the same whatever else draws, and goes on as it was after a resume, it has a
state of its own of this generator, which is in use only while its networks are made or trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_PREFIX = "global_rng."


class GlobalRandom:
    """One training's state of the global generators, of the CPU and of its own device."""

    def __init__(self, seed: int, device: str) -> None:
        self._device = device
        with seeded(seed, device):
            self._states = _states(device)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let torch draw this training's numbers within the context."""
        before = _states(self._device)
        _restore(self._states)
        try:
            yield
        finally:
            self._states = _states(self._device)
            _restore(before)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by names, for a checkpoint."""
        return {f"{_PREFIX}{kind}": state for kind, state in self._states.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self._states = {kind: tensors[f"{_PREFIX}{kind}"].clone() for kind in self._states}


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Let torch's global generators begin from `seed`, and go on as before after the context."""
    before = _states(device)
    for kind in before:
        _seed(kind, seed)
    try:
        yield
    finally:
        _restore(before)


def _states(device: str) -> dict[str, Tensor]:
    """Return the states of the generators that networks on a device draw from."""
    return {kind: _of(kind).get_rng_state() for kind in dict.fromkeys(("cpu", device))}


def _restore(states: Mapping[str, Tensor]) -> None:
    for kind, state in states.items():
        _of(kind).set_rng_state(state)


def _seed(kind: str, seed: int) -> None:
    """Seed one kind of device alone, which `torch.manual_seed` doesn't."""
    if kind == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        _of(kind).manual_seed(seed)


def _of(kind: str) -> Any:
    """Return torch's module of random numbers of a kind of device."""
    return {"cpu": torch.random, "cuda": torch.cuda, "mps": torch.mps}[kind]
