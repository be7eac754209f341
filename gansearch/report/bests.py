"""The best trial of a search and the best replica so far, by scores that are never compared.

Those of the search come from the samples of an evaluation, final ones from ten times as many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.own_measures import Objective
from gansearch.pareto import pareto_ranks
from gansearch.report.frame import Score


@dataclass(frozen=True)
class ScoredTrial:
    """A trial with its latest score, and its configuration in words."""

    trial_id: str
    score: Score
    summary: str


class Bests:
    """Trials that have ended soundly, by score.

    Args:
        objective: what the search goes by; the scores are its values.

    Attributes:
        n_evaluation_samples: that an evaluation uses.
    """

    def __init__(self, objective: Objective) -> None:
        self.n_evaluation_samples = N_EVALUATION_SAMPLES
        self._objective = objective
        self._ended: dict[str, ScoredTrial] = {}
        # Of the search, and of the final scores: found again only where it is taken back.
        self._best: dict[bool, ScoredTrial | None] = {False: None, True: None}
        self._front: dict[bool, list[ScoredTrial]] = {False: [], True: []}

    def enter(self, trial_id: str, score: Score | None, summary: str) -> None:
        """Enter a trial that has ended soundly, if its score can be compared."""
        self.withdraw(trial_id)
        if self.is_comparable(score):
            trial = self._ended[trial_id] = ScoredTrial(trial_id, score, summary)
            is_final = score.is_final
            self._best[is_final] = self._best_among([self._best[is_final], trial])
            self._front[is_final] = self._front_of([*self._front[is_final], trial])

    def withdraw(self, trial_id: str) -> None:
        """Take a trial out that goes on: it may end otherwise."""
        if (trial := self._ended.pop(trial_id, None)) is None:
            return
        is_final = trial.score.is_final
        of_kind = [t for t in self._ended.values() if t.score.is_final == is_final]
        if self._best[is_final] == trial:
            self._best[is_final] = self._best_among(of_kind)
        if trial in self._front[is_final]:
            self._front[is_final] = self._front_of(of_kind)

    def of_search(self, running: Iterable[ScoredTrial]) -> ScoredTrial | None:
        """Return the best trial of the search, those included that run; None before a score."""
        comparable = (t for t in running if self.is_comparable(t.score) and not t.score.is_final)
        return self._best_among([self._best[False], *comparable])

    def of_replicas(self) -> ScoredTrial | None:
        """Return the replica with the best final score, None before one has ended."""
        return self._best[True]

    def n_on_front(self, running: Iterable[ScoredTrial], *, final: bool) -> int:
        """Return how many trials are on the Pareto front of several objectives.

        Of the search, those included that run, or of the replicas with final scores.
        """
        if final:
            return len(self._front[True])
        comparable = [t for t in running if self.is_comparable(t.score) and not t.score.is_final]
        return len(self._front_of([*self._front[False], *comparable]))

    def _front_of(self, trials: Iterable[ScoredTrial]) -> list[ScoredTrial]:
        """Return the trials that no other dominates; none with one objective."""
        if not self._objective.is_several:
            return []
        objectives, found, scores = self._objective.all, [], []
        for trial in trials:
            values = (trial.score.value, *trial.score.others)
            # A measure of the user's own may have failed.
            if len(values) == len(objectives) and all(map(math.isfinite, values)):
                found.append(trial)
                scores.append([o.as_score(v) for o, v in zip(objectives, values, strict=True)])
        if not found:
            return []
        is_first = pareto_ranks(np.array(scores, float), 1) == 1
        return [trial for trial, first in zip(found, is_first, strict=True) if first]

    def is_comparable(self, score: Score | None) -> TypeGuard[Score]:
        """Return whether a score is final, or comes from as many samples as an evaluation's."""
        if score is None or not math.isfinite(score.value):
            return False
        n_samples = self._objective.n_samples(self.n_evaluation_samples)
        return score.is_final or score.n_samples == n_samples

    def _best_among(self, trials: Iterable[ScoredTrial | None]) -> ScoredTrial | None:
        def rank(trial: ScoredTrial) -> float:
            return float(self._objective.as_score(trial.score.value))

        return max(filter(None, trials), key=rank, default=None)
