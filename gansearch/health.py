"""Collapse: a trial's reports in, or one set of samples, and a verdict with its reason out.

Indicators (see `indicators`) are read as fractions of their null: what other real points score.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from gansearch.indicators import Indicators

# Shares of the null below which an indicator is low. A trial may still rise, so it is stopped at a
# lower one than a finished set of samples is judged by.
_STOP_SHARE = 0.1
_COLLAPSED_SHARE = 0.25
_BORDERLINE_SHARE = 0.5

# The nets are at rest while D's mean outputs on real and fake differ by less than this, and neither
# coverage nor nn_ratio has moved from the first report's by these amounts.
_REST_GAP = 0.1
_REST_COVERAGE = 0.01
_REST_NN_RATIO = 0.2  # relative
_LONGEST_REST = 4  # graces, after which a trial counts as begun
# Coverage that rose by this much over the bad reports, absolutely and relatively, holds a verdict.
_RISE = 0.01
_RELATIVE_RISE = 0.2


@dataclass(frozen=True)
class Verdict:
    """A judgement of health: `status` is sound, collapsed or undetermined; `reason` says why."""

    status: str
    reason: str = ""


class HealthMonitor:
    """Judges one trial, report by report; healthy trials look collapsed while they are young.

    A report is bad when coverage is below a tenth of the null's, and recall or nn_ratio too. The
    trial is collapsed once `patience` reports in a row were bad and coverage did not rise over
    them; twice as many where nn_ratio is not that low, for then samples are varied, only far from
    the data, and may still get there. No report is counted within `grace_updates` of the trial's
    beginning, which is when D first tells real from fake or the samples first change: small initial
    weights can keep both nets at rest for a good part of a training. A rest lasts four graces at
    most. A second stage of training is young again, and judged as a trial of its own.
    """

    def __init__(self, null: Indicators, *, grace_updates: int, patience: int = 3) -> None:
        self._null = null
        self._grace_updates = grace_updates
        self._patience = patience
        self._stage_start = 0
        self._first: Indicators | None = None
        self._begun_at: int | None = None
        self._bad: list[tuple[int, float]] = []  # updates and coverage of the bad reports in a row

    def judge(
        self,
        updates: int,
        indicators: Indicators,
        *,
        d_loss: float,
        g_loss: float,
        d_real: float,
        d_fake: float,
        stage_start: int = 0,
    ) -> Verdict:
        """Return the verdict on the report at `updates`; reports come once each, in order.

        Args:
            updates: parameter updates done.
            indicators: of the report's samples.
            d_loss: D's mean loss.
            g_loss: G's mean loss.
            d_real: D's mean output on real examples, in [0, 1].
            d_fake: D's mean output on generated ones, in [0, 1].
            stage_start: parameter updates done when the present stage of the training began.
        """
        if stage_start > self._stage_start:
            self._stage_start = stage_start
            self._first, self._begun_at, self._bad = None, None, []
        self._note_beginning(updates, indicators, abs(d_real - d_fake))
        if not _is_low(indicators, self._null, _STOP_SHARE):
            self._bad = []
            return Verdict("sound")
        found = _describe(indicators, self._null)
        if self._begun_at is None:
            return Verdict("undetermined", f"{found}, but the nets are still at rest")
        grace_ends = self._begun_at + self._grace_updates
        if updates < grace_ends:
            return Verdict("undetermined", f"{found}, within the grace until update {grace_ends:,}")
        self._bad.append((updates, indicators.coverage))
        found += f" for {_count(len(self._bad), 'report')} since update {self._bad[0][0]:,}"
        varied = indicators.nn_ratio >= _STOP_SHARE * self._null.nn_ratio
        n_needed = 2 * self._patience if varied else self._patience
        if len(self._bad) < n_needed:
            return Verdict("undetermined", found)
        before = self._bad[-n_needed][1]
        if indicators.coverage - before >= max(_RISE, _RELATIVE_RISE * before):
            return Verdict("undetermined", f"{found}, but coverage rises, from {before:.2f}")
        return Verdict("collapsed", f"{found}. {_hint(d_loss, g_loss, d_real, d_fake)}")

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on judging, as plain JSON values."""
        return {
            "stage_start": self._stage_start,
            "first": dataclasses.asdict(self._first) if self._first else None,
            "begun_at": self._begun_at,
            "bad": [list(report) for report in self._bad],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another monitor of the same trial."""
        # A version that knew no stages kept none.
        self._stage_start = state.get("stage_start", 0)
        self._first = Indicators(**state["first"]) if state["first"] else None
        self._begun_at = state["begun_at"]
        self._bad = [(updates, coverage) for updates, coverage in state["bad"]]

    def _note_beginning(self, updates: int, indicators: Indicators, gap: float) -> None:
        if self._begun_at is not None:
            return
        if self._first is None:
            self._first = indicators
            if gap >= _REST_GAP:
                self._begun_at = self._stage_start
            return
        first = self._first
        moved = abs(indicators.coverage - first.coverage) >= _REST_COVERAGE or (
            abs(indicators.nn_ratio - first.nn_ratio) >= _REST_NN_RATIO * first.nn_ratio
        )
        longest = self._stage_start + _LONGEST_REST * self._grace_updates
        if gap >= _REST_GAP or moved or updates >= longest:
            self._begun_at = updates


def judge_once(indicators: Indicators, null: Indicators) -> Verdict:
    """Judge a finished set of samples, without a history and without the excuse of youth.

    Collapsed: coverage below a quarter of the null's with recall or nn_ratio below theirs too, or
    coverage below a half with nn_ratio below a tenth (a few images, again and again).
    Undetermined: coverage below a half with recall or nn_ratio below a half.
    """
    found = _describe(indicators, null)
    repeats = indicators.nn_ratio < _STOP_SHARE * null.nn_ratio
    borderline = _is_low(indicators, null, _BORDERLINE_SHARE)
    if _is_low(indicators, null, _COLLAPSED_SHARE) or (borderline and repeats):
        return Verdict("collapsed", found)
    return Verdict("undetermined", found) if borderline else Verdict("sound")


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


def _hint(d_loss: float, g_loss: float, d_real: float, d_fake: float) -> str:
    """Return what a collapsed trial's balance suggests to try."""
    balance = (
        f"D gives {d_real:.2g} to real, {d_fake:.2g} to fake (losses {d_loss:.2g}, {g_loss:.2g})"
    )
    if d_real - d_fake >= _REST_GAP:
        return f"{balance}, so it leads: lower discriminator_lr or k, or raise generator_lr"
    return f"{balance}, so it guides nothing: raise discriminator_lr or k, or lower generator_lr"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
