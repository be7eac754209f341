"""A trial's checkpoint: everything needed to resume it, in one sealed safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from gansearch.system.files import BLANK_SEAL, fault_of_seal, safetensors_metadata, sealed
from gansearch.trial.best import BestState
from gansearch.trial.messages import StepResult


@dataclass(frozen=True)
class Checkpoint:
    """The state of one trial.

    Attributes:
        training: what `Training.save` has returned.
        strip: the first samples of each evaluation, `[n_evaluations, n, dim]`.
        n_evaluations: how many evaluations are done.
        results: all evaluations, and the end if the trial has ended. They are sent again after a
            restart, since the driver may have died before it wrote them.
        health: the health monitor's state.
        observed: the observer's state.
        best: the best state so far, if that is to be kept.
    """

    training: bytes
    strip: np.ndarray
    n_evaluations: int
    results: list[StepResult]
    health: Mapping[str, Any]
    observed: Mapping[str, np.ndarray]
    best: BestState | None = None

    def encode(self) -> bytes:
        """Return the content of the file."""
        arrays = {
            "training": np.frombuffer(self.training, np.uint8),
            "strip": self.strip,
            **self.observed,
            **(self.best.encode() if self.best else {}),
        }
        state = {
            "n_reports": self.n_evaluations,
            "reports": [result.to_dict() for result in self.results],
            "health": self.health,
        }
        # A family may report numbers of NumPy or torch.
        text = json.dumps(state, default=lambda value: value.item())
        return sealed(save_arrays(arrays, {"trial": text, "seal": BLANK_SEAL}))

    @classmethod
    def decode(cls, content: bytes) -> Checkpoint:
        """Return what `encode` gave.

        Raises:
            ValueError: it is damaged.
        """
        if why := fault_of_seal(content):
            raise ValueError(why)
        try:
            state = json.loads(safetensors_metadata(content)["trial"])
            arrays = load_arrays(content)
            return cls(
                training=arrays.pop("training").tobytes(),
                strip=arrays.pop("strip"),
                n_evaluations=state["n_reports"],
                results=[StepResult.from_dict(values) for values in state["reports"]],
                health=state["health"],
                best=BestState.take_from(arrays),
                observed=arrays,
            )
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
