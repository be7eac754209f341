"""The parameters of adversarial nets whose D helps a classifier with few labels."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter


@dataclass(frozen=True)
class SemisupervisedConfig(PairParameters):
    """The hyperparameters of adversarial nets whose D helps a classifier with few labels."""

    classifier: str = parameter(
        "features",
        "str",
        "features: a linear classifier of D's last hidden layer, whose training sees no labels; "
        "classes: D itself, with a logit for each class and D(x) = Z / (Z + 1), where Z is the sum "
        "of their exponentials (Salimans et al. 2016, section 5)",
        choices=("features", "classes"),
    )
    labels_per_class: int = parameter(
        10,
        "int",
        "training examples of each class whose labels are known; the seed of the training decides "
        "which",
        low=1,
        high=10**6,
    )
    label_weight: float = parameter(
        1.0,
        "float",
        "factor on the cross entropy of the known labels in D's loss",
        low=0,
        low_is_open=True,
        high=1e6,
        when=(("classifier", "classes"),),
    )
    generator_loss: str = parameter(
        "non_saturating",
        "str",
        "non_saturating: maximise log D(G(z)) (section 3); minimax: minimise log(1 - D(G(z))); "
        "feature_matching: minimise the squared distance between the means of D's last hidden "
        "layer over real and over generated examples (Salimans et al. 2016, section 3.1)",
        choices=("non_saturating", "minimax", "feature_matching"),
    )
    hidden_noise_sd: float = parameter(
        0.0,
        "float",
        "standard deviation of Gaussian noise added to the inputs of D's later layers in training; "
        ".5 in Salimans et al. (2016). That of the lowest layer is instance_noise_sd",
        low=0,
        high=1000,
    )
    discriminator_ema: float = parameter(
        0.0,
        "float",
        "decay per iteration of an exponential moving average of D's parameters, by which it then "
        "classifies; .9999 in the code of Salimans et al. (2016); 0: off",
        low=0,
        high=0.999999,
    )
