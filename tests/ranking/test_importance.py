"""Predictions of held-out trials by a forest, compared with known truths."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gansearch.ranking.importance import Feature, concordance, predict_held_out


def numbers(n, seed, *, applies=None):
    block = np.random.default_rng(seed).random((n, 1))
    return Feature(block, np.ones(n, bool) if applies is None else applies)


def test_concordance_of_two_classes_is_the_area_under_the_roc_curve():
    rng = np.random.default_rng(0)
    actual = (rng.random(60) < 0.3).astype(float)
    predicted = np.round(actual * 0.3 + rng.random(60), 1)  # with ties
    assert concordance(predicted, actual) == pytest.approx(roc_auc_score(actual, predicted))


def test_concordance_is_the_share_of_pairs_in_the_right_order():
    # Pairs of 1, 2, 3, 4: all right but (3, 4); and 1 beside 2 undecided.
    assert concordance(np.array([0, 0, 2, 1]), np.array([1, 2, 3, 4])) == pytest.approx(4.5 / 6)
    assert concordance(np.zeros(4), np.arange(4)) == 0.5
    assert np.isnan(concordance(np.arange(4), np.ones(4)))


def test_what_decides_is_lost_when_it_is_averaged_out_and_noise_is_not():
    decides, *noise = (numbers(80, seed) for seed in range(4))
    target = (decides.block[:, 0] > 0.6).astype(float)
    found = predict_held_out([*noise, decides], target)
    assert found.full > 0.95
    assert found.p_value < 1e-6
    assert found.without[3] < 0.65
    assert min(found.without[:3]) > 0.95


def test_a_conditional_parameter_is_not_credited_with_its_condition():
    """The condition decides; what only applies where it holds says nothing of its own."""
    condition = np.random.default_rng(0).random(80) < 0.5
    target = condition + np.random.default_rng(1).random(80)
    conditional = numbers(80, 2, applies=condition)
    conditional.block[~condition] = np.nan
    found = predict_held_out(
        [Feature(condition[:, None].astype(float), np.ones(80, bool)), conditional], target
    )
    skill = found.full - 0.5
    assert found.full - found.without[0] > 0.8 * skill
    assert found.full - found.without[1] < 0.1 * skill


def test_noise_is_no_better_than_chance_and_not_worse_by_much():
    """Unless folds have like targets, the held-out class is predicted the wrong way round."""
    features = [numbers(40, seed) for seed in range(5)]
    found = []
    for seed in range(3):
        target = (np.arange(40) < 10).astype(float)
        found.append(predict_held_out(features, np.random.default_rng(seed).permutation(target)))
    assert np.mean([f.full for f in found]) == pytest.approx(0.5, abs=0.12)
    assert min(f.p_value for f in found) > 0.01


def test_the_same_trials_are_predicted_the_same():
    features, target = [numbers(30, 0), numbers(30, 1)], np.arange(30.0)
    assert predict_held_out(features, target) == predict_held_out(features, target)
