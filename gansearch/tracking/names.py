"""The names of the trackers, and whether their packages are there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from gansearch.errors import BadInputError, did_you_mean
from gansearch.tracking.tracker import TrackedRun, Tracker

# By name, the package that each needs. The module of this folder with the name has the tracker.
PACKAGES = {
    "tensorboard": "tensorboardX",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "trackio": "trackio",
}
NO_TRACKER = "none"  # for a resume, which else continues with the run's trackers


def tracker_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of trackers, each once.

    Raises:
        BadInputError: there is no such tracker, or none beside others.
    """
    distinct = tuple(dict.fromkeys(names))
    for name in distinct:
        if name not in (*PACKAGES, NO_TRACKER):
            nearest = did_you_mean(name, [*PACKAGES, NO_TRACKER])
            raise BadInputError(f"track={name} (--track): no such tracker. {nearest}")
    if NO_TRACKER in distinct and len(distinct) > 1:
        raise BadInputError(
            f"track={', '.join(distinct)} (--track): none excludes others. Leave it out."
        )
    return () if distinct == (NO_TRACKER,) else distinct


def require_trackers(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed, without loading them.

    Raises:
        BadInputError: one is not.
    """
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise BadInputError(
                f"--track {name}: the package {PACKAGES[name]} is not installed. "
                f"pip install 'gansearch[{name}]'; or leave the tracker out (of a run that has it, "
                f"by --track {NO_TRACKER})."
            )


def maker(name: str) -> Callable[[TrackedRun], Tracker]:
    """Return a function that makes the tracker of that name, and loads its package then."""

    def make(run: TrackedRun) -> Tracker:
        module = importlib.import_module(f"gansearch.tracking.{name}")
        made: Tracker = module.make(run)
        return made

    return make
