"""Verdicts on a trial's health, and what the indicators alone say of samples; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.measures import Indicators

# However short, a training of fewer parameter updates is too young to be stopped, or judged by its
# samples: its nets have hardly left their initial weights.
LEAST_UPDATES = 1000

# Samples are off the data while coverage is below the first share of the null's; or below the next,
# unless recall is above the third and they aren't far apart: then they lie spread around the data.
_NOTHING_COVERAGE, _OFF_COVERAGE, _AROUND_RECALL, _APART_NN_RATIO = 0.02, 0.1, 0.7, 50.0
# Where only the indicators are known: nn_ratio and recall below this share of the null's.
_REPEATS_SHARE = 0.02


@dataclass(frozen=True)
class Verdict:
    """On a trial's health, or on finished samples.

    Attributes:
        status: sound, undetermined, collapsed or diverged.
        reason: why.
        p_recovers: where a trial's samples look collapsed, the probability that they no longer are
            at the end of the budget; None otherwise.
        ends_trial: whether a trial fails by it where it is "collapsed"; see
            `ModelFamily.needs_sound_samples`.
    """

    status: str
    reason: str = ""
    p_recovers: float | None = None
    ends_trial: bool = True


def judge_indicators(indicators: Indicators, null: Indicators) -> Verdict:
    """Judge samples of which only the indicators are known.

    They are collapsed if they lie off the data, or hardly differ from each other.
    """
    repeat = (
        indicators.nn_ratio < _REPEATS_SHARE * null.nn_ratio
        and indicators.recall < _REPEATS_SHARE * null.recall
    )
    if repeat or are_off_the_data(indicators, null):
        return Verdict("collapsed", describe_indicators(indicators, null))
    return Verdict("sound")


def describe_indicators(indicators: Indicators, null: Indicators) -> str:
    """Return the indicators beside the null's, in words."""
    return (
        f"coverage {indicators.coverage:.2f} (real data: {null.coverage:.2f}), "
        f"recall {indicators.recall:.2f} ({null.recall:.2f}), "
        f"nn_ratio {indicators.nn_ratio:.2g} ({null.nn_ratio:.2g})"
    )


def are_apart(samples: Indicators, null: Indicators) -> bool:
    """Return whether samples lie far apart."""
    return samples.nn_ratio > _APART_NN_RATIO * null.nn_ratio


def are_off_the_data(samples: Indicators, null: Indicators) -> bool:
    """Return whether samples lie off the data, and not spread around it."""
    around = samples.recall > _AROUND_RECALL * null.recall and not are_apart(samples, null)
    return samples.coverage < _NOTHING_COVERAGE * null.coverage or (
        samples.coverage < _OFF_COVERAGE * null.coverage and not around
    )
