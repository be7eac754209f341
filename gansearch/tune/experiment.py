"""One Tune experiment: the trials of a phase, from the first to the last or to the stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.search import Searcher

from gansearch.errors import RunFailedError, StorageError
from gansearch.runs.folder import RunFolder
from gansearch.system.files import unwritable
from gansearch.system.object_store import AnyPath, RemotePath
from gansearch.system.user_code import UserCode
from gansearch.trial.plan import TrialPlan, sign_seconds, slice_seconds
from gansearch.tune.engine_actor import end_engines
from gansearch.tune.fixed_order import FixedOrder
from gansearch.tune.freeze_thaw import FreezeThaw
from gansearch.tune.ordered_search import OrderedScheduler
from gansearch.tune.pausing_search import PausingScheduler
from gansearch.tune.population import Population
from gansearch.tune.population_search import PopulationScheduler
from gansearch.tune.ray_internals import (
    dead_vital_process,
    lean_tune,
    nothing_asked_of_a_dead_ray,
    oom_kills_as_lost_workers,
    retrying_only,
)
from gansearch.tune.retries import MAX_FAILURES, Retries
from gansearch.tune.rows import is_over
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.session import Session
from gansearch.tune.share import exclusive_resources
from gansearch.tune.slots import Grouping
from gansearch.tune.stopping import let_go_on, tell_to_stop
from gansearch.tune.trainable import GanTrial

# How often the time used so far is written to run.json; a kill loses at most this much of it.
_NOTE_TIME_SECONDS = 15.0


def run_experiment(
    session: Session,
    phase: str,
    scheduler: GuardedScheduler,
    n_samples: int,
    *,
    grouping: Grouping,
    searcher: Searcher,
    out_of_time: Callable[[], bool],
    callbacks: Sequence[Callback] = (),
) -> None:
    """Run one Tune experiment to its end, or until the run is stopped.

    Args:
        session: of the run.
        phase: names the experiment.
        scheduler: stops single trials.
        n_samples: how many trials there are at most.
        grouping: of the trials in engines.
        searcher: says which trials there are.
        out_of_time: whether the time budget ends the experiment; asked once a second.
        callbacks: come after the recorder.
    """
    session.recorder.outcomes, session.recorder.failures = scheduler.outcomes, scheduler.failures
    plan = _trial_plan(
        session,
        grouping,
        pauses=isinstance(scheduler, PausingScheduler),
        keeps_states=isinstance(scheduler, PopulationScheduler),
    )
    tuner = Tuner(
        _trainable(session, plan),
        param_space={},
        tune_config=TuneConfig(
            num_samples=n_samples,
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=session.share.at_a_time(grouping.n_at_a_time),
            reuse_actors=True,
        ),
        run_config=_run_config(
            session, phase, callbacks, _Stopper(session, out_of_time, partial(tell_to_stop, plan))
        ),
    )
    # A killed driver may have left engines on a cluster, with the state of its trials.
    end_engines(plan)
    let_go_on(plan)
    session.recorder.times.phase_begins()
    try:
        _fit(session, tuner, scheduler)
    finally:
        end_engines(plan)
    session.recorder.flush()
    _drop_checkpoints_of_ended_trials(session)
    _raise_if_gpu_lost(session)


def _fit(session: Session, tuner: Tuner, scheduler: GuardedScheduler) -> None:
    """Run the tuner.

    Raises:
        StorageError: the run's folder or Tune's storage can't be written.
    """
    try:
        with (
            lean_tune(),
            oom_kills_as_lost_workers(),
            nothing_asked_of_a_dead_ray(),
            retrying_only(scheduler.may_retry),
        ):
            tuner.fit()
    except Exception as error:
        if session.recorder.faults:  # the cause of this error
            raise session.recorder.faults[0] from error
        # RayError and ConnectionError are OSErrors too, of services that don't answer.
        if isinstance(error, OSError) and not isinstance(error, RayError | ConnectionError):
            raise unwritable(_tune_path(session), error) from error
        raise
    if session.recorder.faults:
        raise session.recorder.faults[0]


def _drop_checkpoints_of_ended_trials(session: Session) -> None:
    """Delete what a worker that Tune ends has saved, even of a trial that was just pruned."""
    for trial_id in session.folder.checkpointed_trials():
        if (row := session.recorder.rows.get(trial_id)) and is_over(row):
            session.folder.checkpoint_path(trial_id).unlink(missing_ok=True)


def drop_states(folder: RunFolder, needed: Collection[str]) -> None:
    """Delete the states that are kept for forks, but those of the trials that are `needed`."""
    for trial_id, updates in folder.kept_states():
        if trial_id not in needed:
            folder.state_path(trial_id, updates).unlink(missing_ok=True)


def make_scheduler(
    session: Session,
    *,
    halving: bool,
    freeze_thaw: FreezeThaw | None = None,
    population: Population | None = None,
    order: FixedOrder | None = None,
) -> GuardedScheduler:
    """Return the scheduler, which with `halving` stops or pauses trials for their score too."""
    retries = Retries(exclusive_resources(session.share))
    objective = session.space.objective
    if order is not None:
        return OrderedScheduler(session.budget, retries=retries, objective=objective, order=order)
    if freeze_thaw is not None:
        return PausingScheduler(
            session.budget, retries=retries, objective=objective, pausing=freeze_thaw
        )
    if population is not None:
        return PopulationScheduler(
            session.budget, retries=retries, objective=objective, population=population
        )
    return GuardedScheduler(session.budget, halving=halving, retries=retries, objective=objective)


def _tune_path(session: Session) -> AnyPath:
    return session.folder.path.resolve() / "tune"


def _run_config(
    session: Session,
    phase: str,
    callbacks: Sequence[Callback],
    stopper: tune.Stopper,
) -> RunConfig:
    """Return Tune's configuration of the next attempt at a phase: its storage and callbacks."""
    storage = _tune_path(session)
    attempt = 1 + sum(path.name.startswith(phase) for path in storage.glob("*"))
    return RunConfig(
        name=f"{phase}-{attempt}",
        storage_path=storage.key if isinstance(storage, RemotePath) else str(storage),
        storage_filesystem=storage.store if isinstance(storage, RemotePath) else None,
        stop=stopper,
        callbacks=[session.recorder, *callbacks],
        checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        failure_config=FailureConfig(max_failures=MAX_FAILURES),
        verbose=0,
        progress_reporter=_NoReporter(),
    )


def _trial_plan(
    session: Session, grouping: Grouping, *, pauses: bool, keeps_states: bool
) -> TrialPlan:
    return TrialPlan(
        folder=session.folder.path.resolve(),
        family=session.space.family.sections,
        code=UserCode.of(session.space.code_of_trials),
        budget=session.budget,
        device=session.share.device,
        memory_fraction=session.share.memory_fraction,
        slice_seconds=slice_seconds(session.share.max_concurrent),
        sign_seconds=sign_seconds(session.share.max_concurrent),
        n_slots=grouping.n_slots,
        n_evaluation_samples=session.description.n_evaluation_samples,
        pauses=pauses,
        keeps_states=keeps_states,
        keep=session.space.keep,
        keep_discriminator=session.settings.keep_discriminator,
        measures=session.space.measures,
        objective=session.space.objective,
    )


def _trainable(session: Session, plan: TrialPlan) -> Any:
    # With the classifier, so that no process fits one of its own where no cache can be written or
    # on another node.
    data = ray.put((session.dataset, session.collapse_test))
    return tune.with_resources(
        tune.with_parameters(GanTrial, data=[data], plan=plan),
        {"cpu": session.share.cpus_per_trial, "gpu": session.share.gpus_per_trial},
    )


class _NoReporter(tune.ProgressReporter):
    """Reports nothing. Tune's own reporter for notebooks clears the output of the cell."""

    def should_report(self, trials: Sequence[Any], done: bool = False) -> bool:
        """Return False."""
        return False

    def report(self, trials: Sequence[Any], done: bool, *sys_info: str) -> None:
        """Do nothing."""


class _Stopper(tune.Stopper):
    """Ends the experiment when the user interrupts it, or when its time is used up.

    Args:
        session: of the run.
        out_of_time: whether the time budget ends the experiment; asked once a second.
        tell: called once when the experiment ends early.
    """

    def __init__(
        self,
        session: Session,
        out_of_time: Callable[[], bool] = lambda: False,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._session: Session | None = session
        self._out_of_time, self._tell = out_of_time, tell
        self._checked_at = 0.0
        self._noted_at = time.monotonic()
        self._has_told = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: the scheduler stops single trials."""
        return False

    def stop_all(self) -> bool:
        """Return whether the experiment ends, and tell its trials."""
        if self._session is None or not self._is_over(self._session):
            return False
        if not self._has_told:
            self._has_told = True
            self._tell()
        return True

    def _is_over(self, session: Session) -> bool:
        """Return whether the experiment ends; slow checks are made once a second."""
        if session.recorder.faults:
            return True
        if session.stop.reason is None and time.monotonic() - self._checked_at > 1:
            self._checked_at = time.monotonic()
            _raise_if_ray_died(session)
            try:
                self._check(session)
            except StorageError as error:
                session.recorder.faults.append(error)
                return True
        return session.stop.reason is not None or _gpu_loss(session) is not None

    def _check(self, session: Session) -> None:
        """Check the folder and the time budget, and write the time used so far.

        Raises:
            StorageError: the folder is gone or is not ours any more.
        """
        if why := session.folder.fault():
            raise StorageError(f"{session.folder.path}: {why}. Nothing more can be written.")
        if time.monotonic() - self._noted_at > _NOTE_TIME_SECONDS:
            self._noted_at = time.monotonic()
            session.note_time()
        if self._out_of_time():
            session.stop.reason = session.stop.reason or "time"

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore, which gansearch never uses.
        return {"_session": None}


def _gpu_loss(session: Session) -> str | None:
    """Return how a worker failed that can't use its GPU; every later one there would fail too."""
    failures = session.recorder.failures.values()
    return next((failure.reason for failure in failures if failure.kind == "gpu"), None)


def _raise_if_gpu_lost(session: Session) -> None:
    if (reason := _gpu_loss(session)) is not None:
        raise RunFailedError(
            f"{session.folder.path}: {reason}. No trial can train there, so the run ends. "
            "Everything reported is kept, and its trials keep their state. Once the GPU works "
            f"again (`gansearch doctor` shows it), go on: {session.resume_command}"
        )


def _raise_if_ray_died(session: Session) -> None:
    if (process := dead_vital_process()) is not None:
        raise RunFailedError(
            f"{session.folder.path}: Ray's {process} on this machine has died, as when it is "
            "killed or memory runs out, and no trial trains without it. Everything reported is "
            f"kept. To go on: {session.resume_command}"
        )
