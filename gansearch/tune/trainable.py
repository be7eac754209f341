"""The Ray Trainable: adapts a trial to Tune.

The trial trains in this process, or, with all trials of a GPU, in an engine's process. In that case
this process imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import ray
from ray import ObjectRef, tune

from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.tune.engine_actor import EngineClient, TrialData, use_own_gpu
from gansearch.tune.stopping import is_stopping

if TYPE_CHECKING:
    from gansearch.trial.process import TrialProcess
    from gansearch.trial.runner import TrialRunner

# What Tune and the recorder read of a result; Tune adds the configuration and much else to each.
_SENT = ("step", "done", "time_total_s", "training_iteration", "node_ip", "pid")


class GanTrial(tune.Trainable):
    """One training as a Tune trial; actors are reused for one trial after another.

    Tune's `config` is that of `TrialSpec.to_tune`, and the result of a step that of
    `StepResult.to_tune`. `data` is a reference in a list, which Ray doesn't resolve: to the data
    set and its prepared `CollapseTest`.
    """

    _runner: TrialRunner | EngineClient
    # Around each step: `TrialProcess.guarded`.
    _guard: Callable[[], AbstractContextManager[None]] = nullcontext

    def setup(  # type: ignore[override]  # tune.with_parameters adds arguments
        self, config: dict[str, Any], data: Sequence[ObjectRef[TrialData]], plan: TrialPlan
    ) -> None:
        """Prepare the worker once, then the first trial."""
        self._data, self._plan = data, plan
        self._process: TrialProcess | None = None
        self._client: EngineClient | None = None
        self._own_runner: TrialRunner | None = None
        self._begin(TrialSpec.from_tune(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this worker."""
        self._begin(TrialSpec.from_tune(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Train until an evaluation or a sign of progress is due, or until the run stops."""
        due = time.monotonic() + self._plan.sign_seconds
        with self._guard():
            while (result := self._runner.step()).is_sign:
                # Where signs are not rarer than slices, every slice ends with one.
                if time.monotonic() + self._plan.slice_seconds >= due or is_stopping(self._plan):
                    break
            return result.to_tune()

    def train(self) -> dict[str, Any]:
        """Take a step, and return what the driver reads of its result."""
        result = super().train()  # type: ignore[no-untyped-call]
        return {name: result[name] for name in _SENT if name in result}

    def cleanup(self) -> None:
        """Call `TrialRunner.stop`: Tune ends the worker."""
        self._runner.stop()

    def _begin(self, spec: TrialSpec) -> None:
        if self._plan.n_slots:
            self._client = self._client or EngineClient(self._data, self._plan)
            self._client.begin(spec)
            self._runner = self._client
            return
        if self._plan.device == "cuda":
            use_own_gpu()
        from gansearch.trial.process import TrialProcess
        from gansearch.trial.runner import TrialRunner

        if self._process is None:
            dataset, test = ray.get(self._data[0])
            # A worker that has a whole GPU is reused only for trials that need one.
            self._process = TrialProcess.prepare(
                dataset, self._plan, collapse_test=test, is_alone=spec.is_alone
            )
        self._guard = self._process.guarded
        with self._guard():
            if self._own_runner is not None:
                self._own_runner.close()
            self._runner = self._own_runner = TrialRunner(spec, self._process)
