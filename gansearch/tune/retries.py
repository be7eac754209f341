"""Decides which failed attempts are retried, how often, and whether with other trials beside.

- An error in code of the user's own, which would occur again, ends its trial
  (`GuardedScheduler.may_retry`).
- After a lost worker a trial is retried twice, from its checkpoint. Announced losses of nodes don't
  count.
- After a lack of memory it is retried once: alone on its GPU, or alone on its node if it was the
  host's memory.
- The loss of an engine, which trains several trials, doesn't count, since the trial at fault isn't
  known. After the second loss the trial continues alone, if it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ray.tune.experiment import Trial

from gansearch.system.failures import Failure, MemoryKind
from gansearch.trial.messages import TrialSpec

# How often a trial whose worker is lost is retried before it counts as failed.
MAX_FAILURES = 2
_MAX_ENGINE_LOSSES = 2  # then the trial continues alone


class Retries:
    """Decides how Tune retries each failed attempt.

    Args:
        exclusive: resources that a trial requests to be alone where memory was short: {"GPU":
            {"cpu": 1, "gpu": 1}, "host": {"cpu": 8, "gpu": .25}}. Without them, a trial is retried
            with its own.
    """

    def __init__(self, exclusive: Mapping[MemoryKind, Mapping[str, float]] | None = None) -> None:
        self._exclusive = exclusive or {}
        self._engine_losses: Counter[str] = Counter()

    def prepare(self, trial: Trial, failure: Failure) -> None:
        """Set the resources and the retries of `trial`, which Tune has stopped and not queued yet.

        A trial that must be alone waits until its GPU or node is free. Meanwhile no other trial
        starts there, except those that Tune had requested resources for before.
        """
        if failure.kind == "memory":
            trial.max_failures = trial.num_failures  # the next failure is final
            self._isolate(trial, failure.memory_kind or "host")
        elif failure.kind == "engine" and not TrialSpec.from_tune(trial.config).is_alone:
            trial.max_failures += 1
            self._engine_losses[trial.trial_id] += 1
            if self._engine_losses[trial.trial_id] >= _MAX_ENGINE_LOSSES:
                self._isolate(trial, "GPU" if "GPU" in self._exclusive else "host")

    def _isolate(self, trial: Trial, kind: MemoryKind) -> None:
        spec = replace(TrialSpec.from_tune(trial.config), is_alone=True)
        trial.config.update(spec.to_tune())
        if kind in self._exclusive:
            trial.update_resources(dict(self._exclusive[kind]))
