"""The seam: what search, recording, scoring and ranking know of a GAN, and no more.

A *model family* has a name, a table of its parameters, and builds a training from a configuration,
a data set, a seed and a device. A *training* advances by parameter updates, gives samples, and is
saved and loaded. The paper's adversarial nets are one family (`adversarial_nets`); a family of the
user's own needs a configuration, a training and a `build`, and gets the rest:

    @dataclass(frozen=True)
    class MeanConfig(Config):
        lr: float = parameter(0.1, "float", "learning rate", low=0, high=1)

    class MeanFamily(ModelFamily[MeanConfig]):
        config_type = MeanConfig

        def build(self, config, dataset, seed, device):
            return MeanTraining(config, dataset, seed)

A space names it as `family: my_module:MeanFamily`.
"""

from __future__ import annotations

import importlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError, did_you_mean
from gansearch.rules import Config

ConfigT = TypeVar("ConfigT", bound=Config)

DEFAULT_FAMILY = "adversarial_nets"
# Name to module and class; imported when a run asks for it, since networks load torch.
_FAMILIES = {DEFAULT_FAMILY: "gansearch.families.adversarial_nets:AdversarialNets"}


@dataclass(frozen=True)
class Counts:
    """How far a training is, since its start.

    Attributes:
        updates: parameter updates, of all networks together.
        d_updates, g_updates: those of the discriminator and of the generator; None where a family
            does not tell.
        seconds: spent in training.
    """

    updates: int
    d_updates: int | None = None
    g_updates: int | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Metrics(Counts):
    """What a training says of itself at a report; None for what a family does not measure.

    Attributes:
        d_loss, g_loss: means over the updates since the last report, in nats, without penalties.
        d_real, d_fake: the discriminator's mean output on real and on generated examples, in
            [0, 1].
        d_grad_norm, g_grad_norm: L2 norms of the last gradients.
        stage_start: updates that were done when the present stage of the training began: health is
            judged from there on.
    """

    d_loss: float | None = None
    g_loss: float | None = None
    d_real: float | None = None
    d_fake: float | None = None
    d_grad_norm: float | None = None
    g_grad_norm: float | None = None
    stage_start: int = 0


class Training(ABC):
    """One training and all of its state."""

    @property
    @abstractmethod
    def updates(self) -> int:
        """Parameter updates done."""

    @abstractmethod
    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates are done, and report.

        Returns None where the time limit came first; calling again goes on.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite.
        """

    @abstractmethod
    def samples(self, n_samples: int) -> np.ndarray:
        """Return generated examples `[n_samples, dim]`, float32, scaled as the data set is.

        The same state gives the same samples, and the first are the same for any number.
        """

    @abstractmethod
    def save(self) -> bytes:
        """Return the whole state, to be loaded by `load`."""

    @abstractmethod
    def load(self, state: bytes) -> None:
        """Take over a state that `save` returned, of the same configuration and seed.

        Raises:
            GansearchError: the state belongs to another training, or is damaged.
        """

    @property
    def counts(self) -> Counts:
        """How far the training is."""
        return Counts(self.updates)


class Engine(Protocol):
    """Trains all trainings of a device together; `build` makes one that `advance` advances."""

    def build(self, config: Any, seed: int) -> Training:
        """Return a new training."""
        ...

    def advance(
        self, training: Any, updates: int, *, time_limit_seconds: float = math.inf
    ) -> Metrics | None:
        """Do what `Training.advance` does, together with all others who have asked."""
        ...


class Observer(Protocol):
    """Watches one training, at its start and at each report, and draws what it saw at the end."""

    def observe(self, training: Any) -> None:
        """Look at the training as it is now."""
        ...

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what a checkpoint keeps of it; the names begin with a word of its own."""
        ...

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned; other arrays may lie beside it."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Return files for the trial's folder below `models/`, by name."""
        ...


class SavedGenerator(Protocol):
    """A trained generator that was read from a run's folder."""

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        ...

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return examples `[n_rows, n_steps, dim]` on the way from sample 2i to sample 2i + 1.

        Raises:
            BadInputError: generators of this family have nothing between samples.
        """
        ...


@dataclass(frozen=True)
class GeneratorExport:
    """What is kept of a trained generator.

    Attributes:
        arrays: its weights by name, for a safetensors file.
        seed: from which it makes samples.
        details: what else is needed to read it again, as plain JSON values.
    """

    arrays: Mapping[str, np.ndarray]
    seed: int
    details: Mapping[str, Any]


class Balance(NamedTuple):
    """What balances a family's networks: a parameter, and beside it the ratio of two others.

    By these a report maps where training dies.
    """

    rows: str
    numerator: str
    denominator: str

    @property
    def ratio(self) -> str:
        """The ratio's name, such as `discriminator_lr/generator_lr`."""
        return f"{self.numerator}/{self.denominator}"


class ModelFamily(ABC, Generic[ConfigT]):
    """A kind of generative adversarial nets that can be searched.

    Args:
        name: by which space files and `run.json` know it.

    Class attributes:
        config_type: the table of its parameters.
        baseline: name of the preset that has all defaults, apart from what a space fixes.
        baseline_title: what reports call that configuration.
        balance: by which a report maps where training dies; None for no map.
        size_parameters: those on which the memory of a training depends most.
        interpolates: whether its generators have something between two samples.
        has_engine: whether `engine` trains several trials together.
    """

    config_type: type[ConfigT]
    baseline: ClassVar[str] = "defaults"
    baseline_title: ClassVar[str] = "the default configuration"
    balance: ClassVar[Balance | None] = None
    size_parameters: ClassVar[tuple[str, ...]] = ()
    interpolates: ClassVar[bool] = False
    has_engine: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def build(self, config: ConfigT, dataset: Dataset, seed: int, device: str) -> Training:
        """Return a new training, from which the same four give the same results on a CPU."""

    def check(self, config: ConfigT, dataset: Dataset) -> None:
        """Raise ConfigError where `config` can't be trained on such data."""

    def engine(self, dataset: Dataset, device: str, n_slots: int) -> Engine:
        """Return what trains up to `n_slots` alike trainings at a time as one."""
        raise NotImplementedError(f"{self.name}: has_engine is {self.has_engine}")

    def training_bytes(
        self,
        config: ConfigT,  # noqa: ARG002
        dataset: Dataset,  # noqa: ARG002
        device: str,  # noqa: ARG002
        *,
        exact: bool,  # noqa: ARG002
    ) -> float | None:
        """Return the bytes that a training holds at its highest, data apart; None if not known.

        Not `exact`, it takes milliseconds, and may err by a factor of two.
        """
        return None

    def observer(
        self,
        config: ConfigT,  # noqa: ARG002
        dataset: Dataset,  # noqa: ARG002
        report_updates: Sequence[int],  # noqa: ARG002
    ) -> Observer | None:
        """Return who watches a training that reports at `report_updates`; None for nobody."""
        return None

    def export(self, training: Any, seed: int) -> GeneratorExport:
        """Return what is kept of a trained generator; by default the training's whole state.

        `seed` is the one that the training was built from.
        """
        state = np.frombuffer(training.save(), np.uint8)
        return GeneratorExport({"training": state}, seed, {})

    def generator(
        self, export: GeneratorExport, config: ConfigT, load_dataset: Callable[[], Dataset]
    ) -> SavedGenerator:
        """Return a generator from what `export` returned; `load_dataset` has its data."""
        training = self.build(config, load_dataset(), export.seed, "cpu")
        training.load(export.arrays["training"].tobytes())
        return _SavedTraining(training, self.name)


class _SavedTraining:
    """The generator of a family that keeps its whole training."""

    def __init__(self, training: Training, family: str) -> None:
        self._training = training
        self._family = family

    def samples(self, n_samples: int) -> np.ndarray:
        return self._training.samples(n_samples)

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:  # noqa: ARG002
        raise BadInputError(
            f"--interpolate: generators of the family {self._family} have no noise to go through. "
            "Leave the flag out."
        )


@cache
def load_family(name: str) -> ModelFamily[Any]:
    """Return the family of that name, or of a `module:CLASS` that can be imported.

    Raises:
        BadInputError: there is no such family.
    """
    module, colon, attribute = _FAMILIES.get(name, name).partition(":")
    if not colon:
        raise BadInputError(
            f"family {name}: no such family. {did_you_mean(name, _FAMILIES)} One of your own is "
            "written module:CLASS."
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise BadInputError(
            f"family {name}: can't be imported ({error}). It must be module:CLASS, of a module "
            "that Python finds from where the command runs, and on every node."
        ) from error
    is_family = isinstance(found, type) and issubclass(found, ModelFamily)
    if not is_family or inspect.isabstract(found) or not hasattr(found, "config_type"):
        raise BadInputError(
            f"family {name}: it must be a class derived from gansearch's ModelFamily, with a "
            "config_type and a build."
        )
    family: ModelFamily[Any] = found(name)
    return family
