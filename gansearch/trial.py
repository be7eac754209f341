"""The Ray Trainable: adapts a trial to Tune, and does nothing else.

The work is done in this process, or, for all trials of a GPU together, in an engine's. Then this
process is thin: it imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray import ObjectRef, tune

from gansearch.data import Dataset
from gansearch.engine_actor import EngineClient
from gansearch.trial_plan import TrialPlan

if TYPE_CHECKING:
    from gansearch.work import Work, Workplace


class GanTrial(tune.Trainable):
    """One D/G training as a Tune trial; actors are reused for one trial after another.

    Tune's `config` is `{"trial": {trial_id, number, phase, seed, config}}`, the last as
    `TrialConfig.to_dict` gives it, and with `is_alone` where it was given a place without
    neighbours. `dataset` is a reference in a list, which Ray leaves unopened.
    """

    _work: Work | EngineClient

    def setup(  # type: ignore[override]  # tune.with_parameters adds arguments
        self, config: dict[str, Any], dataset: Sequence[ObjectRef[Dataset]], plan: TrialPlan
    ) -> None:
        """Prepare the worker once, then the first trial."""
        self._dataset, self._plan = dataset, plan
        self._place: Workplace | None = None
        self._client: EngineClient | None = None
        self._begin(config["trial"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this worker."""
        self._begin(new_config["trial"])
        return True

    def step(self) -> dict[str, Any]:
        """Train for a slice; return progress, or a full report when one is due."""
        return self._work.step()

    def cleanup(self) -> None:
        """Do what `Work.stop` does: Tune ends the worker."""
        self._work.stop()

    def _begin(self, trial: dict[str, Any]) -> None:
        if self._plan.n_slots:
            self._client = self._client or EngineClient(self._dataset, self._plan)
            self._client.begin(trial)
            self._work = self._client
            return
        from gansearch.work import Work, Workplace

        self._place = self._place or Workplace.prepare(
            # A worker that has got a whole GPU is used again for such trials alone.
            *(ray.get(self._dataset[0]), self._plan),
            is_alone=trial.get("is_alone", False),
        )
        self._work = Work(trial, self._place)
