"""How trials hear that their run stops while they do not report to the driver.

Tune's own request waits behind the training under way, which may be long where many trials share a
driver: each then tells its progress rarely.
"""

from __future__ import annotations

from contextlib import suppress

from ray.exceptions import RayError

from gansearch.trial.plan import TrialPlan
from gansearch.tune.ray_internals import dead_vital_process, forget_note, has_note, leave_note


def tell_to_stop(plan: TrialPlan) -> None:
    """Let the trials of a phase return to the driver at the end of their slices."""
    if plan.signs_are_rare and dead_vital_process() is None:
        with suppress(RayError):  # they hear of it from Tune, later
            leave_note(_name(plan))


def let_go_on(plan: TrialPlan) -> None:
    """Forget that an earlier session of the run has stopped: its cluster may live on."""
    if plan.signs_are_rare:
        forget_note(_name(plan))


def is_stopping(plan: TrialPlan) -> bool:
    """Return whether the run of a trial stops; False where Ray doesn't answer."""
    with suppress(RayError):
        return has_note(_name(plan))
    return False


def _name(plan: TrialPlan) -> str:
    return f"gansearch-stop-{plan.folder}"
