"""The engine's process on Ray, in which all trials that Ray places on one GPU train."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import ray
from ray import ObjectRef
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gansearch.data.dataset import Dataset
from gansearch.errors import EngineLostError
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.tune.ray_internals import dead_vital_process

if TYPE_CHECKING:
    from gansearch.scoring.collapse import CollapseTest
    from gansearch.trial.runner import TrialRunner

# The data set that trials learn, and its prepared test of samples.
TrialData: TypeAlias = "tuple[Dataset, CollapseTest]"

_NAMESPACE = "gansearch"  # without a namespace Ray prints a message
# An engine without calls for this long ends: nothing else would end it on a cluster that outlives a
# killed driver.
_IDLE_SECONDS = 300.0
_IDLE_CHECK_SECONDS = 5.0
_STOP_TIMEOUT_SECONDS = 60.0
_MAX_CALLS = 256  # at a time, each in a thread


class EngineProcess:
    """A Ray actor that holds one engine, and a runner for every trial that it trains."""

    def __init__(self, gpu: str, data: Sequence[ObjectRef[TrialData]], plan: TrialPlan) -> None:
        # Before torch is imported. The trials hold the GPU, and Ray hides it from all other actors.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        from gansearch.trial.process import TrialProcess

        dataset, test = ray.get(data[0])
        self._process = TrialProcess.prepare(dataset, plan, collapse_test=test)
        self._runners: dict[str, TrialRunner] = {}
        self._calls = _Calls()
        threading.Thread(target=self._end_when_idle, daemon=True).start()

    def begin(self, client: str, spec: TrialSpec) -> None:
        """Begin a trial, or continue it from its checkpoint, in place of the client's last one.

        By clients, since a paused trial may go on with another before its own takes the next one.
        """
        from gansearch.trial.runner import TrialRunner

        with self._calls, self._process.guarded():
            if replaced := self._runners.pop(client, None):
                replaced.close()
            self._runners[client] = TrialRunner(spec, self._process)

    def step(self, client: str) -> StepResult:
        """Call `TrialRunner.step`."""
        with self._calls, self._process.guarded():
            return self._runners[client].step()

    def stop(self, client: str) -> None:
        """Call `TrialRunner.stop`, and drop the trial."""
        with self._calls:
            if (runner := self._runners.pop(client, None)) is not None:
                runner.stop()

    def _end_when_idle(self) -> None:
        while self._calls.idle_seconds() < _IDLE_SECONDS:
            time.sleep(_IDLE_CHECK_SECONDS)
        for runner in list(self._runners.values()):
            runner.stop()
        os._exit(0)


class _Calls:
    """Counts the calls in progress, and measures the time without any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n = 0
        self._last = time.monotonic()

    def __enter__(self) -> None:
        with self._lock:
            self._n += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n -= 1
            self._last = time.monotonic()

    def idle_seconds(self) -> float:
        with self._lock:
            return 0.0 if self._n else time.monotonic() - self._last


class EngineClient:
    """Trains one trial after another in the engine of this process's GPU."""

    def __init__(self, data: Sequence[ObjectRef[TrialData]], plan: TrialPlan) -> None:
        self._data, self._plan = data, plan
        self._engine = _engine_here(data, plan)
        self._name = uuid.uuid4().hex

    def begin(self, spec: TrialSpec) -> None:
        """Begin a trial there, in place of the last one."""
        try:
            ray.get(self._engine.begin.remote(self._name, spec))
        except (RayActorError, OutOfMemoryError):
            # Tune doesn't retry a trial that a reused worker fails to begin.
            self._engine = _engine_here(self._data, self._plan)
            ray.get(self._engine.begin.remote(self._name, spec))

    def step(self) -> StepResult:
        """Call `TrialRunner.step` there.

        Raises:
            EngineLostError: the engine is lost; Tune retries the trial.
        """
        try:
            result: StepResult = ray.get(self._engine.step.remote(self._name))
        except RayActorError as error:
            raise EngineLostError(
                f"engine: the process that trains here was lost: {error}"
            ) from error
        return result

    def stop(self) -> None:
        """Call `TrialRunner.stop` there."""
        ray.get(self._engine.stop.remote(self._name), timeout=_STOP_TIMEOUT_SECONDS)


def end_engines(plan: TrialPlan) -> None:
    """End the engines of a phase, on all nodes; those of a Ray that has died end by themselves."""
    if not plan.n_slots or dead_vital_process() is not None:
        return
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["namespace"] == _NAMESPACE and actor["name"].startswith(_prefix(plan)):
            with suppress(ValueError):  # it has already ended
                ray.kill(ray.get_actor(actor["name"], _NAMESPACE))


def _engine_here(data: Sequence[ObjectRef[TrialData]], plan: TrialPlan) -> Any:
    """Return the engine of this node's GPU, which the first trial there starts."""
    node = ray.get_runtime_context().get_node_id()
    gpu = own_gpu() if plan.device == "cuda" else ""
    return (
        ray.remote(EngineProcess)
        .options(
            name=f"{_prefix(plan)}{node}-{gpu}",
            namespace=_NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # else it would end with the trial that started it
            num_cpus=0,
            num_gpus=0,
            max_concurrency=_MAX_CALLS,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(gpu, data, plan)
    )


def own_gpu() -> str:
    """Return the GPUs that Ray has given this worker, as CUDA_VISIBLE_DEVICES names them.

    Ray sets that variable itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set.
    """
    return ",".join(map(str, ray.get_gpu_ids()))


def use_own_gpu() -> None:
    """Let this process see no other GPU than its own; before it uses one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = own_gpu()


def _prefix(plan: TrialPlan) -> str:
    return f"gansearch-engine-{plan.folder}:"  # a run's name has no colon
