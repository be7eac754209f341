"""The parameters of a training of the user's own networks by Algorithm 1.

Those of the training itself, and the noise. What belongs to the layers of the paper's networks
(their sizes and initial weights, dropout, bounds on norms, packing, pretraining) is left out:
networks of one's own have arguments of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gansearch.network_parameters import NoiseParameters
from gansearch.parameter_words import PARAMETER_WORDS, Answer
from gansearch.scheduled import ScheduledConfig
from gansearch.training_parameters import TrainingParameters


def _from(base: type[NoiseParameters | TrainingParameters], name: str, default: Any) -> Any:
    """Return a field with the rule of a parameter, and another default."""
    return field(default=default, metadata={"rule": base.rules()[name]})


@dataclass(frozen=True)
class OwnNetworkParameters(ScheduledConfig, NoiseParameters, TrainingParameters):
    """The defaults are those of Radford et al. (2016), on half as many examples a minibatch.

    Their Adam with a constant learning rate of .0002 and a first decay rate of .5 suits most
    networks; the paper's sgd suits its own.
    """

    # Without the answers that name parameters of the paper's networks.
    other_words: ClassVar[Mapping[str, Answer]] = {
        word: answer for word, answer in PARAMETER_WORDS.items() if "max_norm" not in answer
    }
    # D sees single examples.
    packing: ClassVar[int] = 1

    noise: str = _from(NoiseParameters, "noise", "normal")
    batch_size: int = _from(TrainingParameters, "batch_size", 64)
    optimizer: str = _from(TrainingParameters, "optimizer", "adam")
    generator_lr: float = _from(TrainingParameters, "generator_lr", 2e-4)
    discriminator_lr: float = _from(TrainingParameters, "discriminator_lr", 2e-4)
    lr_decay: float = _from(TrainingParameters, "lr_decay", 1.0)
