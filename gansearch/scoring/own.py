"""Computes measures of the user's own: on samples and real examples, or on features of both.

A function sees examples as the user knows them: images `[n, channels, height, width]` in [0, 1],
points `[n, d]` in the data's own units. It is called without gradients and with random numbers of
its own, so that a training loop beside it goes on as if it had not been. Each process computes the
features of real examples once.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError
from gansearch.own_measures import INCEPTION, PIXELS, OwnMeasure
from gansearch.scoring.inception import inception
from gansearch.system.failures import is_lack_of_memory, own_code_error
from gansearch.system.global_random import everything_seeded
from gansearch.system.user_code import describe_error, is_reference, load, shown

N_TRIED = 20  # real examples of the call before a search
_BLOCK = 500  # examples that an extractor gets at a time
# Trials of an engine are threads of one process, and the random numbers are global.
_LOCK = threading.RLock()

Extractor = Callable[[np.ndarray], np.ndarray]


class OwnEvaluator:
    """Computes measures of the user's own, of samples against one data set.

    Args:
        measures: of the space.
        dataset: with the real examples.
        device: where extractors compute.
        objectives: the measures without which a trial fails.
    """

    def __init__(
        self,
        measures: Sequence[OwnMeasure],
        dataset: Dataset,
        *,
        device: str = "cpu",
        objectives: Sequence[OwnMeasure] = (),
    ) -> None:
        self._measures = [each for each in measures if not each.is_of_family]
        self._dataset = dataset
        self._device = device
        self._objectives = tuple(objectives)
        self._extractors: dict[str, Extractor] = {}
        self._real: dict[tuple[str, str, int], np.ndarray] = {}
        self._noted: set[str] = set()

    @property
    def n_samples(self) -> int:
        """The most samples that a measure asks for at an evaluation; 0 if none does."""
        return max((measure.n_samples or 0 for measure in self._measures), default=0)

    def evaluate(self, samples: np.ndarray, n: int) -> tuple[dict[str, float | None], list[str]]:
        """Measure samples `[n_samples, d]` of an evaluation against validation examples.

        As many real examples are used as samples, or all if there are fewer.

        Args:
            samples: as a training gives them, as many as some measure asks for.
            n: how many of them a measure gets that doesn't say.

        Returns:
            Values by column, None for those that failed, and sentences on why, each once.

        Raises:
            BadInputError: the objective failed.
        """
        seen: dict[tuple[str, int], np.ndarray] = {}
        values: dict[str, float | None] = {}
        notes: list[str] = []
        for measure in self._measures:
            count = measure.n_samples or n
            values[measure.column] = self._or_none(
                measure, notes, samples[:count], ("valid", count), seen
            )
        return values, notes

    def final(self, samples: np.ndarray) -> tuple[dict[str, float | None], list[str]]:
        """Measure all samples `[n, d]` against the validation set, and against the test set.

        Returns and raises as `evaluate`.
        """
        seen: dict[tuple[str, int], np.ndarray] = {}
        values: dict[str, float | None] = {}
        notes: list[str] = []
        for measure in self._measures:
            for column, split in zip(measure.final_columns, ("valid", "test"), strict=True):
                real = split, len(getattr(self._dataset, split))
                values[column] = self._or_none(measure, notes, samples, real, seen)
        return values, notes

    def check(self) -> None:
        """Call each measure on 20 real examples, before a search starts.

        Raises:
            BadInputError: one fails, or gives no finite number.
        """
        n = min(N_TRIED, len(self._dataset.train), len(self._dataset.valid))
        samples = self._dataset.to_float(self._dataset.train[:n])
        for measure in self._measures:
            try:
                self._value(measure, samples, ("valid", n), {})
            except BadInputError as error:
                raise BadInputError(
                    f"measures: {error} This was a call on {n} real examples as samples, beside "
                    f"{n} others."
                ) from error

    def _or_none(
        self,
        measure: OwnMeasure,
        notes: list[str],
        samples: np.ndarray,
        real: tuple[str, int],
        seen: dict[tuple[str, int], np.ndarray],
    ) -> float | None:
        try:
            return self._value(measure, samples, real, seen)
        except BadInputError as error:
            if measure in self._objectives:
                raise
            if measure.name not in self._noted:
                self._noted.add(measure.name)
                notes.append(f"measure {error} It is null there; trials go on")
            return None

    def _value(
        self,
        measure: OwnMeasure,
        samples: np.ndarray,
        real: tuple[str, int],
        seen: dict[tuple[str, int], np.ndarray],
    ) -> float:
        """Return a measure's value; `seen` has the features of these samples so far."""
        with _LOCK, torch.no_grad(), everything_seeded(0, self._device):
            key = measure.features, len(samples)
            if key not in seen:
                seen[key] = self._features(measure.features, samples)
            of_real = self._real_features(measure.features, *real)
            function = load(measure.function)
            try:
                # Copies, since a function may write into what it gets.
                found = function(seen[key].copy(), of_real.copy())
            except Exception as error:
                raise _failed(measure.function, error) from error
        return _number(measure, found)

    def _real_features(self, features: str, split: str, n: int) -> np.ndarray:
        """Return the features of the first n real examples of a split."""
        stored = getattr(self._dataset, split)[:n]
        key = features, split, len(stored)
        if key not in self._real:
            self._real[key] = self._features(features, self._dataset.to_float(stored))
        return self._real[key]

    def _features(self, features: str, examples: np.ndarray) -> np.ndarray:
        """Return what a measure sees of examples `[n, d]` as they are trained on."""
        seen = as_seen(self._dataset, examples)
        if features == PIXELS:
            return seen
        if features not in self._extractors:
            self._extractors[features] = _extractor(features, self._device)
        extract = self._extractors[features]
        blocks = [extract(seen[start : start + _BLOCK]) for start in range(0, len(seen), _BLOCK)]
        return np.concatenate(blocks)


def as_seen(dataset: Dataset, examples: np.ndarray) -> np.ndarray:
    """Return examples `[n, d]` as they are trained on in the form in which a user knows them.

    Images are `[n, channels, height, width]` in [0, 1], float32; points `[n, d]` in their own
    units.
    """
    if not dataset.is_image:
        return dataset.in_own_units(examples)
    images = dataset.to_pixels(examples).reshape(-1, *dataset.shape).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, np.float32)


def _number(measure: OwnMeasure, found: Any) -> float:
    """Return a measure's value as a number, be it one of NumPy or torch."""
    try:
        value = float(found)
    except (TypeError, ValueError, RuntimeError):
        what = f"a {type(found).__name__}"
    else:
        if math.isfinite(value):
            return value
        what = f"{value}"
    raise BadInputError(
        f"{shown(measure.function)}: it returned {what}. It must return a finite number."
    )


def _extractor(features: str, device: str) -> Extractor:
    known, _, weights = features.partition(":")
    if is_reference(features):
        name, call = shown(features), _function(features)
    elif known == INCEPTION:
        name, call = INCEPTION, inception(weights, device)
    else:
        name, call = Path(features).name, _torchscript(Path(features), device)

    def extract(examples: np.ndarray) -> np.ndarray:
        try:
            found = call(examples)
            found = found.detach().cpu() if isinstance(found, torch.Tensor) else found
            array = np.asarray(found, np.float32)
        except BadInputError:
            raise
        except Exception as error:
            raise _failed(name, error) from error
        if array.ndim != 2 or len(array) != len(examples):
            raise BadInputError(
                f"{name}: features {list(array.shape)} of {len(examples)} examples. An extractor "
                "must return an array [n, k], a row for each example."
            )
        return array

    return extract


def _function(reference: str) -> Callable[[np.ndarray], Any]:
    function: Callable[[np.ndarray], Any] = load(reference)
    return lambda examples: function(examples.copy())


def _torchscript(path: Path, device: str) -> Callable[[np.ndarray], Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is old, and widespread
            module = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ValueError) as error:
        is_missing = not path.is_file()
        found = "there is no such file" if is_missing else describe_error(error)
        raise own_code_error(
            f"{path}: {found}. Features come from a TorchScript file, as torch.jit.save writes it, "
            "that every node can read.",
            FileNotFoundError(path) if is_missing else error,  # torch raises a ValueError
        ) from error
    return lambda examples: module(torch.from_numpy(examples).to(device))


def _failed(name: str, error: Exception) -> Exception:
    """Return the error to raise for one of the user's code; a lack of memory is as it is."""
    if is_lack_of_memory(error):
        return error
    return own_code_error(f"{shown(name)}: {describe_error(error).removesuffix('.')}.", error)
