"""The parameters of `coordinated_nets`: how G and D take turns, and where z comes from."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter


@dataclass(frozen=True)
class CoordinatedConfig(PairParameters):
    """The hyperparameters; the defaults are the paper's nets and its Algorithm 1."""

    coordination: str = parameter(
        "none",
        "str",
        "optimistic: a step follows the gradient and its change since the last step (Daskalakis et "
        "al. 2018); consensus: both players also descend the norm of both gradients (Mescheder et "
        "al. 2017); lookahead: from time to time both return part of the way (Chavdarova et al. "
        "2021)",
        choices=("none", "optimistic", "consensus", "lookahead"),
    )
    consensus_weight: float = parameter(
        0.1,
        "float",
        "factor on half the squared norm of both gradients",
        low=0,
        low_is_open=True,
        high=1e6,
        when=(("coordination", "consensus"),),
    )
    lookahead_iterations: int = parameter(
        100,
        "int",
        "iterations between two returns",
        low=1,
        high=10**9,
        when=(("coordination", "lookahead"),),
    )
    lookahead_share: float = parameter(
        0.5,
        "float",
        "share of the way from the last return that is kept",
        low=0,
        low_is_open=True,
        high=1,
        when=(("coordination", "lookahead"),),
    )
    d_target: float = parameter(
        0.0,
        "float",
        "D is not updated on a minibatch on which its loss is below this, in nats; 1.39 is that of "
        "D = 1/2; 0: k updates in every iteration",
        low=0,
        high=10,
    )
    g_target: float = parameter(
        0.0,
        "float",
        "G is not updated in an iteration in which its loss is below this, in nats, if D was; .69 "
        "is the loss of non_saturating where D = 1/2; 0: one update in every iteration",
        low=0,
        high=10,
        when=(("generator_loss", "non_saturating"),),
    )
    dropout_for_generator: bool = parameter(
        True, "bool", "whether D has dropout also where G is updated, as in the paper"
    )
    prior: str = parameter(
        "plain",
        "str",
        "where z comes from; plain: from `noise`; spherical: from it, scaled to the norm sqrt(d); "
        "mixture: from one whose means and scales are learned with G (Gurumurthy et al. 2017)",
        choices=("plain", "spherical", "mixture"),
    )
    prior_components: int = parameter(
        10,
        "int",
        "components of the mixture; 1: one mean and scale for each coordinate",
        low=1,
        high=10_000,
        when=(("prior", "mixture"),),
    )
    truncation: float = parameter(
        0.0,
        "float",
        "largest absolute value of a coordinate of normal noise from which samples are made, not "
        "in training (Brock et al. 2019); 0: none",
        low=0,
        high=10,
        when=(("noise", "normal"),),
    )
    latent_step: float = parameter(
        0.0,
        "float",
        "size of a step of z along the gradient of D's logit, before both players see G(z) (Wu et "
        "al. 2019); 0: none",
        low=0,
        high=100,
    )
