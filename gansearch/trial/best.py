"""The best state of a training so far, for a trial that keeps it rather than the last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from gansearch.measures import Evaluation


@dataclass(frozen=True)
class BestState:
    """The state of a training at its best evaluation so far.

    Attributes:
        updates: parameter updates until then.
        number: of that evaluation among those of the trial, from 0.
        stage_start: those at which the stage of the training began, see `family.Metrics`.
        score: of its samples by the objective of the run, on validation data; more is better.
        evaluation: of its samples.
        training: what `Training.save` returned.
    """

    updates: int
    number: int
    stage_start: int
    score: float
    evaluation: Evaluation
    training: bytes

    def is_beaten_by(self, score: float, stage_start: int) -> bool:
        """Return whether a later state replaces this one, as every one of a later stage does."""
        return stage_start > self.stage_start or score >= self.score

    def encode(self) -> dict[str, np.ndarray]:
        """Return arrays for a checkpoint, whose names share a prefix."""
        values = {name: value for name, value in asdict(self).items() if name != "training"}
        text = json.dumps(values, default=lambda value: value.item())
        return {
            "best.training": np.frombuffer(self.training, np.uint8),
            "best.values": np.frombuffer(text.encode(), np.uint8),
        }

    @classmethod
    def take_from(cls, arrays: dict[str, Any]) -> Self | None:
        """Remove what `encode` returned from the arrays of a checkpoint, and return the state.

        None where there is none.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        if "best.training" not in arrays:
            return None
        training = arrays.pop("best.training").tobytes()
        values = json.loads(arrays.pop("best.values").tobytes())
        values["evaluation"] = Evaluation(**values["evaluation"])
        return cls(training=training, **values)
