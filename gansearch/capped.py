"""Optuna's TPE at a cost that stops growing: what it models is capped.

A proposal of TPE takes time in proportion to the trials that have ended. It models two kinds: the
best, a tenth of all but at most 25, and the others, of which the newest 25 count in full and the
older ones the less the older they are (Bergstra, Yamins and Cox 2013, "Making a Science of Model
Search", section 2.2.3). Here the best are chosen from all trials that ever ended, by TPE's own
order, so that the model of the best is the one that it would have without a cap. The others are the
newest `CAP`: up to there proposals are the same, number by number, and from there on the oldest go,
which counted least.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

CAP = 500
# As many as TPE takes for good at the most.
N_GOOD = 25
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class CappedTPESampler(TPESampler):
    """Multivariate, grouped TPE of a study to maximize, which sees `cap` ended trials, or few more.

    Grouped: conditional parameters are modelled jointly with the ones that they appear with. Below
    a `cap` of 250, TPE takes fewer than 25 for good.
    """

    def __init__(self, seed: int, *, cap: int = CAP) -> None:
        super().__init__(multivariate=True, group=True, constant_liar=True, seed=seed)
        self._cap = cap
        self._known: set[int] = set()
        self._newest: list[tuple[int, FrozenTrial]] = []
        self._best: list[tuple[_Rank, FrozenTrial]] = []
        self._not_grouped: list[FrozenTrial] = []
        # What was seen when the newest trial was asked for, and that trial's number.
        self._seen: tuple[int, _View] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that ended trials had, of which groups were made one by one."""
        self._seen = trial.number, self._look(study)
        view = _View(study, self._not_grouped)
        self._not_grouped = []
        return super().infer_relative_search_space(view, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return proposed values of the parameters that belong to groups."""
        return super().sample_relative(self._seen_for(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a proposed value of a parameter that belongs to no group yet."""
        view = self._seen_for(study, trial)
        return super().sample_independent(view, trial, param_name, param_distribution)

    def _seen_for(self, study: optuna.Study, trial: FrozenTrial) -> _View:
        """Return the study as it was when `trial` was asked for: a look goes through all trials."""
        if self._seen is None or self._seen[0] != trial.number:
            self._seen = trial.number, self._look(study)
        return self._seen[1]

    def _look(self, study: optuna.Study) -> _View:
        """Take note of trials that have ended since; return the study as it is modelled."""
        trials = study.get_trials(deepcopy=False, states=(*_ENDED, TrialState.RUNNING))
        running = []
        for other in trials:
            if other.state == TrialState.RUNNING:
                running.append(other)
            elif other.number not in self._known:
                self._admit(other)
        shown = {other.number: other for _, other in [*self._newest, *self._best]}
        shown |= {other.number: other for other in running}
        return _View(study, [shown[number] for number in sorted(shown)])

    def _admit(self, trial: FrozenTrial) -> None:
        self._known.add(trial.number)
        self._not_grouped.append(trial)
        insort(self._newest, (trial.number, trial), key=lambda entry: entry[0])
        del self._newest[: -self._cap]
        insort(self._best, (_rank(trial), trial), key=lambda entry: entry[0])
        del self._best[N_GOOD:]


class _View(optuna.Study):
    """A study of which a sampler sees these trials alone."""

    def __init__(self, study: optuna.Study, shown: list[FrozenTrial]) -> None:
        # Not Optuna's own constructor, which would look the study up in its storage once more.
        self.__dict__.update(study.__dict__)
        self._shown = shown

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [trial for trial in self._shown if states is None or trial.state in states]


# The kind of end, what counts within it, and the number: the first is the best.
_Rank = tuple[int, float, float, int]


def _rank(trial: FrozenTrial) -> _Rank:
    """Return the place of an ended trial in TPE's order.

    Complete trials come first, by their value; then pruned ones, the longest first, by their last
    value; then those that violate constraints.
    """
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0:
        return 2, violation, 0.0, trial.number
    if trial.state == TrialState.COMPLETE:
        return 0, -float(trial.values[0]), 0.0, trial.number
    if not trial.intermediate_values:
        return 1, 1.0, 0.0, trial.number
    step, value = max(trial.intermediate_values.items())
    return 1, -float(step), -value, trial.number
