"""Scores of examples that were generated for given classes: p(x | c), class by class.

A marginal score sees neither a generator that takes no notice of the class, nor one that has
collapsed within a class alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from gansearch.data.dataset import Dataset
from gansearch.family import Split
from gansearch.scoring.classifier import classifier_of
from gansearch.scoring.indicators import N_NEIGHBOURS
from gansearch.scoring.parzen import choose_sigma, log_likelihoods, sigma_grid
from gansearch.scoring.samples import Array, as_samples, as_tensor

MIN_EXAMPLES = 20  # a class with fewer in a split has no coverage and no log-likelihood there
_MAX_CLASSES = 100  # more are not generated for a score: the most frequent ones are
# Generated examples of all classes, and of each at most, at an evaluation and at a replica's end.
_N_ALL, _N_EACH = (2000, 10_000), (200, 1000)


class ClassScores:
    """Measures examples of given classes against the real ones of these classes.

    Args:
        dataset: with labels.

    Raises:
        DataError: the labels don't fit the examples.
    """

    def __init__(self, dataset: Dataset) -> None:
        assert dataset.labels is not None
        self._dataset, self._labels = dataset, dataset.labels
        self._classifier = classifier_of(dataset)
        self._grid = sigma_grid("fine", is_image=dataset.is_image, is_bounded=dataset.is_bounded)
        counts = np.bincount(self._labels.train)
        most_frequent = np.argsort(-counts, kind="stable")[:_MAX_CLASSES]
        self._classes = np.sort(most_frequent[counts[most_frequent] > 0])

    @property
    def names(self) -> set[str]:
        """The measures that the data allows."""
        classifier = self._classifier
        is_told = classifier is not None and np.isin(self._classes, classifier.classes).any()
        is_compared = any(self._has_enough(label) for label in self._classes)
        compared = {"class_coverage", "worst_class_coverage", "class_ll"} if is_compared else set()
        return compared | ({"label_accuracy"} if is_told else set())

    def classes_to_generate(self, *, at_end: bool) -> np.ndarray:
        """Return for which classes to generate an example, `[n]`: equally many of each, in turn.

        All classes, or the 100 most frequent: 200 of each, or fewer for 2,000 in all; at a
        replica's end 1,000 of each or 10,000 in all.
        """
        return np.tile(self._classes, self._n_each(at_end))

    def measure(self, samples: Array, given: np.ndarray, split: Split) -> dict[str, float]:
        """Return the measures of `samples` `[n, d]` that were made for the classes `given` `[n]`.

        Those that the data doesn't allow are left out.

        - label_accuracy: the share of samples that the data set's classifier assigns to their
          class, of the classes that it counts.
        - class_coverage, worst_class_coverage: the mean over classes of `coverage` of the split's
          examples of a class by its samples, and the least of them.
        - class_ll: the mean over classes of the log-likelihood (nats) of the split's examples of a
          class under a Parzen window on its samples, whose sigma is chosen for this class on its
          validation examples.

        Raises:
            SamplesError: the samples are not finite, or have another shape.
        """
        samples = as_samples(samples, "cpu")
        found = self._label_accuracy(samples, given)
        coverages, lls = [], []
        for label in self._classes:
            made = samples[torch.from_numpy(given == label)]
            if len(made) < MIN_EXAMPLES or not self._has_enough(label):
                continue
            valid, real = self._examples("valid", label), self._examples(split, label)
            n = min(len(made), len(real), self._n_each(at_end=False))
            coverages.append(coverage(real[:n], made[:n]))
            sigma, _, valid_ll = choose_sigma(made, valid[: len(made)], self._grid)
            of_test = split == "test"
            lls.append(log_likelihoods(made, real, [sigma]).mean() if of_test else valid_ll)
        if coverages:
            found["class_coverage"] = float(np.mean(coverages))
            found["worst_class_coverage"] = float(np.min(coverages))
            found["class_ll"] = float(np.mean(lls))
        return found

    def _label_accuracy(self, samples: torch.Tensor, given: np.ndarray) -> dict[str, float]:
        classifier = self._classifier
        if classifier is None:
            return {}
        is_counted = np.isin(given, classifier.classes)
        if not is_counted.any():
            return {}
        likeliest = classifier.probabilities(samples[torch.from_numpy(is_counted)]).argmax(axis=1)
        return {
            "label_accuracy": float((classifier.classes[likeliest] == given[is_counted]).mean())
        }

    def _has_enough(self, label: int) -> bool:
        """Return whether there are enough held-out examples of a class to compare samples with."""
        held_out = (self._labels.valid, self._labels.test)
        return all(int((labels == label).sum()) >= MIN_EXAMPLES for labels in held_out)

    def _examples(self, split: Split, label: int) -> np.ndarray:
        rows = getattr(self._labels, split) == label
        return self._dataset.to_float(getattr(self._dataset, split)[rows])

    def _n_each(self, at_end: bool) -> int:
        return max(MIN_EXAMPLES, min(_N_EACH[at_end], _N_ALL[at_end] // len(self._classes)))


def reference_scores(dataset: Dataset) -> Mapping[str, float]:
    """Return what real data scores on the test split: training examples as samples of their class.

    The accuracy is of validation examples, which the classifier has not been fitted to.
    """
    scores, labels = ClassScores(dataset), dataset.labels
    assert labels is not None
    found = scores.measure(dataset.to_float(dataset.train), labels.train, "test")
    of_valid = scores.measure(dataset.to_float(dataset.valid), labels.valid, "test")
    return found | {name: of_valid[name] for name in ("label_accuracy",) if name in of_valid}


def coverage(real: Array, samples: Array, k: int = N_NEIGHBOURS) -> float:
    """Return the share of real points with a sample in their k-nearest-neighbour ball.

    Naeem et al. (2020), Equation 5. Near 1 - 2^-k for as many samples of the same law.

    Args:
        real: `[n, d]`, more than k.
        samples: `[m, d]`.
        k: which other real point a ball reaches to.
    """
    points, made = as_tensor(real, "cpu").double(), as_tensor(samples, "cpu").double()
    among = torch.cdist(points, points).fill_diagonal_(torch.inf)
    radii = among.kthvalue(k, dim=1).values
    return float((torch.cdist(points, made).amin(dim=1) <= radii).double().mean())
