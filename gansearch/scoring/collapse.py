"""Whether finished samples are collapsed: a statement about samples, with its reason.

`collapsed_p` is the p-value of the hypothesis that samples are as varied as the same number of real
examples, from several statistics at once (Bonferroni). The verdict asks for more than significance:
samples *are collapsed* where they lie off the data, show at most half of its classes, or are copies
of at most 100 images. What lies between that and real data is undetermined. Classes count only
where that many real examples show them. `docs/collapse.md` has the power of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gansearch.data.dataset import Dataset
from gansearch.measures import Indicators
from gansearch.rules import count_of
from gansearch.scoring.classifier import Classifier, check_labels, class_shares, classifier_of
from gansearch.scoring.samples import Array, as_tensor
from gansearch.scoring.variety import RealExamples, Variety, same_memberships_p, spread
from gansearch.scoring.verdict import Verdict, are_off_the_data, describe_indicators

# Without classes: coverage, and recall or nn_ratio, below this share of the null's.
_FEW_SHARE, _BORDERLINE_SHARE = 0.25, 0.5
# Spread over at most half of the classes, with room for the error of the shares.
_HALF = 0.55
# Without classes: over so little of the training set, by bins. Bins cut across classes.
_HALF_OF_BINS = 0.5
# At most 100 images: half of the samples, the largest heaps, are copies of half as many.
_MOST_IMAGES = 50
# Between these and what is collapsed, what is significant is undetermined.
_WHOLE_CLASSES, _WHOLE_BINS, _FEW_COPIES = 0.85, 0.75, 0.1
_MISSING = 0.25  # of its share in the data: below it a class is missing
_MUCH_OF_THE_DATA = 0.25
_SIGNIFICANT = 0.001
_MIN_SAMPLES, _MIN_PER_CLASS = 100, 5
_MAX_CLASSIFIED = 10_000
_N_SIMULATED, _MAX_SIMULATED = 100, 2000
_MAX_NAMES = 10


@dataclass(frozen=True)
class Collapse:
    """What is known of finished samples.

    Attributes:
        verdict: sound, undetermined or collapsed.
        collapsed_p: p-value of «as varied as the same number of real examples», in [0, 1].
        n_classes_effective: exponential of the entropy of the classes' shares; None without
            classes, or where so few samples don't show them.
        missing_classes: names of those with less than a quarter of their share in the data.
    """

    verdict: Verdict
    collapsed_p: float
    n_classes_effective: float | None = None
    missing_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Chance:
    """What a number of samples show of the classes by chance, and by the doubts of the classifier.

    Attributes:
        effective: effective number of classes that real examples show.
        most_of_half: the largest spread that samples of half of the classes may show, (0, 1]; less
            where samples of all but one class may show as little.
        least_shares: of each class among real examples, `[k]`.
    """

    effective: float
    most_of_half: float
    least_shares: np.ndarray


@dataclass(frozen=True)
class _Classes:
    """The classes among samples.

    Attributes:
        shares: among the samples, `[k]`.
        of_data: shares in the training set, `[k]`.
        names: of the classes.
        is_missing: `[k]`.
        most_of_half: see `_Chance`.
        p: that the shares are those of the data.
    """

    shares: np.ndarray
    of_data: np.ndarray
    names: tuple[str, ...]
    is_missing: np.ndarray
    most_of_half: float
    p: float

    @property
    def effective(self) -> float:
        return _effective(self.shares)

    @property
    def spread(self) -> float:
        """Share of the data's classes that the samples spread over, (0, 1]."""
        return spread(self.shares, self.of_data)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(n for n, gone in zip(self.names, self.is_missing, strict=True) if gone)

    @property
    def are_half(self) -> bool:
        """Whether at most half of the classes are there.

        By their spread; or by their number, if those that are missing hold a quarter of the data.
        """
        is_half = 2 * self.is_missing.sum() >= len(self.names)
        holds_much = self.of_data[self.is_missing].sum() >= _MUCH_OF_THE_DATA
        return self.p < _SIGNIFICANT and (
            self.spread <= self.most_of_half or bool(is_half and holds_much)
        )

    @property
    def are_fewer(self) -> bool:
        """Whether some of the classes are missing, or much rarer than in the data."""
        return self.p < _SIGNIFICANT and (self.spread < _WHOLE_CLASSES or bool(self.missing))

    def describe(self) -> str:
        found = f"about {self.effective:.1f} of {len(self.names)} classes"
        if not self.missing:
            return found
        present = [name for name in self.names if name not in self.missing]
        if len(present) <= len(self.missing):
            return f"{found}: only {_listed(present)}"
        return f"{found}: no {_listed(self.missing)}"


class CollapseTest:
    """Tells whether samples of a data set are collapsed.

    What it needs of the data is prepared at the first call: the classifier, once per data set.
    Where many processes judge samples of one data set, one prepares the test for all.

    Raises:
        DataError: the labels don't fit the examples.
    """

    def __init__(self, dataset: Dataset) -> None:
        check_labels(dataset)
        self._dataset = dataset
        # A dict, since tests are sent to other processes.
        self._chances: dict[int, _Chance | None] = {}

    def prepare(self, n_samples: int) -> None:
        """Fit the classifier, or read it from the cache, and simulate what n samples show."""
        self._chance(n_samples)

    @cached_property
    def classifier(self) -> Classifier | None:
        """Of the data set's classes; None if it has none."""
        return classifier_of(self._dataset)

    @cached_property
    def _real(self) -> RealExamples:
        return RealExamples(self._dataset)

    def n_classes_effective(self, samples: Array) -> float | None:
        """Return the effective number of classes among samples `[n, d]`.

        None without classes, or where n samples of half of the classes can't be told from n of all:
        where the pixels hardly show the labels, or the classes are too many for the samples.
        """
        if self.classifier is None or self._chance(len(samples)) is None:
            return None
        probabilities = self.classifier.probabilities(samples)
        return _effective(class_shares(probabilities, self.classifier.shares))

    def n_classes(self, n_samples: int) -> float | None:
        """Return what `n_classes_effective` is for that many real examples, at the median."""
        chance = self._chance(n_samples)
        return chance.effective if chance else None

    def judge(self, samples: Array, indicators: Indicators, null: Indicators) -> Collapse:
        """Judge finished samples.

        Args:
            samples: `[n, d]`, in any order.
            indicators: of these samples.
            null: those of real data.
        """
        values = as_tensor(samples, "cpu").float()
        values = values[np.random.default_rng(0).permutation(len(values))[:_MAX_CLASSIFIED]]
        variety = self._real.compare(values)
        classes = self._count_classes(values)
        p_values = [*variety.p_values.values(), *([classes.p] if classes else [])]
        p = min(1.0, len(p_values) * min(p_values))
        evidence = _Evidence(len(samples), p, variety, classes, indicators, null)
        return Collapse(
            evidence.verdict(),
            p,
            classes.effective if classes else None,
            classes.missing if classes else (),
        )

    def _count_classes(self, samples: Array) -> _Classes | None:
        chance = self._chance(len(samples))
        if self.classifier is None or chance is None:
            return None
        return _count_classes(self.classifier, samples, chance)

    def _chance(self, n: int) -> _Chance | None:
        if n not in self._chances:
            self._chances[n] = _chance_of(self.classifier, n) if self.classifier else None
        return self._chances[n]


@dataclass(frozen=True)
class _Evidence:
    """What is measured of n samples; `indicators` beside those of real data, `null`."""

    n: int
    p: float
    variety: Variety
    classes: _Classes | None
    indicators: Indicators
    null: Indicators

    def verdict(self) -> Verdict:
        if reasons := self._signs():
            return Verdict("collapsed", "; ".join(reasons))
        names = self.classes.names if self.classes else ()
        least = max(_MIN_SAMPLES, _MIN_PER_CLASS * len(names))
        if self.n < least:
            found = count_of(self.n, "sample") + (f" of {len(names)} classes" if names else "")
            return Verdict("undetermined", f"{found}: too few to tell, {least:,} are needed")
        if reasons := self._doubts():
            return Verdict("undetermined", "; ".join(reasons))
        return Verdict("sound")

    def _signs(self) -> list[str]:
        """Return why the samples are collapsed; nothing if they aren't."""
        if are_off_the_data(self.indicators, self.null):
            return [f"off the data: {self._describe_indicators()}"]
        if self.p >= _SIGNIFICANT:
            return []
        classes, variety, reasons = self.classes, self.variety, []
        if classes is not None and classes.are_half:
            reasons.append(classes.describe())
        if variety.n_images <= _MOST_IMAGES:
            reasons.append(f"half of the samples are copies of {_about(variety.n_images)}")
        if classes is None and self._is_low(_FEW_SHARE):
            reasons.append(self._describe_indicators())
        if classes is None and variety.spread <= _HALF_OF_BINS:
            reasons.append(self._describe_spread())
        return reasons

    def _doubts(self) -> list[str]:
        """Return why the samples are undetermined; nothing if they aren't."""
        if self.p >= _SIGNIFICANT:
            return []
        classes, variety, reasons = self.classes, self.variety, []
        if classes is not None and classes.are_fewer:
            reasons.append(classes.describe())
        if variety.copies > _FEW_COPIES:
            reasons.append(f"{variety.copies:.0%} of the samples are copies of others")
        if self._is_low(_BORDERLINE_SHARE):
            reasons.append(self._describe_indicators())
        if not reasons and variety.spread < _WHOLE_BINS and variety.p_values["bins"] < _SIGNIFICANT:
            reasons.append(self._describe_spread())
        return reasons

    def _is_low(self, share: float) -> bool:
        """Return whether coverage, and recall or nn_ratio, are below that share of the null's."""
        found, null = self.indicators, self.null
        return found.coverage < share * null.coverage and (
            found.recall < share * null.recall or found.nn_ratio < share * null.nn_ratio
        )

    def _describe_indicators(self) -> str:
        return describe_indicators(self.indicators, self.null)

    def _describe_spread(self) -> str:
        return f"the samples spread over {self.variety.spread:.2f} of the data"


def _effective(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _about(n_images: float) -> str:
    return f"about {count_of(max(round(n_images), 1), 'image')}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _count_classes(classifier: Classifier, samples: Array, chance: _Chance) -> _Classes:
    probabilities = classifier.probabilities(samples)
    shares = class_shares(probabilities, classifier.shares)
    return _Classes(
        shares=shares,
        of_data=classifier.shares,
        names=classifier.names,
        is_missing=(shares < _MISSING * classifier.shares) & (shares < chance.least_shares),
        most_of_half=chance.most_of_half,
        p=same_memberships_p(probabilities, classifier.held_out),
    )


def _chance_of(classifier: Classifier, n: int) -> _Chance | None:
    """Simulate n samples; None where half of the classes can't be told from all of them."""
    k, rng = len(classifier.names), np.random.default_rng(0)

    def shares(n_classes: int) -> np.ndarray:
        found = [_drawn_shares(classifier, n_classes, n, rng) for _ in range(_N_SIMULATED)]
        return np.stack(found)

    def spreads(found: np.ndarray) -> np.ndarray:
        return np.array([spread(row, classifier.shares) for row in found])

    of_half = float(np.quantile(spreads(shares(k // 2)), 0.99))
    of_most = float(np.quantile(spreads(shares(k - 1)), 0.01)) if k > 2 else 1.0
    of_all = shares(k)
    if np.quantile(spreads(of_all), 0.01) <= of_half:
        return None
    return _Chance(
        effective=float(np.median([_effective(row) for row in of_all])),
        most_of_half=min(max(of_half, _HALF), of_most),
        least_shares=of_all.min(axis=0),
    )


def _drawn_shares(
    classifier: Classifier, n_classes: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the estimated shares, `[k]`, of n held-out examples of some classes, drawn at random.

    Their weights are random too, since so few examples of a class say only so much of it.
    """
    true, k = classifier.held_out_classes, len(classifier.names)
    weights = rng.standard_exponential(len(true)) * (true >= 0)
    of_class = np.bincount(true[true >= 0], weights[true >= 0], minlength=k)
    wanted = classifier.shares * (rng.permutation(k) < n_classes)
    weights *= (wanted / of_class)[true]
    rows = rng.choice(len(true), min(n, _MAX_SIMULATED), p=weights / weights.sum())
    return class_shares(classifier.held_out[rows], classifier.shares)
