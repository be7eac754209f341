"""The searcher and the scheduler of a search by a population (`population.py`).

Members that wait at a level are paused trials, as those of freeze-thaw are. A fork is a trial of
the run of its own, whose worker begins from the donor's state. Optuna proposes the trainings from
scratch and hears of these alone: a fork is none of its proposals, and what it scores is not by the
parameters that it has now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ray.tune.experiment import Trial

from gansearch.scheduled import ScheduledConfig
from gansearch.seeds import trial_seed
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import Origin, StepResult, TrialSpec
from gansearch.tune.fork_configs import perturbed, with_point
from gansearch.tune.freeze_thaw import Next
from gansearch.tune.pausing_search import PausingScheduler, PausingSearcher, name_of
from gansearch.tune.population import Fork, Population
from gansearch.tune.rescue import MAX_ATTEMPTS, rescue_changes
from gansearch.tune.rows import Outcome


class PopulationSearcher(PausingSearcher):
    """Proposes trainings from scratch, then members that go on and forks, as `population` decides.

    Args:
        population: what decides, which the scheduler informs.
        earlier: all trials of earlier sessions.
        drop_states: called with the trials whose kept states may still be needed, when others no
            longer are.
    """

    def __init__(
        self,
        space: SearchSpace,
        *arguments: Any,
        population: Population,
        earlier: Sequence[TrialSpec] = (),
        drop_states: Callable[[Collection[str]], None] = lambda _: None,
        **others: Any,
    ) -> None:
        self._population = population
        self._space = space
        self._all = {spec.trial_id: spec for spec in earlier}
        self._drop_states = drop_states
        super().__init__(space, *arguments, pausing=population, **others)
        if self.proposals.n_left <= 0:  # an earlier session has tried all that there are
            population.n_new = self._n_new = 0

    @property
    def is_over(self) -> bool:
        """Whether no trial is left that could begin or go on."""
        return self._choose() is Next.NOTHING

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next trial's `config`, that there is none, or None while none can go on."""
        found = super().suggest(trial_id)
        if isinstance(found, dict):
            spec = TrialSpec.from_tune(found)
            self._all[spec.trial_id] = spec
        return found

    def _choose(self) -> str | Next:
        ended = self._population.give_up()
        while self._population.new_forks:
            self._add(self._population.new_forks.pop(0))
        for name, reason in ended.items():
            if name in self._waiting:  # or else an earlier session has ended it
                self._give_up(name, Outcome("pruned", reason))
        if ended:
            self._drop_states(self._needed())
        chosen = self._population.choose()
        if chosen is Next.NOTHING:
            for name in list(self._waiting):
                reason = "the reports that led to this fork are no longer in the history"
                self._give_up(name, Outcome("pruned", reason))
        return chosen

    def _add(self, fork: Fork) -> None:
        """Let a fork wait for a worker, unless an earlier session has begun it."""
        if fork.name in self._all:
            return
        spec = self._spec(fork)
        self._all[fork.name] = spec
        self._waiting[fork.name] = spec, None
        self._population.wait(fork.name)

    def _spec(self, fork: Fork) -> TrialSpec:
        model = self._all[fork.model]
        config = self._space.table.from_dict(model.config)
        assert isinstance(config, ScheduledConfig)
        config = make_config(self._space, config, fork, self._seed)
        origin = Origin(fork.donor, fork.updates)
        return TrialSpec(
            fork.name, model.number, "search", model.seed, config.to_dict(), origin=origin
        )

    def _needed(self) -> set[str]:
        """Return the trials of which a fork may still need a state."""
        living = self._population.living()
        specs = (self._all[name] for name in living if name in self._all)
        return living | {spec.origin.trial_id for spec in specs if spec.origin is not None}


def make_config(
    space: SearchSpace, config: ScheduledConfig, fork: Fork, run_seed: int
) -> ScheduledConfig:
    """Return the configuration of a fork, whose model has `config`."""
    if fork.rescue:
        changes = rescue_changes(config.at(fork.updates), fork.rescue)
        return with_point(config, fork.updates, changes)
    return perturbed(space, config, fork.updates, trial_seed(run_seed, f"fork {fork.name}", 0))


def n_rescues(space: SearchSpace) -> int:
    """Return how often a training of a space is rescued, at most: 0 where nothing is known."""
    return MAX_ATTEMPTS if any(rescue_changes(each, 1) for each in space.variants()) else 0


class PopulationScheduler(PausingScheduler):
    """Stops a trial for its health, and pauses it at each level."""

    def __init__(self, *arguments: Any, population: Population, **others: Any) -> None:
        super().__init__(*arguments, pausing=population, **others)
        self._population = population

    def replay(self, reports: Iterable[tuple[str, int, float]]) -> None:
        """Do nothing: the population knows the reports of earlier sessions."""

    def _add_score(self, trial: Trial, step: StepResult) -> str | None:
        if step.is_evaluation:
            is_sound = step.verdict is not None and step.verdict.status == "sound"
            score = step.score(self._objective)
            self._population.add_score(name_of(trial), step.updates, score, is_sound=is_sound)
        return None

    def _withdraw(self, trial: Trial, outcome: Outcome) -> None:
        self.outcomes[trial.trial_id] = outcome
        # At this call Tune has stopped a trial that it will retry, which goes on.
        if outcome.status != "failed" or trial.status != Trial.ERROR:
            self._population.withdraw(name_of(trial), is_unsound=outcome.status != "failed")
