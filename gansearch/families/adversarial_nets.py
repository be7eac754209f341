"""The paper's adversarial nets as a model family.

Methods import torch only when they are called, so that a report, which reads the table of
parameters, starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gansearch.artifacts import GeneratorExport
from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.family import Balance, ModelFamily, Operations

if TYPE_CHECKING:
    import numpy as np

    from gansearch.families.figure1_observer import Figure1Observer
    from gansearch.families.trained_generator import TrainedGenerator
    from gansearch.grouping.engine import Engine
    from gansearch.training.training import AdversarialTraining


class AdversarialNets(ModelFamily[TrialConfig]):
    """G and D of Goodfellow et al. (2014), trained by Algorithm 1, with what came after them."""

    config_type = TrialConfig
    baseline = "paper"
    baseline_title = "the paper's configuration"
    has_paper = True
    balance = Balance("k", "discriminator_lr", "generator_lr")
    size_parameters = ("generator_widths", "discriminator_widths", "batch_size")
    interpolates = True
    has_engine = True
    has_discriminator = True

    def build(
        self, config: TrialConfig, dataset: Dataset, seed: int, device: str
    ) -> AdversarialTraining:
        """Return a new training."""
        from gansearch.training.training import AdversarialTraining

        return AdversarialTraining(config, dataset, seed, device=device)

    def check(self, config: TrialConfig, dataset: Dataset) -> None:
        """Raise ConfigError if points would get a convolutional network, or a bounded output."""
        check_kinds(config, dataset)

    def group_key(self, config: TrialConfig) -> TrialConfig | None:
        """Return the structure that trainings of a group share; None for one that trains alone."""
        from gansearch.grouping.structure import structure_of
        from gansearch.networks.models import is_dense

        return structure_of(config) if is_dense(config) else None

    def trains_in_group(self, config: TrialConfig) -> bool:
        """Return whether it trains in a group; convolutional networks have one of their own."""
        from gansearch.grouping.structure import structure_of

        return structure_of(config) is not None

    def engine(self, dataset: Dataset, device: str, n_slots: int) -> Engine:
        """Return the engine that trains groups of one structure as one."""
        from gansearch.grouping.engine import Engine

        return Engine(dataset, device, n_slots=n_slots)

    def operations(self, config: TrialConfig, dataset: Dataset) -> Operations:
        """Return the operations of an update and of making samples, roughly.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        from gansearch.training.operations import rough_operations

        return rough_operations(config, dataset)

    def training_bytes(
        self, config: TrialConfig, dataset: Dataset, device: str, *, exact: bool
    ) -> float:
        """Return the bytes that a training holds at its highest, the examples apart.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        from gansearch.training.peak_memory import peak_bytes, rough_bytes

        return (peak_bytes if exact else rough_bytes)(config, dataset, device)

    def engine_bytes(
        self, config: TrialConfig, dataset: Dataset, device: str, *, exact: bool
    ) -> float:
        """Return the bytes that a training and its slot in a group hold at their highest.

        Raises:
            ConfigError: the configuration has no networks on such examples.
        """
        from gansearch.grouping.memory import member_bytes, rough_member_bytes

        return (member_bytes if exact else rough_member_bytes)(config, dataset, device)

    def observer(
        self, config: TrialConfig, dataset: Dataset, report_updates: Sequence[int]
    ) -> Figure1Observer | None:
        """Return an observer that draws Figure 1, for one-dimensional data."""
        if dataset.shape != (1,):
            return None
        from gansearch.families.figure1_observer import Figure1Observer

        return Figure1Observer(config, dataset, report_updates)

    def export(self, training: AdversarialTraining, seed: int) -> GeneratorExport:  # noqa: ARG002
        """Return the generator's weights in the layout of torch's own layers."""
        from gansearch.families.trained_generator import export_generator
        from gansearch.networks.models import Generator

        generator = training.scored_generator
        assert isinstance(generator, Generator)
        return export_generator(generator, training.sample_seed)

    def discriminator(self, training: AdversarialTraining) -> Mapping[str, np.ndarray]:
        """Return the discriminator's weights in the layout of torch's own layers."""
        from gansearch.families.trained_generator import export_discriminator

        return export_discriminator(training.discriminator)

    def generator(
        self,
        export: GeneratorExport,
        config: TrialConfig,
        load_dataset: Callable[[], Dataset],  # noqa: ARG002
    ) -> TrainedGenerator:
        """Return a generator from its weights.

        Raises:
            ResultsError: they are in a format of a later version.
            ValueError, KeyError, TypeError, RuntimeError, ConfigError: they don't fit each other.
        """
        from gansearch.families.trained_generator import TrainedGenerator

        details = export.details
        return TrainedGenerator.from_arrays(
            export.arrays,
            config,
            export.seed,
            # Older files have the number of values alone, which is all that dense networks need.
            shape=details["shape"] if "shape" in details else [details["dim"]],
            first_layer=details.get("first_layer", 0),
            weights_format=details.get("weights_format", 1),
        )


def check_kinds(config: TrialConfig, dataset: Dataset) -> None:
    """Raise ConfigError if points would get a convolutional network, or a bounded output."""
    if dataset.is_image:
        return
    if dataset.units is not None and config.generator_output == "sigmoid":
        raise ConfigError(
            f"generator_output: sigmoid, on the vectors of {dataset.name}. They are "
            "standardised, so that about half of their values are negative, which a sigmoid "
            "never reaches. Use linear: fixed: {generator_output: linear}, or the space ring."
        )
    for name in ("generator_network", "discriminator_network"):
        if getattr(config, name) == "convolutional":
            raise ConfigError(
                f"{name}: convolutional, on the points of {dataset.name}. "
                "A convolutional network is for images. Use dense."
            )
