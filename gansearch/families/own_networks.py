"""The user's own networks as a model family: trained by Algorithm 1, like the paper's.

Methods import torch only when they are called, so that a report, which reads the table of
parameters, starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from gansearch.artifacts import GeneratorExport
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.family import Balance, ModelFamily, Operations
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.rules import extended
from gansearch.space.own_parameters import from_dict
from gansearch.system import user_code

if TYPE_CHECKING:
    import numpy as np

    from gansearch.families.figure1_observer import Figure1Observer
    from gansearch.families.trained_generator import TrainedGenerator
    from gansearch.networks.own import OwnNetworkMaker
    from gansearch.training.training import AdversarialTraining


class OwnNetworks(ModelFamily[OwnNetworkParameters]):
    """G and D made by the user's functions or classes (`networks.own` says how they are called).

    None of the user's code is imported before a network is made.

    Args:
        sections: of the space: `generator` and `discriminator`, references to the makers of G and
            of D; `parameters`, their arguments by names such as `generator.width`; and perhaps
            `output_range`, the lowest and the highest value of a pixel as the networks have it,
            which is [0, 1] by default.

    Raises:
        ConfigError: `output_range` doesn't go up.
    """

    balance = Balance("k", "discriminator_lr", "generator_lr")
    size_parameters = ("batch_size",)
    interpolates = True
    has_discriminator = True

    def __init__(self, sections: Mapping[str, Any]) -> None:
        super().__init__("own_networks")
        self._sections = dict(sections)
        added = from_dict(sections.get("parameters", {}))
        self.config_type = cast("type[OwnNetworkParameters]", extended(OwnNetworkParameters, added))
        low, high = sections.get("output_range", (0, 1))
        if low >= high:
            raise ConfigError(
                f"output_range: found [{low:g}, {high:g}]. It must be the lowest and the highest "
                "value of a pixel, such as [-1, 1]."
            )

    @property
    def sections(self) -> dict[str, Any]:
        """The sections of a space by which `family_of` finds this family."""
        return dict(self._sections)

    @property
    def references(self) -> tuple[str, ...]:
        """Where G and D are made."""
        return self._sections["generator"], self._sections["discriminator"]

    def build(
        self, config: OwnNetworkParameters, dataset: Dataset, seed: int, device: str
    ) -> AdversarialTraining:
        """Return a new training."""
        from gansearch.training.training import AdversarialTraining

        maker = self._maker_for(dataset)
        return AdversarialTraining(config, dataset, seed, device=device, make=maker)

    def check(self, config: OwnNetworkParameters, dataset: Dataset) -> None:
        """Raise ConfigError if the networks can't be made, or trained on such examples."""
        from gansearch.families.own_network_check import check_networks

        if "output_range" in self._sections and not dataset.is_bounded:
            low, high = self._sections["output_range"]
            what = "contrast-normalised images" if dataset.is_image else "points"
            raise ConfigError(
                f"output_range: [{low:g}, {high:g}], on the {what} of {dataset.name}. Only pixels "
                "have a range. Leave output_range out."
            )
        check_networks(self._maker_for(dataset), config, dataset)

    def operations(self, config: OwnNetworkParameters, dataset: Dataset) -> Operations | None:
        """Return the operations of an update and of making samples; None if they can't be told."""
        from gansearch.training.operations import operations_of

        try:
            nets = self._maker_for(dataset).on_meta(config, dataset.shape)
            return operations_of(config, *nets)
        except Exception:  # the user's code may need values, which a meta tensor doesn't have
            return None

    def training_bytes(
        self, config: OwnNetworkParameters, dataset: Dataset, device: str, *, exact: bool
    ) -> float | None:
        """Return the bytes that a training holds at its highest; None if they can't be told."""
        from gansearch.training.peak_memory import peak_bytes, rough_bytes_of
        from gansearch.training.training import AdversarialTraining

        maker = self._maker_for(dataset)
        try:
            if exact:
                build = partial(AdversarialTraining, make=maker)
                return peak_bytes(config, dataset, device, build=build)
            return rough_bytes_of(config, *maker.on_meta(config, dataset.shape), device)
        except Exception:  # as in `operations`
            return None

    def observer(
        self, config: OwnNetworkParameters, dataset: Dataset, report_updates: Sequence[int]
    ) -> Figure1Observer | None:
        """Return an observer that draws Figure 1, for one-dimensional data."""
        if dataset.shape != (1,):
            return None
        from gansearch.families.figure1_observer import Figure1Observer

        return Figure1Observer(config, dataset, report_updates)

    def export(self, training: AdversarialTraining, seed: int) -> GeneratorExport:  # noqa: ARG002
        """Return the state of the user's G by the names of its `state_dict`."""
        from gansearch.families.trained_generator import export_own_generator
        from gansearch.networks.own import OwnGenerator

        generator = cast("OwnGenerator", training.scored_generator)
        return export_own_generator(generator, training.sample_seed)

    def discriminator(self, training: AdversarialTraining) -> Mapping[str, np.ndarray]:
        """Return the state of the user's D by the names of its `state_dict`."""
        from gansearch.families.trained_generator import export_discriminator

        return export_discriminator(training.discriminator)

    def generator(
        self,
        export: GeneratorExport,
        config: OwnNetworkParameters,
        load_dataset: Callable[[], Dataset],  # noqa: ARG002
    ) -> TrainedGenerator:
        """Return a generator from its state.

        Raises:
            ConfigError, ValueError, KeyError, TypeError, RuntimeError: it doesn't fit the network
                that the user's code makes now.
        """
        from gansearch.families.trained_generator import own_generator

        value_range = export.details["value_range"]
        return own_generator(export, config, self._maker(value_range and tuple(value_range)))

    def _maker_for(self, dataset: Dataset) -> OwnNetworkMaker:
        """Return the maker of networks for a data set."""
        low, high = self._sections.get("output_range", (0, 1))
        is_other = dataset.is_bounded and (low, high) != (0, 1)
        return self._maker((low, high) if is_other else None)

    def _maker(self, value_range: tuple[float, float] | None) -> OwnNetworkMaker:
        from gansearch.networks.own import OwnNetworkMaker

        generator, discriminator = map(user_code.load, self.references)
        return OwnNetworkMaker(generator, discriminator, value_range)
