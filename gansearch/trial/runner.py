"""Runs one trial: trains, evaluates, checks its health, and saves its state and its results.

A call of `step` trains for a slice of a few seconds. Most slices end between two evaluations and
return progress only. A slice that reaches an evaluation returns it, with the training's metrics and
the verdict on the trial's health. The state is saved beside the run's results, so that a trial can
resume after its worker, or the whole search, has died.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from gansearch.errors import (
    DivergedError,
    GansearchError,
    SamplesError,
    ShortOfMemoryError,
    StorageError,
)
from gansearch.family import Metrics, Split
from gansearch.measures import N_FINAL_SAMPLES, Evaluation, columns
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import save_discriminator, save_generator, write_outputs
from gansearch.scoring.collapse import Collapse
from gansearch.scoring.evaluation import final_score, valid_ll_of_all
from gansearch.scoring.health import HealthMonitor, TrialEvaluation
from gansearch.scoring.verdict import LEAST_UPDATES, Verdict
from gansearch.system.failures import is_lack_of_memory
from gansearch.system.features import take_notes
from gansearch.system.files import set_aside, write_atomically
from gansearch.system.object_store import AnyPath
from gansearch.system.precision import full_precision
from gansearch.trial.best import BestState
from gansearch.trial.checkpoint import Checkpoint
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.pictures import TrialPictures
from gansearch.trial.plan import N_KEPT_STATES
from gansearch.trial.process import TrialProcess

# A checkpoint is written when this many times as long has passed since the last one as that one
# took. So they cost 1 % of the time, and below 2 % where every other write is slow.
_CHECKPOINT_PAYS_AFTER = 100
_CHECKPOINT_SECONDS = 5.0
_ROUNDING = 1e-3  # of samples of the same state on a GPU


class TrialRunner:
    """One training on its way from evaluation to evaluation.

    Args:
        spec: what the trial is.
        process: where it is trained.
    """

    # Whether there is a state that can be saved.
    _has_state: bool
    # Results of earlier workers: some may not have been on disk when the driver died.
    _to_resend: list[StepResult]

    def __init__(self, spec: TrialSpec, process: TrialProcess) -> None:
        self._spec = spec
        self._process = process
        self._folder = RunFolder(process.plan.folder)
        self._config = process.family.config_type.from_dict(spec.config)
        self._evaluation_updates = process.plan.budget.report_updates()
        self._to_resend = []
        # Why the trial could not start.
        self._shortage: ShortOfMemoryError | None = None
        self._unwritable: StorageError | None = None
        # Messages for the user, one of them sent with each result.
        self._notes: list[str] = []
        try:
            self._begin()
        except StorageError as error:
            self._has_state = False
            self._unwritable = error  # which ends the run, not this trial alone
        except Exception as error:
            if not is_lack_of_memory(error):
                raise
            self._has_state = False
            # Tune tries no trial again that a worker which it uses again has failed to begin.
            self._shortage = process.lack_of_memory(error)

    def step(self) -> StepResult:
        """Train for a slice; return progress, or an evaluation when one is due.

        A trial that resumes from a checkpoint first sends all its earlier results again. A failed
        write to the run's folder comes back as `unwritable`, which ends the run.

        Raises:
            ShortOfMemoryError: there is not enough memory; Tune tries the trial once more.
        """
        result = self._step()
        self._notes += take_notes() + self._pictures.take_notes()
        if self._notes:
            # Not part of the stored result, which may be sent again.
            result = dataclasses.replace(result, note=self._notes.pop(0))
        return result

    def stop(self) -> None:
        """Save the state and the results.

        Also if the trial has ended: when Tune stops an experiment, it drops the results of the
        steps under way.
        """
        # Nothing new: another worker may have continued the trial, which was paused here.
        if self._has_state and self._saved_at_progress != self._how_far:
            self._save()
            self._pictures.draw_strip()

    @property
    def _how_far(self) -> tuple[int, int]:
        return self._training.updates, len(self._results)

    def close(self) -> None:
        """End what the training has begun: another trial takes its place."""
        if self._has_state:
            self._pictures.draw_strip()
            self._training.close()

    def _step(self) -> StepResult:
        if self._to_resend:
            return self._to_resend.pop(0)
        if self._shortage is not None:
            raise self._shortage
        if self._unwritable is not None:
            return dataclasses.replace(self._progress(), unwritable=str(self._unwritable))
        try:
            metrics = self._process.advance(
                self._training, self._evaluation_updates[self._n_evaluations]
            )
            if metrics is None:
                self._save_if_it_pays()
                return self._progress()
            return self._evaluate(metrics)
        except DivergedError as error:
            verdict = Verdict("diverged", str(error))
            end = dataclasses.replace(self._progress(), verdict=verdict)
            self._results.append(end)
            self._pictures.draw_strip()
            return end
        except StorageError as error:
            self._has_state = False
            return dataclasses.replace(self._progress(), unwritable=str(error))
        except Exception as error:
            self._has_state = False  # it may be half an update; the checkpoint is whole
            if not is_lack_of_memory(error):
                raise
            raise self._process.lack_of_memory(error) from error

    def _begin(self) -> None:
        self._set_up()
        if self._begin_from(self._folder.checkpoint_path(self._spec.trial_id)):
            return
        if (origin := self._spec.origin) is not None:
            path = self._folder.state_path(*origin)
            if self._begin_from(path):
                self._save()  # from now on the state of its origin isn't needed
                return
            self._notes.append(
                f"{self._spec.trial_id}: the state of {origin.trial_id} after {origin.updates:,} "
                "updates isn't there. It trains from scratch to the same state"
            )
        self._observe()

    def _begin_from(self, path: AnyPath) -> bool:
        """Take over the state of a file, if there is one; return whether it was."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            self._load(content)
            return True
        except (GansearchError, ValueError, KeyError, TypeError) as error:
            if is_lack_of_memory(error):
                raise
            aside = set_aside(path)
            self._notes.append(
                f"{path}: damaged ({error}); set aside as {aside.name}. "
                f"{self._spec.trial_id} begins again from its start"
            )
            self._set_up()  # half a state may have been taken over
        return False

    def _set_up(self) -> None:
        process, budget = self._process, self._process.plan.budget
        self._has_state = False
        self._pictures = TrialPictures(
            self._folder.model_dir(self._spec.trial_id), process.dataset, process.picture_pace
        )
        self._training = process.build(self._config, self._spec.seed)
        self._health = HealthMonitor(
            process.evaluator.reference.null,
            max_updates=budget.max_updates,
            grace_updates=max(budget.grace_updates, LEAST_UPDATES),
            give_up=budget.give_up,
        )
        self._observer = process.family.observer(
            self._config, process.dataset, self._evaluation_updates
        )
        self._n_evaluations = 0
        self._best: BestState | None = None
        self._results: list[StepResult] = []
        self._to_resend = []
        self._has_state = True
        self._saved_at = time.monotonic()
        self._saved_at_progress: tuple[int, int] | None = None
        self._save_seconds = 0.0

    def _evaluate(self, metrics: Metrics) -> StepResult:
        samples, evaluation = self._measure(metrics.updates)
        # With a large k an iteration may pass several of these at once; it is one evaluation.
        self._n_evaluations = sum(n <= metrics.updates for n in self._evaluation_updates)
        self._pictures.add(samples, metrics.updates)
        self._observe()
        result = self._result(metrics, evaluation, samples)
        self._results.append(result)
        if result.updates <= self._spec.begins_at:  # on its way to the state of its origin
            return self._progress()
        if not (result.done or result.is_unsound):
            self._keep_state(result)
            if self._may_pause(result.updates):
                self._save()
            else:
                self._save_if_it_pays()
        return result

    def _may_pause(self, updates: int) -> bool:
        """Return whether the trial may be paused at this evaluation, and go on in another worker.

        That worker must find its state, however soon it asks.
        """
        return self._process.plan.pauses and self._is_at_level(updates)

    def _is_at_level(self, updates: int) -> bool:
        """Return whether an evaluation is the first at one of the budget's levels."""
        levels = [level for level in self._process.plan.budget.pause_updates if level <= updates]
        before = [each for each in self._evaluated if each < updates]
        return bool(levels) and (not before or before[-1] < levels[-1])

    @property
    def _evaluated(self) -> list[int]:
        """Updates of all evaluations."""
        return [result.updates for result in self._results if result.is_evaluation]

    def _keep_state(self, result: StepResult) -> None:
        """Keep the state of a sound evaluation for forks, and no longer that of an older one."""
        assert result.verdict is not None
        if not self._process.plan.keeps_states or result.verdict.status != "sound":
            return
        kept = self._kept(result.updates)
        self._write(self._folder.state_path(self._spec.trial_id, result.updates))
        for updates in self._kept(result.updates - 1):
            if updates not in kept:
                path = self._folder.state_path(self._spec.trial_id, updates)
                path.unlink(missing_ok=True)

    def _kept(self, until: int) -> list[int]:
        """Return the updates of the states that are kept after so many.

        The last, and the last at levels: a fork may begin after its origin has gone on.
        """
        sound = [
            result.updates
            for result in self._results
            if result.verdict is not None
            and result.verdict.status == "sound"
            and self._spec.begins_at < result.updates <= until
        ]
        at_levels = [updates for updates in sound[:-1] if self._is_at_level(updates)]
        return [*at_levels[1 - N_KEPT_STATES :], *sound[-1:]]

    def _measure(self, updates: int) -> tuple[np.ndarray, Evaluation]:
        """Return samples of the present state, after so many updates, and what they score.

        Raises:
            DivergedError: they can't be scored.
        """
        evaluator = self._process.evaluator
        drawn = self._training.samples(max(evaluator.n_samples, self._process.own.n_samples))
        samples = drawn[: evaluator.n_samples]
        raw = self._training.raw_samples(evaluator.n_samples)
        try:
            with full_precision(self._process.plan.scoring_device):
                evaluation = evaluator.evaluate(samples)
                if raw is not None:
                    evaluation = evaluator.with_raw(evaluation, raw)
                own, notes = self._process.own.evaluate(drawn, evaluator.n_samples)
        except SamplesError as error:
            raise DivergedError(f"by update {updates:,}: {error}") from error
        self._notes += notes
        own |= self._of_family("valid", updates)
        return samples, dataclasses.replace(evaluation, own=own)

    def _of_family(
        self, split: Split, updates: int, *, at_end: bool = False
    ) -> dict[str, float | None]:
        """Return the family's own measures of the present state by column, None where one failed.

        Raises:
            DivergedError: the objective is one of them, and failed.
        """
        plan = self._process.plan
        due = [each for each in plan.measures if each.is_of_family and (at_end or not each.at_end)]
        if not due:
            return {}
        with full_precision(plan.scoring_device):
            found = self._training.measure(split, at_end=at_end)
        values = {each: found.get(each.name, math.nan) for each in due}
        for objective in plan.objective.measures:
            if not math.isfinite(values.get(objective, 0)):
                raise DivergedError(f"{objective.name} not finite by update {updates:,}")
        return {
            each.test_column if split == "test" else each.column: (
                value if math.isfinite(value) else None
            )
            for each, value in values.items()
        }

    def _result(self, metrics: Metrics, evaluation: Evaluation, samples: np.ndarray) -> StepResult:
        """Return the result of an evaluation; at the trial's end, write and score its generator."""
        n_classes = self._process.evaluator.n_classes
        verdict = self._health.judge(TrialEvaluation.of(metrics, evaluation, n_classes))
        verdict = dataclasses.replace(verdict, ends_trial=self._needs_sound_samples)
        result = dataclasses.replace(
            self._progress(),
            metrics=metrics,
            evaluation=evaluation,
            verdict=verdict,
            done=self._n_evaluations == len(self._evaluation_updates),
        )
        if not (result.done or result.is_unsound):
            self._note_if_best(result)
            return result
        if (best := self._best_before(result)) is None:
            result = dataclasses.replace(result, kept_updates=result.updates)
        else:
            samples, evaluation = self._rewind(best)
            result = dataclasses.replace(result, kept_updates=best.updates, best=evaluation)
        self._write_model(samples)
        if result.is_unsound:
            return result
        if self._spec.phase == "replica":
            return self._with_final_score(result)
        # By the test that its replicas would meet, so that no finalist fails it at once.
        with full_precision(self._process.plan.scoring_device):
            collapse = self._process.evaluator.judge(samples, evaluation.indicators)
        return _judged_at_its_end(result, collapse)

    @property
    def _needs_sound_samples(self) -> bool:
        """Whether samples that are collapsed end the trial."""
        objectives = self._process.plan.objective.all
        are_of_family = all(each.measure and each.measure.is_of_family for each in objectives)
        return self._process.family.needs_sound_samples or not are_of_family

    def _note_if_best(self, result: StepResult) -> None:
        """Take along the state of an evaluation if it is to be kept, should none be better."""
        assert result.evaluation is not None and result.metrics is not None
        if self._process.plan.keep == "best" and self._is_best(result):
            self._best = BestState(
                updates=result.updates,
                number=len(self._pictures.samples) - 1,
                stage_start=result.metrics.stage_start,
                score=self._score(result),
                evaluation=result.evaluation,
                training=self._training.save(),
            )

    def _is_best(self, result: StepResult) -> bool:
        """Return whether an evaluation is the best so far; if its samples look collapsed, no."""
        assert result.verdict is not None and result.metrics is not None
        score = self._score(result)
        looks_collapsed = result.verdict.status != "sound" and result.verdict.ends_trial
        if looks_collapsed or math.isnan(score):
            return False
        return self._best is None or self._best.is_beaten_by(score, result.metrics.stage_start)

    def _best_before(self, result: StepResult) -> BestState | None:
        """Return the state to keep in place of the last one, None for the last one."""
        assert result.metrics is not None
        best = self._best
        if best is None or result.is_unsound or self._is_best(result):
            return None
        return best if best.stage_start == result.metrics.stage_start else None

    def _rewind(self, best: BestState) -> tuple[np.ndarray, Evaluation]:
        """Go back to the best state; return its samples and what they score."""
        self._training.rewind(best.training)
        samples = self._training.samples(self._process.evaluator.n_samples)
        before = self._pictures.samples[best.number]
        if np.allclose(samples[: len(before)], before, rtol=_ROUNDING, atol=_ROUNDING):
            return samples, best.evaluation
        self._notes.append(
            f"{self._spec.trial_id}: its best state, of update {best.updates:,}, makes other "
            "samples than it did then: something that the samples depend on is not in the state. "
            "It is scored by those that it makes now"
        )
        return self._measure(best.updates)

    def _score(self, result: StepResult) -> float:
        score = result.score(self._process.plan.objective)
        return math.nan if score is None else score

    def _write_model(self, samples: np.ndarray) -> None:
        """Write the generator, and pictures of its training and of its samples `[n, dim]`."""
        model_dir = self._folder.model_dir(self._spec.trial_id)
        process = self._process
        export = process.family.export(self._training, self._spec.seed)
        save_generator(
            model_dir,
            export,
            self._config,
            family=process.family,
            dataset=process.dataset.name,
            shape=process.dataset.shape,
            units=process.dataset.units,
        )
        if process.plan.keep_discriminator:
            save_discriminator(model_dir, process.family.discriminator(self._training))
        self._pictures.draw_strip()
        self._pictures.draw_nearest(samples)
        outputs = self._training.discriminator_outputs()
        if outputs is not None:
            write_outputs(model_dir, outputs)
        files = dict(process.family.pictures(self._training, process.dataset))
        if self._observer is not None:
            files |= self._observer.files()
        for name, content in files.items():
            write_atomically(model_dir / name, content)

    def _with_final_score(self, result: StepResult) -> StepResult:
        """Score a sound replica on the test set, unless the samples to score are collapsed."""
        process = self._process
        device = process.plan.scoring_device
        samples = self._training.samples(N_FINAL_SAMPLES)
        raw = self._training.raw_samples(N_FINAL_SAMPLES)
        try:
            with full_precision(device):
                test = process.evaluator.collapse_test
                score = final_score(
                    process.dataset, samples, raw=raw, device=device, collapse_test=test
                )
        except SamplesError as error:  # an evaluation looks at fewer
            raise DivergedError(f"by its end: {error}") from error
        assert score.collapse is not None
        result = _judged_at_its_end(result, score.collapse)
        if result.is_unsound:
            return result
        self._folder.write_test_ll(self._spec.trial_id, score.parzen.per_example)
        measured = score.measured
        measured["valid_ll_all"] = valid_ll_of_all(
            process.dataset, samples, score.parzen, device=device
        )
        final = {name: measured[name] for name in columns("final")}
        final["missing_classes"] = list(score.collapse.missing_classes)
        with full_precision(device):
            own, notes = process.own.final(samples)
        self._notes += notes
        final |= own
        for split in ("valid", "test"):
            final |= self._of_family(split, result.updates, at_end=True)
        return dataclasses.replace(result, final=final)

    def _observe(self) -> None:
        if self._observer is not None:
            self._observer.observe(self._training)

    def _progress(self) -> StepResult:
        return StepResult(self._training.counts, self._process.device_name)

    def _save_if_it_pays(self) -> None:
        due = max(_CHECKPOINT_SECONDS, _CHECKPOINT_PAYS_AFTER * self._save_seconds)
        if time.monotonic() - self._saved_at >= due:
            self._save()

    def _save(self) -> None:
        start = time.monotonic()
        self._write(self._folder.checkpoint_path(self._spec.trial_id))
        self._saved_at = time.monotonic()
        self._saved_at_progress = self._how_far
        self._save_seconds = self._saved_at - start

    def _write(self, path: AnyPath) -> None:
        """Write the state to a file."""
        checkpoint = Checkpoint(
            training=self._training.save(),
            strip=np.array(self._pictures.samples, np.float32),
            n_evaluations=self._n_evaluations,
            results=self._results,
            health=self._health.state_dict(),
            observed=self._observer.state() if self._observer is not None else {},
            best=self._best,
        )
        write_atomically(path, checkpoint.encode())

    def _load(self, content: bytes) -> None:
        checkpoint = Checkpoint.decode(content)
        self._training.load(checkpoint.training)
        evaluated = [result.updates for result in checkpoint.results if result.is_evaluation]
        self._pictures.restore(checkpoint.strip, evaluated)
        if self._observer is not None:
            self._observer.load_state(checkpoint.observed)
        self._n_evaluations = checkpoint.n_evaluations
        self._results = checkpoint.results
        begins_at = self._spec.begins_at
        self._to_resend = [each for each in self._results if each.updates > begins_at]
        self._health.load_state_dict(dict(checkpoint.health))
        self._best = checkpoint.best


def _judged_at_its_end(result: StepResult, collapse: Collapse) -> StepResult:
    """Return a trial's last result with what the test says of the samples that count for it.

    A training of fewer than 1,000 updates in its last stage is too young for a verdict of its own.
    """
    assert result.metrics is not None
    updates = result.updates - result.metrics.stage_start
    result = result.with_collapsed_p(collapse.collapsed_p)
    if updates < LEAST_UPDATES:
        return result
    verdict = collapse.verdict
    if verdict.status == "collapsed":
        which = "samples of its best state" if result.best else "last samples"
        verdict = Verdict("collapsed", f"the {which} are collapsed: {verdict.reason}")
    ends_trial = result.verdict is None or result.verdict.ends_trial
    return dataclasses.replace(result, verdict=dataclasses.replace(verdict, ends_trial=ends_trial))
