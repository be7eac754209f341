"""The global random numbers of torch, NumPy and `random`, which code of the user's own draws from.

Initial weights, dropout and noise of networks come from one generator of torch that all of a
process shares. So that a training is the same whatever else draws, and goes on as it was after a
resume, it has a state of its own of this generator, which is in use only while its networks are
made or trained. Loops and measures may draw from all three libraries.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
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


@contextmanager
def everything_seeded(seed: int, device: str) -> Iterator[None]:
    """Let all global random numbers begin from `seed`, and go on as before after the context."""
    before = random_states(device)
    seed_everything(seed)
    try:
        yield
    finally:
        set_random_states(before)


def random_states(device: str) -> dict[str, Any]:
    """Return the states of torch on a device, of NumPy and of `random`, as state can hold them."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  # the global state is what loops use
    return {
        "torch": _states(device),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "random": [version, torch.tensor(words, device="cpu"), gauss],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Let the global random numbers go on from what `random_states` returned."""
    _restore(states["torch"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, words, gauss = states["random"]
    random.setstate((version, tuple(words.tolist()), gauss))


def seed_everything(seed: int) -> None:
    """Let the global random numbers of torch, NumPy and `random` begin from a seed."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


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
