"""`gansearch.Guard`: are a generator's samples collapsed, in anybody's training loop?

guard = gansearch.Guard("mnist", max_updates=50_000)
...
verdict = guard.check(generator(noise), step=updates)
if verdict.stop:
    break
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gansearch.arguments import (
    in_python_terms,
    number_argument,
    override_arguments,
    path_argument,
    refused,
)
from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.data.registry import open_dataset
from gansearch.errors import BadInputError, DataError
from gansearch.measures import N_EVALUATION_SAMPLES, Indicators
from gansearch.scoring.arrays import as_array
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import N_EVALUATION_REFERENCE, health_reference
from gansearch.scoring.health import HealthMonitor, TrialEvaluation
from gansearch.scoring.indicators import HealthReference
from gansearch.scoring.samples import MIN_SAMPLES, channels_last, check_samples
from gansearch.scoring.verdict import LEAST_UPDATES, Verdict
from gansearch.space.overrides import data_options


@dataclass(frozen=True)
class GuardIndicators:
    """What a check measures of samples, or of as many real examples.

    Attributes:
        coverage, recall: in [0, 1]; low where modes are missing, or samples vary too little.
        nn_ratio: from 0; near 0 where a few samples are repeated.
        n_classes: effective number of classes; None where the data has none, or where so few
            examples don't show them.
    """

    coverage: float
    recall: float
    nn_ratio: float
    n_classes: float | None


@dataclass(frozen=True)
class GuardVerdict:
    """What a check says of samples.

    Attributes:
        status: `sound`, `undetermined`, `collapsed` or, if a sample isn't finite, `diverged`.
        reason: why, in words; "" if the samples are sound.
        indicators: of the samples; None if they diverged.
        real: those of as many real examples, to read them beside.
        stop: whether a search would stop this training now.
        step: as it was given.
        p_recovers: where samples of a training look collapsed, the forecast probability that they
            no longer are at its end; None otherwise.
        missing_classes: names of classes that hardly occur among finished samples.
    """

    status: str
    reason: str
    indicators: GuardIndicators | None
    real: GuardIndicators
    stop: bool
    step: int | None = None
    p_recovers: float | None = None
    missing_classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for a log."""
        return {**asdict(self), "missing_classes": list(self.missing_classes)}


class Guard:
    """Tells whether a generator's samples are collapsed, without a search.

    With `max_updates` it follows one training, as a search does: while its samples look collapsed
    it is `undetermined`, and `collapsed` once the forecast probability that it recovers by the end
    has been below `give_up` at two checks in a row. Samples at the end are judged as finished ones.
    Without `max_updates` every check judges the samples as they are, as `gansearch evaluate` does.

    The data is prepared once; a check then takes some hundredths of a second (`docs/scores.md`).

    Args:
        data: examples, as `gansearch.search(dataset=...)` takes them, or the name of a data set.
        max_updates: length of the training in parameter updates, k of D and one of G an iteration,
            as `step` counts them.
        grace: share of the training in which it is not stopped; nor is it in its first 1,000
            updates.
        give_up: probability of recovery below which it is stopped; 0 for never.
        n_samples: how many samples a check looks at, drawn from those that it gets. Thresholds and
            forecasts were made with 1,000.
        data_dir: folder of a named data set.
        overrides: options of the data set `folder`: `{"data.image_size": 64}`.

    Raises:
        DataError: the data can't be used, is unknown or missing.
        BadInputError: another argument can't be used.
    """

    def __init__(
        self,
        data: Any,
        *,
        max_updates: int | None = None,
        grace: float = Budget.grace,
        give_up: float = Budget.give_up,
        n_samples: int = N_EVALUATION_SAMPLES,
        data_dir: str | Path | None = None,
        overrides: Any = (),
    ) -> None:
        with in_python_terms():
            self._n_samples = _checked_count(n_samples)
            self._max_updates = (
                None if max_updates is None else _budget_value("max_updates", max_updates)
            )
            self._grace = _budget_value("grace", grace)
            self._give_up = _budget_value("give_up", give_up)
            self.dataset = _opened(data, data_dir, overrides)
            self._collapse_test = CollapseTest(self.dataset)
            self._references: dict[int, HealthReference] = {}
            self._reference(self._n_samples)
            self._collapse_test.prepare(self._n_samples)
        self._monitor: HealthMonitor | None = None
        self._has_checked = False

    def check(self, samples: Any, step: int | None = None) -> GuardVerdict:
        """Return the verdict on samples of the generator; call it for each check in turn.

        Args:
            samples: at least 20, better 1,000: `[n, d]`, `[n, h, w]`, `[n, h, w, c]` or
                `[n, c, h, w]`, an array or a tensor on any device. Images are in [0, 1] or whole
                numbers; vectors in the units of the data.
            step: parameter updates so far; needed with `max_updates`.

        Raises:
            SamplesError: there are fewer than 20 samples, of another shape or, at the first check,
                on another scale. Samples that aren't finite are no error, but `diverged`.
            BadInputError: `step` is absent or no whole number.
        """
        with in_python_terms():
            step = self._checked_step(step)
            array = as_array(samples)
            if array.ndim and array.dtype.kind == "f" and not np.isfinite(array).all():
                return self._diverged(array, step)
            return self._judge(self._rows(array), step)

    def _diverged(self, array: np.ndarray, step: int | None) -> GuardVerdict:
        n = int((~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).sum())
        reason = f"{n:,} of {len(array):,} samples hold NaN or infinite values"
        real = self._real(min(self._n_samples, len(array)))
        return GuardVerdict("diverged", reason, None, real, stop=True, step=step)

    def _checked_step(self, step: Any) -> int | None:
        if step is None:
            if self._max_updates is None:
                return None
            raise BadInputError(
                "step: missing. With max_updates a check needs the parameter updates so far: "
                "guard.check(samples, step=updates)."
            )
        try:
            found = int(step)
        except (TypeError, ValueError):
            found = -1
        if found != step or found < 0:
            raise refused("step", step, "It must be a whole number from 0.")
        return found

    def _rows(self, array: np.ndarray) -> np.ndarray:
        """Return the samples `[n, d]` that are looked at, on the scale of the data."""
        array = channels_last(array, self.dataset)
        if self._has_checked and self.dataset.is_bounded and array.dtype.kind == "f":
            array = array.clip(0, 1)  # the scale is known to be right; a training may overshoot
        rows = check_samples(array, self.dataset)
        self._has_checked = True
        return rows[np.random.default_rng(0).permutation(len(rows))[: self._n_samples]]

    def _judge(self, rows: np.ndarray, step: int | None) -> GuardVerdict:
        reference = self._reference(len(rows))
        found = reference.indicators(rows)
        n_classes = self._collapse_test.n_classes_effective(rows)
        indicators, real = (
            GuardIndicators(**asdict(found), n_classes=n_classes),
            self._real(len(rows)),
        )
        missing: tuple[str, ...] = ()
        if self._max_updates is None or step is None or step >= self._max_updates:
            collapse = self._collapse_test.judge(rows, found, reference.null)
            verdict, missing = collapse.verdict, collapse.missing_classes
        else:
            verdict = self._follow(found, reference.null, indicators, real, step)
        return GuardVerdict(
            verdict.status,
            verdict.reason,
            indicators,
            real,
            stop=verdict.status == "collapsed",
            step=step,
            p_recovers=verdict.p_recovers,
            missing_classes=missing,
        )

    def _follow(
        self,
        found: Indicators,
        null: Indicators,
        indicators: GuardIndicators,
        real: GuardIndicators,
        step: int,
    ) -> Verdict:
        """Judge a training that goes on, by what a search asks of its trials."""
        assert self._max_updates is not None
        if self._monitor is None:
            self._monitor = HealthMonitor(
                null,
                max_updates=self._max_updates,
                grace_updates=max(round(self._grace * self._max_updates), LEAST_UPDATES),
                give_up=self._give_up,
            )
        share = None
        if indicators.n_classes is not None and real.n_classes:
            share = indicators.n_classes / real.n_classes
        return self._monitor.judge(
            TrialEvaluation(updates=step, **asdict(found), class_share=share)
        )

    def _reference(self, n: int) -> HealthReference:
        """Return the real examples that n samples are compared with."""
        n = min(n, N_EVALUATION_REFERENCE)
        if n not in self._references:
            self._references[n] = health_reference(self.dataset, n)
        return self._references[n]

    def _real(self, n: int) -> GuardIndicators:
        n = max(n, MIN_SAMPLES)
        null = self._reference(n).null
        return GuardIndicators(**asdict(null), n_classes=self._collapse_test.n_classes(n))


def _opened(data: Any, data_dir: Any, overrides: Any) -> Dataset:
    folder = Path(path_argument("data_dir", data_dir)) if data_dir else None
    changes = override_arguments(overrides)
    if changes and not isinstance(data, str):
        raise DataError(f"overrides {changes[0]}: the data itself is given, and takes no options.")
    options = data_options(data, changes) if changes else None
    return open_dataset(data, folder, options=options)


def _budget_value(name: str, value: Any) -> Any:
    return number_argument(name, value, Budget.rules()[name])


def _checked_count(n_samples: Any) -> int:
    rule = Budget.rules()["reports"]
    n: int = number_argument("n_samples", n_samples, rule)
    if n < MIN_SAMPLES:
        raise refused("n_samples", n_samples, f"It must be at least {MIN_SAMPLES}.")
    return n
