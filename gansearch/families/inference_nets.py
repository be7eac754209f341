"""Learned approximate inference of z from x, as a model family.

Section 7 of Goodfellow et al. (2014): "learned approximate inference can be performed by training
an auxiliary network to predict z given x". The auxiliary network E is trained after G, as the paper
says, or along with it (Donahue et al. 2017, "BiGAN"; Dumoulin et al. 2017, "ALI").
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.pair_family import PairFamily
from gansearch.network_parameters import ACTIVATIONS
from gansearch.own_measures import OwnMeasure
from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter

if TYPE_CHECKING:
    from gansearch.families.inference_training import InferenceTraining

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


class InferenceNets(PairFamily[InferenceConfig]):
    """G(z) and E(x), against D(x, z) or D(x)."""

    config_type = InferenceConfig
    size_parameters: ClassVar[tuple[str, ...]] = (*PairFamily.size_parameters, "encoder_widths")
    measures: ClassVar[tuple[OwnMeasure, ...]] = (
        OwnMeasure.of_family("reconstruction_error", "minimize", "L2 distance"),
        OwnMeasure.of_family("z_error", "minimize", "share of variance"),
        OwnMeasure.of_family("z_log_prior_gap", "minimize", "nats per dimension"),
        OwnMeasure.of_family("z_mismatch", "minimize", "Kolmogorov-Smirnov"),
        OwnMeasure.of_family("reconstruction_ratio", "minimize", "times", at_end=True),
        OwnMeasure.of_family("neighbour_accuracy", "maximize", "share", at_end=True),
    )

    @property
    def training_type(self) -> type[InferenceTraining]:
        """The class of its trainings."""
        from gansearch.families.inference_training import InferenceTraining

        return InferenceTraining

    def check_budget(self, config: InferenceConfig, max_updates: int) -> None:
        """Raise ConfigError if a budget leaves one of the two stages without an iteration."""
        n_first, n_second = stages(config, max_updates)
        if config.inference == "after" and min(n_first, n_second) < 1:
            raise ConfigError(
                f"configuration: inference: after, with max_updates: {max_updates} and "
                f"inference_share: {config.inference_share:g}: {n_first} iterations of G and "
                f"{n_second} of E, of {config.k + 1} updates each. Each needs one at least. Raise "
                "max_updates, change inference_share, or choose inference: along."
            )

    def pictures(self, training: InferenceTraining, dataset: Dataset) -> Mapping[str, bytes]:
        """Return a picture of reconstructions of held-out images; none of points."""
        from gansearch.figures.samples import comparison_picture, png

        if not dataset.is_image:
            return {}
        picture = comparison_picture(
            training.reconstructions(),
            dataset,
            "left to right: a validation image x, G(E(x)), the image of G nearest to x that was "
            "found by optimising z, the training image nearest to x",
        )
        return {"reconstructions.png": png(picture)}


def stages(config: InferenceConfig, max_updates: int) -> tuple[int, int]:
    """Return how many iterations of a budget train G and D, and how many then E alone.

    >>> stages(InferenceConfig(inference="after", inference_share=0.3), 2000)
    (700, 300)
    """
    n_iterations = math.ceil(max_updates / (config.k + 1))
    if config.inference == "along":
        return n_iterations, 0
    n_second = round(config.inference_share * n_iterations)
    return n_iterations - n_second, n_second
