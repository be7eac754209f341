"""What a `PairFamily` asks of its trainings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from gansearch.data.dataset import Dataset
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.interface import AnyGenerator, Shape
from gansearch.networks.pairs import PairNetworkMaker
from gansearch.pair_parameters import PairParameters
from gansearch.training.pairs import PairTraining


class TrainedPairTraining(PairTraining):
    """A training whose generator is stored, and restored without the data.

    Args:
        config: the hyperparameters.
        dataset: that it learns.
        seed: of all its random numbers.
        device: where it trains.
        max_updates: its budget, see `Training`.

    Attributes:
        dataset: as given.
        details: what `details_of` says.
        trained_type: what `trained` makes of a network, unless a subclass overrides that.
    """

    trained_type: ClassVar[type[TrainedGenerator]] = TrainedGenerator

    def __init__(
        self,
        config: Any,
        dataset: Dataset,
        seed: int,
        *,
        device: str = "cpu",
        max_updates: int | None = None,
    ) -> None:
        self.dataset = dataset
        self.details = self.details_of(config, dataset)
        make = self.maker(config, dataset.shape, self.details)
        super().__init__(config, dataset, seed, device=device, max_updates=max_updates, make=make)

    @classmethod
    def details_of(cls, config: Any, dataset: Dataset) -> dict[str, Any]:  # noqa: ARG003
        """Return what the networks are made from beside the configuration, as plain JSON values.

        Such as the number of classes; nothing by default.
        """
        return {}

    @classmethod
    @abstractmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:
        """Return what makes the networks for examples of `shape`.

        Raises:
            ConfigError: there are no such networks.
        """

    @classmethod
    def trained(
        cls,
        network: AnyGenerator,
        config: PairParameters,
        seed: int,
        details: Mapping[str, Any],  # noqa: ARG003
    ) -> TrainedGenerator:
        """Return a trained generator, as it is read from a run's folder.

        Args:
            network: the generator.
            config: its hyperparameters.
            seed: of its noise.
            details: of its training, as `details_of` returned them.
        """
        return cls.trained_type(network, config, seed)
