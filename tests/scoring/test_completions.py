"""Scores of completions in cases whose answers are known."""

import math

import numpy as np
import pytest
import torch

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.scoring import completions
from gansearch.scoring.completions import (
    CompletionEvaluator,
    Questions,
    choose_sigma,
    nearest_completions,
    questions,
    score_completions,
)
from gansearch.scoring.parzen import sigma_grid

MEAN = np.array([0.5, -0.3, 1.0])
COVARIANCE = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.1], [0.3, 0.1, 0.5]])
DIGITS = load_dataset("digits")


def gaussian(n=3000):
    points = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, n + 1000)
    points = points.astype(np.float32)
    return Dataset("gaussian", points[:n], points[n : n + 500], points[n + 500 :], (3,), 1.0)


def exact(asked, m, rng, *, widened=1.0):
    """Return completions of the Gaussian by its conditional distributions."""
    made = np.repeat(asked.x.numpy()[:, None].astype(np.float64), m, axis=1)
    for i, hidden in enumerate(asked.hidden.numpy()):
        mean, covariance = conditional(asked.x[i].numpy(), hidden)
        drawn = rng.multivariate_normal(mean, covariance, m)
        made[i][:, hidden] = mean + widened * (drawn - mean)
    return made.astype(np.float32)


def conditional(x, hidden):
    shown = ~hidden
    gain = COVARIANCE[np.ix_(hidden, shown)] @ np.linalg.inv(COVARIANCE[np.ix_(shown, shown)])
    mean = MEAN[hidden] + gain @ (x - MEAN)[shown]
    return mean, COVARIANCE[np.ix_(hidden, hidden)] - gain @ COVARIANCE[np.ix_(shown, hidden)]


def one_question(n, hidden):
    """Return n held-out points of the Gaussian of which the same coordinates are hidden."""
    x = torch.from_numpy(gaussian().test[:n])
    masks = (~torch.tensor(hidden)).float().expand(n, 3)
    return Questions(x, masks, masks == 0)


@pytest.mark.parametrize("hidden", [[False, True, False], [True, True, False]])
def test_the_exact_sampler_has_the_exact_conditional_log_likelihood(hidden):
    asked, rng = one_question(300, hidden), np.random.default_rng(1)
    made = exact(asked, 1000, rng)
    sigma = choose_sigma(made, asked, sigma_grid("fine", is_image=False))
    found = score_completions(made[:, :500], asked, sigma).hidden_ll
    wanted = []
    for x, which in zip(asked.x.numpy(), asked.hidden.numpy(), strict=True):
        mean, covariance = conditional(x, which)
        away = x[which] - mean
        squared = away @ np.linalg.solve(covariance, away)
        log_norm = np.linalg.slogdet(2 * math.pi * covariance)[1] / 2
        wanted.append((-squared / 2 - log_norm) / which.sum())
    assert found == pytest.approx(np.mean(wanted), abs=0.05)


def test_the_energy_score_is_best_for_the_exact_conditionals():
    asked, rng = one_question(500, [True, False, True]), np.random.default_rng(2)
    scores = {
        wide: score_completions(exact(asked, 40, rng, widened=wide), asked, 0.1).energy_score
        for wide in (0.0, 0.5, 1.0, 2.0)
    }
    assert min(scores, key=scores.get) == 1.0
    # One guess, the mean, has the error of the mean; it is best for the error alone.
    error = {
        wide: score_completions(exact(asked, 40, rng, widened=wide), asked, 0.1).hidden_error
        for wide in (0.0, 1.0)
    }
    assert error[0.0] <= error[1.0]


def test_scores_of_a_case_worked_by_hand():
    x = torch.tensor([[0.0, 5.0, 7.0]])
    asked = Questions(x, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[True, False, True]]))
    made = np.array([[[3.0, 5.0, 11.0], [0.0, 5.0, 7.0]]])  # at distances 5 and 0, 5 apart
    found = score_completions(made, asked, sigma=1.0)
    assert found.energy_score == pytest.approx((2.5 - 2.5) / math.sqrt(2))
    assert found.spread == pytest.approx(5 / math.sqrt(2))
    assert found.hidden_error == pytest.approx(2.5 / math.sqrt(2))
    assert found.hidden_error_best == 0
    mixture = 0.5 * (1 + math.exp(-12.5)) / (2 * math.pi)
    assert found.hidden_ll == pytest.approx(math.log(mixture) / 2)


def test_the_nearest_examples_are_those_by_the_visible_part():
    dataset = gaussian(300)
    asked = questions(dataset, "valid", 20)["random"]
    found = nearest_completions(dataset, asked, 3)
    shown = ~asked.hidden.numpy()[:, None]
    squared = (np.square(dataset.train - asked.x.numpy()[:, None]) * shown).sum(2)
    wanted = np.sort(squared, axis=1)[:, :3]
    sees = shown[:, 0].any(1)
    got = (np.square(found - asked.x.numpy()[:, None]) * shown).sum(2)
    np.testing.assert_allclose(got[sees], wanted[sees], atol=1e-4)


def test_few_training_examples_are_repeated(monkeypatch):
    monkeypatch.setattr("gansearch.scoring.neighbours._BLOCK_BYTES", 4 * 20 * 2)
    asked = questions(gaussian(3), "valid", 20)["random"]
    found = nearest_completions(gaussian(3), asked, 7)
    assert found.shape == (20, 7, 3)
    np.testing.assert_array_equal(found[:, :3], found[:, 3:6])


def test_questions_are_the_same_for_all_and_their_parts_share_no_example():
    first, again = questions(DIGITS, "valid", 50), questions(DIGITS, "valid", 50)
    assert list(first) == ["random", "halves", "blocks"]
    for kind in first:
        assert torch.equal(first[kind].masks, again[kind].masks)
    sought = questions(DIGITS, "sigma", 10**6)["random"].x
    valid = questions(DIGITS, "valid", 10**6)["random"].x
    assert len(sought) + len(valid) == len(DIGITS.valid)


def test_the_nearest_examples_measured_against_themselves_are_as_diverse():
    evaluator = CompletionEvaluator(DIGITS)
    found = evaluator.measure(
        lambda asked, m: nearest_completions(DIGITS, asked, m), "test", at_end=True
    )
    assert found["completion_diversity"] == 1
    assert found["hidden_ll"] == found["hidden_ll_nearest"]
    assert found["energy_score"] == found["energy_score_nearest"]
    kinds = [found[f"hidden_ll_{kind}"] for kind in ("random", "halves", "blocks")]
    assert found["hidden_ll"] == pytest.approx(np.mean(kinds))


def test_the_same_completion_again_and_again_has_no_diversity():
    evaluator = CompletionEvaluator(DIGITS)

    def one(asked, m):
        nearest = nearest_completions(DIGITS, asked, m)
        return np.repeat(nearest.mean(axis=1, keepdims=True), m, axis=1)

    found = evaluator.measure(one, "valid", at_end=False)
    assert found["completion_diversity"] < 1e-6
    many = evaluator.measure(
        lambda asked, m: nearest_completions(DIGITS, asked, m), "valid", at_end=False
    )
    assert found["energy_score"] > 1.3 * many["energy_score"]
    assert found["hidden_ll"] < many["hidden_ll"]


def test_an_evaluation_asks_for_few_completions(monkeypatch):
    asked_for = []

    def complete(asked, m):
        asked_for.append(len(asked.x) * m)
        return np.zeros((len(asked.x), m, DIGITS.dim), np.float32)

    CompletionEvaluator(DIGITS).measure(complete, "valid", at_end=False)
    assert sum(asked_for) <= 2 * 3 * 100 * completions.N_COMPLETIONS


def test_where_the_nearest_examples_are_equal_there_is_no_diversity_to_compare_with():
    rows = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]], np.float32), 60, axis=0)
    equal = Dataset("equal", rows, rows, rows, (2,), 1.0)

    def guess(asked, m):
        return np.repeat(asked.x.numpy()[:, None], m, axis=1)

    found = CompletionEvaluator(equal).measure(guess, "valid", at_end=False)
    assert math.isnan(found["completion_diversity"])
    assert found["hidden_error"] == 0
