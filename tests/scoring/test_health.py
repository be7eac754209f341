import json
from dataclasses import astuple

import pytest

from gansearch.data.registry import load_dataset
from gansearch.measures import Indicators
from gansearch.scoring.health import HealthMonitor, TrialEvaluation, Verdict, judge_end, judge_once
from gansearch.scoring.indicators import HealthReference

NULL = Indicators(coverage=0.97, recall=0.96, nn_ratio=1.0)
YOUNG = Indicators(coverage=0.04, recall=0.0, nn_ratio=0.011)
SOUND = Indicators(coverage=0.5, recall=0.3, nn_ratio=0.8)
COLLAPSED = Indicators(coverage=0.04, recall=0.01, nn_ratio=0.3)
# A few images again and again, which happen to lie within many balls.
REPEATED = Indicators(coverage=0.4, recall=0.0, nn_ratio=0.01)
# Samples all around the data, as those of a slow and healthy training.
AROUND = Indicators(coverage=0.02, recall=0.99, nn_ratio=12.0)
APART = Indicators(coverage=0.0, recall=1.0, nn_ratio=400.0)


def monitor() -> HealthMonitor:
    """Of a training of 20,000 updates, with a grace of 3,000."""
    return HealthMonitor(NULL, max_updates=20_000, grace_updates=3000)


def report(
    updates: int,
    indicators: Indicators,
    *,
    valid_ll: float = -5.0,
    d_real: float = 0.99,
    d_fake: float = 0.01,
    stage_start: int = 0,
) -> TrialEvaluation:
    return TrialEvaluation(
        updates, *astuple(indicators), valid_ll, 0.001, d_real, d_fake, stage_start
    )


def judge_all(indicators: list[Indicators], **of_each: float) -> list[Verdict]:
    """The verdicts on reports at updates 1,000, 2,000, ... of one trial."""
    one = monitor()
    return [one.judge(report(1000 * i, each, **of_each)) for i, each in enumerate(indicators, 1)]


def statuses(verdicts: list[Verdict]) -> list[str]:
    return [verdict.status for verdict in verdicts]


AT_REST = {"d_real": 0.5, "d_fake": 0.5}


# A finished set of samples


def test_a_generator_of_one_mode_of_the_ring_is_called_collapsed() -> None:
    ring = load_dataset("ring")
    assert ring.modes is not None
    reference = HealthReference(ring.train[:2500], 500)
    nearest = ((ring.train[:, None] - ring.modes) ** 2).sum(-1).argmin(1)
    one_mode = ring.train[nearest == 0]
    assert judge_once(reference.indicators(one_mode), reference.null).status == "collapsed"
    assert judge_once(reference.indicators(ring.test), reference.null).status == "sound"


def test_a_single_judgement_says_what_it_saw() -> None:
    verdict = judge_once(COLLAPSED, NULL)
    assert verdict == Verdict(
        "collapsed", "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.3 (1)"
    )
    assert judge_once(SOUND, NULL) == Verdict("sound", "")


def test_samples_that_cover_nothing_are_collapsed_however_wide_they_lie() -> None:
    assert judge_once(APART, NULL).status == "collapsed"


def test_a_finished_training_is_judged_more_mildly_than_anybodys_samples() -> None:
    poor = Indicators(coverage=0.2, recall=0.01, nn_ratio=0.3)
    assert judge_once(poor, NULL).status == "collapsed"
    assert judge_end(poor, NULL, updates=5000) == Verdict("sound")
    kinds = (COLLAPSED, REPEATED, APART, AROUND)
    assert [judge_end(each, NULL, updates=5000).status for each in kinds] == [
        *["collapsed"] * 3,
        "sound",
    ]
    assert judge_end(COLLAPSED, NULL, updates=5000).reason == (
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.3 (1) at its end"
    )


def test_a_training_of_less_than_a_thousand_updates_is_too_young_to_be_judged_at_its_end() -> None:
    found = [judge_end(COLLAPSED, NULL, updates=n).status for n in (999, 1000)]
    assert found == ["sound", "collapsed"]


# A trial: samples off the data


def test_a_generator_off_the_data_is_stopped_when_its_grace_is_over() -> None:
    assert statuses(judge_all([COLLAPSED] * 5)) == [
        *("undetermined", "undetermined", "undetermined"),
        *("collapsed", "collapsed"),
    ]


def test_the_first_reports_count_for_nothing() -> None:
    young, *later = judge_all([COLLAPSED] * 3)
    assert young.status == "undetermined"
    assert young.reason.endswith("nn_ratio 0.3 (1), but the trial is young")
    assert later[-1].reason.endswith("for 2 evaluations since update 2,000")
    assert statuses(judge_all([SOUND])) == ["sound"]


def test_the_reason_gives_figures_reports_and_a_remedy() -> None:
    assert judge_all([COLLAPSED] * 5)[-1].reason == (
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.3 (1) for 4 evaluations "
        "since update 2,000; D separates real from generated (outputs 0.99 on real, 0.01 on "
        "generated; loss 0.001): lower discriminator_lr or k, or raise generator_lr"
    )


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
    verdict = judge_all([SOUND] + [indicators] * 6, d_real=d_real, d_fake=d_fake)[-1]
    assert verdict.status == "collapsed"
    assert remedy in verdict.reason


def test_one_sound_report_starts_the_count_afresh() -> None:
    assert "collapsed" not in statuses(judge_all([COLLAPSED, COLLAPSED, SOUND] * 6))


def test_a_late_collapse_is_found() -> None:
    assert statuses(judge_all([SOUND] * 10 + [COLLAPSED] * 3))[9:] == [
        *("sound", "undetermined", "undetermined", "collapsed")
    ]


def test_samples_spread_around_the_data_are_not_called_collapsed() -> None:
    assert set(statuses(judge_all([AROUND] * 20))) == {"sound"}


def test_many_reports_in_a_short_time_are_not_enough() -> None:
    often = HealthMonitor(NULL, max_updates=100_000, grace_updates=3000)
    verdicts = [often.judge(report(1000 * i, COLLAPSED)) for i in range(1, 14)]
    # Those at 2,000 and 12,000 are a tenth of the training apart.
    assert statuses(verdicts).index("collapsed") == 11


def test_a_rising_likelihood_holds_the_verdict() -> None:
    one, held = monitor(), []
    for i in range(1, 12):
        held.append(one.judge(report(1000 * i, COLLAPSED, valid_ll=-20.0 + 2 * i)))
    assert statuses(held)[3:] == ["undetermined"] * 8
    assert held[-1].reason.endswith(", but valid_ll rises, to 2")
    for i in range(12, 16):
        verdict = one.judge(report(1000 * i, COLLAPSED, valid_ll=2.0))
    assert verdict.status == "collapsed"


def test_samples_that_spread_hold_the_verdict() -> None:
    tight, wider = Indicators(0.03, 0.0, 0.01), Indicators(0.03, 0.0, 0.05)
    verdicts = judge_all([tight, tight, wider, wider, wider, wider])
    assert statuses(verdicts)[2:] == ["undetermined"] * 3 + ["collapsed"]
    assert verdicts[4].reason.endswith("but the samples spread, nn_ratio from 0.01 to 0.05")


# A trial: repeated samples


def test_repeated_samples_that_d_tells_from_real_ones_are_stopped_after_a_quarter() -> None:
    found = statuses(judge_all([REPEATED] * 8))
    assert found.index("collapsed") == 6  # at 7,000; they count from 2,000 on


def test_repeated_samples_that_d_takes_for_real_are_left_alone() -> None:
    found = statuses(judge_all([SOUND] + [REPEATED] * 19, d_real=0.6, d_fake=0.3))
    assert set(found) == {"sound"}


# A trial: nets at rest


def test_nets_at_rest_are_left_alone_for_three_tenths_of_the_training() -> None:
    verdicts = judge_all([YOUNG] * 7, **AT_REST)
    assert statuses(verdicts) == ["undetermined"] * 5 + ["collapsed"] * 2
    assert verdicts[2].reason.endswith(
        "as at the first evaluation: the networks have not started to learn"
    )
    assert verdicts[5].reason == (
        "coverage 0.04 (real data: 0.97), recall 0.00 (0.96), nn_ratio 0.011 (1), as at the first "
        "evaluation, 6,000 updates ago: neither network learns (D outputs 0.5 for all). Raise both "
        "learning rates or the initial weights"
    )


def test_nets_at_rest_may_stay_so_while_the_outputs_of_d_part() -> None:
    one = monitor()
    gaps = [1e-5, 2e-5, 4e-5, 8e-5, 2e-4, 5e-4, 2e-3, 8e-3, 8e-3, 8e-3]
    verdicts = [
        one.judge(report(1000 * i, YOUNG, d_real=0.5 + gap, d_fake=0.5))
        for i, gap in enumerate(gaps, 1)
    ]
    assert statuses(verdicts) == ["undetermined"] * 9 + ["collapsed"]
    assert verdicts[7].reason.endswith("but D begins to tell real from generated")


def test_a_net_that_awakes_is_young_once_more() -> None:
    one = monitor()
    at_rest = [one.judge(report(1000 * i, YOUNG, **AT_REST)) for i in range(1, 5)]
    awake = [one.judge(report(1000 * i, YOUNG)) for i in range(5, 10)]
    assert set(statuses(at_rest)) == {"undetermined"}
    assert statuses(awake) == [
        *["undetermined"] * 4,
        "collapsed",
    ]
    assert "for 3 evaluations since update 7,000" in awake[-1].reason


def test_a_constant_generator_whose_nn_ratio_is_zero_may_be_at_rest() -> None:
    constant = Indicators(coverage=0.46, recall=0.0, nn_ratio=0.0)
    assert statuses(judge_all([constant] * 6, **AT_REST)) == [
        *["undetermined"] * 5,
        "collapsed",
    ]


@pytest.mark.parametrize("n_reports", [1, 2, 3, 5, 20])
def test_a_generator_that_has_won_by_the_first_report_is_not_taken_for_one_at_rest(
    n_reports: int,
) -> None:
    one, won = monitor(), Indicators(coverage=0.95, recall=0.94, nn_ratio=0.98)
    verdicts = [
        one.judge(report(20_000 * i // n_reports, won, d_real=0.52, d_fake=0.49))
        for i in range(1, n_reports + 1)
    ]
    assert set(statuses(verdicts)) == {"sound"}


def test_one_report_alone_shows_no_standstill_however_late_it_comes() -> None:
    one = monitor()
    verdicts = [one.judge(report(updates, YOUNG, **AT_REST)) for updates in (10_000, 20_000)]
    assert statuses(verdicts) == ["undetermined", "collapsed"]


# A trial of two stages


def test_a_second_stage_gets_a_grace_of_its_own_and_none_of_the_firsts_reports() -> None:
    one = monitor()
    first = [one.judge(report(1000 * i, COLLAPSED)) for i in range(1, 4)]
    second = [one.judge(report(1000 * i, COLLAPSED, stage_start=3500)) for i in range(4, 9)]
    assert "collapsed" not in statuses(first)
    assert statuses(second) == [
        *("undetermined", "undetermined", "undetermined", "collapsed", "collapsed"),
    ]
    assert "for 3 evaluations since update 5,000" in second[3].reason


# What it must let pass, and its state


def test_the_papers_own_configuration_on_digits_is_not_stopped() -> None:
    # Measured: reports every 500 updates of a run that ended at 3.9 nats and coverage .43.
    coverage = [40, 40, 40, 54, 62, 132, 122, 152, 212, 314, 348, 348, 432, 480, 456, 432]
    nn_ratio = [11, 11, 11, 16, 36, 46, 42, 165, 285, 443, 412, 589, 564, 607, 667, 710]
    d_real = [500, 500, 503, 930, 797, 805, 876, 765, 641, 654, 619, 633, 575, 628, 588, 596]
    d_fake = [500, 500, 497, 33, 50, 34, 41, 74, 110, 156, 239, 259, 291, 331, 354, 316]
    one = HealthMonitor(NULL, max_updates=8000, grace_updates=1200)
    verdicts = [
        one.judge(
            report(
                500 * i,
                Indicators(c / 1000, 0.0, n / 1000),
                d_real=real / 1000,
                d_fake=fake / 1000,
            )
        )
        for i, (c, n, real, fake) in enumerate(
            zip(coverage, nn_ratio, d_real, d_fake, strict=True), start=1
        )
    ]
    assert "collapsed" not in statuses(verdicts)
    assert verdicts[-1].status == "sound"


def test_the_state_survives_json_at_every_report() -> None:
    reports = [YOUNG, YOUNG, SOUND, COLLAPSED, COLLAPSED, APART, COLLAPSED, SOUND, COLLAPSED]
    reports += [COLLAPSED] * 5  # of a second stage
    whole, resumed = monitor(), monitor()
    for i, indicators in enumerate(reports, start=1):
        stage_start = 9500 if i > 9 else 0
        now = report(1000 * i, indicators, valid_ll=-float(i), stage_start=stage_start)
        expected = whole.judge(now)
        state = json.loads(json.dumps(resumed.state_dict()))
        resumed = monitor()
        resumed.load_state_dict(state)
        assert resumed.judge(now) == expected
    assert expected.status == "collapsed"
    assert resumed.state_dict() == whole.state_dict()


def test_a_state_of_an_older_version_starts_the_judgement_anew() -> None:
    one = monitor()
    one.load_state_dict({"stage_start": 0, "first": None, "begun_at": 0, "bad": [[3000, 0.1]]})
    assert one.judge(report(4000, COLLAPSED)).status == "undetermined"
