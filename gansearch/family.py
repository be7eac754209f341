"""The interface to model families: all that search, records, scores and rankings know of a GAN.

A *model family* is a table of parameters, and a way to build a training from a configuration, a
data set, a seed and a device. A *training* advances by parameter updates, gives samples, and is
saved and loaded. The nets of Goodfellow et al. (2014) are one family, `adversarial_nets`. A family
of your own needs the three classes of this example, in a module `my_module.py`:

    import time
    from dataclasses import dataclass
    import numpy as np
    from gansearch.family import Metrics, ModelFamily, Training
    from gansearch.rules import Config, parameter

    @dataclass(frozen=True)
    class MeanConfig(Config):
        lr: float = parameter(0.01, "float", "learning rate", low=0, high=1)

    class MeanTraining(Training):  # a "generator" that learns the mean of its data
        updates = 0

        def __init__(self, config, dataset, seed):
            self.config, self.seed = config, seed
            self.data = dataset.to_float(dataset.train)
            self.mean = np.zeros(dataset.dim)

        def advance(self, updates, *, time_limit_seconds=float("inf")):
            deadline = time.monotonic() + time_limit_seconds
            while self.updates < updates:
                if time.monotonic() >= deadline:
                    return None
                example = self.data[self.updates % len(self.data)]
                self.mean += self.config.lr * (example - self.mean)
                self.updates += 1
            return Metrics(self.updates)

        def samples(self, n_samples):
            noise = np.random.default_rng(self.seed).normal(size=(n_samples, len(self.mean)))
            return (self.mean + 0.5 * noise).astype(np.float32)

        def save(self):
            return np.append(self.mean, self.updates).tobytes()

        def load(self, state):
            values = np.frombuffer(state)
            self.mean, self.updates = values[:-1].copy(), int(values[-1])

    class MeanFamily(ModelFamily[MeanConfig]):
        config_type = MeanConfig

        def build(self, config, dataset, seed, device):
            return MeanTraining(config, dataset, seed)

A space file then has the line `family: my_module.py:MeanFamily`, and searches `lr`. For networks or
a training loop of your own you need no family: see `docs/your-own-gan.md`.
"""

from __future__ import annotations

import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from gansearch.artifacts import GeneratorExport, Observer, SavedGenerator
from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError, ConfigError, did_you_mean
from gansearch.own_measures import OwnMeasure
from gansearch.rules import Config
from gansearch.scheduled import ScheduledConfig
from gansearch.system import user_code

ConfigT = TypeVar("ConfigT", bound=Config)
Split = Literal["valid", "test"]

DEFAULT_FAMILY = "adversarial_nets"
NO_BASELINE = "none"  # in place of the baseline's name, in a space that has none
# Name to module and class; imported only when a run uses the family, since networks load torch.
_FAMILIES = {
    DEFAULT_FAMILY: "gansearch.families.adversarial_nets:AdversarialNets",
    "conditional_nets": "gansearch.families.conditional_nets:ConditionalNets",
    "coordinated_nets": "gansearch.families.coordinated_nets:CoordinatedNets",
    "inference_nets": "gansearch.families.inference_nets:InferenceNets",
    "inpainting_nets": "gansearch.families.inpainting_nets:InpaintingNets",
    "semisupervised_nets": "gansearch.families.semisupervised_nets:SemisupervisedNets",
}
# Families whose code a space names, by the section that does.
_OF_SECTIONS = {
    "trainable": "gansearch.families.own_loop:OwnLoop",
    "generator": "gansearch.families.own_networks:OwnNetworks",
}
# The sections of a space that say what is trained.
FAMILY_SECTIONS = (
    "family",
    "generator",
    "discriminator",
    "output_range",
    "trainable",
    "parameters",
)


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of a training on a CPU, within a factor of two or so.

    Attributes:
        update: of a parameter update, on average.
        samples: of making up to 1,000 samples, the number of an evaluation.
        n_scored: how many sets of samples an evaluation scores: 2 with `Training.raw_samples`.
    """

    update: float
    samples: float
    n_scored: int = 1


@dataclass(frozen=True)
class Counts:
    """The progress of a training since its start.

    Attributes:
        updates: parameter updates, of all networks together.
        d_updates, g_updates: those of the discriminator and of the generator; None if unknown.
        seconds: time spent in training; nan if unknown.
    """

    updates: int
    d_updates: int | None = None
    g_updates: int | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Metrics(Counts):
    """What a training measures of itself between two evaluations; None for what it does not.

    Attributes:
        d_loss, g_loss: means over the updates since the last evaluation, in nats, no penalties.
        d_real, d_fake: the discriminator's mean output on real and on generated examples, in
            [0, 1].
        d_value: V(D, G) of Equation 1 of Goodfellow et al. (2014), in nats, on the same examples;
            -log 4 where D is 1/2 everywhere.
        d_grad_norm, g_grad_norm: L2 norms of the last gradients.
        stage_start: the value of `updates` when the current stage of the training began; the health
            check ignores earlier evaluations.
    """

    d_loss: float | None = None
    g_loss: float | None = None
    d_real: float | None = None
    d_fake: float | None = None
    d_value: float | None = None
    d_grad_norm: float | None = None
    g_grad_norm: float | None = None
    stage_start: int = 0


class Training(ABC):
    """One training and all of its state.

    A trial calls `advance` and then `samples` for each evaluation, and `save` from time to time and
    when it is stopped. A resumed trial builds a new training and calls `load`.

    Attributes:
        max_updates: its whole budget in parameter updates, for schedules that refer to it. The
            trial sets it after it has built the training; None before, and where there is no trial.
    """

    max_updates: int | None = None

    @property
    @abstractmethod
    def updates(self) -> int:
        """Parameter updates done, of all networks together. A plain attribute will do."""

    @abstractmethod
    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates have been done since the start.

        Args:
            updates: of all networks together. An iteration that passes it is completed.
            time_limit_seconds: time after which the call should return, so that the trial can save
                a checkpoint or stop.

        Returns:
            The measurements at `updates`; None if the time limit came first. Then the same call is
            made again, and must continue where this one ended.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite. The trial ends as diverged.
        """

    @abstractmethod
    def samples(self, n_samples: int) -> np.ndarray:
        """Return generated examples `[n_samples, dim]`, float32, as `Dataset.to_float` scales them.

        The same state gives the same samples, and `samples(n)` are the first n of `samples(m)` for
        m > n. Training continues as if the call had not been made.
        """

    def raw_samples(self, n_samples: int) -> np.ndarray | None:  # noqa: ARG002
        """Return what `samples` would give by the weights of the last iteration; None by default.

        For trainings whose samples come from other weights, such as a moving average: these are
        then scored beside them, in the columns `..._raw`, and decide nothing.
        """
        return None

    def discriminator_outputs(self) -> np.ndarray | None:
        """Return D's outputs on real and on generated examples, `[2, n]`, in [0, 1], float32.

        For the report; None by default, where there is no such D.
        """
        return None

    def measure(self, split: Split, *, at_end: bool) -> Mapping[str, float]:  # noqa: ARG002
        """Return the measures of `ModelFamily.measures` by name; none by default.

        One that is left out, or not finite, is null. Training continues as if the call had not been
        made.

        Args:
            split: of the data set that is measured on: "valid", or "test" for final scores.
            at_end: whether this is a replica's end, where measures that take long are due too.
        """
        return {}

    @abstractmethod
    def save(self) -> bytes:
        """Return the complete state: after `load`, training must continue as if uninterrupted."""

    def close(self) -> None:  # noqa: B027  # most trainings have nothing to end
        """End what goes on beside the calls, such as a thread; called when the trial leaves it."""

    @abstractmethod
    def load(self, state: bytes) -> None:
        """Restore a state that `save` returned, with the same configuration, data and seed.

        Raises:
            GansearchError, ValueError, KeyError, TypeError: the state is damaged or of another
                training. The trial then starts again from its beginning. Turn torch's RuntimeError
                into a ValueError.
        """

    def rewind(self, state: bytes) -> None:
        """Go back to a state that `save` has returned here, for its samples: it trains no more.

        Called at the end of a trial of which the best state is kept. By default `load`.
        """
        self.load(state)

    @property
    def counts(self) -> Counts:
        """The progress so far; also read between evaluations, when `advance` returned None."""
        return Counts(self.updates)


class Balance(NamedTuple):
    """The axes of a report's map of collapsed trainings: a parameter, and the ratio of two others.

    Attributes:
        rows: name of the parameter on the vertical axis, such as `k`.
        numerator, denominator: names of the parameters whose ratio is on the horizontal axis.
    """

    rows: str
    numerator: str
    denominator: str

    @property
    def ratio(self) -> str:
        """The name of the ratio, such as `discriminator_lr/generator_lr`."""
        return f"{self.numerator}/{self.denominator}"


class ModelFamily(ABC, Generic[ConfigT]):
    """A kind of generative model that can be searched. Only `config_type` and `build` are required.

    Args:
        name: what space files and `run.json` call it, such as `my_module:MyFamily`.

    Class attributes:
        config_type: the table of its parameters, a frozen dataclass derived from `Config`.
        baseline: name of the preset with all defaults, apart from what a space sets.
        baseline_title: what reports call that configuration.
        has_paper: whether the defaults are somebody's published configuration, which a run on a
            well-known data set trains again beside the best, for comparison.
        balance: the axes of the report's map of collapsed trainings; None for no map.
        updates_title: what reports call the updates that a budget counts.
        size_parameters: parameters that decide the memory of a training, named in error messages.
        interpolates: whether `SavedGenerator.interpolate` works.
        has_engine: whether `engine` works, which trains several trials together.
        has_discriminator: whether `discriminator` works.
        captions: what reports say of the `pictures` of the winner, by the names of their files.
        needs_sound_samples: whether a trial fails whose samples are collapsed. False where they
            aren't what is wanted: then the verdict is recorded, and ends no trial of a search for
            one of the family's `measures`.
        measures: what its trainings measure beside the scores of their samples; each may be the
            objective of a space, unless only a replica's end has it.
    """

    config_type: type[ConfigT]
    baseline: ClassVar[str] = "defaults"
    baseline_title: ClassVar[str] = "the default configuration"
    has_paper: ClassVar[bool] = False
    balance: ClassVar[Balance | None] = None
    updates_title: ClassVar[str] = "parameter updates, of D and G together"
    size_parameters: ClassVar[tuple[str, ...]] = ()
    interpolates: ClassVar[bool] = False
    has_engine: ClassVar[bool] = False
    has_discriminator: ClassVar[bool] = False
    needs_sound_samples: ClassVar[bool] = True
    measures: ClassVar[tuple[OwnMeasure, ...]] = ()
    captions: ClassVar[Mapping[str, str]] = {}

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def sections(self) -> dict[str, Any]:
        """The sections of a space by which `family_of` finds this family, as plain JSON values."""
        return {} if self.name == DEFAULT_FAMILY else {"family": self.name}

    @property
    def references(self) -> tuple[str, ...]:
        """What of the user's own code it needs, as `user_code.load` takes it."""
        return (self.name,) if user_code.is_reference(self.name) else ()

    @abstractmethod
    def build(self, config: ConfigT, dataset: Dataset, seed: int, device: str) -> Training:
        """Return a new training; called in the trial's process, at its start and at each resume.

        Args:
            config: the trial's configuration.
            dataset: `dataset.to_float(dataset.train)` are the training examples `[n, dim]`.
            seed: in [0, 2**31). On a CPU the same four arguments must give the same results.
            device: "cpu", "cuda" or "mps" (on Apple silicon).

        Raises:
            ConfigError: no model has this configuration. Better raised by `check`.
        """

    def check(self, config: ConfigT, dataset: Dataset) -> None:
        """Raise ConfigError if `config` can't be trained on `dataset`.

        Called before a run starts, for the baseline, the presets of `start_from`, and each end or
        choice of each range with everything else at its default; of these as many as half a minute
        allows.
        """

    def check_budget(self, config: ConfigT, max_updates: int) -> None:
        """Raise ConfigError if a training of `config` can't have a budget of so many updates.

        Called with `check`. By default it refuses points of a schedule that are never reached.
        """
        points = config.schedule if isinstance(config, ScheduledConfig) else ()
        for i, point in enumerate(points):
            if point.at >= max_updates:
                raise ConfigError(
                    f"configuration: schedule: point {i + 1}: at: {point.at}, with max_updates: "
                    f"{max_updates}: it is never reached. Raise max_updates, or leave it out."
                )

    def check_objective(self, name: str, dataset: Dataset) -> None:
        """Raise ConfigError if one of the `measures` has no value on `dataset`.

        Called before a run of which it is the objective.
        """

    def check_rewind(self, config: ConfigT, dataset: Dataset) -> None:
        """Raise ConfigError if a training of `config` can't go back by `Training.rewind`.

        Called before a run that keeps the best state of each training.
        """

    def training_bytes(
        self,
        config: ConfigT,  # noqa: ARG002
        dataset: Dataset,  # noqa: ARG002
        device: str,  # noqa: ARG002
        *,
        exact: bool,  # noqa: ARG002
    ) -> float | None:
        """Return the peak memory of a training in bytes, without the data; None if unknown.

        Called before a run starts, to refuse what doesn't fit. If not `exact`, it must take
        milliseconds and may be wrong by a factor of two.
        """
        return None

    def engine_bytes(
        self, config: ConfigT, dataset: Dataset, device: str, *, exact: bool
    ) -> float | None:
        """Return the peak memory of a training in an engine, as `training_bytes` does otherwise.

        With its slot, if it shares groups. All trainings of an engine hold the data once.
        """
        return self.training_bytes(config, dataset, device, exact=exact)

    def operations(self, config: ConfigT, dataset: Dataset) -> Operations | None:  # noqa: ARG002
        """Return the operations of an update and of making samples; None if unknown.

        Called before a run starts, to choose how many samples an evaluation uses where it would
        take long beside the training. It must take milliseconds.
        """
        return None

    def export(self, training: Any, seed: int) -> GeneratorExport:
        """Return what is stored of a generator at the end of its trial; by default `save()`.

        `seed` is the one that the training was built from.
        """
        state = np.frombuffer(training.save(), np.uint8)
        return GeneratorExport({"training": state}, seed, {})

    def generator(
        self, export: GeneratorExport, config: ConfigT, load_dataset: Callable[[], Dataset]
    ) -> SavedGenerator:
        """Return the generator that `export` stored, on the CPU; called by `gansearch sample`.

        `load_dataset` returns the data set of its training, for families that need it.

        Raises:
            ConfigError, ValueError, KeyError, TypeError, RuntimeError: the stored data is damaged.
        """
        training = self.build(config, load_dataset(), export.seed, "cpu")
        training.load(export.arrays["training"].tobytes())
        return _SavedTraining(training, self.name)

    def pictures(self, training: Any, dataset: Dataset) -> Mapping[str, bytes]:  # noqa: ARG002
        """Return pictures of a finished training, by the names of their files; none by default.

        They are written to `models/<trial>/`, beside the strip of its samples. Those of the winner
        that `captions` has are in the report.
        """
        return {}

    def discriminator(self, training: Any) -> Mapping[str, np.ndarray]:
        """Return what is stored of a discriminator: its weights by name; `--keep-discriminator`."""
        raise NotImplementedError(f"{self.name}: has_discriminator is {self.has_discriminator}")

    def observer(
        self,
        config: ConfigT,  # noqa: ARG002
        dataset: Dataset,  # noqa: ARG002
        report_updates: Sequence[int],  # noqa: ARG002
    ) -> Observer | None:
        """Return an observer for a trial that is evaluated at `report_updates`, or None."""
        return None

    def group_key(self, config: ConfigT) -> Hashable | None:  # noqa: ARG002
        """Return what trainings that share a group of an engine have in common with `config`.

        None for a training that shares none. It must take less than a millisecond.
        """
        return None

    def trains_in_group(self, config: ConfigT) -> bool:
        """Return whether an engine trains `config` in a group, be it by itself, or else in turn."""
        return self.group_key(config) is not None

    def engine(self, dataset: Dataset, device: str, n_slots: int) -> Engine:
        """Return an engine that trains up to `n_slots` similar trainings in one; once a process."""
        raise NotImplementedError(f"{self.name}: has_engine is {self.has_engine}")


class Engine(Protocol):
    """Trains all trials of one process together. Its methods are called from several threads."""

    def build(self, config: Any, seed: int) -> Training:
        """Return a new training."""
        ...

    def advance(
        self, training: Any, updates: int, *, time_limit_seconds: float = math.inf
    ) -> Metrics | None:
        """Do what `Training.advance` does, together with all other callers."""
        ...


class _SavedTraining:
    """The generator of a family whose export is the complete training."""

    n_kept = None

    def __init__(self, training: Training, family: str) -> None:
        self._training = training
        self._family = family

    def samples(self, n_samples: int) -> np.ndarray:
        return self._training.samples(n_samples)

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:  # noqa: ARG002
        raise BadInputError(
            f"--interpolate: generators of the family {self._family} can't interpolate. "
            "Leave the flag out."
        )


def load_family(name: str) -> ModelFamily[Any]:
    """Return the family of a built-in name, or of a class of the user's own; one instance each.

    A file of the user's that has changed is read again.

    Raises:
        BadInputError: no such family, or the class can't be imported or is no `ModelFamily`.
    """
    reference = _FAMILIES.get(name, name)
    if ":" not in reference:
        raise BadInputError(
            f"family {name}: no such family. {did_you_mean(name, _FAMILIES)} "
            "A family of your own is written FILE.py:CLASS."
        )
    try:
        found = user_code.load(reference)
    except BadInputError as error:
        raise BadInputError(f"family {error}") from error
    is_family = isinstance(found, type) and issubclass(found, ModelFamily)
    if not is_family or inspect.isabstract(found) or not hasattr(found, "config_type"):
        raise BadInputError(
            f"family {name}: it must be a class derived from gansearch's ModelFamily, with a "
            "config_type and a build."
        )
    return _instance(found, name)


@cache
def _instance(found: Callable[[str], ModelFamily[Any]], name: str) -> ModelFamily[Any]:
    return found(name)


def family_of(space: Mapping[str, Any]) -> ModelFamily[Any]:
    """Return the family that the sections of a space name; those that describe none may be there.

    No code of the user's is imported for networks or a loop of their own.

    Raises:
        BadInputError: as `load_family`.
    """
    for section in _OF_SECTIONS:
        if section in space:
            sections = {name: space[name] for name in FAMILY_SECTIONS if name in space}
            return _family_of_sections(section, json.dumps(sections))
    return load_family(space.get("family", DEFAULT_FAMILY))


@cache
def _family_of_sections(section: str, sections: str) -> ModelFamily[Any]:
    family: ModelFamily[Any] = user_code.load(_OF_SECTIONS[section])(json.loads(sections))
    return family
