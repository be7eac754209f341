"""The parameters of Algorithm 1: updates, losses, penalties, optimizers and their schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gansearch.rules import Config, parameter


@dataclass(frozen=True)
class TrainingParameters(Config):
    """The training of the two networks; the defaults are the paper's for MNIST."""

    # What is read anew in each iteration, and no network or moment is made by. Not the average of
    # G's parameters, which must be kept from the beginning. See `scheduled`.
    schedulable: ClassVar[tuple[str, ...]] = (
        *("generator_lr", "discriminator_lr", "lr_decay", "min_lr", "final_lr_share"),
        *("momentum", "final_momentum", "momentum_epochs", "momentum_share"),
        *("adam_beta1", "adam_beta2", "discriminator_loss_scale", "label_smoothing"),
        *("gradient_penalty", "gradient_penalty_weight"),
        *("instance_noise_sd", "instance_noise_updates"),
    )

    k: int = parameter(1, "int", "updates of D for each update of G (Algorithm 1)", low=1, high=100)
    update: str = parameter(
        "alternating",
        "str",
        "alternating: k updates of D, then one of G with new noise (Algorithm 1); simultaneous: "
        "the last update of D and that of G use the same noise, as in the authors' code",
        choices=("alternating", "simultaneous"),
    )
    generator_loss: str = parameter(
        "non_saturating",
        "str",
        "non_saturating: maximise log D(G(z)) (section 3); minimax: minimise log(1 - D(G(z)))",
        choices=("non_saturating", "minimax"),
    )
    discriminator_loss_scale: float = parameter(
        1.0,
        "float",
        "factor on D's loss; .5 in the authors' code, 1 in Equation 1",
        low=0,
        low_is_open=True,
        high=100,
    )
    label_smoothing: float = parameter(
        0.0,
        "float",
        "D's target for real examples is 1 minus this; for generated examples it stays 0 "
        "(one-sided, Salimans et al. 2016, section 3.4)",
        low=0,
        high=0.5,
    )
    gradient_penalty: str = parameter(
        "none",
        "str",
        "penalty added to D's loss, on the gradient of its logit with respect to its input; r1: "
        "half its squared norm at real examples (Mescheder et al. 2018); one_centered: (norm - 1) "
        "squared at points between real and generated examples (Gulrajani et al. 2017)",
        choices=("none", "r1", "one_centered"),
    )
    gradient_penalty_weight: float = parameter(
        10.0,
        "float",
        "factor on the gradient penalty; 10 in both papers",
        low=0,
        low_is_open=True,
        high=1e6,
        when=(("gradient_penalty", "r1"), ("gradient_penalty", "one_centered")),
    )
    unrolled_steps: int = parameter(
        0,
        "int",
        "updates of D that G looks ahead and differentiates through (Metz et al. 2017); 0: off",
        low=0,
        high=100,
        when=(("update", "alternating"),),
    )
    instance_noise_sd: float = parameter(
        0.0,
        "float",
        "initial standard deviation of Gaussian noise added to D's inputs, real and generated "
        "(Sonderby et al. 2017); 0: off",
        low=0,
        high=1000,
    )
    instance_noise_updates: int = parameter(
        0,
        "int",
        "parameter updates over which this noise decreases linearly to zero; 0: it stays constant",
        low=0,
        high=10**12,
    )
    batch_size: int = parameter(100, "int", "examples in a minibatch, m", low=1, high=65536)
    batch_order: str = parameter(
        "replacement",
        "str",
        "replacement: each example of a minibatch is drawn from all of them; shuffled: an epoch "
        "takes every example once, in an order of its own, as in the authors' code",
        choices=("replacement", "shuffled"),
    )
    precision: str = parameter(
        "fp32",
        "str",
        "number format of matrix products; tf32: 10 bits of mantissa, on a GPU only (elsewhere "
        "fp32); bf16: also of activations, with parameters and moments in fp32",
        choices=("fp32", "tf32", "bf16"),
    )

    optimizer: str = parameter(
        "sgd", "str", "sgd with momentum, or adam; the same for G and D", choices=("sgd", "adam")
    )
    generator_lr: float = parameter(
        0.1, "float", "initial learning rate of G", low=0, low_is_open=True, high=100
    )
    discriminator_lr: float = parameter(
        0.1, "float", "initial learning rate of D", low=0, low_is_open=True, high=100
    )
    lr_decay: float = parameter(
        1.000004,
        "float",
        "both learning rates are divided by this each iteration",
        low=1,
        high=2,
        when=(("final_lr_share", 1.0),),
    )
    min_lr: float = parameter(
        1e-6,
        "float",
        "lower bound of the decaying learning rates",
        low=0,
        high=1,
        when=(("final_lr_share", 1.0),),
    )
    final_lr_share: float = parameter(
        1.0,
        "float",
        "share of their initial values to which both learning rates fall geometrically by the end "
        "of the budget, in place of lr_decay and min_lr; 1: off",
        low=0,
        low_is_open=True,
        high=1,
    )
    momentum: float = parameter(
        0.5, "float", "initial momentum", low=0, high=0.9999, when=(("optimizer", "sgd"),)
    )
    final_momentum: float = parameter(
        0.7,
        "float",
        "momentum from epoch `momentum_epochs` on, after a linear change from the first epoch",
        low=0,
        high=0.9999,
        when=(("optimizer", "sgd"),),
    )
    momentum_epochs: float = parameter(
        250,
        "float",
        "epoch at which the momentum reaches its final value",
        low=1,
        high=1e9,
        when=(("optimizer", "sgd"),),
    )
    momentum_share: float = parameter(
        0.0,
        "float",
        "share of the budget after which the momentum reaches its final value, in place of "
        "momentum_epochs; 0: off",
        low=0,
        high=1,
        when=(("optimizer", "sgd"),),
    )
    adam_beta1: float = parameter(
        0.5,
        "float",
        "decay rate of Adam's first moment",
        low=0,
        high=0.9999,
        when=(("optimizer", "adam"),),
    )
    adam_beta2: float = parameter(
        0.999,
        "float",
        "decay rate of Adam's second moment",
        low=0,
        high=0.999999,
        when=(("optimizer", "adam"),),
    )
    generator_ema: float = parameter(
        0.0,
        "float",
        "decay per iteration of an exponential moving average of G's parameters, which is then the "
        "generator that is sampled, scored and stored; 0: off, as in the paper",
        low=0,
        high=0.999999,
    )
