"""What the families of section 7 of Goodfellow et al. (2014) have in common.

Methods import torch only when they are called, so that a report, which reads the table of
parameters, starts fast.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from gansearch.artifacts import GeneratorExport
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.family import Balance, ModelFamily, Operations
from gansearch.pair_parameters import PairParameters

if TYPE_CHECKING:
    from gansearch.families.pair_training import TrainedPairTraining
    from gansearch.families.trained_generator import TrainedGenerator

ConfigT = TypeVar("ConfigT", bound=PairParameters)


class PairFamily(ModelFamily[ConfigT]):
    """Adversarial nets in which D sees an example with what belongs to it.

    A subclass names the class of its trainings, its table of parameters and its measures.
    """

    balance = Balance("k", "discriminator_lr", "generator_lr")
    size_parameters: ClassVar[tuple[str, ...]] = (
        "generator_widths",
        "discriminator_widths",
        "batch_size",
    )
    interpolates = True
    has_discriminator = True

    @property
    @abstractmethod
    def training_type(self) -> type[TrainedPairTraining]:
        """The class of its trainings; reading it imports torch."""

    def build(
        self, config: ConfigT, dataset: Dataset, seed: int, device: str
    ) -> TrainedPairTraining:
        """Return a new training."""
        return self.training_type(config, dataset, seed, device=device)

    def check(self, config: ConfigT, dataset: Dataset) -> None:
        """Raise ConfigError if the data or the networks aren't of the kinds that it trains."""
        from gansearch.families.adversarial_nets import check_kinds

        check_kinds(config, dataset)

    def operations(self, config: ConfigT, dataset: Dataset) -> Operations:
        """Return the operations of an update and of making samples, roughly.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        from gansearch.training.operations import operations_of

        return operations_of(config, *self._on_meta(config, dataset))

    def training_bytes(
        self, config: ConfigT, dataset: Dataset, device: str, *, exact: bool
    ) -> float:
        """Return the bytes that a training holds at its highest, the examples apart.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        from gansearch.training.peak_memory import peak_bytes, rough_bytes_of_layers

        if exact:
            return peak_bytes(config, dataset, device, build=self.training_type)
        generator, discriminator = self._on_meta(config, dataset)
        return rough_bytes_of_layers(config, generator, discriminator, device)

    def export(self, training: TrainedPairTraining, seed: int) -> GeneratorExport:  # noqa: ARG002
        """Return the state of the generator and what belongs to it by the names of their layers."""
        weights = training.scored_generator.state_dict()
        arrays = {name: value.detach().cpu().numpy() for name, value in weights.items()}
        return GeneratorExport(arrays, training.sample_seed, {"pairs": training.details})

    def generator(
        self,
        export: GeneratorExport,
        config: ConfigT,
        load_dataset: Callable[[], Dataset],  # noqa: ARG002
    ) -> TrainedGenerator:
        """Return a generator from its state.

        Raises:
            ConfigError, ValueError, KeyError, TypeError, RuntimeError: they don't fit each other.
        """
        import torch

        shape = tuple(export.details["shape"])
        details = export.details["pairs"]
        maker = self.training_type.maker(config, shape, details)
        network = maker.generator()
        network.load_state_dict({name: torch.tensor(a) for name, a in export.arrays.items()})
        return self.training_type.trained(network, config, export.seed, details)

    def discriminator(self, training: TrainedPairTraining) -> Mapping[str, np.ndarray]:
        """Return the discriminator's weights by the names of its layers."""
        state = training.discriminator.state_dict()
        return {name: value.detach().cpu().numpy() for name, value in state.items()}

    def _on_meta(self, config: ConfigT, dataset: Dataset) -> Any:
        training_type = self.training_type
        details = training_type.details_of(config, dataset)
        return training_type.maker(config, dataset.shape, details).on_meta()


def check_labels(name: str, dataset: Dataset, *, what_for: str) -> None:
    """Raise ConfigError if a data set has no classes, or one of them no training images.

    Args:
        name: of the family.
        dataset: the data set.
        what_for: what the classes are needed for, in words.
    """
    if dataset.labels is None:
        raise ConfigError(
            f"family {name}, on {dataset.name}: the data has no classes, or a single one. "
            f"Several are needed {what_for}. Take data with labels: digits, mnist, cifar10, ring, "
            "grid, a folder with a folder for each class, or data of your own with labels "
            "(docs/data.md)."
        )
    counts = np.bincount(dataset.labels.train, minlength=len(dataset.labels.names))
    if (counts == 0).any():
        missing = dataset.labels.names[int(np.argmin(counts))]
        raise ConfigError(
            f"family {name}, on {dataset.name}: the class {missing} has no training examples. Each "
            "class needs some. Leave the class out of the data, or move examples of it to the "
            "training set."
        )
