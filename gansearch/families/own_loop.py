"""A training loop of the user's own as a model family; `gansearch.loop` is its public side."""

from __future__ import annotations

import inspect
import math
import numbers
import reprlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gansearch.artifacts import GeneratorExport
from gansearch.data.dataset import Dataset
from gansearch.errors import (
    BadInputError,
    ConfigError,
    DivergedError,
    OutsideError,
    ResultsError,
    did_you_mean,
)
from gansearch.families import loop_state
from gansearch.families.loop_data import LoopData
from gansearch.families.loop_defaults import TensorDefaults
from gansearch.families.loop_thread import LoopThread
from gansearch.family import Counts, Metrics, ModelFamily, Training
from gansearch.loop import options_of
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.rules import Config, count_of, extended
from gansearch.seeds import trial_seed
from gansearch.space.own_parameters import from_dict
from gansearch.system import user_code
from gansearch.system.failures import is_lack_of_memory, own_code_error
from gansearch.system.global_random import random_states, seed_everything, set_random_states

_MEASURED = ("d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")
_BLOCK = 1000  # samples that are made at a time, so that the first are the same for any number
_PATIENCE_SECONDS = 600.0
_DRY_PATIENCE_SECONDS = 300.0
_DRY_UPDATES = 1000  # of the dry call's trial, which ends at its first report
_N_DRY_SAMPLES = 4
_ROUNDING = 1e-3
_MAX_KEPT_BYTES = 16 * 2**20


class Parameters(dict[str, Any]):
    """A configuration as the loop sees it: `config.lr` or `config["lr"]`; None where not active."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"config has no parameter {name}. {did_you_mean(name, self)}"
            ) from None


class OwnLoop(ModelFamily[Config]):
    """Trains by a function of the user's own.

    Args:
        sections: of the space: `trainable`, the reference to the function, and `parameters`.
    """

    updates_title = "steps of the loop"

    def __init__(self, sections: Mapping[str, Any]) -> None:
        super().__init__(sections["trainable"])
        self._sections = dict(sections)
        self.config_type = extended(Config, from_dict(sections["parameters"]))

    @property
    def sections(self) -> dict[str, Any]:
        """The sections of a space by which `family_of` finds this family."""
        return self._sections

    def build(self, config: Config, dataset: Dataset, seed: int, device: str) -> LoopTraining:
        """Return a new training, whose loop begins with its first `advance`."""
        function = user_code.load(self.name)
        return LoopTraining(function, user_code.shown(self.name), config, dataset, seed, device)

    def check(self, config: Config, dataset: Dataset) -> None:
        """Call the loop up to its first report, and again, resumed there, up to the next one.

        Raises:
            ConfigError: it fails, doesn't report, reports what can't be used, or can't be resumed
                or ended.
        """
        updates, state = self._tried(config, dataset)
        self._tried(config, dataset, updates, state)

    def _tried(
        self, config: Config, dataset: Dataset, updates: int = 0, state: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the updates and the state at a report, the first after `updates`."""
        with self._dry_training(config, dataset) as training:
            if state is not None:
                training.load(state)
            if updates < _DRY_UPDATES:
                training.advance(updates + 1)
                samples = training.samples(_N_DRY_SAMPLES)
                _check_values(training.where, samples, training.data, dataset)
            return training.updates, training.save()

    def check_rewind(self, config: Config, dataset: Dataset) -> None:
        """See that the state that the loop reports decides its samples.

        Raises:
            ConfigError: it reports none, or its samples depend on something else too.
        """
        with self._dry_training(config, dataset) as training:
            training.advance(1)
            before, state = training.samples(_N_DRY_SAMPLES), training.save()
            if training.updates < _DRY_UPDATES:
                training.advance(training.updates + 1)
            training.rewind(state)
            if not np.array_equal(before, training.samples(_N_DRY_SAMPLES)):
                raise ConfigError(
                    f"{training.where}: keep: best goes back to an earlier state, but with the "
                    "state of its first report it makes other samples than at that report. State "
                    "must hold all that sample uses: every module, and tensors that change."
                )

    @contextmanager
    def _dry_training(self, config: Config, dataset: Dataset) -> Iterator[LoopTraining]:
        """Yield a training that is only tried, and end it.

        Raises:
            ConfigError: it diverges, or can't be ended.
        """
        training = self.build(config, dataset, 0, "cpu")
        training.max_updates = _DRY_UPDATES
        training.patience_seconds = _DRY_PATIENCE_SECONDS
        try:
            yield training
        except BaseException as error:
            training.close()
            if isinstance(error, DivergedError):
                raise ConfigError(f"{training.where}: {error}") from error
            raise
        if not training.stop():
            raise ConfigError(
                f"{training.where}: it doesn't end when its trial is stopped. A stop is an "
                "exception of trial.report that no loop may catch. Catch Exception, not "
                "BaseException, around trial.report."
            )

    def export(self, training: LoopTraining, seed: int) -> GeneratorExport:
        """Return samples, and the weights of the modules in the loop's state."""
        n_kept = min(
            N_FINAL_SAMPLES, max(_BLOCK, _MAX_KEPT_BYTES // (4 * training.data.dataset.dim))
        )
        weights = loop_state.tensors_of(training.state)
        return GeneratorExport({**weights, "samples": training.samples(n_kept)}, seed, {})

    def generator(
        self,
        export: GeneratorExport,
        config: Config,  # noqa: ARG002
        load_dataset: Callable[[], Dataset],  # noqa: ARG002
    ) -> KeptSamples:
        """Return the samples that `export` kept."""
        return KeptSamples(np.array(export.arrays["samples"]))


class KeptSamples:
    """The generator of a loop, which only the loop itself can call: samples that were kept.

    Args:
        samples: `[n, dim]`.
    """

    def __init__(self, samples: np.ndarray) -> None:
        self._samples = samples
        self.n_kept: int | None = len(samples)

    def samples(self, n_samples: int) -> np.ndarray:
        """Return the first n samples.

        Raises:
            ResultsError: fewer were kept.
        """
        if n_samples > len(self._samples):
            raise ResultsError(
                f"--n {n_samples}: {count_of(len(self._samples), 'sample')} of this trial were "
                "kept, since only its training loop could make more. Ask for fewer."
            )
        return self._samples[:n_samples]

    def interpolate(self, n_rows: int, n_steps: int) -> np.ndarray:  # noqa: ARG002
        """Raise BadInputError."""
        raise BadInputError(
            "--interpolate: the noise of a training loop of your own isn't known here. Leave the "
            "flag out."
        )


class LoopTraining(Training):
    """One training by a function of the user's own, which runs in a thread of its own.

    Attributes:
        where: the function, as messages name it.
        data: what it sees of the data set.
        state: what it has reported or restored; None where it has not.
        patience_seconds: how long it may take from report to report.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        where: str,
        config: Config,
        dataset: Dataset,
        seed: int,
        device: str,
    ) -> None:
        options = options_of(function)
        self.where = where
        self.data = LoopData(dataset, options.output_range, seed)
        self.state: Mapping[str, Any] | None = None
        self.patience_seconds = _PATIENCE_SECONDS
        self._function = function
        # Defaults that no space can search, such as pairs of numbers, are as they were declared.
        self._config = Parameters({**options.defaults, **config.to_dict()})
        self._seed, self._device = seed, device
        self._thread: LoopThread | None = None
        self._sample: Callable[[int], Any] | None = None
        self._sums: dict[str, Any] = {}
        self._n_summed: dict[str, int] = {}
        self._reported = self._loaded = 0  # updates
        self._pending: dict[str, Any] | None = None  # a state that `restore` is to load
        self._random: dict[str, Any] | None = None
        self._fault: ConfigError | None = None  # that `report` has raised
        self._outer_defaults = self._tensor_defaults = TensorDefaults.now()
        self._seconds = 0.0
        self._target, self._deadline = 0, math.inf

    @property
    def updates(self) -> int:
        """Steps that have been reported."""
        return max(self._reported, self._loaded)

    @property
    def counts(self) -> Counts:
        """How far the training is."""
        return Counts(self.updates, seconds=self._seconds)

    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Let the loop run until it reports at least `updates` steps.

        Raises:
            DivergedError: a loss that it has reported is not finite.
            ConfigError: it has ended too early, hasn't reported, or has failed.
        """
        start = time.monotonic()
        self._target, self._deadline = updates, start + time_limit_seconds
        if self._reported < updates:
            self._run()
        self._seconds += time.monotonic() - start
        if self._reported >= updates:
            return self._metrics()
        if self._thread is not None and self._thread.has_ended:
            raise self._fault or ConfigError(self._ended_early())
        return None

    def samples(self, n_samples: int) -> np.ndarray:
        """Return generated examples `[n_samples, dim]`, float32, from random numbers of the seed.

        Raises:
            ConfigError: `sample` fails, or returns what isn't n examples.
        """
        assert self._sample is not None
        modules = loop_state.modules_of(self.state)
        # Each part has a mode of its own: some of them may be frozen.
        were_training = [(part, part.training) for module in modules for part in module.modules()]
        blocks = []
        try:
            for module in modules:
                module.eval()
            for i in range(0, n_samples, _BLOCK):
                seed_everything(trial_seed(self._seed, "samples", i))
                # A number of their own for few samples, which a dry call asks for.
                n = _BLOCK if n_samples >= _BLOCK // 10 else n_samples
                with torch.no_grad(), self._tensor_defaults.applied(self._outer_defaults):
                    made = self._sample(n)
                blocks.append(self.data.rows_of(made, n))
        except Exception as error:
            raise self._failure(error, "sample") from error
        finally:
            for part, was_training in were_training:
                part.training = was_training
        return np.concatenate(blocks)[:n_samples]

    def save(self) -> bytes:
        """Return the state of the loop, if it has reported one, and of the random numbers.

        Raises:
            ConfigError: something in the state can't be saved.
        """
        header = {
            "updates": self.updates,
            "seconds": self._seconds,
            "random": self._random,
            "sums": {name: float(total) for name, total in self._sums.items()},
            "n_summed": self._n_summed,
        }
        try:
            # Until the loop calls `restore`, its state is the one that it is to restore.
            return loop_state.encode(header, self._pending if self.state is None else self.state)
        except ConfigError as error:
            raise ConfigError(f"{self.where}: {error}") from error

    def load(self, state: bytes) -> None:
        """Take over what `save` returned; the loop loads its own part by `trial.restore`."""
        header, self._pending = loop_state.decode(state)
        self._loaded = header["updates"]
        self._seconds = header["seconds"]
        self._sums, self._n_summed = dict(header["sums"]), dict(header["n_summed"])
        if self._pending is not None:
            self._random = header["random"]

    def rewind(self, state: bytes) -> None:
        """Load an earlier state of the loop into what it has reported.

        Raises:
            ConfigError: it has reported none.
        """
        _, values = loop_state.decode(state)
        if self.state is None or values is None:
            raise ConfigError(
                f"{self.where}: keep: best goes back to an earlier state, and this loop reports "
                'none. Report it: trial.report(step, sample, state={"g": g, "d": d}).'
            )
        loop_state.restore(self.state, values)

    def close(self) -> None:
        """End the loop."""
        self.stop()

    def stop(self) -> bool:
        """End the loop; return False if it doesn't end."""
        return self._thread is None or self._thread.stop()

    def restore(self, state: Mapping[str, Any]) -> int:
        """Do what `Trial.restore` says."""
        self.state = _checked_state("restore", state)
        if self._pending is not None:
            loop_state.restore(state, self._pending)
            self._pending = None
            self._reported = self._loaded
            if self._random is not None:
                set_random_states(self._random)
        return self._reported

    def report(
        self,
        step: int,
        sample: Callable[[int], Any],
        state: Mapping[str, Any] | None,
        measured: Mapping[str, Any],
    ) -> None:
        """Do what `Trial.report` says."""
        assert self._thread is not None
        try:
            if not self._thread.is_current:
                raise ConfigError(
                    "report: it was called in another thread. A trial can be saved and stopped "
                    "only where its loop waits: call it in the thread that runs the loop."
                )
            if self._thread.is_stopped:
                self._thread.pause()  # it raises, or lets no loop go on beside the next trial
            updates = self._checked_step(step) + 1
            if not callable(sample):
                raise ConfigError(
                    f"report: sample: found {reprlib.repr(sample)}. It must be a function that "
                    "returns n generated examples: sample=lambda n: g(noise(n))."
                )
            if state is not None:
                self.state = _checked_state("report", state)
            self._measure(measured)
        except ConfigError as error:
            # Told also where the loop catches it and ends.
            self._fault = ConfigError(f"{self.where}: {error}")
            raise
        self._reported, self._sample = updates, sample
        if updates >= self._target or time.monotonic() >= self._deadline:
            self._random = random_states(self._device)
            self._tensor_defaults = TensorDefaults.now()
            self._outer_defaults.set_dtype()
            self._thread.pause()
            self._tensor_defaults.set_dtype()
            set_random_states(self._random)

    def _measure(self, measured: Mapping[str, Any]) -> None:
        """Add what a report measures to the sums of the evaluation to come."""
        for name, value in measured.items():
            if name not in _MEASURED:
                raise ConfigError(
                    f"report: {name}: no such measurement. {did_you_mean(name, _MEASURED)}"
                )
            if value is None:
                continue
            if isinstance(value, torch.Tensor | np.ndarray) and value.shape in ((), (1,)):
                value = value.detach() if isinstance(value, torch.Tensor) else value
                value = value.reshape(())
            elif not isinstance(value, numbers.Real):
                raise ConfigError(
                    f"report: {name}: found {reprlib.repr(value)}. It must be a number, or a "
                    "tensor of one: the mean over a minibatch, say."
                )
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._n_summed[name] = self._n_summed.get(name, 0) + 1

    def _run(self) -> None:
        """Let the loop run until it pauses, ends or takes too long."""
        if self._thread is None:
            self._thread = LoopThread(self._call, self.patience_seconds)
        if not self._thread.has_ended and not self._thread.resume():
            self.close()
            # An OutsideError, since a mount or a DataLoader that hangs may work later.
            raise OutsideError(
                f"{self.where}: no report for {self.patience_seconds:g} seconds. A trial can be "
                "evaluated, saved and stopped only where its loop calls trial.report. Report after "
                "every step: it costs microseconds."
            )
        error = self._thread.error
        if error is not None:
            raise self._failure(error, "it") from error

    def _call(self) -> None:
        """Call the user's function, and report what it yields; in the loop's thread."""
        seed_everything(self._seed)
        trial = _LoopTrial(self)
        try:
            self._report_all(self._function(self._config, self.data, trial), trial)
        finally:
            self._outer_defaults.set_dtype()

    def _report_all(self, returned: Any, trial: _LoopTrial) -> None:
        """Report what the user's function yields, if it is a generator."""
        if inspect.isgenerator(returned):
            for item in returned:
                if not isinstance(item, Mapping):
                    raise ConfigError(
                        f"it yielded {reprlib.repr(item)}. It must yield what trial.report takes, "
                        'such as {"step": step, "sample": sample}.'
                    )
                trial.report(**item)

    def _checked_step(self, step: Any) -> int:
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise ConfigError(
                f"report: step: found {step!r}. It must be a whole number from 0 to "
                f"trial.max_updates - 1."
            )
        if step + 1 <= self._reported:
            raise ConfigError(
                f"report: step {step} after step {self._reported - 1}. Steps must increase: report "
                "the number of the step in range(trial.max_updates)."
            )
        return int(step)

    def _ended_early(self) -> str:
        if self._reported == 0:
            return (
                f"{self.where}: it returned without a report. Call trial.report(step, sample) "
                "after every step."
            )
        return (
            f"{self.where}: it ended after {count_of(self._reported, 'step')}, of "
            f"{self.max_updates or self._target:,}. Go on until trial.max_updates; whether more "
            "steps pay is decided by the search."
        )

    def _failure(self, error: BaseException, what: str) -> ConfigError:
        """Return the error that names the loop; raise the given one if the loop isn't at fault."""
        if isinstance(error, DivergedError) or is_lack_of_memory(error):
            raise error
        is_told = isinstance(error, ConfigError)
        told = str(error) if is_told else f"{what} failed: {user_code.describe_error(error)}"
        return own_code_error(f"{self.where}: {told}", error)

    def _metrics(self) -> Metrics:
        means: dict[str, Any] = {
            name: float(total) / self._n_summed[name] for name, total in self._sums.items()
        }
        self._sums, self._n_summed = {}, {}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise DivergedError(f"{name} is {mean:g} by update {self.updates:,}")
        return Metrics(**vars(self.counts), **means)


class _LoopTrial:
    """What the user's function gets as `trial`; see `gansearch.loop.Trial`."""

    def __init__(self, training: LoopTraining) -> None:
        assert training.max_updates is not None
        self.max_updates = training.max_updates
        self.seed = training._seed
        self.device = training._device
        self.restore = training.restore
        self._report = training.report

    def report(
        self,
        step: int,
        sample: Callable[[int], Any],
        *,
        state: Mapping[str, Any] | None = None,
        **measured: Any,
    ) -> None:
        self._report(step, sample, state, measured)


def _checked_state(where: str, state: Any) -> Mapping[str, Any]:
    """Return a state; raise ConfigError if it doesn't name what it holds."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise ConfigError(
            f"{where}: state: found a {type(state).__name__}. It must be a mapping of names to "
            'objects, such as {"g": g, "d": d, "g_opt": g_opt, "d_opt": d_opt}.'
        )
    return state


def _check_values(where: str, samples: np.ndarray, data: LoopData, dataset: Dataset) -> None:
    """Raise ConfigError if the samples of a dry call, as rows, can't be those of a generator."""
    if not np.isfinite(samples).all():
        raise ConfigError(
            f"{where}: sample returned NaN or infinite values at the first report. Look at the "
            "initial weights, or report later."
        )
    if not dataset.is_bounded:
        return
    low, high = float(samples.min()), float(samples.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        first, last = data.output_range
        found = [first + each * (last - first) for each in (low, high)]
        raise ConfigError(
            f"{where}: sample returned values from {found[0]:.3g} to {found[1]:.3g}, outside "
            f"[{first:g}, {last:g}]. Declare the range of G's output: "
            "@gansearch.trainable(output_range=(-1, 1)), say, for a tanh."
        )
