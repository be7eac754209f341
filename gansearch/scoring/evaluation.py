"""A trial's evaluation and a final score: Parzen log-likelihood beside health indicators.

Evaluations see validation data only. The test set is scored once, at the end, by the protocol of
Goodfellow et al. (2014): 10,000 samples, sigma chosen on the first 1,000 validation examples.
A final score also gives the distance of the samples to training examples, since copies score best.
Everything here is a deterministic function of the samples.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import DataError
from gansearch.measures import N_EVALUATION_SAMPLES, Evaluation, Fidelity, Indicators, columns
from gansearch.scoring.collapse import Collapse, CollapseTest
from gansearch.scoring.copying import copying
from gansearch.scoring.divergence import kl_divergence
from gansearch.scoring.fld import dataset_fld
from gansearch.scoring.indicators import N_NEIGHBOURS, HealthReference
from gansearch.scoring.neighbours import N_COPY_SAMPLES
from gansearch.scoring.parzen import (
    ParzenScore,
    choose_sigma,
    log_likelihoods,
    score,
    score_curve,
    sigma_grid,
)
from gansearch.scoring.samples import MIN_SAMPLES, Array, as_samples, check_count

N_EVALUATION_REFERENCE = 500
_N_FINAL_REFERENCE = 1000


class Evaluator:
    """Evaluates a trial's samples against fixed validation and training examples.

    Attributes:
        n_samples: how many samples an evaluation needs; as many validation examples are used at
            most.
        reference: training examples and their null, for the health indicators.
        collapse_test: counts the classes among samples, and tells whether they are collapsed.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        device: str = "cpu",
        n_samples: int = N_EVALUATION_SAMPLES,
        collapse_test: CollapseTest | None = None,
    ) -> None:
        """Draw the reference examples.

        `collapse_test` is one of this data set that is prepared; by default one is, when needed.

        Raises:
            DataError: there are fewer than 40 training examples, or the labels don't fit them.
        """
        self.n_samples = n_samples
        n_reference = min(n_samples, N_EVALUATION_REFERENCE)
        self.reference = health_reference(dataset, n_reference, device)
        self.collapse_test = collapse_test or CollapseTest(dataset)
        n_valid = min(n_samples, dataset.n_valid_for_sigma)
        self._valid = torch.from_numpy(dataset.to_float(dataset.valid[:n_valid])).to(device)
        self._grid = _grid(dataset, "fine")
        self._device = device

    def evaluate(self, samples: Array) -> Evaluation:
        """Evaluate `samples` `[n_samples, d]`: images in [0, 1], or points.

        Raises:
            SamplesError: the samples are not finite, or have another shape.
        """
        samples = as_samples(samples, self._device)
        sigma, at_edge, valid_ll = choose_sigma(
            samples, self._valid, self._grid, device=self._device
        )
        indicators, fidelity = self.reference.measure(samples)
        return Evaluation(
            valid_ll,
            sigma,
            at_edge,
            **vars(indicators),
            **vars(fidelity),
            n_classes_effective=self.collapse_test.n_classes_effective(samples),
        )

    @property
    def n_classes(self) -> float | None:
        """Effective number of classes among as many real examples; None if they don't show it."""
        return self.collapse_test.n_classes(self.n_samples)

    def judge(self, samples: Array, indicators: Indicators) -> Collapse:
        """Tell whether `samples` `[n, d]` of a training that has ended are collapsed.

        `indicators` are theirs, by `evaluate` or `reference`.
        """
        return self.collapse_test.judge(samples, indicators, self.reference.null)

    def with_raw(self, evaluation: Evaluation, raw: Array) -> Evaluation:
        """Return an evaluation with the scores of `Training.raw_samples` beside it.

        Raises:
            SamplesError: as `evaluate`.
        """
        coverage = self.reference.indicators(as_samples(raw, self._device)).coverage
        return dataclasses.replace(
            evaluation, valid_ll_raw=self.valid_ll(raw), coverage_raw=coverage
        )

    def valid_ll(self, samples: Array) -> float:
        """Return the mean log-likelihood (nats) of the validation examples alone.

        Raises:
            SamplesError: as `evaluate`.
        """
        samples = as_samples(samples, self._device)
        return choose_sigma(samples, self._valid, self._grid, device=self._device)[2]


@dataclass(frozen=True)
class FinalScore:
    """The score of samples on the test set, their health, and their distance to training data.

    Attributes:
        parzen: log-likelihoods, in nats.
        indicators: the health indicators of the samples.
        null: those of real data.
        fidelity: precision, clipped density and clipped coverage of the samples.
        null_fidelity: those of real data.
        train_nn_ratio, copy_p: see `copying.Copying`.
        fld: feature likelihood divergence of the values themselves, in nats per 100 dimensions.
        kl: estimated KL divergence from the data, in nats; None beyond 4 dimensions.
        collapse: whether the samples are collapsed; None if that was not asked.
        test_ll_raw, valid_ll_raw, coverage_raw: of `Training.raw_samples`; None without them.
    """

    parzen: ParzenScore
    indicators: Indicators
    null: Indicators
    fidelity: Fidelity
    null_fidelity: Fidelity
    train_nn_ratio: float
    copy_p: float
    fld: float
    kl: float | None = None
    collapse: Collapse | None = None
    test_ll_raw: float | None = None
    valid_ll_raw: float | None = None
    coverage_raw: float | None = None

    @property
    def measured(self) -> dict[str, Any]:
        """Every measure of the samples, by its column."""
        parts = (self, self.parzen, self.indicators, self.fidelity, self.collapse)
        values = {
            name: value for part in parts if part is not None for name, value in vars(part).items()
        }
        return {name: values[name] for name in columns("final") if name in values}


def final_score(
    dataset: Dataset,
    samples: Array,
    *,
    raw: Array | None = None,
    grid: str = "fine",
    n_valid: int | None = None,
    device: str = "cpu",
    collapse_test: CollapseTest | None = None,
) -> FinalScore:
    """Score `samples` `[n, d]` on the test set, and take their indicators.

    The protocol asks for 10,000 samples. The indicators use 1,000 of them, or all if there are
    fewer, drawn at random because a file may be sorted.

    Args:
        dataset: provides the test set.
        samples: images in [0, 1], or contrast normalised if the data set is, or points.
        raw: as many of `Training.raw_samples`, to be scored beside them.
        grid: "fine", or "authors" to compare with published scores (see `sigma_grid`).
        n_valid: sigma is chosen on the first `n_valid` validation examples; None for the data
            set's `n_valid_for_sigma`.
        device: where to compute.
        collapse_test: of this data set, to tell whether the samples are collapsed.

    Raises:
        SamplesError: there are fewer than 20 samples, or they are not finite or have another shape.
        DataError: there are too few training examples for the indicators.
    """
    samples = _checked(samples, device)
    reference = health_reference(dataset, min(_N_FINAL_REFERENCE, len(samples)), device)
    n_valid = n_valid or dataset.n_valid_for_sigma
    valid, test = dataset.to_float(dataset.valid[:n_valid]), dataset.to_float(dataset.test)
    sigmas = _grid(dataset, grid)

    def scored(given: torch.Tensor) -> tuple[ParzenScore, torch.Tensor]:
        """Return the log-likelihoods, and the samples that the other measures look at."""
        drawn = given[np.random.default_rng(0).permutation(len(given))[:N_COPY_SAMPLES]]
        return score(given, valid, test, sigmas, device=device), drawn

    parzen, drawn = scored(samples)
    indicators, fidelity = reference.measure(drawn)
    found = FinalScore(
        parzen=parzen,
        indicators=indicators,
        null=reference.null,
        fidelity=fidelity,
        null_fidelity=reference.null_fidelity,
        **vars(copying(dataset, drawn)),
        fld=dataset_fld(dataset, drawn),
        kl=kl_divergence(dataset, samples),
    )
    if collapse_test is not None:
        collapse = collapse_test.judge(samples, indicators, reference.null)
        found = dataclasses.replace(found, collapse=collapse)
    if raw is not None:
        of_raw, drawn = scored(_checked(raw, device))
        found = dataclasses.replace(
            found,
            test_ll_raw=of_raw.test_ll,
            valid_ll_raw=of_raw.valid_ll,
            coverage_raw=reference.indicators(drawn).coverage,
        )
    return found


def _checked(samples: Array, device: str) -> torch.Tensor:
    checked = as_samples(samples, device)
    check_count("samples", len(checked))
    return checked


def valid_ll_of_all(
    dataset: Dataset, samples: Array, parzen: ParzenScore, *, device: str = "cpu"
) -> float:
    """Return the mean log-likelihood (nats) of all validation examples, for an order of models.

    Args:
        dataset: provides the validation examples.
        samples: that were scored, `[n, d]`.
        parzen: their score; its sigma was chosen on the data set's first `n_valid_for_sigma`.
        device: where to compute.
    """
    n_first = dataset.n_valid_for_sigma
    others = dataset.valid[n_first:]
    if not len(others):
        return parzen.valid_ll
    lls = log_likelihoods(samples, dataset.to_float(others), [parzen.sigma], device=device)[0]
    n = len(dataset.valid)
    return float(((n - len(others)) * parzen.valid_ll + lls.sum()) / n)


def evaluate_samples(
    dataset: Dataset, samples: np.ndarray, *, grid: str = "fine"
) -> dict[str, Any]:
    """Score a user's samples `[n, d]`, with a verdict on their health, as plain JSON values.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    final = final_score(dataset, samples, grid=grid, collapse_test=CollapseTest(dataset))
    parzen, collapse = final.parzen, final.collapse
    assert collapse is not None
    return {
        "dataset": dataset.name,
        "n_samples": parzen.n_samples,
        "test_ll": parzen.test_ll,
        "test_ll_se": parzen.test_ll_se,
        "valid_ll": parzen.valid_ll,
        "sigma": parzen.sigma,
        "sigma_at_edge": parzen.sigma_at_edge,
        "health": {
            **dataclasses.asdict(final.indicators),
            "n_classes_effective": collapse.n_classes_effective,
            "missing_classes": list(collapse.missing_classes),
            "collapsed_p": collapse.collapsed_p,
            "verdict": collapse.verdict.status,
            "reason": collapse.verdict.reason,
        },
        "train_nn_ratio": final.train_nn_ratio,
        "copy_p": final.copy_p,
        "fld": final.fld,
        "kl": final.kl,
        **dataclasses.asdict(final.fidelity),
    }


def scores_by_count(
    dataset: Dataset, samples: np.ndarray, *, grid: str = "fine"
) -> list[dict[str, Any]]:
    """Score the first 100, 200, 500, 1,000, ... and finally all of `samples` `[n, d]`.

    A Parzen estimate rises with the number of samples; the curve shows whether more would help.
    Sigma is chosen separately for each number. Shuffle samples that are sorted.

    Returns:
        One row per number of samples, with the columns of `curve.parquet` except `name`.

    Raises:
        SamplesError: the samples are not finite, or have another shape.
    """
    curve = score_curve(
        samples,
        dataset.to_float(dataset.valid[: dataset.n_valid_for_sigma]),
        dataset.to_float(dataset.test),
        _grid(dataset, grid),
        _counts(len(samples)),
    )
    return [
        {
            "n_samples": each.n_samples,
            "test_ll": each.test_ll,
            "test_ll_se": each.test_ll_se,
            "valid_ll": each.valid_ll,
            "sigma": each.sigma,
            "sigma_at_edge": each.sigma_at_edge,
        }
        for each in curve
    ]


def health_reference(dataset: Dataset, n: int, device: str = "cpu") -> HealthReference:
    """Return a reference of up to n training examples, and as many others for its null."""
    n = min(n, len(dataset.train) // 2)
    if n < MIN_SAMPLES:
        # With fewer, a ball holds over a quarter of them, and one image may lie in every ball.
        raise DataError(
            f"data set {dataset.name}: {len(dataset.train)} training examples. The health "
            f"indicators use {N_NEIGHBOURS} neighbours within each half of them, so at least "
            f"{2 * MIN_SAMPLES} are needed. Add examples."
        )
    return HealthReference(dataset.to_float(dataset.train[: 5 * n]), n, device=device)


def _grid(dataset: Dataset, kind: str) -> np.ndarray:
    return sigma_grid(kind, is_image=dataset.is_image, is_bounded=dataset.is_bounded)


def _counts(n: int) -> list[int]:
    """Return 100, 200, 500, 1,000, ... below n, and n."""
    steps = (digit * 10**power for power in range(2, len(str(n))) for digit in (1, 2, 5))
    return [*(step for step in steps if step < n), n]
