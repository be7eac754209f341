"""Algorithm 1 of the paper: a step function, a resumable state, an iterator of metrics.

Minibatch stochastic gradient descent training of generative adversarial nets: an iteration updates
the discriminator k times and the generator once, and so costs k + 1 parameter updates.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.func
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gansearch.config import TrialConfig, trial_seed
from gansearch.data import Dataset
from gansearch.dataset import NO_CONTRAST
from gansearch.errors import GansearchError
from gansearch.initialisation import initialise_discriminator, initialise_generator
from gansearch.layers import Layer, bound_norms
from gansearch.losses import GENERATOR_LOSSES, discriminator_loss
from gansearch.models import (
    Discriminator,
    Generator,
    draw_noise,
    dropout_rates,
    generate,
    layers_of,
)
from gansearch.remedies import (
    ADAM_EPSILON,
    Judge,
    gradient_penalty,
    instance_noise_sd,
    unrolled,
)

_N_PROBE = 1000  # examples on which D(x) and D(G(z)) are measured at a report


class DivergedError(GansearchError):
    """A loss, a gradient or a weight is no longer finite; the message says which, and when."""


@dataclass(frozen=True)
class Metrics:
    """What a training says of itself at a report.

    Counts and `seconds` are totals since the start. The losses (nats), without a gradient penalty,
    are means over the updates since the last report; D(x) and D(G(z)) are means over 1,000 examples
    each, in packs where D judges packs, without dropout and instance noise; the gradient norms are
    those of the last iteration.
    """

    updates: int
    d_updates: int
    g_updates: int
    seconds: float
    d_loss: float
    g_loss: float
    d_real: float
    d_fake: float
    d_grad_norm: float
    g_grad_norm: float


@dataclass
class Player:
    """One of the two networks: its parameters and its optimizer's moments, updated in place.

    Attributes:
        net: the network.
        layers: those of its layers that are trained.
        params: their parameters.
        moments: the velocity (SGD), or the first and the second moment (Adam), each a list of
            tensors shaped like the parameters.
        max_norm: bound of the norm of each unit's incoming weights; 0 for none.
    """

    net: Generator | Discriminator
    layers: list[Layer]
    params: list[Tensor]
    moments: list[list[Tensor]]
    max_norm: float


@dataclass(frozen=True)
class Draws:
    """All random numbers of one iteration, drawn at once from the trial's own stream.

    A minibatch is m packs of `packing` examples, so n = m packing of these.

    Attributes:
        rows: indices into the training set, `[k, n]`.
        noise: `[k + 1, n, noise_dim]`: one batch for each update of D, the last for that of G.
        d_masks: for each update of D, the dropout masks of the pass over 2m packs.
        g_masks: those of G's own pass over m packs.
        d_noise: instance noise of unit variance for each update of D, `[k, 2n, dim]`, or None.
        g_noise: that of G's own pass, `[n, dim]`, or None.
        shares: where between real and generated packs the gradient penalty is taken, `[k, m, 1]`,
            or None.
    """

    rows: Tensor
    noise: Tensor
    d_masks: list[list[Tensor | None]]
    g_masks: list[Tensor | None]
    d_noise: Tensor | None
    g_noise: Tensor | None
    shares: Tensor | None


@dataclass(frozen=True)
class Rates:
    """The step sizes of one iteration, and the sd of its instance noise, by their schedules."""

    generator_lr: float
    discriminator_lr: float
    momentum: float
    instance_noise_sd: float


def rates_at(config: TrialConfig, iteration: int, n_train: int) -> Rates:
    """Return the step sizes of iteration `iteration` (from 0), as in the authors' configuration.

    Learning rates are divided by `lr_decay` each iteration down to `min_lr`; the momentum rises
    linearly from epoch 1 to epoch `momentum_epochs`, an epoch being `n_train / m` iterations.
    """
    decay = config.lr_decay**-iteration
    epoch = 1 + iteration * config.batch_size / n_train
    span = max(config.momentum_epochs - 1, 1e-9)
    progress = min((epoch - 1) / span, 1.0)
    return Rates(
        # A rate that starts below the floor stays as given.
        generator_lr=max(config.generator_lr * decay, min(config.min_lr, config.generator_lr)),
        discriminator_lr=max(
            config.discriminator_lr * decay, min(config.min_lr, config.discriminator_lr)
        ),
        momentum=config.momentum + progress * (config.final_momentum - config.momentum),
        instance_noise_sd=instance_noise_sd(config, iteration * (config.k + 1)),
    )


def draw(
    config: TrialConfig,
    noise_dim: int,
    dim: int,
    input_widths: Sequence[int],
    n_train: int,
    rng: torch.Generator,
) -> Draws:
    """Draw the random numbers of one iteration; minibatches are drawn with replacement.

    Args:
        config: the trial's hyperparameters.
        noise_dim: dimension of the noise that G takes.
        dim: values in an example.
        input_widths: number of inputs of each of D's layers.
        n_train: how many training examples there are.
        rng: the trial's own stream.
    """
    k, m = config.k, config.batch_size
    n = m * config.packing
    how: dict[str, Any] = {"generator": rng, "device": rng.device}
    is_noisy = config.instance_noise_sd > 0
    is_between = config.gradient_penalty == "one_centered"
    return Draws(
        rows=torch.randint(n_train, (k, n), **how),
        noise=draw_noise(config, (k + 1, n, noise_dim), rng),
        d_masks=[_draw_masks(config, input_widths, 2 * m, rng) for _ in range(k)],
        g_masks=_draw_masks(config, input_widths, m, rng),
        d_noise=torch.randn(k, 2 * n, dim, **how) if is_noisy else None,
        g_noise=torch.randn(n, dim, **how) if is_noisy else None,
        shares=torch.rand(k, m, 1, **how) if is_between else None,
    )


def iterate(
    config: TrialConfig,
    generator: Player,
    discriminator: Player,
    batches: Tensor,
    draws: Draws,
    rates: Rates,
    iteration: int,
) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
    """Do one iteration of Algorithm 1 in place: k updates of D, then one of G.

    Args:
        config: the trial's hyperparameters.
        generator: G and its moments.
        discriminator: D and its moments.
        batches: real examples `[k, m packing, dim]`.
        draws: the iteration's random numbers.
        rates: the iteration's step sizes.
        iteration: its number from 0 in its stage, for Adam's bias correction.

    Returns:
        D's losses `[k]` and G's loss, in nats; the last gradients of D and of G.
    """
    simultaneous = config.update == "simultaneous"
    d_losses = []
    for i in range(config.k):
        # With simultaneous updates G learns from the pass that D's last update makes.
        shared = simultaneous and i == config.k - 1
        with torch.set_grad_enabled(shared):
            fake = generator.net(draws.noise[i])
        loss, objective, fake_logits = _discriminate(
            config, discriminator.net, batches[i], fake, draws, i, rates
        )
        d_grads = list(torch.autograd.grad(objective, discriminator.params, retain_graph=shared))
        d_losses.append(loss.detach())
        if shared:
            g_loss = GENERATOR_LOSSES[config.generator_loss](fake_logits)
            g_grads = list(torch.autograd.grad(g_loss.sum(), generator.params))
        d_step = iteration * config.k + i + 1
        _update(config, discriminator, d_grads, rates.discriminator_lr, rates.momentum, d_step)
        for layer in discriminator.layers:
            layer.power_iterate()
    if not simultaneous:
        fake = generator.net(draws.noise[-1])
        judge: Judge = discriminator.net
        if config.unrolled_steps > 0:
            judge = _unroll(config, discriminator, batches[-1], fake, draws, rates, d_step)
        fake_logits = judge(_noised(fake, draws.g_noise, rates), draws.g_masks)
        g_loss = GENERATOR_LOSSES[config.generator_loss](fake_logits)
        g_grads = list(torch.autograd.grad(g_loss.sum(), generator.params))
    _update(config, generator, g_grads, rates.generator_lr, rates.momentum, iteration + 1)
    return torch.stack(d_losses), g_loss.detach(), d_grads, g_grads


def _discriminate(
    config: TrialConfig,
    judge: Judge,
    real: Tensor,
    fake: Tensor,
    draws: Draws,
    i: int,
    rates: Rates,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return D's loss in its update i, in nats, what it minimises, and its logits of `fake`."""
    both = torch.cat((real, fake), -2)
    if draws.d_noise is not None:
        both = _noised(both, draws.d_noise[i], rates)
    logits = judge(both, draws.d_masks[i], n_batches=2)
    real_logits, fake_logits = torch.split(logits, config.batch_size, -1)
    loss = discriminator_loss(real_logits, fake_logits, config.label_smoothing)
    objective = config.discriminator_loss_scale * loss.sum()
    if config.gradient_penalty != "none":
        m = config.batch_size
        masks = [None if mask is None else mask[..., :m, :] for mask in draws.d_masks[i]]
        shares = None if draws.shares is None else draws.shares[i]
        real, fake = torch.split(both, m * config.packing, -2)
        objective = objective + gradient_penalty(config, judge, real, fake, masks, shares).sum()
    return loss, objective, fake_logits


def _unroll(
    config: TrialConfig,
    discriminator: Player,
    real: Tensor,
    fake: Tensor,
    draws: Draws,
    rates: Rates,
    d_step: int,
) -> Judge:
    """Return D as it would be after more updates on its last real batch and G's `fake`.

    Their dropout masks and instance noise are those of D's last update. Metz et al. (2017) unroll
    on fresh batches or on the same ones; the same ones need no further random numbers.
    """
    names = [name for name, _ in discriminator.net.named_parameters()]

    def judge_with(params: Sequence[Tensor]) -> Judge:
        weights = dict(zip(names, params, strict=True))

        def judge(x: Tensor, masks: Sequence[Tensor | None], n_batches: int = 1) -> Tensor:
            arguments = (x, masks, n_batches)
            logits: Tensor = torch.func.functional_call(discriminator.net, weights, arguments)
            return logits

        return judge

    def objective(params: list[Tensor]) -> Tensor:
        return _discriminate(config, judge_with(params), real, fake, draws, -1, rates)[1]

    ahead = unrolled(
        config,
        discriminator.params,
        discriminator.moments,
        objective,
        rates.discriminator_lr,
        rates.momentum,
        d_step,
    )
    return judge_with(ahead)


def _noised(x: Tensor, noise: Tensor | None, rates: Rates) -> Tensor:
    """Return D's input with instance noise (Sonderby et al. 2017)."""
    return x if noise is None else x + rates.instance_noise_sd * noise


class Training:
    """One adversarial training and all of its state; `save` and `load` lose nothing of it.

    On a CPU with a fixed number of threads, the same configuration, seed and data give
    bit-identical weights in any process, and however often the state is saved and loaded.
    """

    def __init__(
        self, config: TrialConfig, dataset: Dataset, seed: int, *, device: str = "cpu"
    ) -> None:
        self.config = config
        self.seed = seed
        self.device = device
        self.iteration = 0
        self.seconds = 0.0
        self._data = _as_tensor(dataset.train).to(device)
        self._scale = dataset.scale
        self._contrast = dataset.contrast
        self._rng = torch.Generator(device).manual_seed(seed)
        with torch.device(device):
            self.generator = Generator(config, dataset.shape)
            self.discriminator = Discriminator(config, dataset.shape)
        data_mean = torch.from_numpy(dataset.mean()).to(device)
        initialise_generator(self.generator, config, data_mean, self._rng)
        initialise_discriminator(self.discriminator, config, self._rng)
        self._input_widths = self.discriminator.input_widths()
        self._train_from(self._first_layer())
        self._loss_sums = torch.zeros(2, device=device)  # of D and of G since the last report
        self._iterations_summed = 0
        self._grad_norms = torch.zeros(2, device=device)

    @property
    def updates(self) -> int:
        """Parameter updates done: k of D and one of G an iteration."""
        return self.iteration * (self.config.k + 1)

    @property
    def stage_start(self) -> int:
        """Updates that were done when the present stage (`pretraining`) began; 0 in the first."""
        n_first = first_stage_iterations(self.config)
        return n_first * (self.config.k + 1) if self.iteration > n_first else 0

    def step(self, *, measure: bool = False) -> None:
        """Do one iteration of Algorithm 1; with `measure`, note the gradients' norms."""
        config = self.config
        n_first = first_stage_iterations(config)
        if self.iteration == n_first > 0:
            self._begin_second_stage()
        # Each stage counts its own iterations, from which rates and momentum follow.
        iteration = self.iteration - (n_first if self.iteration >= n_first else 0)
        n_train = self._data.shape[0]
        widths = self.generator.noise_dim, self.generator.dim, self._input_widths
        draws = draw(config, *widths, n_train, self._rng)
        rates = rates_at(config, iteration, n_train)
        d_losses, g_loss, d_grads, g_grads = iterate(
            config, self._g, self._d, self._to_float(draws.rows), draws, rates, iteration
        )
        self._loss_sums += torch.stack((d_losses.mean(), g_loss))
        self._iterations_summed += 1
        self.iteration += 1
        if measure:
            self._grad_norms = torch.stack((_norm(d_grads), _norm(g_grads)))

    def advance(self, updates: int, *, time_limit_seconds: float = math.inf) -> Metrics | None:
        """Train until at least `updates` parameter updates are done, and report.

        Returns None where the time limit came first; calling again goes on, to the same result.

        Raises:
            DivergedError: a loss, a gradient or a weight is not finite.
        """
        start = time.perf_counter()
        last = math.ceil(updates / (self.config.k + 1)) - 1
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
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        self.seconds = header["seconds"]
        self._iterations_summed = header["iterations_summed"]

    def _begin_second_stage(self) -> None:
        """Let G's lower layers join, against a new D, with all moments at zero."""
        initialise_discriminator(self.discriminator, self.config, self._rng)
        self._train_from(0)

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
        self._g = _make_player(self.generator, config, config.generator_max_norm)
        self._d = _make_player(self.discriminator, config, config.discriminator_max_norm)

    def _to_float(self, rows: Tensor) -> Tensor:
        """Return the training examples `[..., dim]` at `rows` as `Dataset.to_float` does."""
        values = self._data[rows].float().div_(self._scale)
        return values if self._contrast is None else _normalised(values, self._contrast)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"rng": self._rng.get_state(), "loss_sums": self._loss_sums}
        for name, player in (("generator", self._g), ("discriminator", self._d)):
            tensors |= {f"{name}.{key}": p.detach() for key, p in player.net.named_parameters()}
            tensors |= {f"{name}.{key}": tensor for key, tensor in player.net.named_buffers()}
            for i, moment in enumerate(player.moments):
                tensors |= {f"{name}.moment{i}.{j}": tensor for j, tensor in enumerate(moment)}
        return tensors

    def _report(self) -> Metrics:
        self._raise_if_diverged()
        losses = (self._loss_sums / max(self._iterations_summed, 1)).tolist()
        d_real, d_fake = self._probe_discriminator()
        d_grad_norm, g_grad_norm = self._grad_norms.tolist()
        self._loss_sums.zero_()
        self._iterations_summed = 0
        return Metrics(
            updates=self.updates,
            d_updates=self.iteration * self.config.k,
            g_updates=self.iteration,
            seconds=self.seconds,
            d_loss=losses[0],
            g_loss=losses[1],
            d_real=d_real,
            d_fake=d_fake,
            d_grad_norm=d_grad_norm,
            g_grad_norm=g_grad_norm,
        )

    def _raise_if_diverged(self) -> None:
        # A non-finite value anywhere stays in these sums, norms and weights until it is seen here.
        watched = {
            "D's loss": self._loss_sums[0],
            "G's loss": self._loss_sums[1],
            "D's gradient": self._grad_norms[0],
            "G's gradient": self._grad_norms[1],
            "D's weights": _norm(self._d.params),
            "G's weights": _norm(self._g.params),
        }
        finite = torch.isfinite(torch.stack([t.detach() for t in watched.values()])).tolist()
        broken = [name for name, is_finite in zip(watched, finite, strict=True) if not is_finite]
        if broken:
            raise DivergedError(
                f"{', '.join(broken)} not finite by update {self.updates:,}: "
                "lower the learning rates or the momentum"
            )

    def _probe_discriminator(self) -> tuple[float, float]:
        packing, n_train = self.config.packing, self._data.shape[0]
        n_packs = max(1, min(_N_PROBE, n_train) // packing)
        # Fewer examples than a pack holds come in it several times.
        rows = torch.arange(n_packs * packing, device=self.device) % n_train
        fake = torch.from_numpy(self.samples(len(rows))).to(self.device)
        both = torch.cat((self._to_float(rows), fake))
        with torch.no_grad():
            outputs = torch.sigmoid(self.discriminator(both, n_batches=2))
        return outputs[:n_packs].mean().item(), outputs[n_packs:].mean().item()


def first_stage_iterations(config: TrialConfig) -> int:
    """Return how many iterations the pretraining of G's upper layers takes; 0 without one."""
    if config.pretraining == "none":
        return 0
    return math.ceil(config.pretraining_updates / (config.k + 1))


def train(training: Training, report_updates: Iterable[int]) -> Iterator[Metrics]:
    """Yield the metrics at each of `report_updates` (ascending) that is still ahead.

    Raises:
        DivergedError: as `Training.advance`.
    """
    for updates in report_updates:
        if training.updates < updates and (metrics := training.advance(updates)):
            yield metrics


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, which its library reads from files alone."""
    # Eight bytes of header length, then the header as JSON.
    size = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return metadata


def _draw_masks(
    config: TrialConfig, input_widths: Sequence[int], n: int, rng: torch.Generator
) -> list[Tensor | None]:
    masks: list[Tensor | None] = []
    for rate, width in zip(dropout_rates(config), input_widths, strict=True):
        if rate == 0:
            masks.append(None)
            continue
        kept = torch.rand(n, width, generator=rng, device=rng.device) >= rate
        masks.append(kept / (1 - rate))
    return masks


def _make_player(net: Generator | Discriminator, config: TrialConfig, max_norm: float) -> Player:
    layers = layers_of(net)
    params: list[Tensor] = [p for layer in layers for p in layer.parameters()]
    n_moments = 1 if config.optimizer == "sgd" else 2
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    return Player(net, layers, params, moments, max_norm)


@torch.no_grad()
def _update(
    config: TrialConfig,
    player: Player,
    grads: list[Tensor],
    lr: float,
    momentum: float,
    step: int,
) -> None:
    if config.optimizer == "sgd":
        (velocity,) = player.moments
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, grads, alpha=-lr)
        torch._foreach_add_(player.params, velocity)
    else:
        _adam(config, player, grads, lr, step)
    if player.max_norm > 0:
        bound_norms(player.layers, player.max_norm)


def _adam(config: TrialConfig, player: Player, grads: list[Tensor], lr: float, step: int) -> None:
    first, second = player.moments
    beta1, beta2 = config.adam_beta1, config.adam_beta2
    torch._foreach_lerp_(first, grads, 1 - beta1)
    torch._foreach_mul_(second, beta2)
    torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
    scale = torch._foreach_sqrt(second)
    torch._foreach_div_(scale, math.sqrt(1 - beta2**step))
    torch._foreach_add_(scale, ADAM_EPSILON)
    torch._foreach_addcdiv_(player.params, first, scale, -lr / (1 - beta1**step))


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
