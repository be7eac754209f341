"""Predictions of final scores, and how often their intervals hold."""

import math

import numpy as np

from gansearch.tune.curve_prediction import CurvePrediction

UPDATES = list(range(100, 1100, 100))


def power_law(rng, noise=0.1):
    """Return a curve that gains less with every doubling, with noise."""
    height, decay = rng.normal(10, 3), rng.uniform(0.5, 1.0)
    scores = height - 20 * (np.array(UPDATES) / 100.0) ** -decay
    return (scores + rng.normal(0, noise, len(UPDATES))).tolist()


def test_a_gain_over_a_doubling_is_followed_by_half_as_much():
    prediction = CurvePrediction(max_updates=800)
    assert prediction.predict([100, 200], [0.0, 4.0]).expected == 4 + 2 + 1
    assert prediction.predict([100, 400], [1.0, 1.0]).expected == 1


def test_a_first_report_predicts_itself():
    assert CurvePrediction(max_updates=800).predict([100], [3.0]).expected == 3


def test_without_errors_to_learn_from_the_interval_is_infinite():
    predicted = CurvePrediction(max_updates=800).predict([100, 200], [0.0, 4.0])
    assert (predicted.low, predicted.high) == (-math.inf, math.inf)


def test_the_end_of_a_training_is_known():
    prediction = CurvePrediction(max_updates=200)
    predicted = prediction.predict([100, 200], [0.0, 4.0])
    assert predicted.low == predicted.expected == predicted.high == 4


def test_intervals_hold_at_least_as_often_as_they_say_and_are_narrower_than_the_scores_spread():
    rng = np.random.default_rng(0)
    prediction = CurvePrediction(max_updates=1000)
    for _ in range(60):
        scores = power_law(rng, noise=0.3)
        for n in range(1, len(scores) + 1):
            prediction.learn(UPDATES[:n], scores[:n])
    hits, widths, ends = [], [], []
    for _ in range(400):
        scores = power_law(rng, noise=0.3)
        predicted = prediction.predict(UPDATES[:6], scores[:6], confidence=0.9)
        hits.append(predicted.low <= scores[-1] <= predicted.high)
        widths.append(predicted.high - predicted.low)
        ends.append(scores[-1])
    assert np.mean(hits) >= 0.85
    assert np.mean(widths) < np.quantile(ends, 0.95) - np.quantile(ends, 0.05)


def test_young_reports_teach_nothing():
    prediction = CurvePrediction(max_updates=1000, from_updates=1000)
    rng = np.random.default_rng(0)
    scores = power_law(rng)
    for n in range(1, len(scores) + 1):
        prediction.learn(UPDATES[:n], scores[:n])
    assert prediction.predict([100], [0.0]).high == math.inf
