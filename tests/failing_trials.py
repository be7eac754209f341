"""Trials that fail, in a module of their own: a worker imports little with it.

A worker finds a class by its module's name, and with a module of tests it would import all of them.
"""

import numpy as np

from gansearch.trial.messages import TrialSpec
from gansearch.tune.trainable import GanTrial


class GreedyTrial(GanTrial):
    """Its second trial wants more memory than there is, and notes with how many cores it ran."""

    def step(self):
        spec = TrialSpec.from_tune(self.config)
        if spec.phase == "search" and spec.number == 1:
            cores = sum(bundle["CPU"] for bundle in self.trial_resources.bundles)
            with (self._plan.folder / "attempts.txt").open("a") as attempts:
                attempts.write(f"{cores:g} ")
            self._runner._training.advance = lambda *_, **__: np.empty(2**57)
        return super().step()


class BrokenTrial(GanTrial):
    def setup(self, config, dataset, plan):
        raise RuntimeError("this worker can't start")
