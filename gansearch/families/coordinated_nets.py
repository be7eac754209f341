"""Other ways to coordinate G and D, and other distributions of z, as a model family.

Section 7 of Goodfellow et al. (2014): "training could be accelerated greatly by devising better
methods for coordinating G and D or determining better distributions to sample z from during
training".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.coordinated_parameters import CoordinatedConfig
from gansearch.families.pair_family import PairFamily

if TYPE_CHECKING:
    from gansearch.families.coordinated_training import CoordinatedTraining


class CoordinatedNets(PairFamily[CoordinatedConfig]):
    """The paper's G and D, with choices of when and how each is updated, and of z."""

    config_type = CoordinatedConfig

    @property
    def training_type(self) -> type[CoordinatedTraining]:
        """The class of its trainings."""
        from gansearch.families.coordinated_training import CoordinatedTraining

        return CoordinatedTraining

    def check(self, config: CoordinatedConfig, dataset: Dataset) -> None:
        """Raise ConfigError as its base does, or if points of a schedule can't be told."""
        super().check(config, dataset)
        targets = [
            name
            for name in ("d_target", "g_target")
            if config.applies(name) and getattr(config, name) > 0
        ]
        if config.schedule and targets:
            raise ConfigError(
                f"schedule: it does not go with {' and '.join(targets)}, by which iterations have "
                "more or fewer updates, so that points are not reached at a known one. Leave out "
                "either."
            )
