"""The parameters of conditional adversarial nets p(x | c)."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter

_CONCATENATION = (("condition", "concatenation"),)


@dataclass(frozen=True)
class ConditionalConfig(PairParameters):
    """The hyperparameters of conditional adversarial nets; the others' defaults are the paper's."""

    condition: str = parameter(
        "concatenation",
        "str",
        "how D takes the class; concatenation: as more inputs (Mirza and Osindero 2014); "
        "projection: by the product of its last hidden layer with a vector for each class (Miyato "
        "and Koyama 2018); auxiliary: not at all, but it also tells the class of an example (Odena "
        "et al. 2017)",
        choices=("concatenation", "projection", "auxiliary"),
    )
    auxiliary_weight: float = parameter(
        1.0,
        "float",
        "weight of the cross-entropy of the classes, of real and of generated examples, in D's "
        "objective, and of generated ones in G's",
        low=0,
        low_is_open=True,
        high=1000,
        when=(("condition", "auxiliary"),),
    )
    condition_embedding: int = parameter(
        0,
        "int",
        "size of a learned linear embedding of the class in G, and one in D; 0: none, the class is "
        "one-hot",
        low=0,
        high=65536,
    )
    generator_class_share: float = parameter(
        0.0,
        "float",
        "share of the units of G's lowest dense layer that see the class alone, while the others "
        "see the noise alone; 0: all see both",
        low=0,
        high=0.999,
    )
    discriminator_class_share: float = parameter(
        0.0,
        "float",
        "share of the units of D's lowest layer, which must be dense, that see the class alone, "
        "while the others see the example alone; 0: all see both",
        low=0,
        high=0.999,
        when=_CONCATENATION,
    )
    branch_pieces: int = parameter(
        5,
        "int",
        "linear pieces of the maxout units of D's lowest layer, where discriminator_class_share is "
        "above 0; maxout_pieces are those of the others",
        low=2,
        high=64,
        when=_CONCATENATION,
    )
