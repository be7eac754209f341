"""What one trial of the paper's adversarial nets trains.

`TrialConfig()` is the MNIST configuration of Goodfellow et al. (2014), "Generative Adversarial
Nets", as their published code sets it, with the alternating updates and the undivided discriminator
loss of the paper's text.
"""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.budget import Budget
from gansearch.network_parameters import NetworkParameters
from gansearch.training_parameters import TrainingParameters

__all__ = ["Budget", "TrialConfig"]


@dataclass(frozen=True)
class TrialConfig(NetworkParameters, TrainingParameters):
    """The hyperparameters of one adversarial training; defaults are the paper's for MNIST.

    Every parameter's meaning and range stand in its rule (`TrialConfig.rules()`), from which the
    space files are validated and `docs/parameters.md` is held.
    """
