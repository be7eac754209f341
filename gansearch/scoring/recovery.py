"""Will a training whose samples look collapsed recover by the end of its budget?

Trainings do recover: the authors' own configuration of Goodfellow et al. (2014) covers hardly any
of MNIST for eight epochs, and then climbs. So a stop is a bet, on the probability that the samples
are no longer collapsed at the end, given those of one evaluation and the share of the budget that
is left. Its log odds are a sum of piecewise linear functions, one of each feature, which
`benchmarks/studies/recovery.py` fits to labelled trainings. `docs/collapse.md` shows how well the
probabilities hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Self

import numpy as np
from scipy.special import expit

from gansearch.measures import Indicators

# Added to a share of the null before its logarithm is taken.
_LEAST_SHARE = 0.01
_LEAST_NN_RATIO = 0.001
_LEAST_REMAINING = 1e-3  # of log(end / now)


def features(
    samples: Indicators,
    null: Indicators,
    *,
    remaining: float,
    class_share: float | None = None,
) -> dict[str, float]:
    """Return what a forecast reads of an evaluation, by name; all are logarithms.

    Args:
        samples: the indicators of the samples.
        null: those of real data.
        remaining: end of the budget over updates so far, above 1.
        class_share: effective number of classes among the samples over that of as many real
            examples; None where these don't show classes.
    """
    found = {
        "remaining": math.log(max(math.log(remaining), _LEAST_REMAINING)),
        "coverage": _log_share(samples.coverage, null.coverage, _LEAST_SHARE),
        "recall": _log_share(samples.recall, null.recall, _LEAST_SHARE),
        "nn_ratio": _log_share(samples.nn_ratio, null.nn_ratio, _LEAST_NN_RATIO),
    }
    if class_share is not None:
        found["classes"] = math.log(max(class_share, _LEAST_SHARE))
    return found


def _log_share(value: float, of_null: float, least: float) -> float:
    return math.log(value / of_null + least) if of_null > 0 else 0.0


@dataclass(frozen=True)
class RecoveryForecast:
    """An additive logistic model of `features`.

    Attributes:
        intercept: of the log odds.
        terms: feature to the knots of its piecewise linear function, and its values there.
    """

    intercept: float
    terms: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]

    def p_recovers(self, found: Mapping[str, float]) -> float:
        """Return the probability that samples with such `features` recover."""
        log_odds = self.intercept + sum(
            float(np.interp(found[name], knots, values))
            for name, (knots, values) in self.terms.items()
        )
        return float(expit(log_odds))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "intercept": self.intercept,
            "terms": {name: list(map(list, term)) for name, term in self.terms.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave."""
        terms = {name: (tuple(at), tuple(of)) for name, (at, of) in values["terms"].items()}
        return cls(values["intercept"], terms)


@cache
def load_forecast(*, with_classes: bool) -> RecoveryForecast:
    """Return the forecast that ships with gansearch, for data with or without classes."""
    content = resources.files(__package__).joinpath("recovery.json").read_text("utf-8")
    name = "with_classes" if with_classes else "without_classes"
    return RecoveryForecast.from_dict(json.loads(content)[name])
