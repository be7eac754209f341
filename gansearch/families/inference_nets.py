"""Learned approximate inference of z from x, as a model family.

Section 7 of Goodfellow et al. (2014): "learned approximate inference can be performed by training
an auxiliary network to predict z given x". The auxiliary network E is trained after G, as the paper
says, or along with it (Donahue et al. 2017, "BiGAN"; Dumoulin et al. 2017, "ALI").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.inference_parameters import InferenceConfig, stages
from gansearch.families.pair_family import PairFamily
from gansearch.own_measures import SHARE, OwnMeasure

if TYPE_CHECKING:
    from gansearch.families.inference_training import InferenceTraining


_PICTURE = "reconstructions.png"


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
        OwnMeasure.of_family("neighbour_accuracy", "maximize", SHARE, at_end=True),
    )

    captions: ClassVar[Mapping[str, str]] = {
        _PICTURE: "left to right: a validation image x, G(E(x)), the image of G nearest to x that "
        "was found by optimising z, the training image nearest to x"
    }

    @property
    def training_type(self) -> type[InferenceTraining]:
        """The class of its trainings."""
        from gansearch.families.inference_training import InferenceTraining

        return InferenceTraining

    def training_bytes(
        self, config: InferenceConfig, dataset: Dataset, device: str, *, exact: bool
    ) -> float:
        """Return the bytes that a training holds at its highest, of two stages those of both.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        along = dataclasses.replace(config, inference="along")
        return super().training_bytes(along, dataset, device, exact=exact)

    def check_budget(self, config: InferenceConfig, max_updates: int) -> None:
        """Raise ConfigError as its base does, or if a budget is too small for two stages."""
        super().check_budget(config, max_updates)
        if config.inference == "after" and stages(config, max_updates)[0] < 1:
            raise ConfigError(
                f"configuration: inference: after, with max_updates: {max_updates} and k: "
                f"{config.k}: G and E need an iteration of {config.k + 1} updates each. Raise "
                "max_updates, or choose inference: along."
            )

    def pictures(self, training: InferenceTraining, dataset: Dataset) -> Mapping[str, bytes]:
        """Return a picture of reconstructions of held-out images; none of points."""
        from gansearch.figures.samples import comparison_picture, png

        if not dataset.is_image:
            return {}
        caption = self.captions[_PICTURE]
        return {_PICTURE: png(comparison_picture(training.reconstructions(), dataset, caption))}
