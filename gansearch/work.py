"""One trial at work: trains, evaluates, judges its health, saves its state and its results.

A call of `step` trains for a slice of a few seconds. Most slices end between two reports and say
only how far the trial is; one that reaches a report carries the metrics, the evaluation and the
verdict on the trial's health. The state is saved beside the run's results, so that a trial goes on
where it was after its worker, or the whole search, has died.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from gansearch.config import TrialConfig
from gansearch.data import Dataset
from gansearch.engine import Engine
from gansearch.errors import GansearchError, SamplesError, ShortOfMemoryError, StorageError
from gansearch.evaluation import N_FINAL_SAMPLES, Evaluation, Evaluator, final_score
from gansearch.failures import is_lack_of_memory, lack_of_memory
from gansearch.figures import game_picture, png, strip
from gansearch.files import (
    BLANK_SEAL,
    fault_of_seal,
    sealed,
    set_aside,
    write_atomically,
)
from gansearch.game import Moment, from_arrays, is_line, kept, to_arrays
from gansearch.health import HealthMonitor, Report, Verdict, judge_end
from gansearch.latent import moment_of, spread_noise
from gansearch.precision import full_precision
from gansearch.results import RunFolder
from gansearch.training import DivergedError, Metrics, Training, safetensors_metadata
from gansearch.trial_plan import TrialPlan
from gansearch.weights import save_generator

# A checkpoint is written when this many times as long has passed since the last one as that one
# took: they cost 1 %, and still below 2 % where writes take turns at being slow.
_CHECKPOINT_PAYS_AFTER = 100
_CHECKPOINT_SECONDS = 5.0
_STRIP_SAMPLES = 8
# However short the training, nets that have hardly moved from their start are not called collapsed.
_LEAST_HEALTH_GRACE = 1000
# What a replica's final score puts in place of its last report's.
_FINAL = (
    *("test_ll", "test_ll_se", "valid_ll", "sigma", "sigma_at_edge"),
    *("coverage", "recall", "nn_ratio", "train_nn_ratio"),
)


@dataclass(frozen=True)
class Workplace:
    """What all trials of a process share, one after another or at the same time.

    Attributes:
        dataset: that they learn.
        plan: what all trials of the phase share.
        evaluator: scores their samples.
        device_name: of the GPU, or "cpu".
        engine: trains them together; None where each trains by itself.
    """

    dataset: Dataset
    plan: TrialPlan
    evaluator: Evaluator
    device_name: str
    engine: Engine | None

    @classmethod
    def prepare(cls, dataset: Dataset, plan: TrialPlan, *, is_alone: bool = False) -> Workplace:
        """Prepare this process: its threads, its share of the GPU, the reference samples.

        Where trials of this process are alone on their GPU, all of its memory is theirs.
        """
        torch.set_num_threads(1)
        is_cuda = plan.device == "cuda"
        if is_cuda:
            # Ray's fractions of a GPU are a matter of counting; this makes them hold.
            torch.cuda.set_per_process_memory_fraction(1.0 if is_alone else plan.memory_fraction)
        return cls(
            dataset,
            plan,
            Evaluator(dataset, device=plan.device),
            torch.cuda.get_device_name() if is_cuda else "cpu",
            Engine(dataset, plan.device, n_slots=plan.n_slots) if plan.n_slots else None,
        )


class Work:
    """One D/G training on its way from report to report.

    Args:
        trial: what the trial is: trial_id, number, phase, seed and config, the last as
            `TrialConfig.to_dict` gives it.
        place: where it is done.
    """

    # Whether there is a state that can be saved.
    _has_state: bool
    # The reports of earlier workers: some were perhaps not on disk when the driver died.
    _unheard: list[dict[str, Any]]
    # Why the trial could not even begin.
    _shortage: ShortOfMemoryError | None
    # What the user is to be told with the next result.
    _note: str | None

    def __init__(self, trial: dict[str, Any], place: Workplace) -> None:
        self._place = place
        self._plan, self._dataset, self._evaluator = place.plan, place.dataset, place.evaluator
        self._folder = RunFolder(place.plan.folder)
        self._unheard = []
        self._shortage = None
        self._note = None
        try:
            self._begin(trial)
        except Exception as error:
            if not is_lack_of_memory(error):
                raise
            self._has_state = False
            # Tune tries no trial again that a worker which it uses again has failed to begin.
            self._shortage = self._lack_of_memory(error)

    def step(self) -> dict[str, Any]:
        """Train for a slice; return progress, or a full report when one is due.

        A trial that goes on from a checkpoint first tells again all that it has reported. What the
        run's folder does not take comes back under `unwritable`: it ends the run.

        Raises:
            ShortOfMemoryError: there is no memory to begin or to go on; Tune tries it once more.
        """
        result = self._step()
        if self._note is not None:
            result = result | {"note": self._note}  # the report itself is kept, and told again
            self._note = None
        return result

    def _step(self) -> dict[str, Any]:
        if self._unheard:
            return self._unheard.pop(0)
        if self._shortage is not None:
            raise self._shortage
        try:
            metrics = self._advance(self._marks[self._n_reports])
            if metrics is None:
                self._save_if_it_pays()
                return self._progress()
            return self._report(metrics)
        except DivergedError as error:
            end = self._progress() | {"verdict": "diverged", "reason": str(error)}
            self._reports.append(end)
            return end
        except StorageError as error:
            self._has_state = False
            return self._progress() | {"unwritable": str(error)}
        except Exception as error:
            self._has_state = False  # what a failure has left is none: the checkpoint is
            if not is_lack_of_memory(error):
                raise
            raise self._lack_of_memory(error) from error

    def stop(self) -> None:
        """Keep what was trained, and told.

        Also where the trial has come to its end: when Tune stops an experiment, it hears no more of
        the steps under way.
        """
        if self._has_state:
            self._save()

    def _begin(self, trial: dict[str, Any]) -> None:
        self._set_up(trial)
        path = self._folder.checkpoint_path(self._trial_id)
        if path.exists():
            try:
                self._load(path.read_bytes())
                return
            except (GansearchError, SafetensorError, ValueError, KeyError, TypeError) as error:
                if is_lack_of_memory(error):
                    raise
                aside = set_aside(path)
                self._note = (
                    f"{path}: damaged ({error}); set aside as {aside.name}. "
                    f"{self._trial_id} begins again from its start"
                )
                self._set_up(trial)  # half a state may have been taken over
        self._keep_moment()

    def _set_up(self, trial: dict[str, Any]) -> None:
        self._trial_id: str = trial["trial_id"]
        self._is_replica = trial["phase"] == "replica"
        self._config = TrialConfig.from_dict(trial["config"])
        self._has_state = False
        self._training = Training(
            self._config,
            self._dataset,
            trial["seed"],
            device=self._plan.device,
            examples=self._place.engine.examples if self._place.engine else None,
        )
        budget = self._plan.budget
        self._health = HealthMonitor(
            self._evaluator.reference.null,
            max_updates=budget.max_updates,
            grace_updates=max(budget.grace_updates, _LEAST_HEALTH_GRACE),
        )
        self._marks = self._plan.budget.report_updates()
        self._n_reports = 0
        self._strip: list[np.ndarray] = []
        self._moments: list[Moment] = []
        self._reports: list[dict[str, Any]] = []
        self._unheard = []
        self._has_state = True
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0

    def _advance(self, updates: int) -> Metrics | None:
        """Train up to `updates`, for the length of a slice at most."""
        engine = self._place.engine
        advance = (
            self._training.advance if engine is None else partial(engine.advance, self._training)
        )
        return advance(updates, time_limit_seconds=self._plan.slice_seconds)

    def _report(self, metrics: Metrics) -> dict[str, Any]:
        samples = self._training.samples(self._evaluator.n_samples)
        try:
            with full_precision(self._plan.device):
                evaluation = self._evaluator.report(samples)
        except SamplesError as error:
            raise DivergedError(f"by update {metrics.updates:,}: {error}") from error
        verdict = self._judge(metrics, evaluation)
        # With a large k an iteration may pass several marks at once; it is one report.
        self._n_reports = sum(mark <= metrics.updates for mark in self._marks)
        self._strip.append(samples[:_STRIP_SAMPLES])
        self._keep_moment()
        done = self._n_reports == len(self._marks)
        row = (
            dataclasses.asdict(metrics)
            | dataclasses.asdict(evaluation)
            | {
                "is_report": True,
                "verdict": verdict.status,
                "reason": verdict.reason,
                "device": self._place.device_name,
                "done": done,
            }
        )
        is_end = done or verdict.status == "collapsed"
        if is_end:
            row |= self._finish(verdict)
        self._reports.append(row)
        if not is_end:
            self._save_if_it_pays()
        return row

    def _keep_moment(self) -> None:
        """Keep what the picture of a game in one dimension shows of the training as it is now."""
        if is_line(self._dataset):
            with full_precision(self._plan.device):
                moment = moment_of(self._training, self._dataset)
            self._moments = kept([*self._moments, moment], self._marks)

    def _judge(self, metrics: Metrics, evaluation: Evaluation) -> Verdict:
        return self._health.judge(
            Report(
                updates=metrics.updates,
                coverage=evaluation.coverage,
                recall=evaluation.recall,
                nn_ratio=evaluation.nn_ratio,
                valid_ll=evaluation.valid_ll,
                d_loss=metrics.d_loss,
                d_real=metrics.d_real,
                d_fake=metrics.d_fake,
                stage_start=self._training.stage_start,
            )
        )

    def _finish(self, verdict: Verdict) -> dict[str, Any]:
        """Write the generator and its pictures; score a sound replica on the test set."""
        training = self._training
        model_dir = self._folder.model_dir(self._trial_id)
        save_generator(
            model_dir,
            training.generator,
            self._config,
            dataset=self._dataset.name,
            seed=training.sample_seed,
        )
        write_atomically(model_dir / "strip.png", png(strip(self._strip, self._dataset)))
        if self._moments:
            noise = spread_noise(self._config)[:, 0].numpy()
            picture = game_picture(self._moments, self._dataset, noise)
            write_atomically(model_dir / "game.png", picture)
        if not self._is_replica or verdict.status == "collapsed":
            return {}
        samples = training.samples(N_FINAL_SAMPLES)
        try:
            with full_precision(self._plan.device):
                score = final_score(self._dataset, samples, device=self._plan.device)
        except SamplesError as error:  # a report looks at fewer
            raise DivergedError(f"by its end: {error}") from error
        last = judge_end(score.indicators, score.null)
        is_young = training.updates - training.stage_start < _LEAST_HEALTH_GRACE
        if last.status == "collapsed" and not is_young:
            return {"verdict": last.status, "reason": last.reason}
        self._folder.write_test_ll(self._trial_id, score.parzen.per_example)
        final = vars(score) | vars(score.parzen) | vars(score.indicators)
        return {"final": {name: final[name] for name in _FINAL}}

    def _progress(self) -> dict[str, Any]:
        return {
            "is_report": False,
            "updates": self._training.updates,
            "d_updates": self._training.iteration * self._config.k,
            "g_updates": self._training.iteration,
            "seconds": self._training.seconds,
            "device": self._place.device_name,
            "done": False,
        }

    def _lack_of_memory(self, error: BaseException) -> ShortOfMemoryError:
        if self._plan.device != "cuda":
            return lack_of_memory(error, gpu=None)
        total = torch.cuda.get_device_properties().total_memory
        limit = total * torch.cuda.get_per_process_memory_fraction()
        return lack_of_memory(error, gpu=(torch.cuda.max_memory_allocated(), limit))

    def _save_if_it_pays(self) -> None:
        due = max(_CHECKPOINT_SECONDS, _CHECKPOINT_PAYS_AFTER * self._save_seconds)
        if time.monotonic() - self._saved_at >= due:
            self._save()

    def _save(self) -> None:
        start = time.monotonic()
        arrays: dict[str, np.ndarray] = {
            "training": np.frombuffer(self._training.save(), np.uint8),
            "strip": np.array(self._strip, np.float32),
            **to_arrays(self._moments),
        }
        state = {
            "n_reports": self._n_reports,
            "reports": self._reports,
            "health": self._health.state_dict(),
        }
        path = self._folder.checkpoint_path(self._trial_id)
        content = save_arrays(arrays, {"trial": json.dumps(state), "seal": BLANK_SEAL})
        write_atomically(path, sealed(content))
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def _load(self, checkpoint: bytes) -> None:
        if why := fault_of_seal(checkpoint):
            raise ValueError(why)
        state = json.loads(safetensors_metadata(checkpoint)["trial"])
        arrays = load_arrays(checkpoint)
        self._training.load(arrays["training"].tobytes())
        self._strip = list(arrays["strip"])
        self._moments = from_arrays(arrays)
        self._n_reports = state["n_reports"]
        self._reports, self._unheard = state["reports"], list(state["reports"])
        self._health.load_state_dict(state["health"])


@contextmanager
def ending_with_the_gpu() -> Iterator[None]:
    """End this process where its GPU has failed: it can do nothing more there, another one can."""
    try:
        yield
    except torch.AcceleratorError:  # lack of memory is none
        os._exit(1)
