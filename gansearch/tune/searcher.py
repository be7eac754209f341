"""The searcher that Tune asks for configurations: it asks Optuna, and tells it every outcome.

Ray's own OptunaSearch tells Optuna that every ended trial is complete. This one tells it which were
pruned, collapsed, diverged or failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import Trial
from ray.tune.search import Searcher

from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.optuna_internals import report_all, reported_values, running_trial_ids
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import Outcome
from gansearch.tune.stateless_searcher import StatelessSearcher
from gansearch.tune.study import search_id, search_spec, tell

# The longest that a report waits for others, to be written with them.
_REPORT_SECONDS = 1.0


class OptunaSearcher(StatelessSearcher):
    """Proposes `n_new` configurations of a space, after trials that an earlier session left open.

    Args:
        space: the searched space.
        study: the run's study; configurations to start from are enqueued in it.
        seed: of the run; a trial's own seed follows from it and the trial's number.
        n_new: how many configurations to propose.
        outcomes: how trials ended, by Tune's trial ids; the scheduler fills it.
        interrupted: earlier trials, which continue first.
        rows: of all earlier trials of the search, whose configurations are not proposed again.
        attach: called with a trial of the study that is about to end, and the run's id of it.

    Attributes:
        proposals: the configurations that are still to be tried.
        is_exhausted: whether the search ends because none is left.
    """

    def __init__(
        self,
        space: SearchSpace,
        study: optuna.Study,
        *,
        seed: int,
        n_new: int,
        outcomes: Mapping[str, Outcome],
        interrupted: Sequence[TrialSpec] = (),
        rows: Sequence[Mapping[str, Any]] = (),
        attach: Callable[[Trial, str], None] = lambda *_: None,
    ) -> None:
        super().__init__()
        self.proposals = Proposals(space, study, seed=seed, rows=rows)
        self.is_exhausted = False
        self._study = study
        self._objective = space.objective
        self._max_updates = space.budget.max_updates
        # The last scores of open trials by several objectives, which a study can't keep.
        self._ratings = {
            row["number"]: space.objective.scores_of(row)
            for row in rows
            if space.objective.is_several
        }
        self._seed = seed
        self._n_new = n_new
        self._outcomes = outcomes
        self._interrupted = list(interrupted)
        self._trials: dict[str, Trial] = {}
        self._running_ids = running_trial_ids(study)
        self._attach = attach
        # The steps that open trials have reported, by their numbers, and what the study lacks.
        self._steps: dict[int, set[int]] = {}
        self._unwritten: list[tuple[Trial, int, float]] = []
        self._written_at = 0.0

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next trial's `config` for Tune's `trial_id`, or that there is none."""
        if self._interrupted:
            spec = self._interrupted.pop(0)
            if (running := self._running_trial(spec)) is not None:
                self._trials[trial_id] = running
            return spec.to_tune()
        if self._n_new == 0:
            return Searcher.FINISHED
        self.write_reports()
        if (proposed := self.proposals.next()) is None:
            self.is_exhausted = True
            return Searcher.FINISHED
        trial, config = proposed
        self._n_new -= 1
        self._trials[trial_id] = trial
        return search_spec(trial.number, self._seed, config).to_tune()

    def _running_trial(self, spec: TrialSpec) -> Trial | None:
        """Return the study's trial of an interrupted one; None if it has ended there.

        After a kill, Optuna may know the end of a trial that the results don't know.
        """
        if spec.origin is not None:  # a fork, which has the number of another
            return None
        optuna_id = self._running_ids.get(spec.number)
        return None if optuna_id is None else Trial(self._study, optuna_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an intermediate value to Optuna."""
        if (trial := self._trials.get(trial_id)) is not None:
            self._report_value(trial, StepResult.from_tune(result))
            if time.monotonic() - self._written_at > _REPORT_SECONDS:
                self.write_reports()

    def write_reports(self) -> None:
        """Write reports that the study lacks.

        They are written together, before anything that builds on them: a proposal, an end, the
        run's own record of them.
        """
        self._written_at = time.monotonic()
        if self._unwritten:
            report_all(self._study, self._unwritten)
            self._unwritten = []

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; one without an outcome was interrupted and stays open."""
        outcome = self._outcomes.get(trial_id)
        if outcome is None or (trial := self._trials.get(trial_id)) is None:
            return
        step = StepResult.from_tune(result) if result is not None else None
        if step is not None and outcome.status in ("completed", "pruned"):
            self._report_value(trial, step)
        rating = step.stored_rating(self._objective) if step is not None else None
        if self._objective.is_several and rating is None:
            rating = self._ratings.get(trial.number)
        share = step.updates / self._max_updates if step is not None else 0.0
        self.write_reports()
        self._attach(trial, search_id(trial.number))
        tell(self._study, trial, outcome, rating, share=share)
        if outcome.status == "failed":
            self.note_failure(trial.number)
        # Only after `tell`: if the journal can't be written, Tune retries the trial.
        del self._trials[trial_id]
        self._steps.pop(trial.number, None)

    def note_failure(self, number: int) -> None:
        """Let the configuration of a failed trial be proposed again."""
        self.proposals.note_failure(number)

    def _report_value(self, trial: Trial, step: StepResult) -> None:
        if self._objective.is_several:  # Optuna takes no reports then
            if (scores := step.rating(self._objective)) is not None:
                assert isinstance(scores, tuple)
                self._ratings[trial.number] = scores
            return
        if (score := step.score(self._objective)) is None:
            return
        steps = self._steps.get(trial.number)
        if steps is None:
            steps = self._steps[trial.number] = set(reported_values(trial))
        # A trial that continues from its checkpoint repeats reports.
        if step.updates not in steps:
            steps.add(step.updates)
            self._unwritten.append((trial, step.updates, float(score)))
