"""Every private name of Ray's that gansearch uses; no other module has one.

A release of Ray may move or change any of them without notice. `tests/tune/test_ray_internals.py`
then fails by the name that is missing.
"""

from __future__ import annotations

import math
import random
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar

import ray
from ray import _raylet
from ray._private import ray_constants, services, utils, worker
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution.resources import placement_group
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.experimental import internal_kv
from ray.tune import ExperimentAnalysis
from ray.tune.execution.experiment_state import _ExperimentCheckpointManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.registry import _Registry

from gansearch.system.signals import deferred

psutil: Any = vars(services)["psutil"]  # the one that Ray brings
_LOOPBACK = "127.0.0.1"
# No trial trains without these processes of Ray's.
_VITAL = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
# How many results of trials are taken at once from those that have come, if so many are awaited
# that each look at them costs more than a result.
_MOST_AT_ONCE, _MANY_AWAITED = 100, 16


@contextmanager
def command_line_in_utf8() -> Iterator[None]:
    """Let Ray record the command line, which it does in UTF-8, with other bytes escaped.

    A file whose name has such bytes, named on the command line, would keep Ray from starting.
    """
    original: Callable[[], str] = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: original().encode(errors="backslashreplace").decode()
    try:
        yield
    finally:
        utils.get_entrypoint_name = original


@command_line_in_utf8()
def init_on_loopback(folder: str, path: Sequence[str], **arguments: Any) -> None:
    """Start Ray on this machine, listening on the loopback interface only.

    On Windows and macOS Ray does so by itself. On Linux it takes the machine's outward address even
    where 127.0.0.1 is given, so that other machines may join, and everyone who reaches that address
    may run code.

    Args:
        folder: for all of Ray's temporary files.
        path: from which the workers import.
        arguments: further ones of `ray.init`.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    _forget_surroundings()
    try:
        with _signal_handlers_kept(), _own_processes(), _connected_in_one_go():
            ray.init(
                # Otherwise Ray would join a cluster that somebody has started on this machine.
                address="local",
                _node_ip_address=_LOOPBACK,
                _temp_dir=folder,
                job_config=_JobConfig(path),
                **arguments,
            )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def resources_here() -> dict[str, float]:
    """Return what a Ray that starts on this machine would have, such as `{"CPU": 8, "GPU": 1}`."""
    found = ResourceAndLabelSpec().resolve(is_head=True, node_ip_address=_LOOPBACK)
    resources: dict[str, float] = found.to_resource_dict()  # type: ignore[no-untyped-call]
    return resources


@command_line_in_utf8()
def init_on_cluster(address: str, path: Sequence[str], **arguments: Any) -> None:
    """Connect to a cluster; the arguments are those of `init_on_loopback`."""
    _forget_surroundings()
    with _signal_handlers_kept(), _connected_in_one_go():
        ray.init(address=address, job_config=_JobConfig(path), **arguments)


def _forget_surroundings() -> None:
    """Let Ray read the environment and the token again, which it has kept since its import."""
    config: Any = vars(_raylet)["Config"]
    config.initialize("")
    loader: Any = vars(_raylet)["AuthenticationTokenLoader"]
    loader.instance().reset_cache()


class _JobConfig(ray.job_config.JobConfig):
    """A job whose workers have `path` before their own, and not the working directory."""

    def __init__(self, path: Sequence[str]) -> None:
        # Workers insert one after another at the beginning.
        super().__init__(_py_driver_sys_path=list(reversed(path)))

    def _runtime_env_has_working_dir(self) -> bool:
        return True  # else Ray adds the working directory and that of the script


class _OwnProcess(services.ConsolePopen):
    """A process of Ray's which no signal reaches that is meant for the run.

    A terminal, `timeout`, systemd and Slurm send one to whole groups, or to every process. Without
    Ray no trial could save its state. Ray itself lets its processes block SIGINT.
    """

    started: ClassVar[list[_OwnProcess]] = []

    def __init__(self, *arguments: Any, **others: Any) -> None:
        of_ray = others.pop("preexec_fn", None)

        def prepare() -> None:
            if of_ray is not None:
                of_ray()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})

        others |= {"preexec_fn": prepare, "start_new_session": True}
        super().__init__(*arguments, **others)
        self.started.append(self)

    def terminate(self) -> None:
        """End the process and all that it has started: the trials have ended before."""
        try:
            descendants = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            descendants = []
        self.kill()
        for process in descendants:
            with suppress(psutil.Error):
                process.kill()


@contextmanager
def _own_processes() -> Iterator[None]:
    """Let Ray start its processes as `_OwnProcess`; end them if its start fails."""
    before = services.ConsolePopen
    _OwnProcess.started.clear()
    setattr(services, "ConsolePopen", _OwnProcess)  # noqa: B010  # mypy has it as a type
    try:
        yield
    except BaseException:
        for process in _OwnProcess.started:
            process.terminate()
        raise
    finally:
        setattr(services, "ConsolePopen", before)  # noqa: B010


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Keep Ray from replacing the handler of SIGTERM, by one that ends the process with a code."""
    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


@contextmanager
def _connected_in_one_go() -> Iterator[None]:
    """Let a signal to stop wait while this process connects to the Ray that has started.

    An exception in between would leave a half of Ray, whose C++ code aborts the process at its end.
    """
    before = worker.connect

    def connect(*arguments: Any, **others: Any) -> None:
        with deferred():
            before(*arguments, **others)

    setattr(worker, "connect", connect)  # noqa: B010
    try:
        yield
    finally:
        setattr(worker, "connect", before)  # noqa: B010


@contextmanager
def raylet_messages_muted() -> Iterator[None]:
    """Keep the raylets' messages about lost workers and nodes off the terminal.

    Ray prints them whatever `log_to_driver` is, together with the end of the raylet's log. The
    recorder reports such losses itself.
    """
    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def dead_vital_process() -> str | None:
    """Return the name of a dead process among the vital ones that this process started, if any."""
    node: Any = worker._global_node
    dead = node.dead_processes() if node is not None else ()
    return next((str(kind) for kind, _ in dead if kind in _VITAL), None)


@contextmanager
def nothing_asked_of_a_dead_ray() -> Iterator[None]:
    """Let Tune end its trials without the GCS where that has died.

    Ray would wait for it for a minute, and then end the whole process without a word.
    """
    module: Any = placement_group
    original = module.remove_placement_group

    def remove(group: Any) -> None:
        if dead_vital_process() is None:
            original(group)

    module.remove_placement_group = remove
    try:
        yield
    finally:
        module.remove_placement_group = original


def leave_note(name: str) -> None:
    """Leave a note for all processes of the cluster."""
    internal_kv._internal_kv_put(name, b"1", overwrite=True)


def has_note(name: str) -> bool:
    """Return whether a process of the cluster has left a note."""
    return bool(internal_kv._internal_kv_exists(name))


def forget_note(name: str) -> None:
    """Remove a note, if there is one."""
    internal_kv._internal_kv_del(name)


def has_autoscaler() -> bool:
    """Return whether the connected cluster starts nodes when work waits for them."""
    return is_autoscaler_v2(fetch_from_server=True)


@contextmanager
def retrying_only(may_retry: Callable[[Any], bool]) -> Iterator[None]:
    """Let Tune retry a failed trial only if `may_retry` allows it too.

    Tune counts failures, and tells the scheduler of one only after it has decided.
    """
    original: Callable[[TuneTrial], bool] = TuneTrial.should_recover

    def should_recover(self: TuneTrial) -> bool:
        return original(self) and may_retry(self)

    TuneTrial.should_recover = should_recover  # type: ignore[method-assign]
    try:
        yield
    finally:
        TuneTrial.should_recover = original  # type: ignore[method-assign]


def train_on(controller: Any, trial: TuneTrial) -> None:
    """Let a trial train on whose result Tune was told to do nothing about."""
    _controller(controller)._schedule_trial_train(trial)


def free_worker(controller: Any, trial: TuneTrial) -> None:
    """Pause a trial without Tune's own checkpoint; its worker takes another trial."""
    _controller(controller)._schedule_trial_pause(trial, should_checkpoint=False)


def _controller(controller: Any) -> Any:
    # Schedulers get it in a wrapper, which warns of what it deems private.
    return getattr(controller, "_tune_controller", controller)


@contextmanager
def oom_kills_as_lost_workers() -> Iterator[None]:
    """Let Tune treat a worker that Ray's memory monitor has killed as a lost worker.

    Tune doesn't expect an OutOfMemoryError from an actor, and would end the whole search.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original  # type: ignore[method-assign]


@contextmanager
def lean_tune() -> Iterator[None]:
    """Spare the driver what Tune does for users other than gansearch.

    Tune saves its own state again and again, with that of all trials, imports every tracker that is
    installed to count its callbacks, and reads tables at the end which its loggers would have
    written. It fetches the trainable from Ray for every trial, and looks through all awaited
    results for each one that it takes.
    """
    with ExitStack() as stack:
        for owner, name, replacement in (
            (_ExperimentCheckpointManager, "sync_up_experiment_state", _saved_once()),
            (TuneController, "_get_trial_checkpoints", lambda _self: {}),
            (_Registry, "contains", _fetched_once(_Registry.contains)),
            (_Registry, "get", _fetched_once(_Registry.get)),
            (usage, "tag_callbacks", lambda _callbacks: False),
            (ExperimentAnalysis, "_fetch_trial_dataframes", lambda _self: {}),
            (RayActorManager, "next", _next_of_many),
        ):
            stack.enter_context(_replaced(owner, name, replacement))
        yield


@contextmanager
def _replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _saved_once() -> Callable[..., None]:
    """Return what saves Tune's state at the beginning, since Tune looks for the file at the end.

    At the end it still copies the error messages of trials into the run's folder.
    """
    original = _ExperimentCheckpointManager.sync_up_experiment_state

    def sync(self: Any, save_fn: Any, force: bool = False, wait: bool = False) -> None:
        is_first = self._last_save_time == -math.inf
        if is_first or force:
            original(self, save_fn if is_first else lambda: None, force=force, wait=wait)

    return sync


def _fetched_once(fetch: Callable[..., Any]) -> Callable[..., Any]:
    """Return what fetches each value of Tune's registry once: an experiment changes none."""
    found: dict[tuple[str, str], Any] = {}

    def get(self: Any, category: str, key: str) -> Any:
        if not (value := found.get((category, key))):
            value = found[category, key] = fetch(self, category, key)
        return value

    return get


def _next_of_many(manager: Any, timeout: float | None = None) -> bool:
    """Handle the next event of a `RayActorManager`, as its own `next` does.

    Events that have come are kept, so that the many that are awaited are looked through once for
    all of them, and not for each.
    """
    killed = manager._try_kill_actor()
    manager._try_start_actors()
    if killed:
        return True
    if not (come := vars(manager).setdefault("_come", deque())):
        come.extend(_come_events(manager, timeout))
    while come:
        future = come.popleft()
        # Events of an actor that was removed meanwhile are awaited no more.
        for events in (manager._actor_state_events, manager._actor_task_events):
            if future in events._tracked_futures:
                events.resolve_future(future)
                manager._try_start_actors()
                return True
        if future in manager._resource_manager.get_resource_futures():
            manager._handle_ready_resource_future()
    return False


def _come_events(manager: Any, timeout: float | None) -> list[Any]:
    """Return awaited futures that are ready: of resources before those of actors and of tasks."""
    states = list(manager._actor_state_events._tracked_futures)
    tasks = list(manager._actor_task_events._tracked_futures)
    random.shuffle(states)
    random.shuffle(tasks)
    awaited = [*manager._resource_manager.get_resource_futures(), *states, *tasks]
    ready, _ = ray.wait(awaited, num_returns=1, timeout=timeout)
    if ready and len(awaited) > _MANY_AWAITED:
        most = min(_MOST_AT_ONCE, len(awaited))
        ready, _ = ray.wait(awaited, num_returns=most, timeout=0)
    return list(ready)
