"""The units of vectors: standardised to train and score, the data's own for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gansearch.errors import DataError

_DIGITS = 6  # of a standard deviation, so that the last bits of a sum decide nothing
_SHARE_DIGITS = 4  # of a mean, as a multiple of the standard deviation
# Beyond so many standard deviations from 0, float32 would blur the data's own values.
_FAR = 1e4


@dataclass(frozen=True)
class Units:
    """How vectors are standardised: `(x - offset) / unit`, column by column.

    Attributes:
        offset: `[d]`, float64, the mean of each column of the training set.
        unit: `[d]`, float64, its standard deviation; 1 where the column is constant.
    """

    offset: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(cls, train: np.ndarray, where: str) -> Units:
        """Return the units of training vectors `[n, d]`, which aren't all identical.

        Means and deviations are rounded, so that every machine finds the same ones.

        Raises:
            DataError: a column is beyond the range of float64; `where` names the data.
        """
        values = train.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            means, sds = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(means) & np.isfinite(sds)).all():
            raise DataError(
                f"{where}: values up to {np.abs(values).max():.3g}. They are too large to be "
                "standardised. Divide them, or take their logarithms."
            )
        is_constant = (values == values[:1]).all(axis=0) | (sds == 0)
        units = [
            1.0 if constant else float(f"{sd:.{_DIGITS}g}")
            for sd, constant in zip(sds, is_constant, strict=True)
        ]
        unit = np.array(units)
        offset = np.where(is_constant, values[0], (means / unit).round(_SHARE_DIGITS) * unit)
        return cls(offset, unit)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain JSON values."""
        return {"offset": self.offset.tolist(), "unit": self.unit.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: `values` are something else.
        """
        return cls(np.array(values["offset"], float), np.array(values["unit"], float))

    @property
    def log_volume(self) -> float:
        """The sum of the logarithms of `unit`, in nats.

        A log-likelihood in the data's own units is that of the standardised data, less this.
        """
        return float(np.log(self.unit).sum())

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Return vectors `[..., d]` in the data's own units as they are trained on, float32."""
        scaled: np.ndarray = (values.astype(np.float64) - self.offset) / self.unit
        with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and is refused
            return scaled.astype(np.float32)

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Return standardised vectors `[..., d]` in the data's own units.

        They are float32, or float64 where float32 is too coarse, as for dates in seconds.
        """
        found = values.astype(np.float64) * self.unit + self.offset
        is_far = (np.abs(self.offset) > _FAR * self.unit).any()
        restored: np.ndarray = found if is_far else found.astype(np.float32)
        return restored
