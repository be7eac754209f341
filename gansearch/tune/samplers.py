"""The samplers that propose configurations: Optuna's by short names, and others by where they lie.

Most of Optuna's samplers learn from complete trials only, of which a search with pruning has few,
and none that died. They are shown the other ended trials as complete too (`as_complete`); what is
stored in the study does not change.
"""

from __future__ import annotations

import copy
import statistics
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from gansearch.errors import BadInputError, did_you_mean
from gansearch.space.counting import n_configurations
from gansearch.space.ranges import FloatRange
from gansearch.space.search_space import SearchSpace
from gansearch.tune.optuna_internals import CmaEsWithoutPickles, ShownSampler
from gansearch.tune.own_sampler import AUTO, is_named_by_place, load_sampler

# Name of the Optuna constraint that marks collapsed and diverged trials: 1 for these, else -1.
UNHEALTHY = "unhealthy"
# Optuna's own 50 would leave most searches nothing but their first, random generation.
_POPULATION = 12


class EnumeratingSampler(RandomSampler):
    """Marks a study whose configurations `Proposals` takes from all of the space, or of its grid.

    Optuna's GridSampler and BruteForceSampler do not suit: the first knows no conditions and begins
    another grid when it is made again with another seed, and the second can't go on after a trial
    that a kill has left with half of its parameters.
    """


class GridSampler(EnumeratingSampler):
    """Marks a study whose floats have a few values each (`space/counting.py`)."""


def _cmaes(seed: int) -> BaseSampler:
    if find_spec("cmaes") is None:
        raise BadInputError(
            "--sampler cmaes: the package cmaes is not installed. "
            "pip install 'gansearch[samplers]'; or take another sampler, such as tpe."
        )
    return CmaEsWithoutPickles(seed=seed, warn_independent_sampling=False)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # Grouped: conditional parameters are modelled jointly with those that they appear with.
    "tpe": lambda seed: TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
    "cmaes": _cmaes,
    "nsga2": lambda seed: NSGAIISampler(population_size=_POPULATION, seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(population_size=_POPULATION, seed=seed),
    "grid": lambda seed: GridSampler(seed=seed),
    "brute_force": lambda seed: EnumeratingSampler(seed=seed),
    AUTO: lambda seed: load_sampler(AUTO, seed),
}
# Those that learn from pruned and infeasible trials themselves, or from none.
_AS_STORED = ("tpe", "random", "qmc", "grid", "brute_force")


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return a sampler, seeded.

    Args:
        name: one of `SAMPLERS`, or where another lies, as `own_sampler.load_sampler` takes it.
        seed: of its random numbers.

    Raises:
        BadInputError: no such sampler, or it can't be loaded.
    """
    if name not in SAMPLERS and not is_named_by_place(name):
        raise BadInputError(f"--sampler {name}: no such sampler. {did_you_mean(name, SAMPLERS)}")
    with warnings.catch_warnings():
        # `group` is marked experimental since Optuna 2.8; the pinned version is tested.
        warnings.simplefilter("ignore", ExperimentalWarning)
        made = SAMPLERS[name](seed) if name in SAMPLERS else load_sampler(name, seed)
    return made if name in _AS_STORED else ShownSampler(made, as_complete)


def check_sampler(name: str, space: SearchSpace) -> None:
    """Check that there is such a sampler, and that it can search a space.

    Raises:
        BadInputError: not so.
    """
    made = make_sampler(name, 0)
    if name == "brute_force" and n_configurations(space) is None:
        floats = [key for key, entry in space.search.items() if isinstance(entry, FloatRange)]
        raise BadInputError(
            f"--sampler brute_force: {space.name}: {', '.join(floats)}: a float has no end of "
            "values, so not all configurations can be tried. Take --sampler grid, which tries a "
            "few values of each, or list values: {choice: [0.01, 0.1]}."
        )
    if space.objective.is_several:
        check_takes_several(made, name)


def check_takes_several(sampler: BaseSampler, name: str) -> None:
    """Raise BadInputError if a sampler takes one objective only: it is asked, and raises then."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a study says that it has been made
    study = optuna.create_study(sampler=sampler, directions=["maximize"] * 2)
    try:
        for _ in range(2):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.suggest_float("y", 0, 1)
            study.tell(trial, [0.0, 0.0])
    except Exception as error:  # one of OptunaHub or of a folder may raise anything
        raise BadInputError(
            f"--sampler {name}: it searches by one objective, and the space has several. Choose "
            "--sampler tpe, or one objective."
        ) from error


def as_complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials of a study with each ended one but the failed as complete.

    A pruned trial has the last score that it reported. An unhealthy one has the lowest of all and
    stays infeasible: its score may be high, and means nothing. The lowest lies as far below the
    median of the healthy ones as the best lies above it, since one young trial with a score of
    -10,000 would make all others look alike to a model.
    """
    scores = {
        trial.number: score
        for trial in trials
        if not _is_unhealthy(trial) and (score := _score(trial)) is not None
    }
    lowest = 2 * statistics.median(scores.values()) - max(scores.values()) if scores else 0.0
    return [
        _complete(trial, max(scores.get(trial.number, lowest), lowest))
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        else trial
        for trial in trials
    ]


def _is_unhealthy(trial: FrozenTrial) -> bool:
    return trial.constraints.get(UNHEALTHY, -1.0) > 0


def _score(trial: FrozenTrial) -> float | None:
    """Return the score of an ended trial, or the last one of a pruned trial, if it has any."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    values = trial.intermediate_values
    return values[max(values)] if trial.state == TrialState.PRUNED and values else None


def _complete(trial: FrozenTrial, score: float) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.value = TrialState.COMPLETE, score
    return shown
