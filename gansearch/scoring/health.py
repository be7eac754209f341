"""The health of a trial: do its samples look collapsed, and is it worth going on?

Two questions with an answer each. Whether samples *look collapsed* is read from one evaluation.
Whether the trial *will stay so* is a forecast (see `recovery`): a trial is stopped when the
probability that it recovers by the end of its budget is below `give_up`. `docs/collapse.md` shows
what this stops and what it misses, and `make bench-collapse` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gansearch.family import Metrics
from gansearch.measures import Evaluation, Indicators
from gansearch.scoring.recovery import RecoveryForecast, features, load_forecast
from gansearch.scoring.verdict import Verdict, are_apart, describe_indicators

# Samples look collapsed while coverage is below this share of the null's, or nn_ratio and recall
# are below the next, or the effective number of classes is at most the last of all classes.
_LOW_COVERAGE = 0.25
_REPEAT_SHARE = 0.1
_CLASS_SHARE = 0.5
# One evaluation may mislead by its noise: a stop needs this many in a row.
_N_EVALUATIONS = 2

# From this difference of D's mean outputs on, the hint says that D separates real from generated;
# below the second that it sees none.
_SEPARATES_GAP = 0.8
_NO_GAP = 0.1


@dataclass(frozen=True)
class TrialEvaluation:
    """What `HealthMonitor` needs of one evaluation of a trial.

    Attributes:
        updates: parameter updates so far.
        coverage, recall, nn_ratio: the indicators of its samples.
        d_loss: D's mean loss, in nats; None where the family has no D.
        d_real, d_fake: D's mean outputs on real and on generated examples, in [0, 1]; None
            likewise.
        class_share: effective number of classes among the samples over that of as many real
            examples; None where these don't show classes.
        stage_start: parameter updates at which the present stage of the training began.
    """

    updates: int
    coverage: float
    recall: float
    nn_ratio: float
    d_loss: float | None = None
    d_real: float | None = None
    d_fake: float | None = None
    class_share: float | None = None
    stage_start: int = 0

    @classmethod
    def of(
        cls, metrics: Metrics, evaluation: Evaluation, n_classes: float | None = None
    ) -> TrialEvaluation:
        """Combine the metrics of a training with the evaluation of its samples.

        `n_classes` is the effective number of classes among as many real examples; None where they
        have none.
        """
        found = evaluation.n_classes_effective
        return cls(
            updates=metrics.updates,
            coverage=evaluation.coverage,
            recall=evaluation.recall,
            nn_ratio=evaluation.nn_ratio,
            d_loss=metrics.d_loss,
            d_real=metrics.d_real,
            d_fake=metrics.d_fake,
            class_share=found / n_classes if found is not None and n_classes else None,
            stage_start=metrics.stage_start,
        )

    @property
    def indicators(self) -> Indicators:
        """The indicators alone."""
        return Indicators(self.coverage, self.recall, self.nn_ratio)


def looks_collapsed(samples: Indicators, null: Indicators, class_share: float | None) -> bool:
    """Return whether an evaluation's samples look collapsed; of a young trial's they often do."""
    repeat = (
        samples.nn_ratio < _REPEAT_SHARE * null.nn_ratio
        and samples.recall < _REPEAT_SHARE * null.recall
    )
    lacks_classes = class_share is not None and class_share <= _CLASS_SHARE
    return samples.coverage < _LOW_COVERAGE * null.coverage or repeat or lacks_classes


class HealthMonitor:
    """Judges one trial at each evaluation, and gives it up when it is unlikely to recover.

    While its samples look collapsed, a trial is `undetermined`. It is `collapsed`, and stopped,
    once the probability that it recovers by the end of its budget has been below `give_up` at two
    evaluations in a row; never within its grace. A second stage of training is judged like a new
    trial.

    Args:
        null: the indicators of real data.
        max_updates: the budget of the training.
        grace_updates: within which it is not stopped.
        give_up: probability of recovery below which it is; 0 for never.
        forecast: by default the one that ships, for data with or without classes.
    """

    def __init__(
        self,
        null: Indicators,
        *,
        max_updates: int,
        grace_updates: int,
        give_up: float,
        forecast: RecoveryForecast | None = None,
    ) -> None:
        self._null = null
        self._max_updates = max_updates
        self._grace_updates = grace_updates
        self._give_up = give_up
        self._forecast = forecast
        self._stage_start = 0
        self._n_hopeless = 0  # evaluations in a row

    def judge(self, evaluation: TrialEvaluation) -> Verdict:
        """Return the verdict after an evaluation; call it once for each, in order."""
        if evaluation.stage_start > self._stage_start:
            self._stage_start, self._n_hopeless = evaluation.stage_start, 0
        if not looks_collapsed(evaluation.indicators, self._null, evaluation.class_share):
            self._n_hopeless = 0
            return Verdict("sound")
        found = f"the samples look collapsed: {_describe(evaluation, self._null)}"
        done = evaluation.updates - self._stage_start
        remaining = (self._max_updates - self._stage_start) / max(done, 1)
        if remaining <= 1:  # what they are now, they stay
            return Verdict("undetermined", found)
        p_recovers = self._p_recovers(evaluation, remaining)
        self._n_hopeless = self._n_hopeless + 1 if p_recovers < self._give_up else 0
        if self._n_hopeless >= _N_EVALUATIONS and done >= self._grace_updates:
            hint = _hint(evaluation, self._null)
            would = "would" if p_recovers < 0.5 else "might"  # if give_up is as large
            reason = (
                f"{found}, and {would} not recover within this budget: probability "
                f"{p_recovers:.2g}, give_up {self._give_up:g}{hint and f'; {hint}'}"
            )
            return Verdict("collapsed", reason, p_recovers)
        reason = f"{found}; they recover within this budget with probability {p_recovers:.2g}"
        return Verdict("undetermined", reason, p_recovers)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, as plain JSON values."""
        return {"stage_start": self._stage_start, "n_hopeless": self._n_hopeless}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another monitor of the same trial."""
        # An older version's state has no count: its trials are judged from here on.
        self._n_hopeless = state.get("n_hopeless", 0)
        self._stage_start = state["stage_start"] if "n_hopeless" in state else 0

    def _p_recovers(self, evaluation: TrialEvaluation, remaining: float) -> float:
        class_share = evaluation.class_share
        forecast = self._forecast or load_forecast(with_classes=class_share is not None)
        found = features(
            evaluation.indicators, self._null, remaining=remaining, class_share=class_share
        )
        return forecast.p_recovers(found)


def _describe(evaluation: TrialEvaluation, null: Indicators) -> str:
    """Return an evaluation's indicators beside those of real data, in words."""
    words = describe_indicators(evaluation.indicators, null)
    if evaluation.class_share is None:
        return words
    return f"{words}, {evaluation.class_share:.0%} of the classes"


def _hint(evaluation: TrialEvaluation, null: Indicators) -> str:
    """Describe the balance of D and G, and what to try; "" without a D."""
    if evaluation.d_real is None or evaluation.d_fake is None or evaluation.d_loss is None:
        return ""
    outputs = f"{evaluation.d_real:.2g} on real, {evaluation.d_fake:.2g} on generated"
    balance = f"(outputs {outputs}; loss {evaluation.d_loss:.2g})"
    gap = evaluation.d_real - evaluation.d_fake
    if are_apart(evaluation.indicators, null):
        return f"the samples lie far apart (D outputs {outputs}): lower both learning rates"
    if gap >= _SEPARATES_GAP:
        remedy = "lower discriminator_lr or k, or raise generator_lr"
        return f"D separates real from generated {balance}: {remedy}"
    if gap >= _NO_GAP:
        remedy = "lower generator_lr, or try packing: 2 or gradient_penalty: one_centered"
        return f"D sees a difference {balance}, but G does not improve: {remedy}"
    remedy = (
        "raise discriminator_lr or k, or lower generator_lr; if neither network has learned, raise "
        "both learning rates or the initial weights"
    )
    return f"D does not tell real from generated {balance}: {remedy}"
