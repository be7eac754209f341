"""How long the steps of some trainings take here, measured now."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.rules import Config
from gansearch.space.search_space import SearchSpace
from gansearch.system.machine import usable_cores
from gansearch.system.object_store import AnyPath
from gansearch.system.user_code import UserCode
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess


@dataclass(frozen=True)
class StepTimes:
    """What the trainings of a space take, each by itself.

    Attributes:
        n_configs: how many were measured.
        update: seconds of a parameter update, the mean over the configurations.
        evaluation: seconds of an evaluation.
    """

    n_configs: int
    update: float
    evaluation: float


def measured_steps(
    space: SearchSpace,
    configs: Sequence[Config],
    dataset: Dataset,
    *,
    folder: AnyPath,
    device: str,
    n_at_a_time: int,
    n_samples: int,
    seconds: float,
) -> StepTimes | None:
    """Train some configurations for a moment each, on one core or on the GPU, and evaluate them.

    Args:
        space: of the run.
        configs: that are measured.
        dataset: that they learn.
        folder: of the run; nothing is written there.
        device: that trials train on.
        n_at_a_time: how many trials share this machine's cores; where others would train, some
            other work is done meanwhile.
        n_samples: of an evaluation.
        seconds: for which all of them train together.

    Returns:
        The times, or None if no configuration could be trained.
    """
    plan = TrialPlan(
        folder=folder,
        family=space.family.sections,
        budget=space.budget,
        code=UserCode.of(space.code_of_trials),
        device=device,
        slice_seconds=seconds / len(configs),
        n_evaluation_samples=n_samples,
    )
    n_threads = torch.get_num_threads()
    try:
        process = TrialProcess.prepare(dataset, plan)
        n_others = min(n_at_a_time, int(usable_cores())) - 1 if device == "cpu" else 0
        with _busy_cores(n_others):
            return _means(process, configs, 3 * seconds)
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def _busy_cores(n: int) -> Iterator[None]:
    """Keep so many cores at work, by processes that end with this one."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10**5))"
    command = [sys.executable, "-I", "-S", "-c", code]
    processes = [subprocess.Popen(command) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _means(
    process: TrialProcess, configs: Sequence[Config], limit_seconds: float
) -> StepTimes | None:
    """Return the means over configurations, as many of them as the time allows."""
    updates: list[float] = []
    evaluations: list[float] = []
    end = time.monotonic() + limit_seconds
    for config in configs:
        if updates and time.monotonic() > end:
            break
        try:
            with process.guarded():
                update, evaluation = _measure(process, config)
        except GansearchError:  # as where it diverges; the search draws such ones too
            continue
        updates.append(update)
        evaluations.append(evaluation)
    if not updates:
        return None
    n = len(updates)
    return StepTimes(n, sum(updates) / n, sum(evaluations) / n)


def _measure(process: TrialProcess, config: Config) -> tuple[float, float]:
    """Return the seconds of an update and of an evaluation; the first of each doesn't count."""
    training = process.build(config, 0)
    try:
        training.advance(1)
        before, start = training.updates, time.monotonic()
        while training.updates == before:
            process.advance(training, 10**9)
        update = (time.monotonic() - start) / (training.updates - before)
        evaluator = process.evaluator
        for _ in range(2):
            start = time.monotonic()
            samples = training.samples(evaluator.n_samples)
            evaluator.valid_ll(samples)
            evaluator.reference.measure(samples)
            evaluation = time.monotonic() - start
    finally:
        training.close()
    return update, evaluation
