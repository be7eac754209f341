"""One Tune experiment: the trials of a phase, from the first to the last or to the stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from gansearch.errors import RunFailedError, StorageError
from gansearch.system.files import unwritable
from gansearch.system.object_store import AnyPath, RemotePath
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan, slice_seconds
from gansearch.tune.cluster import whole_places
from gansearch.tune.engine_actor import end_engines
from gansearch.tune.ray_internals import dead_vital_process, oom_kills_as_lost_workers
from gansearch.tune.retries import MAX_FAILURES, Retries
from gansearch.tune.rows import is_over
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.session import Session
from gansearch.tune.trainable import GanTrial

# How often run.json is told what the run has taken so far: a kill forgets so much of it.
_NOTE_TIME_SECONDS = 15.0


def run_experiment(
    session: Session,
    phase: str,
    scheduler: GuardedScheduler,
    n_samples: int,
    *,
    searcher: OptunaSearcher | None = None,
    specs: Sequence[TrialSpec] = (),
) -> None:
    """Run one Tune experiment to its end, or until the run is told to stop."""
    session.recorder.outcomes, session.recorder.failures = scheduler.outcomes, scheduler.failures
    plan = _plan_of_trials(session)
    tuner = Tuner(
        _trainable(session, plan),
        param_space={"trial": tune.grid_search(list(specs))} if specs else {},
        tune_config=TuneConfig(
            num_samples=n_samples,
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=session.share.max_concurrent,
            reuse_actors=True,
        ),
        run_config=_run_config(session, phase),
    )
    # Those that a killed driver has left on a cluster would go on as they were.
    end_engines(plan)
    try:
        with oom_kills_as_lost_workers():
            tuner.fit()
    except Exception as error:
        if session.recorder.faults:  # of which it is a consequence
            raise session.recorder.faults[0] from error
        # Ray's own are of services that don't answer.
        if isinstance(error, OSError) and not isinstance(error, RayError | ConnectionError):
            raise unwritable(_tune_path(session), error) from error
        raise
    finally:
        end_engines(plan)
    if session.recorder.faults:
        raise session.recorder.faults[0]
    session.recorder.flush()
    # A worker that Tune ends keeps the state of its trial, also of one that was pruned just now.
    for trial_id in session.folder.checkpointed_trials():
        if (row := session.recorder.rows.get(trial_id)) and is_over(row):
            session.folder.checkpoint_path(trial_id).unlink(missing_ok=True)


def make_scheduler(session: Session, *, halving: bool) -> GuardedScheduler:
    """Return what stops trials for their health and, with `halving`, for their score."""
    retries = Retries(whole_places(session.settings, session.share))
    return GuardedScheduler(session.budget, halving=halving, retries=retries)


def _tune_path(session: Session) -> AnyPath:
    return session.folder.path.resolve() / "tune"


def _run_config(session: Session, phase: str) -> RunConfig:
    """Return where Tune keeps its state of the next attempt at a phase, and who is told."""
    storage = _tune_path(session)
    attempt = 1 + sum(path.name.startswith(phase) for path in storage.glob("*"))
    return RunConfig(
        name=f"{phase}-{attempt}",
        storage_path=storage.key if isinstance(storage, RemotePath) else str(storage),
        storage_filesystem=storage.store if isinstance(storage, RemotePath) else None,
        stop=_Stopper(session),
        callbacks=[session.recorder],
        checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        failure_config=FailureConfig(max_failures=MAX_FAILURES),
        verbose=0,
    )


def _plan_of_trials(session: Session) -> TrialPlan:
    return TrialPlan(
        folder=session.folder.path.resolve(),
        family=session.space.family.name,
        budget=session.budget,
        device="cuda" if session.share.gpus_per_trial else "cpu",
        memory_fraction=session.share.memory_fraction,
        slice_seconds=slice_seconds(session.share.max_concurrent),
        n_slots=session.share.n_slots,
    )


def _trainable(session: Session, plan: TrialPlan) -> Any:
    return tune.with_resources(
        tune.with_parameters(GanTrial, dataset=[ray.put(session.dataset)], plan=plan),
        {"cpu": session.settings.cpus_per_trial, "gpu": session.share.gpus_per_trial},
    )


class _Stopper(tune.Stopper):
    """Ends the experiment when the user says so, or when the search has used its time."""

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self._looked_at = 0.0
        self._noted_at = time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """Return that no trial alone is ended here."""
        return False

    def stop_all(self) -> bool:
        """Return whether the experiment shall end; looks at what takes time once a second."""
        if (session := self._session) is None:
            return False
        if session.recorder.faults:
            return True
        if session.stop.reason is None and time.monotonic() - self._looked_at > 1:
            self._looked_at = time.monotonic()
            _raise_if_ray_died(session)
            try:
                self._look(session)
            except StorageError as error:
                session.recorder.faults.append(error)
                return True
        return session.stop.reason is not None

    def _look(self, session: Session) -> None:
        """See that the folder is there and the time isn't up, and note the time.

        Raises:
            StorageError: nothing more can be written.
        """
        if why := session.folder.fault():
            raise StorageError(f"{session.folder.path}: {why}. Nothing more can be kept.")
        if time.monotonic() - self._noted_at > _NOTE_TIME_SECONDS:
            self._noted_at = time.monotonic()
            session.note_time()
        if _search_time_is_up(session):
            session.stop.reason = "time"

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore that gansearch never asks for.
        return {"_session": None}


def _search_time_is_up(session: Session) -> bool:
    """Return whether what is left of the time budget is needed for the replicas."""
    limit, elapsed = session.settings.time_budget_seconds, session.seconds
    if limit is None or session.progress.current_phase != "search" or elapsed < 0.1 * limit:
        return False
    rows = session.rows("search")
    if not any(row["status"] == "completed" for row in rows):
        # The start of the workers would pass for slow training, and replicas need a finalist.
        return elapsed > limit
    updates_done = sum(row["updates"] for row in rows)
    updates_to_come = (
        (session.budget.top + 1) * session.budget.replicas * session.budget.max_updates
    )
    # All that the search has taken so far counts: starts, evaluations and waiting too.
    reserved: float = elapsed * updates_to_come / updates_done
    return bool(elapsed > limit - reserved)


def _raise_if_ray_died(session: Session) -> None:
    if (process := dead_vital_process()) is not None:
        raise RunFailedError(
            f"{session.folder.path}: Ray's {process} on this machine has died, as when it is "
            "killed or memory runs out, and no trial trains without it. Everything reported is "
            f"kept. To go on: gansearch resume {session.quoted_path}"
        )
