"""Verdicts on collapse, each with its reason, from a trial's evaluations or one set of samples.

Indicators (see `indicators`) are compared with their null: what other real points score. The
thresholds were chosen on labelled trainings: `docs/collapse.md` shows what they stop and what they
miss, and `benchmarks/studies/replay.py` prints it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gansearch.family import Metrics
from gansearch.measures import Evaluation, Indicators
from gansearch.rules import count_of

# A trial's samples are off the data while coverage is below this share of the null's; unless recall
# is above the next and they aren't far apart: then they lie spread around the data.
_OFF_COVERAGE = 0.1
_AROUND_RECALL = 0.7
_APART_NN_RATIO = 50.0
# They repeat while nn_ratio and recall are below these shares, and D's mean outputs are at least
# this far apart.
_REPEAT_NN_RATIO = 0.02
_REPEAT_RECALL = 0.02
_REPEAT_GAP = 0.9
# Evaluations before this share of the grace don't count: the networks have learned nothing yet.
_YOUTH = 1 / 3
# A verdict waits while valid_ll exceeds its earlier maximum by this share of its range, or while
# samples that lie too close together spread: nn_ratio is this multiple of its earlier maximum.
_GAIN = 0.05
_SPREADING = 2.0
# The networks are at rest while D's mean outputs differ by less than this, and neither coverage nor
# nn_ratio differs from the first evaluation's by these amounts. They may rest for this share of the
# training, and longer while D's outputs separate: the difference between them has doubled within
# the last `_PARTING_SHARE` of the training.
_REST_GAP = 0.1
_REST_COVERAGE = 0.01
_REST_NN_RATIO = 0.2  # relative
_LONGEST_REST = 0.3
_PARTING, _PARTING_SHARE = 2.0, 0.1
# Samples whose three indicators are all above this share of the null's are not a sign of rest: a
# good training ends there.
_ALIKE = 0.5

# From this difference of D's mean outputs on, the hint says that D separates real from generated.
_SEPARATES_GAP = 0.8

# However short the training, nets that have hardly left their initial weights do not count as
# collapsed.
LEAST_GRACE_UPDATES = 1000

# Shares of the null by which `judge_once` judges a finished set of samples.
_COLLAPSED_SHARE = 0.25
_BORDERLINE_SHARE = 0.5
_REPEATS_SHARE = 0.1
_NOTHING_SHARE = 0.02


@dataclass(frozen=True)
class Verdict:
    """On a trial's health: `status` is sound, undetermined, collapsed or diverged; and why."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class TrialEvaluation:
    """What `HealthMonitor` needs of one evaluation of a trial.

    Attributes:
        updates: parameter updates so far.
        coverage, recall, nn_ratio: the indicators of its samples.
        valid_ll: the samples' validation log-likelihood, in nats.
        d_loss: D's mean loss, in nats; None where the family has no D.
        d_real, d_fake: D's mean outputs on real and on generated examples, in [0, 1]; None
            likewise.
        stage_start: parameter updates at which the present stage of the training began.
    """

    updates: int
    coverage: float
    recall: float
    nn_ratio: float
    valid_ll: float
    d_loss: float | None = None
    d_real: float | None = None
    d_fake: float | None = None
    stage_start: int = 0

    @classmethod
    def of(cls, metrics: Metrics, evaluation: Evaluation) -> TrialEvaluation:
        """Combine the metrics of a training with the evaluation of its samples."""
        return cls(
            updates=metrics.updates,
            coverage=evaluation.coverage,
            recall=evaluation.recall,
            nn_ratio=evaluation.nn_ratio,
            valid_ll=evaluation.valid_ll,
            d_loss=metrics.d_loss,
            d_real=metrics.d_real,
            d_fake=metrics.d_fake,
            stage_start=metrics.stage_start,
        )

    @property
    def indicators(self) -> Indicators:
        """The indicators alone."""
        return Indicators(self.coverage, self.recall, self.nn_ratio)

    @property
    def gap(self) -> float:
        """The difference of D's mean outputs on real and generated, in [-1, 1]; 0 without a D."""
        if self.d_real is None or self.d_fake is None:
            return 0.0
        return self.d_real - self.d_fake


@dataclass(frozen=True)
class _Sign:
    """A sign of collapse: whether an evaluation shows it, and how long it must last."""

    is_shown: Callable[[TrialEvaluation, Indicators], bool]
    n_evaluations: int
    share: float  # of the training, between the first and the last of these evaluations


def _are_off_the_data(samples: Indicators, null: Indicators) -> bool:
    around = samples.recall > _AROUND_RECALL * null.recall and not _are_apart(samples, null)
    return samples.coverage < _OFF_COVERAGE * null.coverage and not around


def _are_apart(samples: Indicators, null: Indicators) -> bool:
    return samples.nn_ratio > _APART_NN_RATIO * null.nn_ratio


def _repeat(samples: Indicators, null: Indicators) -> bool:
    return (
        samples.nn_ratio < _REPEAT_NN_RATIO * null.nn_ratio
        and samples.recall < _REPEAT_RECALL * null.recall
    )


def _are_like_the_data(samples: Indicators, null: Indicators) -> bool:
    pairs = zip(dataclasses.astuple(samples), dataclasses.astuple(null), strict=True)
    return all(value >= _ALIKE * of_null for value, of_null in pairs)


def _is_off_the_data(evaluation: TrialEvaluation, null: Indicators) -> bool:
    return _are_off_the_data(evaluation.indicators, null)


def _is_repeating(evaluation: TrialEvaluation, null: Indicators) -> bool:
    return _repeat(evaluation.indicators, null) and evaluation.gap > _REPEAT_GAP


_SIGNS = (
    _Sign(_is_off_the_data, n_evaluations=3, share=0.1),
    _Sign(_is_repeating, n_evaluations=4, share=0.25),
)


class HealthMonitor:
    """Judges one trial at each evaluation; healthy trials look collapsed while they are young.

    A trial is collapsed once one of these has lasted:

    - its samples are off the data: coverage is below .1 of the null's, for 3 evaluations in a row
      that span a tenth of the training (unless recall is above .7 and nn_ratio below 50 of the
      null's: such samples are spread around the data, as in a slow but healthy training);
    - its samples repeat and D tells them from real ones: nn_ratio and recall are below .02
      of the null's and D's mean outputs are .9 apart, for 4 evaluations that span a quarter;
    - nothing has changed: D is at chance, and coverage and nn_ratio are those of the first
      evaluation, for .3 of the training, and longer while D's outputs separate; unless all three
      indicators are above half of the null's. Small initial weights can keep both networks at rest
      for a while, near a saddle point that they leave exponentially.

    The first two wait while valid_ll rises, or nn_ratio doubles from below 1. Evaluations count
    from a third of the grace after the networks began to learn, which is when D first tells real
    from generated or the samples first change. No trial is stopped within the grace. A second
    stage of training is judged like a new trial.
    """

    def __init__(self, null: Indicators, *, max_updates: int, grace_updates: int) -> None:
        self._null = null
        self._max_updates = max_updates
        self._grace_updates = grace_updates
        self._evaluations: list[TrialEvaluation] = []  # of the present stage

    def judge(self, evaluation: TrialEvaluation) -> Verdict:
        """Return the verdict after an evaluation; call it once for each, in order."""
        if self._evaluations and evaluation.stage_start > self._evaluations[-1].stage_start:
            self._evaluations = []
        self._evaluations.append(evaluation)
        started_at = _start_of_learning(self._evaluations)
        if started_at is None:
            return self._judge_rest(evaluation)
        young_until = started_at + _YOUTH * self._grace_updates
        if evaluation.updates <= young_until:
            return self._judge_young(evaluation)
        counted = [each for each in self._evaluations if each.updates > young_until]
        verdicts = [self._judge_sign(sign, counted) for sign in _SIGNS]
        # The most severe one, or the first of several.
        return max(verdicts, key=lambda verdict: _SEVERITY[verdict.status])

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, as plain JSON values."""
        return {"reports": [dataclasses.asdict(evaluation) for evaluation in self._evaluations]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another monitor of the same trial."""
        # The state of an older version has no evaluations: its trials are judged from here on.
        self._evaluations = [
            TrialEvaluation(**evaluation) for evaluation in state.get("reports", [])
        ]

    def _judge_rest(self, evaluation: TrialEvaluation) -> Verdict:
        if _are_like_the_data(evaluation.indicators, self._null):
            return Verdict("sound")  # D is at chance because G has converged
        rested = evaluation.updates - evaluation.stage_start
        found = f"{_describe(evaluation.indicators, self._null)}, as at the first evaluation"
        is_long = rested >= max(_LONGEST_REST * self._max_updates, self._grace_updates)
        if not is_long or len(self._evaluations) == 1:  # a standstill takes two to be seen
            return Verdict("undetermined", f"{found}: the networks have not started to learn")
        ago = evaluation.updates - _PARTING_SHARE * self._max_updates
        earlier = [each for each in self._evaluations if each.updates <= ago] or self._evaluations[
            :1
        ]
        if abs(evaluation.gap) > _PARTING * abs(earlier[-1].gap):
            return Verdict("undetermined", f"{found}, but D begins to tell real from generated")
        return Verdict(
            "collapsed",
            f"{found}, {rested:,} updates ago: neither network learns{_output_for_all(evaluation)}."
            " Raise both learning rates or the initial weights",
        )

    def _judge_young(self, evaluation: TrialEvaluation) -> Verdict:
        if any(sign.is_shown(evaluation, self._null) for sign in _SIGNS):
            found = _describe(evaluation.indicators, self._null)
            return Verdict("undetermined", f"{found}, but the trial is young")
        return Verdict("sound")

    def _judge_sign(self, sign: _Sign, counted: Sequence[TrialEvaluation]) -> Verdict:
        spell = _spell(counted, lambda evaluation: sign.is_shown(evaluation, self._null))
        if not spell:
            return Verdict("sound")
        last = spell[-1]
        found = (
            f"{_describe(last.indicators, self._null)} for {count_of(len(spell), 'evaluation')} "
            f"since update {spell[0].updates:,}"
        )
        n_recent = _least_window(spell, sign, self._max_updates)
        if n_recent is None or last.updates - last.stage_start < self._grace_updates:
            return Verdict("undetermined", found)
        if (improvement := _improvement(self._evaluations, n_recent, self._null)) is not None:
            return Verdict("undetermined", f"{found}, but {improvement}")
        hint = _hint(last, self._null)
        return Verdict("collapsed", f"{found}; {hint}" if hint else found)


_SEVERITY = {"sound": 0, "undetermined": 1, "collapsed": 2}


def judge_end(samples: Indicators, null: Indicators, *, updates: int) -> Verdict:
    """Judge a finished training by its last samples: collapsed if off the data, or repeated.

    The thresholds are those of `HealthMonitor`, without the waiting: nothing more can change. With
    fewer than 1,000 `updates` of the last stage, a training is too young for a verdict.
    """
    if updates < LEAST_GRACE_UPDATES:
        return Verdict("sound")
    if _are_off_the_data(samples, null) or _repeat(samples, null):
        return Verdict("collapsed", f"{_describe(samples, null)} at its end")
    return Verdict("sound")


def judge_once(indicators: Indicators, null: Indicators) -> Verdict:
    """Judge a finished set of samples, whose training is not known.

    Collapsed: coverage below a fiftieth of the null's (all of them off the data), or below a
    quarter with recall or nn_ratio below theirs too, or below a half with nn_ratio below a tenth (a
    few images, many times over). Undetermined: coverage below a half with recall or nn_ratio below
    a half.
    """
    found = _describe(indicators, null)
    nothing = indicators.coverage < _NOTHING_SHARE * null.coverage
    repeats = indicators.nn_ratio < _REPEATS_SHARE * null.nn_ratio
    borderline = _is_low(indicators, null, _BORDERLINE_SHARE)
    if nothing or _is_low(indicators, null, _COLLAPSED_SHARE) or (borderline and repeats):
        return Verdict("collapsed", found)
    return Verdict("undetermined", found) if borderline else Verdict("sound")


def _start_of_learning(evaluations: Sequence[TrialEvaluation]) -> int | None:
    """Return the updates at which a stage's networks began to learn; None while at rest."""
    first = evaluations[0]
    if abs(first.gap) >= _REST_GAP:
        return first.stage_start
    for evaluation in evaluations:
        moved = abs(evaluation.coverage - first.coverage) >= _REST_COVERAGE or (
            abs(evaluation.nn_ratio - first.nn_ratio) >= _REST_NN_RATIO * first.nn_ratio > 0
        )
        if moved or abs(evaluation.gap) >= _REST_GAP:
            return evaluation.updates
    return None


def _spell(
    evaluations: Sequence[TrialEvaluation], is_shown: Callable[[TrialEvaluation], bool]
) -> list[TrialEvaluation]:
    """Return the evaluations since a sign was last absent; none if the last lacks it."""
    spell: list[TrialEvaluation] = []
    for evaluation in reversed(evaluations):
        if not is_shown(evaluation):
            break
        spell.insert(0, evaluation)
    return spell


def _least_window(spell: Sequence[TrialEvaluation], sign: _Sign, max_updates: int) -> int | None:
    """Return how many of the spell's last evaluations span what the sign needs; None if too few."""
    for n in range(sign.n_evaluations, len(spell) + 1):
        if spell[-1].updates - spell[-n].updates >= sign.share * max_updates:
            return n
    return None


def _improvement(
    evaluations: Sequence[TrialEvaluation], n_recent: int, null: Indicators
) -> str | None:
    """Return what improved clearly in the last `n_recent` evaluations; None if nothing did."""
    before, recent = evaluations[:-n_recent], evaluations[-n_recent:]
    if not before:
        return None
    scores = [evaluation.valid_ll for evaluation in evaluations]
    best = max(evaluation.valid_ll for evaluation in recent)
    if best > max(scores[:-n_recent]) + _GAIN * (max(scores) - min(scores)):
        return f"valid_ll rises, to {best:.4g}"
    widest = max(evaluation.nn_ratio for evaluation in recent)
    widest_before = max(evaluation.nn_ratio for evaluation in before)
    if _SPREADING * widest_before < widest < null.nn_ratio:
        return f"the samples spread, nn_ratio from {widest_before:.2g} to {widest:.2g}"
    return None


def _is_low(indicators: Indicators, null: Indicators, share: float) -> bool:
    """Return whether coverage, and recall or nn_ratio, are below that share of the null's."""
    return indicators.coverage < share * null.coverage and (
        indicators.recall < share * null.recall or indicators.nn_ratio < share * null.nn_ratio
    )


def _describe(indicators: Indicators, null: Indicators) -> str:
    return (
        f"coverage {indicators.coverage:.2f} (real data: {null.coverage:.2f}), "
        f"recall {indicators.recall:.2f} ({null.recall:.2f}), "
        f"nn_ratio {indicators.nn_ratio:.2g} ({null.nn_ratio:.2g})"
    )


def _hint(evaluation: TrialEvaluation, null: Indicators) -> str:
    """Describe the balance of D and G, and what to try; "" without a D."""
    if evaluation.d_real is None or evaluation.d_fake is None or evaluation.d_loss is None:
        return ""
    outputs = f"{evaluation.d_real:.2g} on real, {evaluation.d_fake:.2g} on generated"
    balance = f"(outputs {outputs}; loss {evaluation.d_loss:.2g})"
    if _are_apart(evaluation.indicators, null):
        return f"the samples lie far apart (D outputs {outputs}): lower both learning rates"
    if evaluation.gap >= _SEPARATES_GAP:
        remedy = "lower discriminator_lr or k, or raise generator_lr"
        return f"D separates real from generated {balance}: {remedy}"
    if evaluation.gap >= _REST_GAP:
        remedy = "lower generator_lr, or try packing: 2 or gradient_penalty: one_centered"
        return f"D sees a difference {balance}, but G does not improve: {remedy}"
    remedy = "raise discriminator_lr or k, or lower generator_lr"
    return f"D does not tell real from generated {balance}: {remedy}"


def _output_for_all(evaluation: TrialEvaluation) -> str:
    return "" if evaluation.d_real is None else f" (D outputs {evaluation.d_real:.2g} for all)"
