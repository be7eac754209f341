"""A linear classifier of features that is fitted to few labels, and its errors.

It says how much features tell of the classes: those of a discriminator, of an inference net, or the
pixels themselves. The features may be any function of the examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gansearch.data.dataset import Dataset, Labels
from gansearch.errors import ConfigError
from gansearch.rules import count_of
from gansearch.seeds import trial_seed

# Examples `[n, d]`, as they are trained on, to features `[n, f]`.
Features = Callable[[np.ndarray], np.ndarray]

# Inverse strengths of the L2 penalty, the strongest first; the best on the validation set is taken.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_N_SCALED = 1000  # training examples, without labels, by which features are standardised
_MOST_STEPS = 1000
_LEAST_SD = 1e-8  # a feature that varies less is constant


def check_label_count(labels: Labels, labels_per_class: int, *, where: str) -> None:
    """Raise ConfigError, beginning with `where`, if a class has fewer training examples."""
    counts = np.bincount(labels.train, minlength=len(labels.names))
    if (counts < labels_per_class).any():
        rarest = int(np.argmin(counts))
        raise ConfigError(
            f"{where}: labels_per_class: found {labels_per_class}, but the class "
            f"{labels.names[rarest]} has {count_of(int(counts[rarest]), 'training example')}. "
            f"Take labels_per_class: {counts[rarest]} or fewer."
        )


def label_set(labels: Labels, labels_per_class: int, seed: int) -> np.ndarray:
    """Return the rows of the training examples whose labels are known, `[classes * n]`.

    They are `labels_per_class` of each class, drawn without replacement; the same for a seed.
    """
    rng = np.random.default_rng(trial_seed(seed, "labels", 0))
    of_class = (np.flatnonzero(labels.train == i) for i in range(len(labels.names)))
    return np.concatenate([rng.choice(rows, labels_per_class, replace=False) for rows in of_class])


@dataclass(frozen=True)
class FewLabelClassifier:
    """A multinomial logistic regression on standardised features.

    Attributes:
        features: of examples.
        mean, sd: of each feature among training examples, whose labels aren't needed, `[f]`.
        regression: scikit-learn's, fitted.
    """

    features: Features
    mean: np.ndarray
    sd: np.ndarray
    regression: Any

    def classes(self, examples: np.ndarray) -> np.ndarray:
        """Return the class of each of the examples `[n, d]`, `[n]`.

        Raises:
            FloatingPointError: their features are not finite.
        """
        features = _finite(self.features(examples))
        return predicted(self.regression, (features - self.mean) / self.sd)


def fit_few_labels(features: Features, dataset: Dataset, rows: np.ndarray) -> FewLabelClassifier:
    """Fit a classifier to the labels of the training examples at `rows`.

    The strength of its L2 penalty is that of the least error on the validation set and, of equal
    ones, the strongest.

    Raises:
        FloatingPointError: features are not finite.
    """
    from sklearn.linear_model import LogisticRegression

    assert dataset.labels is not None
    # Together, so that a network that normalises by its minibatch sees the same company.
    some = np.concatenate([rows, np.arange(min(_N_SCALED, len(dataset.train)))])
    found = _finite(features(dataset.to_float(dataset.train[some]))).astype(np.float64)
    unlabelled = found[len(rows) :]
    mean, sd = unlabelled.mean(axis=0), unlabelled.std(axis=0)
    sd = np.where(sd > _LEAST_SD, sd, 1.0)
    known = (found[: len(rows)] - mean) / sd
    valid = (_finite(features(dataset.to_float(dataset.valid))) - mean) / sd
    best, least = None, np.inf
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=_MOST_STEPS)
        with warnings.catch_warnings():
            # One that hasn't converged is as good a candidate as the others.
            warnings.filterwarnings("ignore", message=".*failed to converge")
            regression.fit(known, dataset.labels.train[rows])
        error = np.mean(predicted(regression, valid) != dataset.labels.valid)
        if error < least:
            best, least = regression, error
    return FewLabelClassifier(features, mean, sd, best)


def _finite(features: np.ndarray) -> np.ndarray:
    if not np.isfinite(features).all():
        raise FloatingPointError("the features of some examples are not finite")
    return features


def predicted(regression: Any, features: np.ndarray) -> np.ndarray:
    """Return the classes that a regression predicts, `[n]`."""
    classes: np.ndarray = regression.predict(features)
    return classes


def error_rate(classes: Callable[[np.ndarray], np.ndarray], dataset: Dataset, split: str) -> float:
    """Return the share of a split's examples that a classifier gets wrong.

    Args:
        classes: examples `[n, d]`, as they are trained on, to classes `[n]`.
        dataset: with labels.
        split: "train", "valid" or "test".
    """
    found = classes(dataset.to_float(getattr(dataset, split)))
    return float(np.mean(found != getattr(dataset.labels, split)))


def few_label_errors(
    features: Features, dataset: Dataset, *, labels_per_class: int, seed: int
) -> dict[str, float]:
    """Return the errors of a linear classifier of features with few labels, `valid` and `test`.

    Args:
        features: examples `[n, d]`, as `Dataset.to_float` scales them, to features `[n, f]`.
        dataset: with labels.
        labels_per_class: how many are known, of each class.
        seed: of the choice of these; a trial of this seed has the same.

    Raises:
        ConfigError: a class has fewer training examples.
    """
    assert dataset.labels is not None
    check_label_count(dataset.labels, labels_per_class, where=dataset.name)
    rows = label_set(dataset.labels, labels_per_class, seed)
    classifier = fit_few_labels(features, dataset, rows)
    return {split: error_rate(classifier.classes, dataset, split) for split in ("valid", "test")}
