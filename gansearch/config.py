"""The configuration of one trial of the paper's adversarial nets.

`TrialConfig()` is the MNIST configuration of Goodfellow et al. (2014), "Generative Adversarial
Nets", as their published code sets it, with the alternating updates and the undivided discriminator
loss of the paper's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gansearch.budget import Budget
from gansearch.network_parameters import NetworkParameters
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.parameter_words import PARAMETER_WORDS, Answer
from gansearch.scheduled import ScheduledConfig
from gansearch.training_parameters import TrainingParameters

__all__ = ["AdversarialConfig", "Budget", "TrialConfig"]


@dataclass(frozen=True)
class TrialConfig(ScheduledConfig, NetworkParameters, TrainingParameters):
    """The hyperparameters of one adversarial training; the defaults are the paper's for MNIST.

    `TrialConfig.rules()` has the meaning and the range of every parameter. Space files are checked
    against these rules, and `docs/parameters.md` lists them.
    """

    other_words: ClassVar[Mapping[str, Answer]] = PARAMETER_WORDS


# What Algorithm 1 trains by: the paper's networks, or the user's own.
AdversarialConfig = TrialConfig | OwnNetworkParameters
