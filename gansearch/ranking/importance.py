"""How well the features of trials predict a number, and how much each of them contributes.

A random forest (Breiman 2001, "Random forests", Machine Learning 45) predicts held-out trials, once
as they are and once with each feature averaged out: permutation importance, but with predictions
that are averaged over the permutations, as in Covert, Lundberg and Lee (2020),
"Understanding global feature contributions with additive importance measures".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_N_FOLDS, _N_TREES, _LEAST_IN_LEAF, _MOST_IN_TREE = 5, 50, 3, 500
# Enough predictions for a stable average; with many trials, fewer of each suffice.
_ENOUGH_PREDICTIONS = 2000
_MOST_REPEATS, _LEAST_SHUFFLES, _MOST_SHUFFLES = 3, 4, 20


@dataclass(frozen=True)
class Feature:
    """One feature of the trials: its columns `block` `[n, c]`, valid where `applies` `[n]`."""

    block: np.ndarray
    applies: np.ndarray


@dataclass(frozen=True)
class PredictionSkill:
    """How well held-out trials are predicted, as concordances.

    Attributes:
        full: with all features; .5 is chance.
        without: with each feature averaged out, in the order of the features.
        p_value: of `full` being chance, one-sided, by Kendall's tau. It is slightly too small,
            because the predictions within a fold come from one forest.
    """

    full: float
    without: Sequence[float]
    p_value: float


def predict_held_out(features: Sequence[Feature], target: np.ndarray) -> PredictionSkill:
    """Predict `target` `[n]` from `features` by cross-validated forests, and return their skill.

    A feature is averaged out over the values of other trials, only where it applies, so that it
    isn't credited with the condition that it depends on. The same input gives the same numbers.
    """
    rng = np.random.default_rng(0)
    filled = [_filled(feature, rng) for feature in features]
    ends = np.cumsum([block.shape[1] for block in filled])
    columns = np.split(np.arange(ends[-1]), ends[:-1])
    matrix = np.concatenate(filled, axis=1)
    applies = [feature.applies for feature in features]
    n_repeats = int(np.clip(_ENOUGH_PREDICTIONS // len(target), 1, _MOST_REPEATS))
    total = np.zeros((1 + len(features), len(target)))
    for _ in range(n_repeats):
        folds = _folds(target, rng)
        for fold in range(_N_FOLDS):
            held_out = folds == fold
            forest = _fitted(matrix[~held_out], target[~held_out], rng)
            total[:, held_out] += _predictions(forest, matrix, held_out, columns, applies, rng)
    full, *without = (concordance(predicted, target) for predicted in total)
    from scipy.stats import kendalltau

    # NaN if all predictions, or all targets, are equal.
    p_value = float(kendalltau(total[0], target, alternative="greater").pvalue)
    return PredictionSkill(full, without, 1.0 if math.isnan(p_value) else p_value)


def concordance(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the share of pairs, `actual` differing, that `predicted` puts in the same order.

    Equal predictions count half: .5 is chance. Where `actual` has two values this is the area under
    the ROC curve. Both are `[n]`; NaN where all of `actual` is equal.
    """
    n_pairs = math.comb(len(actual), 2)
    of_predicted, of_actual = (n_pairs - _n_tied(values) for values in (predicted, actual))
    if not of_actual:
        return math.nan
    if not of_predicted:
        return 0.5
    from scipy.stats import kendalltau

    tau = float(kendalltau(predicted, actual).statistic)
    return 0.5 + 0.5 * tau * math.sqrt(of_predicted / of_actual)


def _n_tied(values: np.ndarray) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _filled(feature: Feature, rng: np.random.Generator) -> np.ndarray:
    """Return the block with values of other trials, drawn at random, where it doesn't apply.

    A special value there would encode the condition.
    """
    block = feature.block.copy()
    absent = ~feature.applies
    block[absent] = block[rng.choice(np.flatnonzero(feature.applies), int(absent.sum()))]
    return block


def _folds(target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each trial, `[n]`: random, with about the same targets in each.

    Otherwise predictions would be biased the wrong way: the more of the dead are held out, the
    fewer are left to fit to.
    """
    order = np.lexsort((rng.random(len(target)), target))
    n_blocks = -(-len(target) // _N_FOLDS)
    dealt = rng.permuted(np.tile(np.arange(_N_FOLDS), (n_blocks, 1)), axis=1).ravel()
    folds = np.empty(len(target), int)
    folds[order] = dealt[: len(target)]
    return folds


def _fitted(matrix: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> Any:
    # Imported here: it takes a second, which most commands don't need.
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(
        _N_TREES,
        min_samples_leaf=_LEAST_IN_LEAF,
        max_samples=min(len(target), _MOST_IN_TREE),
        random_state=int(rng.integers(2**31)),
    ).fit(matrix, target)


def _predictions(
    forest: Any,
    matrix: np.ndarray,
    held_out: np.ndarray,
    columns: Sequence[np.ndarray],
    applies: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return `[1 + features, n]`: of the held-out trials, and with each feature averaged out.

    One call for all: the overhead of a call exceeds the time of the predictions.
    """
    n_shuffles = int(np.clip(_ENOUGH_PREDICTIONS // len(matrix), _LEAST_SHUFFLES, _MOST_SHUFFLES))
    rows = np.flatnonzero(held_out)
    variants = [
        _shuffled(matrix, np.tile(rows, n_shuffles), own, where, rng)
        for own, where in zip(columns, applies, strict=True)
    ]
    predicted: np.ndarray = forest.predict(np.concatenate([matrix[rows], *variants]))
    averaged = predicted[len(rows) :].reshape(len(columns), n_shuffles, len(rows)).mean(axis=1)
    predictions: np.ndarray = np.concatenate([predicted[None, : len(rows)], averaged])
    return predictions


def _shuffled(
    matrix: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    applies: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the rows, with one feature's columns from other trials where it applies."""
    shuffled: np.ndarray = matrix[rows]
    own = np.flatnonzero(applies[rows])
    donors = rng.choice(np.flatnonzero(applies), len(own))
    shuffled[own[:, None], columns] = matrix[donors[:, None], columns]
    return shuffled
