"""Other ways to coordinate G and D, and other distributions of z, as a model family.

Section 7 of Goodfellow et al. (2014): "training could be accelerated greatly by devising better
methods for coordinating G and D or determining better distributions to sample z from during
training".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
