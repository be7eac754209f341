"""The private names of Ray's that gansearch uses are where this release of Ray has them."""

import ast
import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import OutOfMemoryError, RayActorError

from gansearch.tune import ray_internals

PACKAGE = Path(__file__).parents[2] / "gansearch"

# Module, attribute in it, and what gansearch uses it for.
PRIVATE_NAMES = [
    ("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", "to listen on loopback only"),
    ("ray._private.ray_constants", "PROCESS_TYPE_GCS_SERVER", "to notice a dead GCS"),
    ("ray._private.ray_constants", "PROCESS_TYPE_RAYLET", "to notice a dead raylet"),
    ("ray._private.utils", "get_entrypoint_name", "to start with any command line"),
    ("ray._private.worker", "_global_node", "to find the Ray processes that this one started"),
    ("ray._private.node", "Node.dead_processes", "to notice that a vital process has died"),
    ("ray._private.worker", "connect", "to let signals wait while it connects"),
    ("ray._private.worker", "print_to_stdstream", "to mute the raylets' messages"),
    ("ray._private.services", "ConsolePopen.terminate", "to keep signals from Ray's processes"),
    ("ray._private.services", "psutil", "to end all processes that Ray has started"),
    (
        "ray.air.execution.resources.placement_group",
        "remove_placement_group",
        "to ask nothing of a GCS that has died",
    ),
    ("ray._private.utils", "set_sigterm_handler", "to keep the handler of SIGTERM"),
    ("ray._raylet", "Config.initialize", "to forget what the environment was"),
    ("ray._raylet", "AuthenticationTokenLoader.reset_cache", "to use another token than before"),
    ("ray.job_config", "JobConfig._runtime_env_has_working_dir", "for the path of the workers"),
    ("ray.autoscaler.v2.utils", "is_autoscaler_v2", "to know whether a cluster starts nodes"),
    ("ray.tune.experiment", "Trial.should_recover", "to fail at once where code is at fault"),
    (
        "ray.tune.execution.tune_controller",
        "TuneController._schedule_trial_train",
        "to let a trial go on that has waited",
    ),
    (
        "ray.tune.execution.tune_controller",
        "TuneController._schedule_trial_pause",
        "to free the worker of a trial that waits",
    ),
    (
        "ray.air.execution._internal.actor_manager",
        "RayActorManager._actor_task_failed",
        "to treat a worker killed for memory as a lost one",
    ),
    (
        "ray.tune.execution.experiment_state",
        "_ExperimentCheckpointManager.sync_up_experiment_state",
        "to save Tune's state once",
    ),
    (
        "ray.tune.execution.tune_controller",
        "TuneController._get_trial_checkpoints",
        "to read no checkpoints of Tune's at the end",
    ),
    ("ray.tune.registry", "_Registry.get", "to fetch a trainable once"),
    ("ray.tune.registry", "_Registry.contains", "to fetch a trainable once"),
    ("ray.air._internal.usage", "tag_callbacks", "to import no tracker that isn't asked for"),
    ("ray.tune", "ExperimentAnalysis._fetch_trial_dataframes", "to read no tables at the end"),
    *(
        (
            "ray.air.execution._internal.actor_manager",
            f"RayActorManager.{name}",
            "to take many results at once",
        )
        for name in (
            "next",
            "_try_kill_actor",
            "_try_start_actors",
            "_handle_ready_resource_future",
        )
    ),
]


@pytest.mark.parametrize(("module", "name", "purpose"), PRIVATE_NAMES)
def test_ray_still_has_the_private_name(module, name, purpose):
    remedy = f"Ray {ray.__version__} has no {module}.{name}, used {purpose}. See ray_internals.py."
    try:
        found = importlib.import_module(module)
    except ImportError:
        pytest.fail(remedy)
    for part in name.split("."):
        assert hasattr(found, part), remedy
        found = getattr(found, part)


def test_ray_still_takes_the_address_that_it_listens_on():
    remedy = "ray.init takes no _node_ip_address, used to listen on loopback only"
    assert "_node_ip_address" in inspect.getsource(ray.init), remedy


def test_ray_still_prints_the_raylets_messages_by_the_function_that_is_muted():
    worker = importlib.import_module("ray._private.worker")
    remedy = "listen_error_messages doesn't call print_to_stdstream: muting it does nothing"
    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages), remedy


def private_modules_of_ray(path):
    """Return the names of private modules of Ray's that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {n for n in names if n.split(".")[0] == "ray" and "._" in n}


def test_no_other_module_imports_a_private_module_of_rays():
    found = {path.name for path in PACKAGE.rglob("*.py") if private_modules_of_ray(path)}
    assert found == {"ray_internals.py"}


def test_a_worker_that_rays_memory_monitor_kills_is_a_lost_worker_to_tune():
    from ray.air.execution._internal.actor_manager import RayActorManager

    from gansearch.tune.ray_internals import oom_kills_as_lost_workers

    errors = []
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda **_: None)
    tracked = SimpleNamespace(actor_id=1, _on_error=None)
    task = SimpleNamespace(_tracked_actor=tracked, _on_error=lambda _, error: errors.append(error))
    error = OutOfMemoryError("the node running low on memory")
    with oom_kills_as_lost_workers():
        RayActorManager._actor_task_failed(manager, task, error)
    assert isinstance(errors[0], RayActorError) and "low on memory" in str(errors[0])
    with pytest.raises(RuntimeError, match="unexpected exception"):
        RayActorManager._actor_task_failed(manager, task, error)


def test_a_trial_is_retried_only_where_tune_and_the_caller_both_allow_it(monkeypatch):
    from ray.tune.experiment import Trial

    from gansearch.tune.ray_internals import retrying_only

    def tunes(trial):
        return trial.n_failures <= 2

    monkeypatch.setattr(Trial, "should_recover", tunes)
    with pytest.raises(KeyboardInterrupt), retrying_only(lambda trial: trial.kind != "code"):
        for n_failures, kind, expected in (
            (1, "error", True),
            (1, "code", False),
            (3, "error", False),
        ):
            trial = SimpleNamespace(n_failures=n_failures, kind=kind)
            assert Trial.should_recover(trial) is expected
        raise KeyboardInterrupt
    assert Trial.should_recover is tunes


def test_a_dead_process_is_reported_if_no_trial_trains_without_it(monkeypatch):
    from ray._private import worker

    from gansearch.tune.ray_internals import dead_vital_process

    dead = []
    monkeypatch.setattr(worker, "_global_node", SimpleNamespace(dead_processes=lambda: dead))
    assert dead_vital_process() is None
    dead.append(("log_monitor", None))
    assert dead_vital_process() is None
    dead.append(("raylet", None))
    assert dead_vital_process() == "raylet"
    monkeypatch.setattr(worker, "_global_node", None)
    assert dead_vital_process() is None


def test_ray_records_a_command_line_with_a_name_in_no_encoding(monkeypatch):
    from ray._private import utils

    from gansearch.tune import ray_internals

    def init(**_arguments):
        recorded.append(utils.get_entrypoint_name())

    recorded = []
    monkeypatch.setattr(utils, "get_entrypoint_name", lambda: "run caf\udce9.yaml")
    monkeypatch.setattr(ray_internals.ray, "init", init)
    ray_internals.init_on_loopback("/tmp/f", [])
    ray_internals.init_on_cluster("127.0.0.1:1", [])
    assert recorded == 2 * ["run caf\\udce9.yaml"]
    assert utils.get_entrypoint_name() == "run caf\udce9.yaml"


def test_ray_listens_on_loopback_only_when_we_start_it(monkeypatch):
    from ray._private import ray_constants, services, utils

    from gansearch.tune import ray_internals

    calls = []
    process, handler = services.ConsolePopen, utils.set_sigterm_handler
    before = ray_constants.ENABLE_RAY_CLUSTER

    def init(*, job_config, **arguments):
        assert services.ConsolePopen is not process and utils.set_sigterm_handler is not handler
        calls.append((ray_constants.ENABLE_RAY_CLUSTER, arguments))

    monkeypatch.setattr(ray_internals.ray, "init", init)
    ray_internals.init_on_loopback("/tmp/f", ["/own"], log_to_driver=False)
    expected = {"address": "local", "_node_ip_address": "127.0.0.1", "_temp_dir": "/tmp/f"}
    assert calls == [(False, expected | {"log_to_driver": False})]
    assert before == ray_constants.ENABLE_RAY_CLUSTER
    assert services.ConsolePopen is process and utils.set_sigterm_handler is handler


def test_the_path_of_the_workers_is_sent_without_the_working_directory():
    from gansearch.tune.ray_internals import _JobConfig

    config = _JobConfig(["/a", "/b"])
    assert config._py_driver_sys_path == ["/b", "/a"]  # each is inserted before the last
    source = inspect.getsource(importlib.import_module("ray._private.worker").connect)
    remedy = "Ray adds the working directory to the workers' path in another way"
    assert "_runtime_env_has_working_dir():\n            current_directory" in source, remedy
    assert config._runtime_env_has_working_dir()


def test_a_process_of_rays_is_in_a_session_of_its_own_and_blocks_the_signals_to_stop(monkeypatch):
    from gansearch.tune.ray_internals import _OwnProcess

    monkeypatch.setattr(_OwnProcess, "started", [])
    # It has a child, as the raylet has workers, and both outlive whoever asks them to stop.
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(); time.sleep(60)"
    process = _OwnProcess([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert os.getsid(process.pid) == process.pid
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, int(child)):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert _OwnProcess.started == [process]
    process.terminate()
    assert process.wait(10) == -signal.SIGKILL
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_ray_had_started_ends_if_the_rest_does_not_start(monkeypatch):
    from ray._private import services

    from gansearch.tune import ray_internals

    begun = []

    def init(**_):
        begun.append(services.ConsolePopen(["sleep", "60"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_internals.ray, "init", init)
    with pytest.raises(KeyboardInterrupt):
        ray_internals.init_on_loopback("/tmp/f", [])
    assert begun[0].wait(10) == -signal.SIGKILL


class AwaitedEvents:
    """Stands in for a `RayEventManager`: awaits futures, and notes those that it resolves."""

    def __init__(self, futures, resolved):
        self._tracked_futures = dict.fromkeys(futures)
        self._resolved = resolved

    def resolve_future(self, future):
        del self._tracked_futures[future]
        self._resolved.append(future)


class AwaitingManager:
    """Stands in for a `RayActorManager` without actors, whose `next` is the one of lean Tune."""

    def __init__(self, states=(), tasks=(), resources=()):
        self.resolved = []
        self._actor_state_events = AwaitedEvents(states, self.resolved)
        self._actor_task_events = AwaitedEvents(tasks, self.resolved)
        self._resource_manager = SimpleNamespace(get_resource_futures=lambda: list(resources))

    def _try_kill_actor(self):
        return False

    def _try_start_actors(self):
        return None

    def _handle_ready_resource_future(self):
        self.resolved.append("resource")


def lean_next(manager, monkeypatch, ready):
    """Call the `next` that lean Tune uses, where `ready` are the futures that have come."""
    waits = []

    def wait(awaited, num_returns, timeout):
        waits.append((len(awaited), num_returns))
        come = [future for future in awaited if future in ready][:num_returns]
        return come, [future for future in awaited if future not in come]

    monkeypatch.setattr(ray, "wait", wait)
    with ray_internals.lean_tune():
        found = ray_internals.RayActorManager.next(manager, timeout=0.1)
    return found, waits


def test_many_awaited_results_are_looked_through_once_for_all_that_have_come(monkeypatch):
    manager = AwaitingManager(tasks=range(1000))
    ready = set(range(0, 1000, 100))
    n_waits = 0
    for i in range(10):
        found, waits = lean_next(manager, monkeypatch, ready)
        n_waits += len(waits)
        assert found and len(manager.resolved) == i + 1  # one event a call, as Tune expects
    assert set(manager.resolved) == ready
    assert n_waits == 2


def test_an_event_of_an_actor_that_was_removed_meanwhile_is_dropped(monkeypatch):
    manager = AwaitingManager(states=["started"], tasks=range(100))
    lean_next(manager, monkeypatch, set(range(100)) | {"started"})
    assert manager.resolved == ["started"]  # states come first
    manager._actor_task_events._tracked_futures.clear()
    found, _ = lean_next(manager, monkeypatch, set())
    assert not found and manager.resolved == ["started"]


def test_a_ready_resource_is_handled_and_is_no_event(monkeypatch):
    manager = AwaitingManager(resources=["placed"])
    found, _ = lean_next(manager, monkeypatch, {"placed"})
    assert not found and manager.resolved == ["resource"]


def test_tunes_state_is_saved_at_the_beginning_only(tmp_path):
    saved = []
    manager = importlib.import_module("ray.tune.execution.experiment_state")
    storage = SimpleNamespace(
        experiment_driver_staging_path=str(tmp_path),
        experiment_fs_path=str(tmp_path),
        syncer=SimpleNamespace(wait=lambda: None, sync_up=lambda *_: saved.append("copied")),
    )
    with ray_internals.lean_tune():
        kept = manager._ExperimentCheckpointManager(storage=storage, checkpoint_period=0)
        for force in (False, False, True):
            kept.sync_up_experiment_state(lambda: saved.append("saved"), force=force)
    assert saved == ["saved", "copied", "copied"]
