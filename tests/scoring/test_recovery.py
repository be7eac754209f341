import math

import pytest

from gansearch.measures import Indicators
from gansearch.scoring.recovery import RecoveryForecast, features, load_forecast

NULL = Indicators(coverage=0.97, recall=0.96, nn_ratio=1.0)
DEAD = Indicators(coverage=0.0, recall=0.0, nn_ratio=0.001)


def test_log_odds_are_a_sum_of_piecewise_linear_functions() -> None:
    forecast = RecoveryForecast(-1.0, {"a": ((0.0, 2.0), (0.0, 1.0)), "b": ((0.0,), (0.5,))})
    p = forecast.p_recovers({"a": 1.0, "b": 7.0})
    assert math.log(p / (1 - p)) == pytest.approx(0.0)
    beyond = forecast.p_recovers({"a": 9.0, "b": -7.0})
    assert math.log(beyond / (1 - beyond)) == pytest.approx(0.5)


def test_a_forecast_survives_its_plain_values() -> None:
    forecast = RecoveryForecast(-1.0, {"a": ((0.0, 2.0), (0.0, 1.0))})
    assert RecoveryForecast.from_dict(forecast.to_dict()) == forecast


def test_features_are_logarithms_of_shares_of_real_data() -> None:
    found = features(NULL, NULL, remaining=math.e, class_share=0.5)
    assert found["remaining"] == pytest.approx(0.0)
    assert found["classes"] == pytest.approx(math.log(0.5))
    near_zero = ("coverage", "recall", "nn_ratio")
    assert all(abs(found[name]) < 0.02 for name in near_zero)
    assert "classes" not in features(NULL, NULL, remaining=2.0)


def test_no_value_of_an_indicator_is_without_features() -> None:
    nothing = Indicators(0.0, 0.0, 0.0)
    found = features(nothing, nothing, remaining=1.0, class_share=0.0)
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("class_share", [None, 0.1])
def test_a_dead_generator_is_given_less_than_one_in_fifty_and_more_time_helps(
    class_share: float | None,
) -> None:
    forecast = load_forecast(with_classes=class_share is not None)
    early, late = (
        forecast.p_recovers(features(DEAD, NULL, remaining=share, class_share=class_share))
        for share in (10.0, 1.3)
    )
    assert late < early
    assert late < 0.02


def test_a_generator_in_the_valley_of_the_authors_configuration_may_recover() -> None:
    # Measured at update 6,000 of a training on MNIST, with 12,000 to be done.
    valley = Indicators(coverage=0.06, recall=0.0, nn_ratio=0.2)
    forecast = load_forecast(with_classes=True)
    assert forecast.p_recovers(features(valley, NULL, remaining=2.0, class_share=0.4)) > 0.05
