"""The parameters that the families of section 7 of Goodfellow et al. (2014) have in common.

Those of the paper's nets, without what is defined for single examples of an unconditional G alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gansearch.config import TrialConfig


@dataclass(frozen=True)
class PairParameters(TrialConfig):
    """The hyperparameters of a training in which D sees pairs; the defaults are the paper's.

    A family derives its table from it. Without packs (PacGAN), simultaneous updates, unrolling and
    the pretraining of upper layers.
    """

    update: ClassVar[str] = "alternating"  # type: ignore[misc]  # no field here
    unrolled_steps: ClassVar[int] = 0  # type: ignore[misc]
    packing: ClassVar[int] = 1  # type: ignore[misc]
    pretraining: ClassVar[str] = "none"  # type: ignore[misc]
    pretraining_updates: ClassVar[int] = 0  # type: ignore[misc]
    pretrained_layers: ClassVar[int] = 0  # type: ignore[misc]
