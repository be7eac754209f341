"""What identifies the examples of a data set, so that scores on other data are never compared."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gansearch.data.dataset import SPLITS, Dataset

# What else of a data set decides the scores, and what messages call it.
_RULES = {
    "scale": "the divisor of stored values",
    "contrast": "the norm of normalized images",
    "n_valid_for_sigma": "the number of validation examples that choose sigma",
}


@dataclass(frozen=True)
class SplitFingerprint:
    """One split: its number of examples, the type of its values, and their SHA-256 in order."""

    n: int
    dtype: str
    sha256: str


@dataclass(frozen=True)
class Fingerprint:
    """What a run learned from; equal for equal examples in the same order and scaling.

    Attributes:
        shape: of an example, as `Dataset.shape`.
        scale, contrast, n_valid_for_sigma: as in `Dataset`.
        train, valid, test: the splits.
    """

    shape: tuple[int, ...]
    scale: float
    contrast: float | None
    n_valid_for_sigma: int
    train: SplitFingerprint
    valid: SplitFingerprint
    test: SplitFingerprint

    @classmethod
    def of(cls, dataset: Dataset) -> Fingerprint:
        """Return the fingerprint of a data set; hashing MNIST takes .05 s."""
        values: dict[str, Any] = {name: _split(getattr(dataset, name)) for name in SPLITS}
        values |= {name: getattr(dataset, name) for name in _RULES}
        return cls(shape=tuple(map(int, dataset.shape)), **values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**dataclasses.asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fingerprint:
        """Return what `to_dict` was called on; keys of later versions are ignored.

        Raises:
            ValueError: a key is absent, or a value has the wrong type.
        """
        names = [field.name for field in dataclasses.fields(SplitFingerprint)]
        try:
            splits = {
                split: SplitFingerprint(**{name: values[split][name] for name in names})
                for split in SPLITS
            }
            numbers = [*values["shape"], *(split.n for split in splits.values())]
            if not all(isinstance(number, int) for number in numbers):
                raise TypeError("a side or a number of examples isn't a whole number")
            rest: dict[str, Any] = splits | {name: values[name] for name in _RULES}
            return cls(shape=tuple(values["shape"]), **rest)
        except (KeyError, TypeError) as error:
            raise ValueError(f"data: {type(error).__name__}: {error}") from error

    def differences(self, now: Fingerprint) -> Iterator[str]:
        """Yield in what the data `now` differs, such as `test: 40 examples of 8x8x1 then, 44 now`.

        Nothing if it is the same.
        """
        for name in SPLITS:
            then_split, now_split = getattr(self, name), getattr(now, name)
            if (what := self._difference(then_split, now, now_split)) is not None:
                yield f"{name}: {what}"
        for name, meaning in _RULES.items():
            if (before := getattr(self, name)) != (after := getattr(now, name)):
                yield f"{meaning}: {before} then, {after} now"

    def _difference(
        self, then: SplitFingerprint, now: Fingerprint, now_split: SplitFingerprint
    ) -> str | None:
        if self.shape != now.shape or then.n != now_split.n:
            after = f"{now_split.n:,}" + (f" of {_by(now)}" if self.shape != now.shape else "")
            return f"{then.n:,} examples of {_by(self)} then, {after} now"
        if then.dtype != now_split.dtype:
            return f"values of type {then.dtype} then, {now_split.dtype} now"
        if then.sha256 != now_split.sha256:
            return f"{then.n:,} examples as then, but others, or in another order"
        return None


def _by(fingerprint: Fingerprint) -> str:
    return "x".join(map(str, fingerprint.shape))


def _split(examples: np.ndarray) -> SplitFingerprint:
    content = np.ascontiguousarray(examples)
    return SplitFingerprint(
        len(content), content.dtype.str, hashlib.sha256(content.data).hexdigest()
    )
