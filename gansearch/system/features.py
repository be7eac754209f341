"""Features of a GPU that training does without where they fail: slower, with the same results."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gansearch.system.failures import is_lack_of_memory
from gansearch.system.torch_internals import do_without_triton


@dataclass
class Feature:
    """A faster way to do something, which a variable of the environment or a failure turns off.

    Attributes:
        name: as messages call it.
        variable: of the environment; 0 turns the feature off.
        without: what goes on without it, in words.
    """

    name: str
    variable: str
    without: str
    _has_failed: bool = False
    _notes: list[str] = field(default_factory=list)

    @property
    def is_on(self) -> bool:
        """Whether to use it."""
        return not self._has_failed and os.environ.get(self.variable) != "0"

    def turn_off(self, error: BaseException) -> None:
        """Do without it in this process from now on, because of an error that harmed nothing."""
        if not self._has_failed:
            self._has_failed = True
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            self._notes.append(f"{self.name} fail here ({why}): {self.without}")

    def take_notes(self) -> list[str]:
        """Return the messages for the user that have not been taken yet."""
        notes, self._notes = self._notes, []
        return notes


GRAPHS = Feature(
    "CUDA graphs", "GANSEARCH_GRAPHS", "groups train without them, several times slower"
)
TRITON = Feature(
    "Triton's kernels", "GANSEARCH_TRITON", "groups are updated by elementary operations, slower"
)


def triton_module(name: str) -> ModuleType | None:
    """Return a module of Triton's kernels if this machine's GPU runs them, else None.

    Not to be called for the first time while a CUDA graph is recorded: its function `try_out` runs
    each kernel once.
    """
    if not torch.cuda.is_available():
        return None
    module = _tried(name) if TRITON.is_on else None
    if module is None:
        do_without_triton()
    return module


def functions_for(tensor: Tensor, n_dims: int, twin: ModuleType, kernels: str) -> Any:
    """Return the module whose functions work on a tensor: that of Triton's kernels, or its twin.

    The kernels are for the tensors of a group on a GPU, which have `n_dims` dimensions.
    """
    is_group_on_gpu = tensor.is_cuda and tensor.dim() == n_dims
    return (triton_module(kernels) if is_group_on_gpu else None) or twin


@cache
def _tried(name: str) -> ModuleType | None:
    try:
        module = importlib.import_module(name)
        module.try_out()
        torch.cuda.synchronize()
    except Exception as error:  # of Triton, of the C compiler that it calls, of the driver
        if is_lack_of_memory(error):
            raise  # and this is tried again
        torch.cuda.synchronize()  # fails too where the GPU itself has failed
        TRITON.turn_off(error)
        return None
    return module


def take_notes() -> list[str]:
    """Return the messages of all features that have not been taken yet."""
    return [note for feature in (GRAPHS, TRITON) for note in feature.take_notes()]
