"""What a training leaves in `models/<trial>/`: its generator, and the files of an observer.

A model family that does without these gets defaults from `ModelFamily`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class GeneratorExport:
    """What is stored of a trained generator.

    Attributes:
        arrays: its weights by name, for a safetensors file.
        seed: the seed of its samples.
        details: what else `ModelFamily.generator` needs, as plain JSON values.
    """

    arrays: Mapping[str, np.ndarray]
    seed: int
    details: Mapping[str, Any]


class SavedGenerator(Protocol):
    """A trained generator that was read from the folder of a run."""

    @property
    def n_kept(self) -> int | None:
        """How many samples it has; None where it makes any number."""
        ...

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        ...

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return examples `[n_rows, n_steps, dim]`; row i goes from sample 2i to sample 2i + 1.

        Raises:
            BadInputError: the generators of this family can't interpolate.
        """
        ...


class Observer(Protocol):
    """Watches one training at its start and at each evaluation, and writes files at the end."""

    def observe(self, training: Any) -> None:
        """Record the current state of the training."""
        ...

    def state(self) -> Mapping[str, np.ndarray]:
        """Return its state for a checkpoint; the names share a prefix of its own."""
        ...

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; ignore other arrays."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Return files for the folder `models/<trial>/`, by name."""
        ...
