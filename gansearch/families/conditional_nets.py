"""Conditional adversarial nets p(x | c) as a model family (Mirza and Osindero 2014).

The class c of an example is an input of both G and D: section 7 of Goodfellow et al. (2014), "a
conditional generative model p(x | c) can be obtained by adding c as input to both G and D".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from gansearch.conditional_parameters import ConditionalConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.pair_family import PairFamily, check_labels
from gansearch.own_measures import SHARE, OwnMeasure

if TYPE_CHECKING:
    from gansearch.families.conditional_training import ConditionalTraining

_MAX_CLASSES = 1000
_FEWEST = 10  # training examples of a class, on average


class ConditionalNets(PairFamily[ConditionalConfig]):
    """G(z, c) against D(x, c)."""

    config_type = ConditionalConfig
    captions: ClassVar[Mapping[str, str]] = {
        "classes.png": "Unpicked samples of the winner, a row for each class."
    }
    measures = (
        OwnMeasure.of_family("class_ll", "maximize", "nats"),
        OwnMeasure.of_family("label_accuracy", "maximize", SHARE),
        OwnMeasure.of_family("class_coverage", "maximize", SHARE),
        OwnMeasure.of_family("worst_class_coverage", "maximize", SHARE),
    )

    @property
    def training_type(self) -> type[ConditionalTraining]:
        """The class of its trainings."""
        from gansearch.families.conditional_training import ConditionalTraining

        return ConditionalTraining

    def check(self, config: ConditionalConfig, dataset: Dataset) -> None:
        """Raise ConfigError if the data has no classes, or the networks don't fit it."""
        from gansearch.networks.conditional import check_class_shares

        super().check(config, dataset)
        check_labels(self.name, dataset, what_for="as a condition")
        self._check_number(dataset)
        check_class_shares(config)

    def check_objective(self, name: str, dataset: Dataset) -> None:
        """Raise ConfigError if the data has too few examples of its classes for a measure."""
        from gansearch.scoring.classes import MIN_EXAMPLES, ClassScores

        if name in ClassScores(dataset).names:
            return
        cause = (
            "there is no classifier of the data's classes"
            if name == "label_accuracy"
            else f"no class has {MIN_EXAMPLES} validation and {MIN_EXAMPLES} test examples that "
            "could be compared with samples"
        )
        raise ConfigError(
            f"objective: {name}, on {dataset.name}: {cause}. Take larger splits, merge classes, or "
            "choose objective: valid_ll, which needs no classes."
        )

    def pictures(self, training: ConditionalTraining, dataset: Dataset) -> Mapping[str, bytes]:
        """Return a grid of unpicked samples with a row a class, `classes.png`; none of points."""
        from gansearch.figures.samples import class_grid, png

        if not dataset.is_image:
            return {}
        return {"classes.png": png(class_grid(training.trained_generator.conditional(), dataset))}

    def _check_number(self, dataset: Dataset) -> None:
        assert dataset.labels is not None
        n_classes, n_train = len(dataset.labels.names), len(dataset.train)
        if n_classes > _MAX_CLASSES or n_classes * _FEWEST > n_train:
            raise ConfigError(
                f"family {self.name}, on {dataset.name}: {n_classes:,} classes of {n_train:,} "
                f"training examples. It takes {_MAX_CLASSES:,} classes at most, and {_FEWEST} "
                "examples of each on average: what G learns of a class alone comes from these. "
                "Merge classes, or leave rare ones out."
            )
