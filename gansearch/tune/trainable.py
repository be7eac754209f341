"""The Ray Trainable: adapts a trial to Tune, and does nothing else.

The work is done in this process, or, for all trials of a GPU together, in an engine's. Then this
process is thin: it imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray import ObjectRef, tune

from gansearch.data.dataset import Dataset
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.tune.engine_actor import EngineClient

if TYPE_CHECKING:
    from gansearch.trial.process import TrialProcess
    from gansearch.trial.runner import TrialRunner


class GanTrial(tune.Trainable):
    """One training as a Tune trial; actors are reused for one trial after another.

    Tune's `config` is what `TrialSpec.to_tune` gives, and a step's result what `StepResult.to_tune`
    does. `dataset` is a reference in a list, which Ray leaves unopened.
    """

    _runner: TrialRunner | EngineClient

    def setup(  # type: ignore[override]  # tune.with_parameters adds arguments
        self, config: dict[str, Any], dataset: Sequence[ObjectRef[Dataset]], plan: TrialPlan
    ) -> None:
        """Prepare the worker once, then the first trial."""
        self._dataset, self._plan = dataset, plan
        self._process: TrialProcess | None = None
        self._client: EngineClient | None = None
        self._begin(TrialSpec.from_tune(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this worker."""
        self._begin(TrialSpec.from_tune(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Train for a slice; return progress, or a full report when one is due."""
        return self._runner.step().to_tune()

    def cleanup(self) -> None:
        """Do what `TrialRunner.stop` does: Tune ends the worker."""
        self._runner.stop()

    def _begin(self, spec: TrialSpec) -> None:
        if self._plan.n_slots:
            self._client = self._client or EngineClient(self._dataset, self._plan)
            self._client.begin(spec)
            self._runner = self._client
            return
        from gansearch.trial.process import TrialProcess
        from gansearch.trial.runner import TrialRunner

        self._process = self._process or TrialProcess.prepare(
            # A worker that has got a whole GPU is used again for such trials alone.
            *(ray.get(self._dataset[0]), self._plan),
            is_alone=spec.is_alone,
        )
        self._runner = TrialRunner(spec, self._process)
