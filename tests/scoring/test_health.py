import json
import math
from dataclasses import astuple

import pytest

from gansearch.measures import Indicators
from gansearch.scoring.health import (
    HealthMonitor,
    TrialEvaluation,
    looks_collapsed,
)
from gansearch.scoring.recovery import RecoveryForecast
from gansearch.scoring.verdict import Verdict

NULL = Indicators(coverage=0.97, recall=0.96, nn_ratio=1.0)
SOUND = Indicators(coverage=0.5, recall=0.3, nn_ratio=0.8)
COLLAPSED = Indicators(coverage=0.04, recall=0.01, nn_ratio=0.3)
# A few images again and again, which happen to lie within many balls.
REPEATED = Indicators(coverage=0.4, recall=0.0, nn_ratio=0.01)
# Samples all around the data, as those of a slow and healthy training.
AROUND = Indicators(coverage=0.02, recall=0.99, nn_ratio=12.0)
APART = Indicators(coverage=0.0, recall=1.0, nn_ratio=400.0)


def forecast(p: float) -> RecoveryForecast:
    """Of the same probability for all samples."""
    return RecoveryForecast(math.log(p / (1 - p)) if p else -800.0, {})


def monitor(*, p: float = 0.01, give_up: float = 0.05) -> HealthMonitor:
    """Of a training of 20,000 updates, with a grace of 3,000."""
    return HealthMonitor(
        NULL, max_updates=20_000, grace_updates=3000, give_up=give_up, forecast=forecast(p)
    )


def report(
    updates: int,
    indicators: Indicators,
    *,
    d_real: float = 0.99,
    d_fake: float = 0.01,
    stage_start: int = 0,
) -> TrialEvaluation:
    return TrialEvaluation(
        updates, *astuple(indicators), 0.001, d_real, d_fake, stage_start=stage_start
    )


def judge_all(
    indicators: list[Indicators], *, p: float = 0.01, give_up: float = 0.05, **of_each: float
) -> list[Verdict]:
    """The verdicts on reports at updates 1,000, 2,000, ... of one trial."""
    one = monitor(p=p, give_up=give_up)
    return [one.judge(report(1000 * i, each, **of_each)) for i, each in enumerate(indicators, 1)]


def statuses(verdicts: list[Verdict]) -> list[str]:
    return [verdict.status for verdict in verdicts]


# A trial: what looks collapsed


@pytest.mark.parametrize(
    ("samples", "class_share", "looks"),
    [
        (SOUND, None, False),
        (SOUND, 0.9, False),
        (SOUND, 0.5, True),
        (COLLAPSED, None, True),
        (REPEATED, None, True),
        (APART, None, True),
    ],
)
def test_low_coverage_repeated_samples_and_lost_classes_look_collapsed(
    samples: Indicators, class_share: float | None, looks: bool
) -> None:
    assert looks_collapsed(samples, NULL, class_share) == looks


# A trial: whether it will stay so


def test_a_hopeless_trial_is_stopped_at_the_second_evaluation_after_its_grace() -> None:
    assert statuses(judge_all([COLLAPSED] * 5)) == ["undetermined"] * 2 + ["collapsed"] * 3


def test_a_stop_says_what_is_seen_what_is_forecast_and_what_to_try() -> None:
    assert judge_all([COLLAPSED] * 5)[-1].reason == (
        "the samples look collapsed: coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio "
        "0.3 (1), and would not recover within this budget: probability 0.01, give_up 0.05; D "
        "separates real from generated (outputs 0.99 on real, 0.01 on generated; loss 0.001): "
        "lower discriminator_lr or k, or raise generator_lr"
    )


def test_a_large_give_up_stops_what_would_probably_recover_and_does_not_deny_it() -> None:
    reason = judge_all([COLLAPSED] * 5, p=0.9, give_up=1.0)[-1].reason
    assert "and might not recover within this budget: probability 0.9, give_up 1;" in reason


def test_a_trial_that_may_recover_goes_on_and_says_how_likely_that_is() -> None:
    verdicts = judge_all([COLLAPSED] * 19, p=0.06)
    assert statuses(verdicts) == ["undetermined"] * 19
    assert verdicts[9].p_recovers == pytest.approx(0.06)
    assert verdicts[9].reason.endswith("; they recover within this budget with probability 0.06")


def test_give_up_is_the_threshold_and_zero_never_stops() -> None:
    assert statuses(judge_all([COLLAPSED] * 9, give_up=0.005))[-1] == "undetermined"
    assert set(statuses(judge_all([COLLAPSED] * 19, p=0.0, give_up=0.0))) == {"undetermined"}


def test_one_sound_evaluation_starts_the_count_afresh() -> None:
    found = statuses(judge_all([COLLAPSED, SOUND] * 9))
    assert found == ["undetermined", "sound"] * 9


def test_at_the_end_of_the_budget_nothing_is_forecast() -> None:
    last = judge_all([SOUND] * 19 + [COLLAPSED])[-1]
    assert (last.status, last.p_recovers) == ("undetermined", None)


def test_a_trial_of_sound_samples_has_no_forecast() -> None:
    assert judge_all([SOUND]) == [Verdict("sound")]


@pytest.mark.parametrize(
    ("d_real", "d_fake", "indicators", "remedy"),
    [
        (0.6, 0.4, COLLAPSED, "but G does not improve: lower generator_lr, or try packing: 2 or "),
        (0.51, 0.49, COLLAPSED, "raise discriminator_lr or k, or lower generator_lr"),
        (1.0, 0.0, APART, "lie far apart (D outputs 1 on real, 0 on generated): lower both"),
    ],
)
def test_each_balance_of_the_two_nets_has_its_remedy(
    d_real: float, d_fake: float, indicators: Indicators, remedy: str
) -> None:
    verdict = judge_all([indicators] * 6, d_real=d_real, d_fake=d_fake)[-1]
    assert verdict.status == "collapsed"
    assert remedy in verdict.reason


def test_a_family_without_a_discriminator_is_stopped_without_a_hint() -> None:
    one = monitor()
    for i in range(1, 5):
        verdict = one.judge(TrialEvaluation(1000 * i, *astuple(COLLAPSED)))
    assert verdict.status == "collapsed"
    assert verdict.reason.endswith("give_up 0.05")


# A trial of two stages


def test_a_second_stage_gets_a_grace_and_a_count_of_its_own() -> None:
    one = monitor()
    first = [one.judge(report(1000 * i, COLLAPSED)) for i in range(1, 3)]
    second = [one.judge(report(1000 * i, COLLAPSED, stage_start=2500)) for i in range(3, 8)]
    assert statuses(first) == ["undetermined"] * 2
    assert statuses(second) == ["undetermined"] * 3 + ["collapsed"] * 2


# Its state


def test_the_state_survives_json_at_every_report() -> None:
    reports = [SOUND, COLLAPSED, COLLAPSED, SOUND, COLLAPSED]
    reports += [COLLAPSED] * 5  # of a second stage
    whole, resumed = monitor(), monitor()
    for i, indicators in enumerate(reports, start=1):
        now = report(1000 * i, indicators, stage_start=5500 if i > 5 else 0)
        expected = whole.judge(now)
        state = json.loads(json.dumps(resumed.state_dict()))
        resumed = monitor()
        resumed.load_state_dict(state)
        assert resumed.judge(now) == expected
    assert expected.status == "collapsed"
    assert resumed.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    "state", [{"stage_start": 0, "first": None, "bad": [[3000, 0.1]]}, {"reports": [{"a": 1}]}]
)
def test_a_state_of_an_older_version_starts_the_count_anew(state: dict[str, object]) -> None:
    one = monitor()
    one.load_state_dict(state)
    assert one.judge(report(4000, COLLAPSED)).status == "undetermined"
    assert one.judge(report(5000, COLLAPSED)).status == "collapsed"
