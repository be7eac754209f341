"""The parameters of nets for all conditionals p(x_S | x_not S): what is hidden in training."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter

KINDS = ("random", "halves", "blocks")  # of masks, see scoring/masks.py
MIXED = "mixed"


@dataclass(frozen=True)
class InpaintingConfig(PairParameters):
    """The hyperparameters of nets for all conditionals."""

    masks: str = parameter(
        MIXED,
        "str",
        "what is hidden of an example in training; random: each pixel or coordinate, with a "
        "probability that is uniform on (0, 1); halves: a half of an image; blocks: a rectangle of "
        "it; mixed: an equal share of each kind that the data allows",
        choices=(MIXED, *KINDS),
    )
    all_hidden_share: float = parameter(
        0.3,
        "float",
        "share of the masks that hide all, by which G learns the unconditional samples that are "
        "scored",
        low=0,
        low_is_open=True,
        high=0.95,
    )
