"""Conditional adversarial nets p(x | c) as a model family (Mirza and Osindero 2014).

The class c of an example is an input of both G and D: section 7 of Goodfellow et al. (2014), "a
conditional generative model p(x | c) can be obtained by adding c as input to both G and D".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gansearch.data.dataset import Dataset
from gansearch.families.pair_family import PairFamily, check_labels
from gansearch.own_measures import OwnMeasure
from gansearch.pair_parameters import PairParameters
from gansearch.rules import parameter

if TYPE_CHECKING:
    from gansearch.families.conditional_training import ConditionalTraining


@dataclass(frozen=True)
class ConditionalConfig(PairParameters):
    """The hyperparameters of conditional adversarial nets."""

    condition: str = parameter(
        "concatenation",
        "str",
        "how D takes the class; concatenation: as more inputs",
        choices=("concatenation",),
    )


class ConditionalNets(PairFamily[ConditionalConfig]):
    """G(z, c) against D(x, c)."""

    config_type = ConditionalConfig
    measures = (OwnMeasure.of_family("label_accuracy", "maximize", "share"),)

    @property
    def training_type(self) -> type[ConditionalTraining]:
        """The class of its trainings."""
        from gansearch.families.conditional_training import ConditionalTraining

        return ConditionalTraining

    def check(self, config: ConditionalConfig, dataset: Dataset) -> None:
        """Raise ConfigError if the data has no classes, or the networks don't fit it."""
        super().check(config, dataset)
        check_labels(self.name, dataset, what_for="as a condition")
