"""All measures of a training in one table, and the values that are computed together.

To add a measure, add a row here and compute it where its `stages` say. "evaluation": a field of
`Evaluation`, with a default so that older checkpoints are read, computed by
`scoring.evaluation.Evaluator`. "final": a field of `FinalScore` there. "history": a field of
`family.Metrics`. The Parquet schemas, the replicas' final scores, the ranking's means and the
tables of the report follow from the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Samples of a final score (Goodfellow et al. 2014, section 5), and of a trial's evaluation.
N_FINAL_SAMPLES = 10_000
N_EVALUATION_SAMPLES = 1000
# Of train_nn_ratio: below it most samples lie close to a training example; `docs/scores.md` says
# how it was chosen.
SUSPICIOUS_NN_RATIO = 0.5
SUSPICIOUS_COPY_P = 0.001  # below it some samples lie closer to training examples than new ones

Stage = Literal["evaluation", "history", "final", "ranking", "reference", "curve"]


@dataclass(frozen=True)
class Measure:
    """One number that is measured.

    Attributes:
        column: its name in every Parquet file.
        unit: nats, a share, ...; empty for none.
        better: which way is better; "one" for a ratio that is 1 for real data; None for a measure
            that says nothing about quality.
        stages: where it is stored: with each "evaluation" (`trials.parquet` and `history/`), in
            the "history" alone, in a replica's "final" score, over replicas in the "ranking", of a
            "reference" line, in the "curve" over the number of samples.
        heading: of its column in a report's tables; None if it isn't shown beside a score.
        decimals: how many are shown.
        table: where it is shown: beside the "score", or in a table of "more" measures below it.
        kind: float or bool.
        over_replicas: what a ranking has of those with a score: the "mean"; the "mean of all",
            null if one lacks it; or the "least p" by Bonferroni, so that one seed shows.
    """

    column: str
    unit: str
    better: Literal["higher", "lower", "one"] | None
    stages: frozenset[Stage]
    heading: str | None = None
    decimals: int = 2
    table: Literal["score", "more"] = "score"
    kind: Literal["float", "bool"] = "float"
    over_replicas: Literal["mean", "mean of all", "least p"] = "mean"


def _at(*stages: Stage) -> frozenset[Stage]:
    return frozenset(stages)


_SCORE = _at("final", "reference", "curve")
_FROM_EVALUATION_ON = _at("evaluation", "final", "ranking", "reference")
_FINAL = _at("final", "ranking", "reference")

MEASURES: tuple[Measure, ...] = (
    Measure("test_ll", "nats", "higher", _SCORE, decimals=1),
    Measure("test_ll_se", "nats", None, _SCORE, decimals=1),
    Measure("valid_ll", "nats", "higher", _FROM_EVALUATION_ON | {"curve"}, decimals=1),
    Measure("sigma", "data", None, _FROM_EVALUATION_ON | {"curve"}),
    Measure(
        "sigma_at_edge", "", None, _at("evaluation", "final", "reference", "curve"), kind="bool"
    ),
    Measure("coverage", "share", "higher", _FROM_EVALUATION_ON, heading="coverage"),
    Measure("recall", "share", "higher", _FROM_EVALUATION_ON, heading="recall"),
    Measure("nn_ratio", "ratio", "one", _FROM_EVALUATION_ON, heading="NN ratio"),
    Measure("train_nn_ratio", "ratio", "one", _FINAL, heading="to train"),
    # Of G's weights themselves, where the samples are by their average.
    Measure("test_ll_raw", "nats", "higher", _at("final", "ranking"), decimals=1),
    Measure("valid_ll_raw", "nats", "higher", _at("evaluation", "final"), decimals=1),
    Measure("coverage_raw", "share", "higher", _at("evaluation", "final", "ranking")),
    # It decides the order of a ranking.
    Measure(
        "valid_ll_all",
        "nats",
        "higher",
        _at("final", "ranking"),
        decimals=1,
        over_replicas="mean of all",
    ),
    Measure("n_classes_effective", "classes", "higher", _at("evaluation", "final", "ranking")),
    Measure("collapsed_p", "probability", None, _at("evaluation", "final")),
    Measure("precision", "share", "higher", _FROM_EVALUATION_ON, heading="precision", table="more"),
    Measure(
        "clipped_density",
        "share",
        "higher",
        _FROM_EVALUATION_ON,
        heading="clipped density",
        table="more",
    ),
    Measure(
        "clipped_coverage",
        "share",
        "higher",
        _FROM_EVALUATION_ON,
        heading="clipped coverage",
        table="more",
    ),
    Measure(
        "fld", "nats per 100 dimensions", "lower", _FINAL, heading="FLD", decimals=1, table="more"
    ),
    Measure(
        "copy_p",
        "probability",
        None,
        _FINAL,
        heading="copy p",
        decimals=3,
        table="more",
        over_replicas="least p",
    ),
    Measure("kl", "nats", "lower", _FINAL, heading="KL", table="more"),
    Measure("d_loss", "nats", None, _at("evaluation")),
    Measure("g_loss", "nats", None, _at("evaluation")),
    Measure("d_real", "probability", None, _at("history")),
    Measure("d_fake", "probability", None, _at("history")),
    Measure("d_value", "nats", None, _at("history")),
    Measure("d_grad_norm", "", None, _at("history")),
    Measure("g_grad_norm", "", None, _at("history")),
)


def columns(stage: Stage) -> tuple[str, ...]:
    """Return the columns of the measures at a stage, in the table's order."""
    return tuple(measure.column for measure in MEASURES if stage in measure.stages)


@dataclass(frozen=True)
class Indicators:
    """Coverage and recall, in [0, 1], and the ratio of nearest-neighbour distances, from 0 up."""

    coverage: float
    recall: float
    nn_ratio: float


@dataclass(frozen=True)
class Fidelity:
    """Precision, clipped density and clipped coverage, in [0, 1]; see `scoring.fidelity`."""

    precision: float
    clipped_density: float
    clipped_coverage: float


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trial's samples: nats on validation data, and the indicators.

    `..._raw` are those of `Training.raw_samples`, where there are some.
    `n_classes_effective` is None where as many real examples don't show classes, `collapsed_p`
    before the last one.
    What older versions didn't compute is None. `own` are the measures of the user's own, by column,
    None where one failed.
    """

    valid_ll: float
    sigma: float
    sigma_at_edge: bool
    coverage: float
    recall: float
    nn_ratio: float
    valid_ll_raw: float | None = None
    coverage_raw: float | None = None
    n_classes_effective: float | None = None
    collapsed_p: float | None = None
    precision: float | None = None
    clipped_density: float | None = None
    clipped_coverage: float | None = None
    own: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, Any]:
        """Every measure by its column, those of the user's own among them."""
        return {**{k: v for k, v in vars(self).items() if k != "own"}, **self.own}

    @property
    def indicators(self) -> Indicators:
        """The indicators alone."""
        return Indicators(self.coverage, self.recall, self.nn_ratio)
