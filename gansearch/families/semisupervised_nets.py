"""Semi-supervised learning as a model family: a classifier from D, with few labels.

Section 7 of Goodfellow et al. (2014): "features from the discriminator or inference net could
improve performance of classifiers when limited labeled data is available". And the discriminator of
K + 1 classes of Salimans et al. (2016), section 5, with feature matching (section 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gansearch.data.dataset import Dataset
from gansearch.families.pair_family import PairFamily, check_labels
from gansearch.families.semisupervised_parameters import SemisupervisedConfig
from gansearch.own_measures import SHARE, OwnMeasure

if TYPE_CHECKING:
    from gansearch.families.semisupervised_training import SemisupervisedTraining


class SemisupervisedNets(PairFamily[SemisupervisedConfig]):
    """G(z) against D(x), and a classifier from D."""

    config_type = SemisupervisedConfig
    # The best classifiers may come from bad generators (Dai et al. 2017, "Good semi-supervised
    # learning that requires a bad GAN").
    needs_sound_samples = False
    measures = (
        OwnMeasure.of_family("error_rate", "minimize", SHARE),
        OwnMeasure.of_family("gain", "maximize", "difference of shares", at_end=True),
        OwnMeasure.of_family("error_pixels", "minimize", SHARE, at_end=True),
        OwnMeasure.of_family("error_random", "minimize", SHARE, at_end=True),
        OwnMeasure.of_family("error_supervised", "minimize", SHARE, at_end=True),
    )

    @property
    def training_type(self) -> type[SemisupervisedTraining]:
        """The class of its trainings."""
        from gansearch.families.semisupervised_training import SemisupervisedTraining

        return SemisupervisedTraining

    def check(self, config: SemisupervisedConfig, dataset: Dataset) -> None:
        """Raise ConfigError if the data has too few labels, or the networks don't fit it."""
        from gansearch.scoring.few_labels import check_label_count

        super().check(config, dataset)
        check_labels(self.name, dataset, what_for="to learn and to measure the classifier")
        assert dataset.labels is not None
        where = f"family {self.name}, on {dataset.name}"
        check_label_count(dataset.labels, config.labels_per_class, where=where)
