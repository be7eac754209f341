"""Which failed attempt at a trial is made again, how often, and with which neighbours.

- A lost worker: twice, from the trial's checkpoint. Node losses that were announced don't count.
- Lack of memory: once, alone on its GPU, or on its node where that of the host was short.
- The loss of an engine, which trains a trial among others, isn't held against the trial: whose
  fault it was can't be told. After the second loss the trial goes on alone, where it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ray.tune.experiment import Trial

from gansearch.system.failures import Failure, MemoryKind
from gansearch.trial.messages import TrialSpec

# A trial whose worker is lost is tried again this often before it counts as failed.
MAX_FAILURES = 2
_ENGINES_LOST_TOGETHER = 2  # from then on, alone


class Retries:
    """Decides on every attempt that Tune makes again.

    Args:
        wholes: what a trial asks of Ray to be alone where memory is short: {"GPU": {"cpu": 1,
            "gpu": 1}, "host": {"cpu": 8, "gpu": .25}}. Without it, it is tried where it was.
    """

    def __init__(self, wholes: Mapping[MemoryKind, Mapping[str, float]] | None = None) -> None:
        self._wholes = wholes or {}
        self._engines_lost: Counter[str] = Counter()

    def prepare(self, trial: Trial, failure: Failure) -> None:
        """Say how the next attempt at `trial`, which Tune has stopped and not queued yet, is made.

        A trial that is to be alone waits for its place to empty, and no other starts there
        meanwhile, but for those that Tune had asked resources for before.
        """
        if failure.kind == "memory":
            trial.max_failures = trial.num_failures  # whatever comes next is its end
            self._isolate(trial, failure.memory_kind or "host")
        elif failure.kind == "engine" and not TrialSpec.from_tune(trial.config).is_alone:
            trial.max_failures += 1
            self._engines_lost[trial.trial_id] += 1
            if self._engines_lost[trial.trial_id] >= _ENGINES_LOST_TOGETHER:
                self._isolate(trial, "GPU" if "GPU" in self._wholes else "host")

    def _isolate(self, trial: Trial, place: MemoryKind) -> None:
        spec = replace(TrialSpec.from_tune(trial.config), is_alone=True)
        trial.config.update(spec.to_tune())
        if place in self._wholes:
            trial.update_resources(dict(self._wholes[place]))
