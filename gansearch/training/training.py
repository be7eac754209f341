"""Algorithm 1 of the paper: a step function, a resumable state, an iterator of metrics.

Minibatch stochastic gradient descent training of generative adversarial nets: an iteration updates
the discriminator k times and the generator once, and so costs k + 1 parameter updates.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gansearch.config import TrialConfig
from gansearch.data.dataset import NO_CONTRAST, Dataset
from gansearch.errors import DivergedError, GansearchError
from gansearch.family import Counts, Metrics, Training
from gansearch.networks.initialisation import initialise_discriminator, initialise_generator
from gansearch.networks.models import Discriminator, Generator, generate, layers_of
from gansearch.seeds import trial_seed
from gansearch.system.files import safetensors_metadata
from gansearch.training.optimizers import make_player
from gansearch.training.random_draws import Draws, draw
from gansearch.training.remedies import Judge
from gansearch.training.updates import (
    Game,
    coefficients_at,
    rates_at,
    steps_at,
    unrolled_judge,
    update_both,
    update_discriminator,
    update_generator,
)

# Random numbers are drawn for so many iterations at once: on a GPU every draw costs a launch, on a
# CPU what is drawn should still be in the cache when it is used.
ITERATIONS_DRAWN = {"cuda": 32, "cpu": 1}
_LEAST_PROBED = 20  # packs at a time, however small the minibatches are
_N_PROBE = 1000  # examples on which D(x) and D(G(z)) are measured at a report


class Examples:
    """The training examples of a data set on a device, as networks see them.

    Attributes:
        n: how many there are.
        device: where they lie.
    """

    def __init__(self, dataset: Dataset, device: str) -> None:
        self.n = len(dataset.train)
        self.device = device
        self.mean = torch.from_numpy(dataset.mean()).to(device)
        self._values = _as_tensor(dataset.train).to(device)
        self._scale = dataset.scale
        self._contrast = dataset.contrast

    def at(self, rows: Tensor) -> Tensor:
        """Return the examples `[..., dim]` at `rows`, as `Dataset.to_float` does."""
        # Three times as fast as by advanced indexing.
        found = torch.index_select(self._values, 0, rows.flatten())
        values = found.view(*rows.shape, -1).float().div_(self._scale)
        return values if self._contrast is None else _normalised(values, self._contrast)


class AdversarialTraining(Training):
    """One adversarial training and all of its state; `save` and `load` lose nothing of it.

    On a CPU with a fixed number of threads, the same configuration, seed and data give
    bit-identical weights in any process, and however often the state is saved and loaded.

    Trainings on the same device may share `examples`.

    Attributes:
        config, seed, device: as given.
        iteration: how many are done.
        seconds: that it has trained for.
        examples: that it learns from.
        game: the players, and the rules.
        loss_sums: sums of D's and of G's losses since the last report, `[2]`.
    """

    game: Game

    def __init__(
        self,
        config: TrialConfig,
        dataset: Dataset,
        seed: int,
        *,
        device: str = "cpu",
        examples: Examples | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.device = device
        self.iteration = 0
        self.seconds = 0.0
        self.examples = examples or Examples(dataset, device)
        self._rng = torch.Generator(device).manual_seed(seed)
        with torch.device(device):
            self.generator = Generator(config, dataset.shape)
            self.discriminator = Discriminator(config, dataset.shape)
        initialise_generator(self.generator, config, self.examples.mean, self._rng)
        initialise_discriminator(self.discriminator, config, self._rng)
        self._input_widths = self.discriminator.input_widths()
        self._n_drawn = self._n_used = ITERATIONS_DRAWN[device]
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
        n_first = first_stage_iterations(self.config)
        return n_first * (self.config.k + 1) if self.iteration > n_first else 0

    @property
    def stage_iteration(self) -> int:
        """Iterations of the present stage: each counts its own, from which the rates follow."""
        n_first = first_stage_iterations(self.config)
        return self.iteration - (n_first if self.iteration >= n_first else 0)

    def step(self, *, measure: bool = False) -> None:
        """Do one iteration of Algorithm 1; with `measure`, note the gradients' norms."""
        if self.iteration == first_stage_iterations(self.config) > 0:
            self._begin_second_stage()
        draws = self.draws(1)[0]
        d_losses, g_loss, d_grads, g_grads = self._iterate(draws)
        self.loss_sums += torch.stack((torch.stack(d_losses).mean(), g_loss))
        self.count(1)
        if measure:
            self._grad_norms = torch.stack((_norm(d_grads), _norm(g_grads)))

    def draw_ahead(self, n_iterations: int) -> None:
        """Draw for so many iterations at once from the next draw on, as another device would."""
        self._n_drawn = self._n_used = n_iterations

    def count(self, n_iterations: int) -> None:
        """Take note of iterations that are done."""
        self._iterations_summed += n_iterations
        self.iteration += n_iterations

    def draws(self, n_iterations: int) -> Draws:
        """Return the random numbers of the next iteration, or of up to `n_iterations`.

        There are fewer where those that were drawn at once end.
        """
        if self._n_used == self._n_drawn:
            self._rng_before = self._rng.get_state()
            self._drawn = self._draw()
            self._n_used = 0
        start = self._n_used
        self._n_used = min(start + n_iterations, self._n_drawn)
        return self._drawn[start : self._n_used]

    def _draw(self) -> Draws:
        net = self.generator
        widths = net.noise_dim, net.dim, self._input_widths
        return draw(self.config, self._n_drawn, *widths, self.examples.n, self._rng)

    def _iterate(self, draws: Draws) -> tuple[list[Tensor], Tensor, list[Tensor], list[Tensor]]:
        """Do one iteration: k updates of D, then one of G.

        Returns:
            D's losses and G's, in nats, and the last gradients of D and of G.
        """
        config, game, iteration = self.config, self.game, self.stage_iteration
        coefficients = coefficients_at(config, iteration)
        d_steps, g_step = steps_at(config, iteration, self.examples.n)
        batches = self.examples.at(draws.rows)
        n_alone = config.k - (config.update == "simultaneous")
        d_losses = []
        for i in range(n_alone):
            drawn = draws.of_discriminator(i)
            loss, d_grads = update_discriminator(game, batches[i], drawn, coefficients, d_steps[i])
            d_losses.append(loss)
        if config.update == "simultaneous":
            drawn, steps = draws.of_discriminator(-1), (d_steps[-1], g_step)
            (loss, d_grads), (g_loss, g_grads) = update_both(
                game, batches[-1], drawn, coefficients, steps
            )
            d_losses.append(loss)
        else:
            look_ahead: Callable[[Tensor], Judge] | None = None
            if config.unrolled_steps > 0:
                momentum = rates_at(config, iteration, self.examples.n).momentum
                last = draws.of_discriminator(-1), coefficients, d_steps[-1], momentum
                look_ahead = partial(unrolled_judge, game, batches[-1], last)
            g_loss, g_grads = update_generator(
                game, draws.of_generator(), coefficients, g_step, look_ahead=look_ahead
            )
        return d_losses, g_loss, d_grads, g_grads

    def last_iteration(self, updates: int) -> int:
        """Return the number (from 0) of the iteration in which `updates` are reached."""
        return math.ceil(updates / (self.config.k + 1)) - 1

    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates are done, and report.

        Returns None where the time limit came first; calling again goes on, to the same result.

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
    def sample_seed(self) -> int:
        """Seed of the noise from which `samples` generates, apart from the training's own."""
        return trial_seed(self.seed, "samples", 0)

    def samples(self, n_samples: int) -> np.ndarray:
        """Return generated examples `[n_samples, dim]`, float32, from noise fixed by the seed.

        The training's own stream of random numbers is left alone.
        """
        return generate(self.generator, self.config, n_samples, self.sample_seed)

    def save(self) -> bytes:
        """Return the whole state as safetensors, to be loaded by `load`."""
        header = {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "iterations_summed": self._iterations_summed,
            "iterations_used": self._n_used % self._n_drawn,
        }
        return save_tensors(
            {name: tensor.contiguous() for name, tensor in self._tensors().items()},
            {"training": json.dumps(header)},
        )

    def load(self, state: bytes) -> None:
        """Take over a state that `save` returned, of the same configuration and seed.

        Raises:
            GansearchError: the state belongs to another configuration or seed, or is damaged.
        """
        header, tensors = _parse_state(state)
        # Parsed, since an older version knew fewer parameters.
        saved = TrialConfig.from_dict(header["config"])
        if saved.config_id != self.config.config_id or header["seed"] != self.seed:
            raise GansearchError(
                "checkpoint: it belongs to another configuration or seed than this trial's. "
                "A state can only be resumed by the trial that saved it."
            )
        self.iteration = header["iteration"]
        self._train_from(self._first_layer())
        own = self._tensors()
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in tensors.items()}:
            raise GansearchError("checkpoint: its tensors don't fit this configuration.")
        self._rng.set_state(tensors.pop("rng"))
        self._n_used = self._n_drawn
        if header["iterations_used"] > 0:
            self.draws(header["iterations_used"])
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        self.seconds = header["seconds"]
        self._iterations_summed = header["iterations_summed"]

    def _begin_second_stage(self) -> None:
        """Let G's lower layers join, against a new D, with all moments at zero."""
        initialise_discriminator(self.discriminator, self.config, self._rng)
        self._train_from(0)
        self._n_used = self._n_drawn  # the noise has another dimension

    def _first_layer(self) -> int:
        """Return the lowest layer of G that has been trained up to this iteration."""
        # At the boundary itself the second stage has not begun: it does with the next step.
        n_first = first_stage_iterations(self.config)
        if n_first == 0 or self.iteration > n_first:
            return 0
        n_hidden = len(self.generator.layers) - 1
        return max(0, n_hidden - self.config.pretrained_layers)

    def _train_from(self, first_layer: int) -> None:
        """Train all of D, and G's layers from `first_layer` on, with moments of zero."""
        config = self.config
        self.generator.first_layer = first_layer
        g_layers, d_layers = layers_of(self.generator), layers_of(self.discriminator)
        self.game = Game(
            config,
            self.generator,
            self.discriminator,
            make_player(g_layers, config.optimizer, config.generator_max_norm or None),
            make_player(d_layers, config.optimizer, config.discriminator_max_norm or None),
        )

    def _tensors(self) -> dict[str, Tensor]:
        is_between = self._n_used == self._n_drawn
        rng = self._rng.get_state() if is_between else self._rng_before
        tensors = {"rng": rng, "loss_sums": self.loss_sums}
        game = self.game
        for name, net, player in (
            ("generator", game.generator_net, game.generator),
            ("discriminator", game.discriminator_net, game.discriminator),
        ):
            tensors |= {f"{name}.{key}": p.detach() for key, p in net.named_parameters()}
            tensors |= {f"{name}.{key}": tensor for key, tensor in net.named_buffers()}
            kinds = ("sum",) if len(player.moments) == 1 else ("first", "second")
            for kind, moment in zip(kinds, player.moments, strict=True):
                tensors |= {f"{name}.{kind}.{j}": tensor for j, tensor in enumerate(moment)}
        return tensors

    def _report(self) -> Metrics:
        self._raise_if_diverged()
        losses = (self.loss_sums / max(self._iterations_summed, 1)).tolist()
        d_real, d_fake = self._probe_discriminator()
        d_grad_norm, g_grad_norm = self._grad_norms.tolist()
        self.loss_sums.zero_()
        self._iterations_summed = 0
        return Metrics(
            **vars(self.counts),
            d_loss=losses[0],
            g_loss=losses[1],
            d_real=d_real,
            d_fake=d_fake,
            d_grad_norm=d_grad_norm,
            g_grad_norm=g_grad_norm,
            stage_start=self.stage_start,
        )

    def _raise_if_diverged(self) -> None:
        # A non-finite value anywhere stays in these sums, norms and weights until it is seen here.
        watched = {
            "D's loss": self.loss_sums[0],
            "G's loss": self.loss_sums[1],
            "D's gradient": self._grad_norms[0],
            "G's gradient": self._grad_norms[1],
            "D's weights": _norm(self.game.discriminator.params),
            "G's weights": _norm(self.game.generator.params),
        }
        finite = torch.isfinite(torch.stack([t.detach() for t in watched.values()])).tolist()
        broken = [name for name, is_finite in zip(watched, finite, strict=True) if not is_finite]
        if broken:
            raise DivergedError(
                f"{', '.join(broken)} not finite by update {self.updates:,}: "
                "lower the learning rates or the momentum"
            )

    def _probe_discriminator(self) -> tuple[float, float]:
        packing, n_train = self.config.packing, self.examples.n
        n_packs = max(1, min(_N_PROBE, n_train) // packing)
        # Fewer examples than a pack holds come in it several times.
        rows = torch.arange(n_packs * packing, device=self.device) % n_train
        fake = torch.from_numpy(self.samples(len(rows))).to(self.device)
        # In minibatches as in training: more at a time would take more memory than a step does.
        n_blocks = max(1, n_packs // max(self.config.batch_size, _LEAST_PROBED))
        sums = torch.zeros(2, device=self.device)
        for block in torch.arange(n_packs, device=self.device).tensor_split(n_blocks):
            start, stop = int(block[0]) * packing, (int(block[-1]) + 1) * packing
            both = torch.cat((self.examples.at(rows[start:stop]), fake[start:stop]))
            with torch.no_grad():
                outputs = torch.sigmoid(self.discriminator(both, n_batches=2))
            sums += outputs.view(2, -1).sum(dim=1)
        d_real, d_fake = (sums / n_packs).tolist()
        return d_real, d_fake


def first_stage_iterations(config: TrialConfig) -> int:
    """Return how many iterations the pretraining of G's upper layers takes; 0 without one."""
    if config.pretraining == "none":
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


def _norm(tensors: list[Tensor]) -> Tensor:
    norms = torch.stack(torch._foreach_norm(tensors))
    return norms.square().sum().sqrt()


def _normalised(images: Tensor, norm: float) -> Tensor:
    """Return images `[..., dim]` with their means subtracted, scaled to `norm`."""
    centred = images - images.mean(-1, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    # A constant image leaves rounding error; nothing may be made of it.
    return torch.where(norms > NO_CONTRAST, centred * (norm / norms), 0)


def _as_tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # Arrays in Ray's object store are read-only; nothing here writes to the data.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _parse_state(state: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        return json.loads(safetensors_metadata(state)["training"]), load_tensors(state)
    except Exception as error:
        raise GansearchError(f"checkpoint: not a readable training state ({error}).") from error
