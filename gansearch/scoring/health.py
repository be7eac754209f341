"""Collapse: a trial's reports in, or one set of samples, and a verdict with its reason out.

Indicators (see `indicators`) are read as fractions of their null: what other real points score. The
thresholds were chosen on labelled trainings; `docs/collapse.md` has what they stop and what they
let pass, and `benchmarks/studies/replay.py` prints it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gansearch.family import Metrics
from gansearch.measures import Evaluation, Indicators

# A trial's samples are off the data while coverage is below this share of the null's; unless recall
# is above the next and they aren't far apart: then they lie spread around the data.
_OFF_COVERAGE = 0.1
_AROUND_RECALL = 0.7
_APART_NN_RATIO = 50.0
# They repeat while nn_ratio and recall are below these shares, and D's mean outputs so far apart.
_REPEAT_NN_RATIO = 0.02
_REPEAT_RECALL = 0.02
_REPEAT_GAP = 0.9
# Reports before this share of the grace don't count: the youngest nets have learned nothing yet.
_YOUTH = 1 / 3
# A verdict waits while valid_ll is above the best before by this share of its range, or while
# samples that lie too close together spread: nn_ratio is so many times the highest before.
_GAIN = 0.05
_SPREADING = 2.0
# The nets are at rest while D's mean outputs differ by less than this, and neither coverage nor
# nn_ratio has moved from the first report's by these amounts. They may rest for this share of the
# training, and on while their outputs part: their difference doubles within the next share of it.
_REST_GAP = 0.1
_REST_COVERAGE = 0.01
_REST_NN_RATIO = 0.2  # relative
_LONGEST_REST = 0.3
_PARTING, _PARTING_SHARE = 2.0, 0.1
# But samples of which all three indicators are above this share of the null's are no sign of rest:
# it is where a training should end.
_ALIKE = 0.5

# D's mean outputs so far apart separate real from generated, for the hint.
_SEPARATES_GAP = 0.8

# Shares of the null by which a finished set of samples is judged.
_COLLAPSED_SHARE = 0.25
_BORDERLINE_SHARE = 0.5
_REPEATS_SHARE = 0.1
_NOTHING_SHARE = 0.02


@dataclass(frozen=True)
class Verdict:
    """A judgement of health: `status` is sound, collapsed or undetermined; `reason` says why."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What the verdict on a trial reads of one of its reports.

    Attributes:
        updates: parameter updates done.
        coverage, recall, nn_ratio: the indicators of the report's samples.
        valid_ll: the samples' validation log-likelihood, in nats.
        d_loss: D's mean loss, in nats; None where the family has no D.
        d_real, d_fake: D's mean outputs on real and on generated examples, in [0, 1]; None
            likewise.
        stage_start: parameter updates done when the present stage of the training began.
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
    def of(cls, metrics: Metrics, evaluation: Evaluation) -> Report:
        """Return what the verdict reads of a training and of its samples."""
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
        """By how much D tells real from generated, in [-1, 1]; 0 where there is no D."""
        if self.d_real is None or self.d_fake is None:
            return 0.0
        return self.d_real - self.d_fake


@dataclass(frozen=True)
class _Sign:
    """A sign of death: whether a report shows it, and for how long it takes to be believed."""

    is_shown: Callable[[Report, Indicators], bool]
    n_reports: int
    share: float  # of the training, from the first of these reports to the last


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


def _is_off_the_data(report: Report, null: Indicators) -> bool:
    return _are_off_the_data(report.indicators, null)


def _is_repeating(report: Report, null: Indicators) -> bool:
    return _repeat(report.indicators, null) and report.gap > _REPEAT_GAP


_SIGNS = (
    _Sign(_is_off_the_data, n_reports=3, share=0.1),
    _Sign(_is_repeating, n_reports=4, share=0.25),
)


class HealthMonitor:
    """Judges one trial, report by report; healthy trials look collapsed while they are young.

    A trial is collapsed once one of these has lasted:

    - its samples are off the data: coverage is below .1 of the null's, for 3 reports in a row that
      span a tenth of the training (unless recall is above .7 and nn_ratio below 50 of theirs: such
      samples lie spread around the data, as those of slow and healthy trainings do);
    - its samples repeat and D tells them from real ones: nn_ratio and recall are below .02
      of the null's and D's mean outputs are .9 apart, for 4 reports that span a quarter;
    - nothing has moved: D is at chance, and coverage and nn_ratio are those of the first report,
      for .3 of the training, and longer while D's outputs part; unless all three indicators are
      above half of the null's. Small initial weights can keep both nets at rest for a while, near a
      saddle that they leave at an exponential pace.

    The first two wait while valid_ll rises, or nn_ratio doubles from below 1. No report counts up
    to a third of the grace after the trial began, which is when D first tells real from generated
    or the samples first change, and no trial is stopped within the grace. A second stage of
    training is judged as a trial of its own.
    """

    def __init__(self, null: Indicators, *, max_updates: int, grace_updates: int) -> None:
        self._null = null
        self._max_updates = max_updates
        self._grace_updates = grace_updates
        self._reports: list[Report] = []  # of the present stage

    def judge(self, report: Report) -> Verdict:
        """Return the verdict on a report; reports come once each, in order."""
        if self._reports and report.stage_start > self._reports[-1].stage_start:
            self._reports = []
        self._reports.append(report)
        begun_at = _beginning(self._reports)
        if begun_at is None:
            return self._judge_rest(report)
        young_until = begun_at + _YOUTH * self._grace_updates
        if report.updates <= young_until:
            return self._judge_young(report)
        counted = [each for each in self._reports if each.updates > young_until]
        verdicts = [self._judge_sign(sign, counted) for sign in _SIGNS]
        # The gravest, and of equals the first.
        return max(verdicts, key=lambda verdict: _GRAVITY[verdict.status])

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on judging, as plain JSON values."""
        return {"reports": [dataclasses.asdict(report) for report in self._reports]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another monitor of the same trial."""
        # An older version kept something else, so that its trials are judged from here on.
        self._reports = [Report(**report) for report in state.get("reports", [])]

    def _judge_rest(self, report: Report) -> Verdict:
        if _are_like_the_data(report.indicators, self._null):
            return Verdict("sound")  # D is at chance because G has won
        rested = report.updates - report.stage_start
        found = f"{_describe(report.indicators, self._null)}, as at the first report"
        is_long = rested >= max(_LONGEST_REST * self._max_updates, self._grace_updates)
        if not is_long or len(self._reports) == 1:  # one report shows no standstill
            return Verdict("undetermined", f"{found}: the nets are still at rest")
        ago = report.updates - _PARTING_SHARE * self._max_updates
        earlier = [each for each in self._reports if each.updates <= ago] or self._reports[:1]
        if abs(report.gap) > _PARTING * abs(earlier[-1].gap):
            return Verdict("undetermined", f"{found}, but D begins to tell real from generated")
        return Verdict(
            "collapsed",
            f"{found}, {rested:,} updates ago: neither net has moved{_gives_to_all(report)}. Raise "
            "both learning rates or the initial weights",
        )

    def _judge_young(self, report: Report) -> Verdict:
        if any(sign.is_shown(report, self._null) for sign in _SIGNS):
            found = _describe(report.indicators, self._null)
            return Verdict("undetermined", f"{found}, but the trial is young")
        return Verdict("sound")

    def _judge_sign(self, sign: _Sign, counted: Sequence[Report]) -> Verdict:
        spell = _spell(counted, lambda report: sign.is_shown(report, self._null))
        if not spell:
            return Verdict("sound")
        last = spell[-1]
        found = (
            f"{_describe(last.indicators, self._null)} for {_count(len(spell), 'report')} since "
            f"update {spell[0].updates:,}"
        )
        n_recent = _least_window(spell, sign, self._max_updates)
        if n_recent is None or last.updates - last.stage_start < self._grace_updates:
            return Verdict("undetermined", found)
        if (hope := _hope(self._reports, n_recent, self._null)) is not None:
            return Verdict("undetermined", f"{found}, but {hope}")
        hint = _hint(last, self._null)
        return Verdict("collapsed", f"{found}; {hint}" if hint else found)


_GRAVITY = {"sound": 0, "undetermined": 1, "collapsed": 2}


def judge_end(samples: Indicators, null: Indicators) -> Verdict:
    """Judge a training that is over by its last samples: collapsed if off the data, or repeated.

    As mild as the verdict on a report, without its patience: nothing is left to wait for.
    """
    if _are_off_the_data(samples, null) or _repeat(samples, null):
        return Verdict("collapsed", f"{_describe(samples, null)} at its end")
    return Verdict("sound")


def judge_once(indicators: Indicators, null: Indicators) -> Verdict:
    """Judge a finished set of samples, without a history and without the excuse of youth.

    Collapsed: coverage below a fiftieth of the null's (all of them off the data), or below a
    quarter with recall or nn_ratio below theirs too, or below a half with nn_ratio below a tenth (a
    few images, again and again). Undetermined: coverage below a half with recall or nn_ratio below
    a half.
    """
    found = _describe(indicators, null)
    nothing = indicators.coverage < _NOTHING_SHARE * null.coverage
    repeats = indicators.nn_ratio < _REPEATS_SHARE * null.nn_ratio
    borderline = _is_low(indicators, null, _BORDERLINE_SHARE)
    if nothing or _is_low(indicators, null, _COLLAPSED_SHARE) or (borderline and repeats):
        return Verdict("collapsed", found)
    return Verdict("undetermined", found) if borderline else Verdict("sound")


def _beginning(reports: Sequence[Report]) -> int | None:
    """Return the updates at which a stage's nets left their rest; None while they are at rest."""
    first = reports[0]
    if abs(first.gap) >= _REST_GAP:
        return first.stage_start
    for report in reports:
        moved = abs(report.coverage - first.coverage) >= _REST_COVERAGE or (
            abs(report.nn_ratio - first.nn_ratio) >= _REST_NN_RATIO * first.nn_ratio > 0
        )
        if moved or abs(report.gap) >= _REST_GAP:
            return report.updates
    return None


def _spell(reports: Sequence[Report], is_shown: Callable[[Report], bool]) -> list[Report]:
    """Return the last reports, all of which show a sign."""
    spell: list[Report] = []
    for report in reversed(reports):
        if not is_shown(report):
            break
        spell.insert(0, report)
    return spell


def _least_window(spell: Sequence[Report], sign: _Sign, max_updates: int) -> int | None:
    """Return how many of a spell's last reports are as long as a sign asks for; None if too few."""
    for n in range(sign.n_reports, len(spell) + 1):
        if spell[-1].updates - spell[-n].updates >= sign.share * max_updates:
            return n
    return None


def _hope(reports: Sequence[Report], n_recent: int, null: Indicators) -> str | None:
    """Return what has clearly grown in the last `n_recent` reports; None if nothing has."""
    before, recent = reports[:-n_recent], reports[-n_recent:]
    if not before:
        return None
    scores = [report.valid_ll for report in reports]
    best = max(report.valid_ll for report in recent)
    if best > max(scores[:-n_recent]) + _GAIN * (max(scores) - min(scores)):
        return f"valid_ll rises, to {best:.4g}"
    widest = max(report.nn_ratio for report in recent)
    widest_before = max(report.nn_ratio for report in before)
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


def _hint(report: Report, null: Indicators) -> str:
    """Return what a dying trial's balance is, and what to try against it; "" without a D."""
    if report.d_real is None or report.d_fake is None or report.d_loss is None:
        return ""
    gives = f"gives {report.d_real:.2g} to real, {report.d_fake:.2g} to generated"
    balance = f"({gives}; loss {report.d_loss:.2g})"
    if _are_apart(report.indicators, null):
        return f"the samples fly apart, D {gives}: lower both learning rates"
    if report.gap >= _SEPARATES_GAP:
        remedy = "lower discriminator_lr or k, or raise generator_lr"
        return f"D separates them from real ones {balance}: {remedy}"
    if report.gap >= _REST_GAP:
        remedy = "lower generator_lr, or try packing: 2 or gradient_penalty: one_centered"
        return f"D sees the difference {balance}, G doesn't mend it: {remedy}"
    remedy = "raise discriminator_lr or k, or lower generator_lr"
    return f"D guides nothing {balance}: {remedy}"


def _gives_to_all(report: Report) -> str:
    return "" if report.d_real is None else f" (D gives {report.d_real:.2g} to all)"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
