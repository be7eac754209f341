"""One training of the adversarial nets: Algorithm 1 from iteration to iteration, and its state.

An iteration updates the discriminator k times and the generator once, and so costs k + 1 parameter
updates. `algorithm1` has what an iteration does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.family import Counts, Metrics, Training
from gansearch.networks.initialisation import initialise_discriminator, make_networks
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator, NetworkMaker
from gansearch.networks.models import Discriminator, Generator, generate
from gansearch.seeds import trial_seed
from gansearch.system.devices import exact_device
from gansearch.training import state as training_state
from gansearch.training.algorithm1 import iterate
from gansearch.training.diagnostics import N_PROBED, norm, probed_logits, raise_if_diverged
from gansearch.training.examples import Examples, ShuffledExamples
from gansearch.training.gradients import Update
from gansearch.training.losses import discriminator_loss
from gansearch.training.optimizers import make_player
from gansearch.training.players import Players
from gansearch.training.random_draws import Draws, DrawStream, draw
from gansearch.training.schedules import Horizon, Schedule, schedule_at

# Random numbers are drawn for so many iterations at once: on a GPU every draw costs a launch, on a
# CPU what is drawn should still be in the cache when it is used.
ITERATIONS_DRAWN = {"cuda": 32, "mps": 32, "cpu": 1}


class AdversarialTraining(Training):
    """One adversarial training and all of its state; `save` and `load` lose nothing of it.

    On a CPU with a fixed number of threads, the same configuration, seed and data give
    bit-identical weights in any process, and however often the state is saved and loaded.

    Trainings on the same device may share `examples`. Schedules that are shares of the budget need
    `max_updates`, given here or set before the first update. `make` makes the networks: those of
    the paper by default, or the user's own (`networks.own`).

    Attributes:
        config, seed, device: as given.
        present: the configuration as its schedule has it in the last iteration that was begun, or
            the first; that of `players`.
        iteration: how many are done.
        seconds: that it has trained for.
        examples: that it learns from.
        generator, discriminator: the networks.
        average: the generator whose parameters are the moving average of G's (`generator_ema`);
            None where none is kept.
        players: these with their optimizers.
        stream: the random numbers.
        global_random: torch's global random numbers as this training has them; None where its
            networks draw nothing by themselves.
        loss_sums: sums of D's and of G's losses since the last report, `[2]`.
    """

    players: Players

    def __init__(
        self,
        config: AdversarialConfig,
        dataset: Dataset,
        seed: int,
        *,
        device: str = "cpu",
        examples: Examples | None = None,
        max_updates: int | None = None,
        make: NetworkMaker = make_networks,
    ) -> None:
        self.config = config
        self.present = self._before = config.at(0)
        self.seed = seed
        self.device = device
        self.max_updates = max_updates
        self.iteration = 0
        self.seconds = 0.0
        self.examples = examples or Examples(dataset, device)
        self._rng = torch.Generator(exact_device(device)).manual_seed(seed)
        networks = make(config, dataset.shape, self.examples.mean, self._rng, device)
        self.generator, self.discriminator = networks.generator, networks.discriminator
        self.global_random = networks.random
        self.average = networks.average
        # No method of self: a cycle would keep the training's memory until Python collects it.
        shuffled = ShuffledExamples(seed, self.examples.n, self._rng.device.type)
        self._draw_many = partial(
            _draw,
            config=self.present,
            generator=self.generator,
            discriminator=self.discriminator,
            n_train=self.examples.n,
            shuffled=shuffled if config.batch_order == "shuffled" else None,
            rng=self._rng,
            device=device,
        )
        self.stream = DrawStream(self._draw_many, self._rng, ITERATIONS_DRAWN[device])
        self._train_from(self._first_layer())
        self.loss_sums = torch.zeros(2, device=device)
        self._iterations_summed = 0
        self._grad_norms = torch.zeros(2, device=device)

    @property
    def updates(self) -> int:
        """Parameter updates done: k of D and one of G an iteration."""
        return self.iteration * (self.config.k + 1)

    @property
    def counts(self) -> Counts:
        """How far the training is."""
        n = self.iteration
        return Counts(self.updates, n * self.config.k, n, self.seconds)

    @property
    def stage_start(self) -> int:
        """Updates that were done when the present stage (`pretraining`) began; 0 in the first."""
        n_first = self._n_first_stage
        return n_first * (self.config.k + 1) if self.iteration > n_first else 0

    @property
    def stage_iteration(self) -> int:
        """Iterations of the present stage: each counts its own, from which the rates follow."""
        n_first = self._n_first_stage
        return self.iteration - (n_first if self.iteration >= n_first else 0)

    @property
    def horizon(self) -> Horizon:
        """What the schedules of the present stage refer to."""
        n_iterations = None
        if self.max_updates is not None:
            n_iterations, n_first = self.last_iteration(self.max_updates) + 1, self._n_first_stage
            if n_first > 0:
                is_first = self.iteration < n_first
                n_iterations = min(n_iterations, n_first) if is_first else n_iterations - n_first
        return Horizon(self.examples.n, n_iterations)

    def step(self, *, measure: bool = False) -> None:
        """Do one iteration of Algorithm 1; with `measure`, note the gradients' norms."""
        if self.iteration == self._n_first_stage > 0:
            self._begin_second_stage()
        self._before = self.present
        self._reach(self.iteration)
        draws = self.stream.take(1)[0]
        schedule = schedule_at(self.present, self.stage_iteration, self.horizon, self._before)
        batches = self.examples.at(draws.rows)
        with self.global_random.in_use() if self.global_random else nullcontext():
            d_updates, g_update = self._iterate(batches, draws, schedule)
        d_losses = torch.stack([update.loss for update in d_updates])
        self.loss_sums += torch.stack((d_losses.mean(), g_update.loss))
        self.count(1)
        if measure:
            self._grad_norms = torch.stack((norm(d_updates[-1].grads), norm(g_update.grads)))

    def _reach(self, iteration: int) -> None:
        """Train by what the configuration's schedule has in an iteration; all else goes on."""
        present = self.config.at(max(iteration, 0) * (self.config.k + 1))
        if present == self.present:
            return
        self.present = present
        self.players = replace(self.players, config=present)
        self.stream.draw_otherwise(partial(self._draw_many, config=present))

    def _iterate(
        self, batches: Tensor, draws: Draws, schedule: Schedule
    ) -> tuple[list[Update], Update]:
        """Do what `iterate` does, with minibatches `[k, n, dim]`."""
        return iterate(self.players, batches, draws, schedule)

    @property
    def _n_first_stage(self) -> int:
        return first_stage_iterations(self.config)

    def count(self, n_iterations: int) -> None:
        """Take note of iterations that are done."""
        self._iterations_summed += n_iterations
        self.iteration += n_iterations

    def last_iteration(self, updates: int) -> int:
        """Return the number (from 0) of the iteration in which `updates` are reached."""
        return math.ceil(updates / (self.config.k + 1)) - 1

    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates are done, and report.

        Returns None if the time limit came first; calling again continues, to the same result.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite.
        """
        start = time.perf_counter()
        last = self.last_iteration(updates)
        while self.iteration <= last and time.perf_counter() - start < time_limit_seconds:
            self.step(measure=self.iteration == last)
        self.seconds += time.perf_counter() - start
        return self._report() if self.iteration > last else None

    @property
    def scored_generator(self) -> AnyGenerator:
        """The generator that is sampled, scored and stored: the average where there is one."""
        if self.average is None:
            return self.generator
        # What is no parameter, such as the statistics of batch normalisation, is G's own.
        own = dict(self.generator.named_buffers())
        for name, buffer in self.average.named_buffers():
            buffer.copy_(own[name])
        return self.average

    @property
    def sample_seed(self) -> int:
        """Seed of the noise from which `samples` generates, apart from the training's own."""
        return trial_seed(self.seed, "samples", 0)

    def samples(self, n_samples: int) -> np.ndarray:
        """Return generated examples `[n_samples, dim]`, float32, from noise fixed by the seed.

        The training's own stream of random numbers is left alone.
        """
        return generate(self.scored_generator, self.config, n_samples, self.sample_seed)

    def raw_samples(self, n_samples: int) -> np.ndarray | None:
        """Return samples by G's present weights where `samples` are by their average, else None."""
        if self.average is None:
            return None
        return generate(self.generator, self.config, n_samples, self.sample_seed)

    def save(self) -> bytes:
        """Return the whole state as safetensors, to be loaded by `load`."""
        header = {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "iterations_summed": self._iterations_summed,
            "iterations_used": self.stream.n_used,
        }
        return training_state.encode(header, self._tensors())

    def load(self, state: bytes) -> None:
        """Take over a state that `save` returned, of the same configuration and seed.

        Points of the schedule that the state has not reached may differ: it goes on by this one's.

        Raises:
            GansearchError: the state belongs to another configuration or seed, or is damaged.
        """
        header, tensors = training_state.decode(state)
        # Parsed, since an older version knew fewer parameters.
        saved = type(self.config).from_dict(header["config"])
        begun = (header["iteration"] - 1) * (saved.k + 1)  # updates before the last iteration
        same = saved.until(begun).config_id == self.config.until(begun).config_id
        if not same or header["seed"] != self.seed:
            raise GansearchError(
                "checkpoint: it belongs to another configuration or seed than this trial's. "
                "A state can only be resumed by the trial that saved it, or by one that differs in "
                "later points of its schedule."
            )
        self.iteration = header["iteration"]
        self._reach(self.iteration - 1)
        self._train_from(self._first_layer())
        training_state.copy_into(self._tensors(), tensors)
        self.stream.restore(tensors["rng"], header["iterations_used"], self.iteration)
        if self.global_random is not None:
            self.global_random.load(tensors)
        self.seconds = header["seconds"]
        self._iterations_summed = header["iterations_summed"]

    def _tensors(self) -> dict[str, Tensor]:
        own = {"rng": self.stream.rng_state, "loss_sums": self.loss_sums}
        drawn = self.global_random.tensors() if self.global_random else {}
        return own | drawn | training_state.tensors_of(self.players)

    def _begin_second_stage(self) -> None:
        """Let G's lower layers join, against a new D, with all moments at zero."""
        assert isinstance(self.config, TrialConfig)
        assert isinstance(self.discriminator, Discriminator)
        initialise_discriminator(self.discriminator, self.config, self._rng)
        self._train_from(0)
        self.stream.discard()  # the noise has another dimension

    def _first_layer(self) -> int:
        """Return the lowest layer of G that has been trained up to this iteration."""
        # At the boundary itself the second stage has not begun: it does with the next step.
        n_first = self._n_first_stage
        if n_first == 0 or self.iteration > n_first:
            return 0
        assert isinstance(self.config, TrialConfig) and isinstance(self.generator, Generator)
        n_hidden = len(self.generator.layers) - 1
        return max(0, n_hidden - self.config.pretrained_layers)

    def _train_from(self, first_layer: int) -> None:
        """Train all of D, and G's layers from `first_layer` on, with moments of zero."""
        config = self.present
        g_bound, d_bound = _bounds_of(config)
        self.generator.first_layer = first_layer
        average = self._average_from(first_layer)
        self.players = Players(
            config,
            self.generator,
            self.discriminator,
            make_player(self.generator, config.optimizer, g_bound, average),
            make_player(self.discriminator, config.optimizer, d_bound),
        )

    @torch.no_grad()
    def _average_from(self, first_layer: int) -> list[Tensor] | None:
        """Begin the average of G's parameters from `first_layer` on, if one is kept."""
        if self.average is None:
            return None
        self.average.load_state_dict(self.generator.state_dict())
        self.average.first_layer = first_layer
        return [p.detach() for p in self.average.trained_parameters()]

    def _report(self) -> Metrics:
        watched = {
            "D's loss": self.loss_sums[0],
            "G's loss": self.loss_sums[1],
            "D's gradient": self._grad_norms[0],
            "G's gradient": self._grad_norms[1],
            "D's weights": norm(self.players.discriminator.params),
            "G's weights": norm(self.players.generator.params),
        }
        raise_if_diverged(watched, self.updates)
        losses = (self.loss_sums / max(self._iterations_summed, 1)).tolist()
        logits = self.probed_logits()
        d_real, d_fake = torch.sigmoid(logits).mean(dim=1).tolist()
        d_grad_norm, g_grad_norm = self._grad_norms.tolist()
        self.loss_sums.zero_()
        self._iterations_summed = 0
        return Metrics(
            **vars(self.counts),
            d_loss=losses[0],
            g_loss=losses[1],
            d_real=d_real,
            d_fake=d_fake,
            d_value=-discriminator_loss(*logits).item(),
            d_grad_norm=d_grad_norm,
            g_grad_norm=g_grad_norm,
            stage_start=self.stage_start,
        )

    def discriminator_outputs(self) -> np.ndarray:
        """Return D(x) and D(G(z)) of 1,000 examples each, `[2, n]`, float32."""
        outputs: np.ndarray = torch.sigmoid(self.probed_logits()).cpu().numpy()
        return outputs

    def probed_logits(self) -> Tensor:
        """Return D's logits, without dropout, of 1,000 real and 1,000 generated packs, `[2, n]`."""
        packing = self.config.packing
        n_packs = max(1, min(N_PROBED, self.examples.n) // packing)
        # D plays against G's present weights, whatever is sampled.
        fakes = generate(self.generator, self.config, n_packs * packing, self.sample_seed)
        fake = torch.from_numpy(fakes).to(self.device)
        return probed_logits(
            self.discriminator,
            self.examples,
            fake,
            packing=packing,
            batch_size=self.config.batch_size,
        )


def _draw(
    first: int,
    n_iterations: int,
    *,
    config: AdversarialConfig,
    generator: AnyGenerator,
    discriminator: AnyDiscriminator,
    n_train: int,
    shuffled: ShuffledExamples | None,
    rng: torch.Generator,
    device: str,
) -> Draws:
    """Draw for the iterations from `first`; the noise's dimension is that of the present stage."""
    rows = None
    if shuffled is not None:
        n = config.batch_size * config.packing
        rows = shuffled.rows(first * config.k, n_iterations * config.k, n)
        rows = rows.view(n_iterations, config.k, n)
    drawn = draw(
        config,
        n_iterations,
        generator.noise_dim,
        discriminator.dim,
        discriminator.input_widths(),
        n_train,
        rng,
        rows=rows,
        n_extra=discriminator.n_extra,
    )
    return drawn.to(device)


def _bounds_of(config: AdversarialConfig) -> tuple[float | None, float | None]:
    """Return the bounds on the norms of G's and of D's units; None for no bound."""
    if not isinstance(config, TrialConfig):
        return None, None
    return config.generator_max_norm or None, config.discriminator_max_norm or None


def first_stage_iterations(config: AdversarialConfig) -> int:
    """Return how many iterations the pretraining of G's upper layers takes; 0 without one."""
    if not isinstance(config, TrialConfig) or config.pretraining == "none":
        return 0
    return math.ceil(config.pretraining_updates / (config.k + 1))


def train(training: AdversarialTraining, report_updates: Iterable[int]) -> Iterator[Metrics]:
    """Yield the metrics at each of `report_updates` (ascending) that is still ahead.

    Raises:
        DivergedError: as `AdversarialTraining.advance`.
    """
    for updates in report_updates:
        if training.updates < updates and (metrics := training.advance(updates)):
            yield metrics
