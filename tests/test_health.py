import json

import numpy as np
import pytest
import torch

from gansearch.data import load_dataset
from gansearch.health import HealthMonitor, Verdict, judge_once
from gansearch.indicators import Indicators

NULL = Indicators(coverage=0.97, recall=0.96, nn_ratio=1.0)
YOUNG = Indicators(coverage=0.04, recall=0.0, nn_ratio=0.011)
SOUND = Indicators(coverage=0.5, recall=0.3, nn_ratio=0.8)
COLLAPSED = Indicators(coverage=0.04, recall=0.01, nn_ratio=0.01)
# Varied samples, all far from the data.
ASTRAY = Indicators(coverage=0.02, recall=0.0, nn_ratio=0.4)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def digits() -> np.ndarray:
    dataset = load_dataset("digits")
    return dataset.to_float(dataset.train)


def judge(
    monitor: HealthMonitor,
    updates: int,
    indicators: Indicators,
    *,
    d_real: float = 0.98,
    d_fake: float = 0.01,
    stage_start: int = 0,
) -> Verdict:
    return monitor.judge(
        updates,
        indicators,
        d_loss=0.001,
        g_loss=9.5,
        d_real=d_real,
        d_fake=d_fake,
        stage_start=stage_start,
    )


def judge_all(monitor: HealthMonitor, reports: list[Indicators], **losses: float) -> list[str]:
    """The verdicts on reports at updates 1,000, 2,000, ..."""
    verdicts = [
        judge(monitor, 1000 * i, indicators, **losses) for i, indicators in enumerate(reports, 1)
    ]
    return [verdict.status for verdict in verdicts]


def test_a_single_judgement_says_what_it_saw() -> None:
    verdict = judge_once(COLLAPSED, NULL)
    assert verdict == Verdict(
        "collapsed", "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.01 (1)"
    )
    assert judge_once(SOUND, NULL) == Verdict("sound", "")


def test_a_constant_generator_is_called_collapsed() -> None:
    monitor = HealthMonitor(NULL, grace_updates=2000)
    assert judge_all(monitor, [COLLAPSED] * 5) == [
        "undetermined",
        "undetermined",
        "undetermined",
        "collapsed",
        "collapsed",
    ]


def test_the_reason_gives_figures_reports_and_a_remedy() -> None:
    monitor = HealthMonitor(NULL, grace_updates=2000)
    verdicts = [judge(monitor, 1000 * i, COLLAPSED) for i in range(1, 5)]
    assert [verdict.reason for verdict in verdicts] == [
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.01 (1), "
        "within the grace until update 2,000",
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.01 (1) "
        "for 1 report since update 2,000",
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.01 (1) "
        "for 2 reports since update 2,000",
        "coverage 0.04 (real data: 0.97), recall 0.01 (0.96), nn_ratio 0.01 (1) "
        "for 3 reports since update 2,000. D gives 0.98 to real, 0.01 to fake (losses 0.001, 9.5), "
        "so it leads: lower discriminator_lr or k, or raise generator_lr",
    ]


def test_a_discriminator_at_chance_gets_another_remedy() -> None:
    monitor = HealthMonitor(NULL, grace_updates=1000, patience=1)
    judge(monitor, 1000, SOUND)
    verdict = judge(monitor, 2000, COLLAPSED, d_real=0.51, d_fake=0.49)
    assert verdict.status == "collapsed"
    assert verdict.reason.endswith(
        "so it guides nothing: raise discriminator_lr or k, or lower generator_lr"
    )


def test_one_sound_report_starts_the_patience_afresh() -> None:
    monitor = HealthMonitor(NULL, grace_updates=1000)
    assert "collapsed" not in judge_all(monitor, [COLLAPSED, COLLAPSED, SOUND] * 4)


def test_a_late_collapse_is_found() -> None:
    monitor = HealthMonitor(NULL, grace_updates=1000)
    assert judge_all(monitor, [SOUND] * 10 + [COLLAPSED] * 3)[9:] == [
        "sound",
        "undetermined",
        "undetermined",
        "collapsed",
    ]


def test_a_rising_coverage_holds_the_verdict() -> None:
    rising = [Indicators(0.01 * i, 0.0, 0.02) for i in range(1, 10)]
    assert "collapsed" not in judge_all(HealthMonitor(NULL, grace_updates=1000), rising)


def test_varied_samples_far_from_the_data_get_twice_the_patience() -> None:
    verdicts = judge_all(HealthMonitor(NULL, grace_updates=1000), [ASTRAY] * 7)
    assert verdicts.index("collapsed") == 5


def test_nets_at_rest_are_left_alone_for_four_graces() -> None:
    monitor = HealthMonitor(NULL, grace_updates=1000)
    verdicts = [judge(monitor, 1000 * i, YOUNG, d_real=0.5, d_fake=0.5) for i in range(1, 9)]
    assert [v.status for v in verdicts] == ["undetermined"] * 6 + ["collapsed"] * 2
    assert verdicts[2].reason.endswith("but the nets are still at rest")


def test_the_grace_starts_anew_when_a_net_at_rest_awakes() -> None:
    monitor = HealthMonitor(NULL, grace_updates=2000)
    at_rest = [judge(monitor, 1000 * i, YOUNG, d_real=0.5, d_fake=0.5) for i in range(1, 5)]
    awake = [judge(monitor, 1000 * i, YOUNG) for i in range(5, 10)]
    assert {v.status for v in at_rest} == {"undetermined"}
    assert awake[0].reason.endswith("within the grace until update 7,000")
    assert [v.status for v in awake] == ["undetermined"] * 4 + ["collapsed"]


def test_a_second_stage_gets_a_grace_of_its_own_and_none_of_the_firsts_bad_reports() -> None:
    monitor = HealthMonitor(NULL, grace_updates=2000)
    first = [judge(monitor, 1000 * i, COLLAPSED) for i in range(1, 4)]
    second = [judge(monitor, 1000 * i, COLLAPSED, stage_start=3500) for i in range(4, 9)]
    assert {v.status for v in first} == {"undetermined"}
    assert second[0].reason.endswith("within the grace until update 5,500")
    assert [v.status for v in second] == ["undetermined"] * 4 + ["collapsed"]
    assert "for 3 reports since update 6,000" in second[-1].reason


def test_a_second_stage_may_rest_for_four_graces_again() -> None:
    monitor = HealthMonitor(NULL, grace_updates=1000)
    rest = {"d_real": 0.5, "d_fake": 0.5}
    judge(monitor, 1000, SOUND)
    verdicts = [judge(monitor, 1000 * i, YOUNG, **rest, stage_start=5000) for i in range(6, 14)]
    assert [v.reason.endswith("still at rest") for v in verdicts] == [True] * 3 + [False] * 5
    assert [v.status for v in verdicts] == ["undetermined"] * 6 + ["collapsed"] * 2


def test_the_papers_own_configuration_on_digits_is_not_stopped() -> None:
    # Measured: reports every 500 updates of a run that ended at 3.9 nats and coverage .43.
    coverage = [40, 40, 40, 54, 62, 132, 122, 152, 212, 314, 348, 348, 432, 480, 456, 432]
    nn_ratio = [11, 11, 11, 16, 36, 46, 42, 165, 285, 443, 412, 589, 564, 607, 667, 710]
    d_real = [500, 500, 503, 930, 797, 805, 876, 765, 641, 654, 619, 633, 575, 628, 588, 596]
    d_fake = [500, 500, 497, 33, 50, 34, 41, 74, 110, 156, 239, 259, 291, 331, 354, 316]
    monitor = HealthMonitor(NULL, grace_updates=1200)
    statuses = [
        judge(
            monitor,
            500 * i,
            Indicators(c / 1000, 0.0, n / 1000),
            d_real=real / 1000,
            d_fake=fake / 1000,
        ).status
        for i, (c, n, real, fake) in enumerate(
            zip(coverage, nn_ratio, d_real, d_fake, strict=True), start=1
        )
    ]
    assert "collapsed" not in statuses
    assert statuses[-1] == "sound"


def test_the_state_survives_json_at_every_report() -> None:
    reports = [YOUNG, YOUNG, SOUND, COLLAPSED, COLLAPSED, ASTRAY, COLLAPSED, SOUND, COLLAPSED]
    reports += [COLLAPSED] * 5  # of a second stage
    whole = HealthMonitor(NULL, grace_updates=1500)
    resumed = HealthMonitor(NULL, grace_updates=1500)
    for i, indicators in enumerate(reports, start=1):
        now = {"d_real": 0.5 + 0.1 * i, "d_fake": 0.5, "stage_start": 9500 if i > 9 else 0}
        expected = judge(whole, 1000 * i, indicators, **now)
        state = json.loads(json.dumps(resumed.state_dict()))
        resumed = HealthMonitor(NULL, grace_updates=1500)
        resumed.load_state_dict(state)
        assert judge(resumed, 1000 * i, indicators, **now) == expected
    assert expected.status == "collapsed"
    assert resumed.state_dict() == whole.state_dict()
