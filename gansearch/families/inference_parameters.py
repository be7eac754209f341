"""The table of parameters of adversarial nets with an inference network."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from gansearch.config import TrialConfig
from gansearch.network_parameters import ACTIVATIONS
from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter

_AFTER = (("inference", "after"),)
_ALONG = (("inference", "along"),)


def _also_of_encoder(name: str, activation: str) -> Any:
    """Return a parameter of `TrialConfig` that E's activation takes too."""
    rule = TrialConfig.rules()[name]
    when = (*rule.when, ("encoder_activation", activation))
    widened = dataclasses.replace(rule, when=when)
    return dataclasses.field(default=TrialConfig.defaults()[name], metadata={"rule": widened})


@dataclass(frozen=True)
class InferenceConfig(PairParameters):
    """The hyperparameters of adversarial nets with an inference network E."""

    inference: str = parameter(
        "along",
        "str",
        "how E, which predicts z from x, is trained; along: with G, against a D that sees x and z "
        "(Donahue et al. 2017); after: once G is done, on its samples, as the paper says",
        choices=("along", "after"),
    )
    inference_share: float = parameter(
        0.3,
        "float",
        "share of the budget, at its end, in which E alone is trained",
        low=0.01,
        high=0.99,
        when=_AFTER,
    )
    encoder_lr: float = parameter(
        0.1,
        "float",
        "initial learning rate of E; the optimizer and the schedule are G's",
        low=0,
        low_is_open=True,
        high=100,
        when=_AFTER,
    )
    z_weight: float = parameter(
        0.0,
        "float",
        "factor on the mean squared error of E(G(z)) in the loss of G and E (Srivastava et al. "
        "2017); 0: off",
        low=0,
        high=1e6,
        when=_ALONG,
    )
    encoder_widths: tuple[int, ...] = parameter(
        (1200, 1200),
        "widths",
        "units of E's hidden layers; E is dense, whatever G and D are",
        low=1,
        high=65536,
        may_be_empty=True,
    )
    encoder_activation: str = parameter(
        "relu", "str", "activation of E's hidden layers", choices=ACTIVATIONS
    )
    maxout_pieces: int = _also_of_encoder("maxout_pieces", "maxout")
    leaky_slope: float = _also_of_encoder("leaky_slope", "leaky_relu")


def stages(config: InferenceConfig, max_updates: int) -> tuple[int, int]:
    """Return how many iterations of a budget train G and D, and how many then E alone.

    >>> stages(InferenceConfig(inference="after", inference_share=0.3), 2000)
    (700, 300)
    """
    n_iterations = math.ceil(max_updates / (config.k + 1))
    if config.inference == "along":
        return n_iterations, 0
    # Each stage has one at least, whatever share a search proposes.
    n_second = max(1, min(round(config.inference_share * n_iterations), n_iterations - 1))
    return n_iterations - n_second, n_second
