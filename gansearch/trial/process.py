"""The process that trials are trained in: its data, its evaluator, its engine, its GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError, GansearchError, GpuLostError, ShortOfMemoryError
from gansearch.family import Engine, Metrics, ModelFamily, Training, family_of
from gansearch.rules import Config
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.own import OwnEvaluator
from gansearch.system.checks import first_line
from gansearch.system.failures import (
    GPU_LOST,
    is_lack_of_memory,
    lack_of_memory,
    own_code_error,
)
from gansearch.system.pacing import Pacing
from gansearch.system.user_code import describe_error, last_line, provide
from gansearch.trial.plan import TrialPlan


@dataclass(frozen=True)
class TrialProcess:
    """What all trials of a process share, one after another or at the same time.

    Attributes:
        dataset: that they learn.
        family: of all of them.
        plan: what all trials of the phase share.
        evaluator: scores their samples.
        own: computes the measures of the user's own.
        device_name: of the GPU, or "cpu", or "mps".
        engine: trains them together; None where each trains by itself.
        picture_pace: of the pictures that all of them draw while they train.
    """

    dataset: Dataset
    family: ModelFamily[Any]
    plan: TrialPlan
    evaluator: Evaluator
    own: OwnEvaluator
    device_name: str
    engine: Engine | None
    picture_pace: Pacing = field(default_factory=Pacing)

    @classmethod
    def prepare(
        cls,
        dataset: Dataset,
        plan: TrialPlan,
        *,
        collapse_test: CollapseTest | None = None,
        is_alone: bool = False,
    ) -> TrialProcess:
        """Prepare this process: its threads, its share of the GPU, the reference samples.

        `collapse_test` is one of the data set that the driver has prepared, so that this process
        need not. With `is_alone`, trials of this process may use all memory of their GPU.

        Raises:
            GpuLostError: this process can't use its GPU.
        """
        torch.set_num_threads(1)
        is_cuda = plan.device == "cuda"
        if is_cuda:
            _take_gpu(1.0 if is_alone else plan.memory_fraction)
        provide(plan.code)
        family = family_of(plan.family)
        return cls(
            dataset,
            family,
            plan,
            Evaluator(
                dataset,
                device=plan.scoring_device,
                n_samples=plan.n_evaluation_samples,
                collapse_test=collapse_test,
            ),
            OwnEvaluator(
                plan.measures, dataset, device=plan.device, objectives=plan.objective.measures
            ),
            torch.cuda.get_device_name() if is_cuda else plan.device,
            family.engine(dataset, plan.device, plan.n_slots) if plan.n_slots else None,
        )

    def build(self, config: Config, seed: int) -> Training:
        """Return a new training."""
        if self.engine is not None:
            training = self.engine.build(config, seed)
        else:
            training = self.family.build(config, self.dataset, seed, self.plan.device)
        training.max_updates = self.plan.budget.max_updates
        return training

    def advance(self, training: Training, updates: int) -> Metrics | None:
        """Train up to `updates`, for at most the length of a slice."""
        limit = self.plan.slice_seconds
        if self.engine is not None:
            return self.engine.advance(training, updates, time_limit_seconds=limit)
        return training.advance(updates, time_limit_seconds=limit)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Do as `ending_with_the_gpu`, and tell errors of the user's own code by their line.

        Raises:
            ConfigError: in place of what a family with code of the user's own has raised.
        """
        with ending_with_the_gpu():
            try:
                yield
            except Exception as error:
                is_ours = isinstance(error, GansearchError) or not self.family.references
                # Without a line of the user's, it may be a bug of ours.
                if is_ours or is_lack_of_memory(error) or not last_line(error):
                    raise
                raise own_code_error(describe_error(error), error) from error

    def lack_of_memory(self, error: BaseException) -> ShortOfMemoryError:
        """Return the out-of-memory error of this process, in one line with the numbers."""
        if self.plan.device != "cuda":
            return lack_of_memory(error, gpu=None)
        total = torch.cuda.get_device_properties().total_memory
        limit = total * torch.cuda.get_per_process_memory_fraction()
        return lack_of_memory(error, gpu=(torch.cuda.max_memory_allocated(), limit))


def _take_gpu(memory_fraction: float) -> None:
    """Limit the memory of the GPU for this process, and see that it computes."""
    try:
        # Ray's fractions of a GPU are a matter of counting; this makes them hold.
        torch.cuda.set_per_process_memory_fraction(memory_fraction)
        torch.ones(1, device="cuda").item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built for CPUs
        if is_lack_of_memory(error):
            raise
        raise GpuLostError(
            f"{GPU_LOST}a worker can't use it: {type(error).__name__}: {first_line(error)}"
        ) from error


@contextmanager
def ending_with_the_gpu() -> Iterator[None]:
    """End this process when its GPU has failed: only a new process can use it again."""
    try:
        yield
    except (RuntimeError, BadInputError):  # BadInputError: in code of the user's own
        if _gpu_has_failed():
            os._exit(1)
        raise


def _gpu_has_failed() -> bool:
    """Return whether nothing works on the GPU any more, whichever library was the first to see."""
    try:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
    except torch.AcceleratorError:
        return True
    return False
