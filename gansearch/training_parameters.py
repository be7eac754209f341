"""The parameters of Algorithm 1: updates, losses, penalties, optimizers and their schedules."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.rules import Config, parameter


@dataclass(frozen=True)
class TrainingParameters(Config):
    """How the two networks are trained; the defaults are the paper's for MNIST."""

    k: int = parameter(1, "int", "updates of D for each update of G (Algorithm 1)", low=1, high=100)
    update: str = parameter(
        "alternating",
        "str",
        "alternating: k updates of D, then one of G on fresh noise (Algorithm 1); simultaneous: "
        "the last update of D and that of G come from one noise batch, as in the authors' code",
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
        "what D's target for real examples lies below 1; that for generated ones stays 0 "
        "(one-sided, Salimans et al. 2016, section 3.4)",
        low=0,
        high=0.5,
    )
    gradient_penalty: str = parameter(
        "none",
        "str",
        "added to D's loss, on the gradient of its logit by its input; r1: half its squared norm "
        "at real examples (Mescheder et al. 2018); one_centered: (norm - 1) squared between real "
        "and generated ones (Gulrajani et al. 2017)",
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
        "updates of D that G looks ahead, and learns through (Metz et al. 2017); 0 for none",
        low=0,
        high=100,
        when=(("update", "alternating"),),
    )
    instance_noise_sd: float = parameter(
        0.0,
        "float",
        "standard deviation, at the start, of Gaussian noise on D's inputs, real and generated "
        "(Sonderby et al. 2017); 0 for none",
        low=0,
        high=1000,
    )
    instance_noise_updates: int = parameter(
        0,
        "int",
        "parameter updates over which that noise falls linearly to nothing; 0 to keep it",
        low=0,
        high=10**12,
    )
    batch_size: int = parameter(100, "int", "examples in a minibatch, m", low=1, high=65536)
    precision: str = parameter(
        "fp32",
        "str",
        "of matrix products: fp32; tf32, 10 bits of mantissa, on a GPU (elsewhere fp32); bf16, "
        "activations too, with parameters and moments in fp32",
        choices=("fp32", "tf32", "bf16"),
    )

    optimizer: str = parameter(
        "sgd", "str", "sgd with momentum, or adam; the same for G and D", choices=("sgd", "adam")
    )
    generator_lr: float = parameter(
        0.1, "float", "learning rate of G at the start", low=0, low_is_open=True, high=100
    )
    discriminator_lr: float = parameter(
        0.1, "float", "learning rate of D at the start", low=0, low_is_open=True, high=100
    )
    lr_decay: float = parameter(
        1.000004, "float", "both learning rates are divided by it each iteration", low=1, high=2
    )
    min_lr: float = parameter(1e-6, "float", "floor of the decaying learning rates", low=0, high=1)
    momentum: float = parameter(
        0.5, "float", "momentum at the start", low=0, high=0.9999, when=(("optimizer", "sgd"),)
    )
    final_momentum: float = parameter(
        0.7,
        "float",
        "momentum from epoch `momentum_epochs` on, linear from the first epoch",
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
    adam_beta1: float = parameter(
        0.5,
        "float",
        "Adam's decay of the first moment",
        low=0,
        high=0.9999,
        when=(("optimizer", "adam"),),
    )
    adam_beta2: float = parameter(
        0.999,
        "float",
        "Adam's decay of the second moment",
        low=0,
        high=0.999999,
        when=(("optimizer", "adam"),),
    )
