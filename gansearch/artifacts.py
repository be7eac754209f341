"""What a training leaves in `models/<trial>/`: its generator, and the files of an observer.

A model family that does without these gets defaults from `ModelFamily`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, SupportsIndex, cast

import numpy as np

from gansearch.errors import BadInputError

# Which state of a training is stored, scored and ranked: the last, or the best on validation data.
Keep = Literal["last", "best"]
_MAX_SHOWN = 20  # classes in a message


@dataclass(frozen=True)
class GeneratorExport:
    """What is stored of a trained generator.

    Attributes:
        arrays: its weights by name, for a safetensors file.
        seed: the seed of its samples.
        details: what else `ModelFamily.generator` needs, as plain JSON values.
    """

    arrays: Mapping[str, np.ndarray]
    seed: int
    details: Mapping[str, Any]


@dataclass(frozen=True)
class GeneratorModule:
    """A trained generator as a module of torch, for use outside gansearch.

    Attributes:
        network: a `torch.nn.Module` in evaluation mode on the CPU, from noise `[n, noise_dim]` to
            images `[n, channels, height, width]` or points `[n, d]`.
        definition: Python that assigns a module of the same structure, untrained, to `generator`,
            where `torch` and `torch.nn` as `nn` are imported; it may import from `files`. None if
            only the user's own code makes one.
        noise: a Python expression of noise `[n, noise_dim]` from `n` and a `torch.Generator` `rng`.
        noise_dim: dimension of the noise.
        seed: of the noise of the samples that were scored.
        block: how many samples are generated together, one block after the other.
        depends_on_company: whether a sample depends on the others of its block.
        files: that `definition` imports, by name.
    """

    network: Any
    definition: str | None
    noise: str
    noise_dim: int
    seed: int
    block: int
    depends_on_company: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)


def module_of(generator: SavedGenerator) -> GeneratorModule:
    """Return a trained generator as a module of torch.

    A family offers it by a method `module()` of its saved generators, without arguments.

    Raises:
        BadInputError: those of its family are none.
    """
    method = getattr(generator, "module", None)
    if method is None:
        raise no_module()
    found: GeneratorModule = method()
    return found


def no_module() -> BadInputError:
    """Return the error of generators that are no modules of torch."""
    return BadInputError(
        "the generators of this model family are no modules of torch, so they can't be "
        "exported. `gansearch sample` gives their samples. A family that offers modules gives "
        "its saved generators a method module() (gansearch/artifacts.py)."
    )


@dataclass(frozen=True)
class ConditionalSamples:
    """What a saved generator that makes examples of a given class offers: see `conditional_of`.

    Attributes:
        classes: their names.
        samples: from the index of a class and a number n to examples `[n, dim]`, float32: the first
            n of that class among those that `SavedGenerator.samples` gives.
        interpolate: from the index of a class, n_rows and n_steps to examples
            `[n_rows, n_steps, dim]` of that class, as `SavedGenerator.interpolate`.
    """

    classes: tuple[str, ...]
    samples: Callable[[int, int], np.ndarray]
    interpolate: Callable[[int, int, int], np.ndarray]

    def index_of(self, label: object) -> int:
        """Return the index of a class that is given by its name or by its index; names go first.

        Raises:
            BadInputError: there is no such class.
        """
        if not isinstance(label, bool) and isinstance(label, str | SupportsIndex):
            text = label if isinstance(label, str) else str(operator.index(label))
            if text in self.classes:
                return self.classes.index(text)
            if text.isascii() and text.isdecimal() and int(text) < len(self.classes):
                return int(text)
        shown = ", ".join(self.classes[:_MAX_SHOWN])
        more = len(self.classes) - _MAX_SHOWN
        raise BadInputError(
            f"--label {label}: no such class. The classes are {shown}"
            f"{f' and {more:,} more' if more > 0 else ''}. Give a name, or an index from 0 to "
            f"{len(self.classes) - 1}."
        )


def conditional_of(generator: SavedGenerator) -> ConditionalSamples | None:
    """Return how a trained generator makes examples of given classes; None if it doesn't.

    A family offers it by a method `conditional()` of its saved generators, without arguments.
    """
    method = getattr(generator, "conditional", None)
    found: ConditionalSamples | None = method() if method else None
    return found


def complete_with(generator: SavedGenerator, x: np.ndarray, mask: np.ndarray, n: int) -> np.ndarray:
    """Return n completions of each of x `[n_examples, dim]`, `[n_examples, n, dim]`, float32.

    A family offers it by a method `complete(x, mask, n)` of its saved generators. It gets float32
    examples as `Dataset.to_float` scales them, and for each what is visible, bool: `[n_examples,
    height * width]` of images, `[n_examples, dim]` of points. Values that are hidden are 0.

    Raises:
        BadInputError: the generators of its family don't complete examples, or not these.
    """
    method = getattr(generator, "complete", None)
    if method is None:
        raise BadInputError(
            "the generators of this model family don't complete examples. The family "
            "inpainting_nets does: `gansearch run --space digits-inpainting`. One of your own "
            "gives its saved generators a method complete(x, mask, n) (gansearch/artifacts.py)."
        )
    found: np.ndarray = method(x, mask, n)
    return found


class Inference(Protocol):
    """A saved generator that also infers the noise of an example: see `inference_of`."""

    def infer(self, x: np.ndarray) -> np.ndarray:
        """Return the noise `[n, noise_dim]`, float32, of examples `[n, dim]`."""
        ...

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Return what the generator makes of that noise, `[n, dim]`, float32."""
        ...


def inference_of(generator: SavedGenerator) -> Inference:
    """Return a trained generator as one that infers noise.

    A family offers it by methods `infer` and `reconstruct` of its saved generators.

    Raises:
        BadInputError: those of its family infer nothing.
    """
    if not all(hasattr(generator, name) for name in ("infer", "reconstruct")):
        raise BadInputError(
            "the generators of this run have no inference network, so nothing is inferred or "
            "reconstructed. Those of the family inference_nets have one, as in the space "
            "digits-inference; a family of your own offers it by methods infer and reconstruct of "
            "its saved generators (gansearch/artifacts.py)."
        )
    found: Any = generator
    return cast("Inference", found)


class SavedGenerator(Protocol):
    """A trained generator that was read from the folder of a run.

    It may have a method `module()`, which returns a `GeneratorModule`: see `module_of`; a method
    `conditional()`, which returns `ConditionalSamples`: see `conditional_of`; and a method
    `complete(x, mask, n)`: see `complete_with`. With methods `infer` and `reconstruct` it is an
    `Inference`: see `inference_of`.
    """

    @property
    def n_kept(self) -> int | None:
        """How many samples it has; None where it makes any number."""
        ...

    def samples(self, n_samples: int) -> np.ndarray:
        """Return examples `[n_samples, dim]`, float32; the first are those that were scored."""
        ...

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Return examples `[n_rows, n_steps, dim]`; row i goes from sample 2i to sample 2i + 1.

        Raises:
            BadInputError: the generators of this family can't interpolate.
        """
        ...


class Observer(Protocol):
    """Watches one training at its start and at each evaluation, and writes files at the end."""

    def observe(self, training: Any) -> None:
        """Record the current state of the training."""
        ...

    def state(self) -> Mapping[str, np.ndarray]:
        """Return its state for a checkpoint; the names share a prefix of its own."""
        ...

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; ignore other arrays."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Return files for the folder `models/<trial>/`, by name."""
        ...
