"""The defaults that torch gives new tensors, which a loop may change for itself alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TensorDefaults:
    """What `torch.set_default_dtype` and `torch.set_default_device` have set.

    Attributes:
        dtype: of the whole process.
        device: of the calling thread.
    """

    dtype: torch.dtype
    device: torch.device

    @classmethod
    def now(cls) -> TensorDefaults:
        """Return those of this moment, in this thread."""
        return cls(torch.get_default_dtype(), torch.get_default_device())

    def set_dtype(self) -> None:
        """Give new tensors this type."""
        torch.set_default_dtype(self.dtype)

    @contextmanager
    def applied(self, outer: TensorDefaults) -> Iterator[None]:
        """Return a context with these defaults; those after it are `outer`."""
        self.set_dtype()
        try:
            with nullcontext() if self.device == outer.device else self.device:
                yield
        finally:
            outer.set_dtype()
