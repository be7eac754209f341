"""Tries the user's own networks on a few examples, before a run starts.

Each fault is answered with one sentence on what was found, the rule, and the remedy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.families.network_faults import (
    check_finite,
    check_parameters,
    check_tensor,
    ends_with_sigmoid,
    refuse_unused,
    succeeds,
    tried,
    unused_by,
)
from gansearch.networks.models import draw_noise
from gansearch.networks.own import OwnDiscriminator, OwnGenerator, OwnNetworkMaker
from gansearch.networks.own_makers import name_of, network_shape
from gansearch.system.global_random import seeded
from gansearch.system.precision import one_thread
from gansearch.training import state
from gansearch.training.losses import GENERATOR_LOSSES, discriminator_loss
from gansearch.training.training import AdversarialTraining

_N = 4  # examples in a minibatch
_TRIES = 4  # before a parameter counts as unused: a layer may be left out at random
_TOLERANCE = 1e-3  # beyond the range of pixels


def check_networks(maker: OwnNetworkMaker, config: AdversarialConfig, dataset: Dataset) -> None:
    """Raise ConfigError if the networks of a configuration can't be trained on a data set."""
    try:
        with seeded(0, "cpu"), one_thread():
            for stage in config.stages:
                _Check(maker, stage, dataset).run()
    except ConfigError as error:
        raise ConfigError(f"{error}{_arguments_in(config, str(error))}") from error.__cause__


def _arguments_in(config: AdversarialConfig, message: str) -> str:
    """Return a sentence on the networks' arguments that differ from their defaults, if any do."""
    differ = {
        name: getattr(config, name)
        for name, default in config.defaults().items()
        if "." in name and getattr(config, name) != default
    }
    words = [f"{name}={value!r}" for name, value in differ.items()]
    left = [word for word in words if word.partition(".")[2] not in message]
    return f" Found with {', '.join(left)}." if left else ""


class _Check:
    """A training of the networks on minibatches of a few examples."""

    def __init__(self, maker: OwnNetworkMaker, config: AdversarialConfig, dataset: Dataset) -> None:
        self._config = _shortened(config)
        self._dataset = dataclasses.replace(dataset, train=dataset.train[: 2 * _N], labels=None)
        self._maker = maker
        self._g_name = name_of(maker.generator, "generator")
        self._d_name = name_of(maker.discriminator, "discriminator")

    def run(self) -> None:
        training = self._built()
        before: bytes = tried(
            f"{self._g_name}, {self._d_name}: their parameters and buffers can't be saved",
            "Each must be a tensor of its own, no part of another",
            training.save,
        )
        generator, discriminator = training.generator, training.discriminator
        assert isinstance(generator, OwnGenerator) and isinstance(discriminator, OwnDiscriminator)
        for name, net in ((self._g_name, generator), (self._d_name, discriminator)):
            check_parameters(name, net)
        tries = [self._unused(generator, discriminator)]
        while any(tries[-1]) and len(tries) < _TRIES:
            tries.append(self._unused(generator, discriminator))
        for name, *unused in zip((self._g_name, self._d_name), *tries, strict=True):
            refuse_unused(name, set.intersection(*unused))
        self._check_sampling(generator)
        tried(
            f"{self._g_name}, {self._d_name}: their saved state can't be loaded again",
            "Parameters and buffers must keep their names and shapes",
            lambda: training.load(before),
        )
        self._check_iteration(training)

    def _built(self) -> AdversarialTraining:
        return tried(
            f"{self._g_name}, {self._d_name}: they fail on their first input",
            "Networks must take noise and examples as docs/networks.md describes them",
            lambda: AdversarialTraining(
                self._config, self._dataset, 0, max_updates=2, make=self._maker
            ),
        )

    def _unused(
        self, generator: OwnGenerator, discriminator: OwnDiscriminator
    ) -> tuple[set[str], set[str]]:
        """Return the names of G's and of D's parameters that their losses don't depend on."""
        fake = self._fake(generator)
        rows = np.arange(_N) % len(self._dataset.train)
        real = torch.from_numpy(self._dataset.to_float(self._dataset.train[rows]))
        real_logits = self._logits(discriminator, real)
        d_loss = discriminator_loss(real_logits, self._logits(discriminator, fake.detach()))
        g_loss = GENERATOR_LOSSES[self._config.generator_loss](self._logits(discriminator, fake))
        return (
            unused_by(self._g_name, g_loss, generator),
            unused_by(self._d_name, d_loss, discriminator),
        )

    def _fake(self, generator: OwnGenerator) -> Tensor:
        """Return G's examples as rows."""
        shape = network_shape(self._dataset.shape)
        noise, dim = self._noise(), self._config.noise_dim

        def remedy() -> str:
            if succeeds(lambda: generator.net(noise[..., None, None])):
                return f"Let it begin with nn.Unflatten(1, ({dim}, 1, 1))"
            return "Mend its code"

        made = tried(
            f"{self._g_name}: it fails on noise of shape {list(noise.shape)}",
            f"It must take noise [n, {dim}] and return {_among(shape)}",
            lambda: generator.net(noise),
            remedy,
        )
        self._check_fake(made, shape)
        return generator.rows(made)

    def _check_fake(self, made: Any, shape: Sequence[int]) -> None:
        name = self._g_name
        check_tensor(name, made, "examples")
        dim = self._dataset.dim
        if tuple(made.shape) not in {(_N, *shape), (_N, dim)}:
            raise ConfigError(
                f"{name}: of {_N} rows of noise it makes a tensor of shape {list(made.shape)}. On "
                f"{self._dataset.name} it must be {_among(shape)}, that is {[_N, *shape]}. Change "
                "its last layers."
            )
        check_finite(name, made, "output")
        if not self._dataset.is_bounded:
            return
        low, high = self._maker.value_range or (0, 1)
        found = made.min().item(), made.max().item()
        if low - _TOLERANCE <= found[0] and found[1] <= high + _TOLERANCE:
            return
        is_tanh = (low, high) == (0, 1) and found[0] >= -1 and found[1] <= 1
        last = "tanh" if low < 0 else "sigmoid"
        raise ConfigError(
            f"{name}: its images have values from {found[0]:.3g} to {found[1]:.3g}. They must lie "
            f"in [{low:g}, {high:g}], the output_range. "
            + ("Set output_range: [-1, 1], or end it" if is_tanh else "End it")
            + f" with a {last}."
        )

    def _logits(self, discriminator: OwnDiscriminator, rows: Tensor) -> Tensor:
        """Return D's logits of rows."""
        name, seen = self._d_name, discriminator.inputs(rows)
        logits: Tensor = tried(
            f"{name}: it fails on examples of shape {list(seen.shape)}",
            f"It must take {_among(network_shape(self._dataset.shape))} and return a logit of each",
            lambda: discriminator.net(seen),
        )
        check_tensor(name, logits, "logits")
        if tuple(logits.shape) not in {(_N,), (_N, 1), (_N, 1, 1, 1)}:
            raise ConfigError(
                f"{name}: of {_N} examples it makes a tensor of shape {list(logits.shape)}. It "
                "must return one logit of each, [n] or [n, 1]. Change its last layers."
            )
        check_finite(name, logits, "output")
        if ends_with_sigmoid(logits):
            raise ConfigError(
                f"{name}: it ends with a sigmoid, and so returns probabilities. It must return "
                "logits, the values before the sigmoid. Leave the sigmoid out."
            )
        return logits.reshape(_N)

    def _check_sampling(self, generator: OwnGenerator) -> None:
        """See that G gives the same samples again from the same random numbers of torch."""
        noise = self._noise()

        def sampled() -> Tensor:
            with torch.no_grad(), generator.evaluation():
                rows: Tensor = generator(noise)
                return rows

        what = f"{self._g_name}: it fails in evaluation mode"
        first, again = (tried(what, "Samples are made in this mode", sampled) for _ in range(2))
        check_finite(self._g_name, first, "output in evaluation mode")
        if not torch.equal(first, again):
            raise ConfigError(
                f"{self._g_name}: the same noise gives other samples the second time. A run's "
                "samples must be the same whenever they are made. Draw random numbers from torch "
                "alone, and change no state in evaluation mode."
            )

    def _check_iteration(self, training: AdversarialTraining) -> None:
        """Do one iteration, with the penalties and the number format of the configuration."""
        config = self._config
        special = ["unrolled_steps"] if config.unrolled_steps > 0 else []
        if config.gradient_penalty != "none":
            special.append(f"gradient_penalty: {config.gradient_penalty}")
        rule, remedy = "Their gradients must be computable", "Mend their code"
        if special:
            names = " and ".join(special)
            rule = f"{names} must differentiate D more than once, which some operations don't allow"
            remedy = f"Replace the operation, or leave {names} out"
        if config.precision == "bf16":
            rule += "; precision: bf16 gives their operations shorter numbers"
        what = f"{self._g_name}, {self._d_name}: the first iteration of the training fails"
        tried(what, rule, training.step, lambda: remedy)
        again = self._built()
        again.step()
        tensors = state.tensors_of(again.players)
        for name, tensor in state.tensors_of(training.players).items():
            if not torch.equal(tensor.nan_to_num(), tensors[name].nan_to_num()):
                raise ConfigError(
                    f"{self._g_name}, {self._d_name}: two trainings of the same seed differ after "
                    f"an iteration, in {name.replace('.net.', '.')}. A seed must decide all of a "
                    "training. Draw random numbers from torch alone, also for initial weights, and "
                    "keep in buffers what a network remembers."
                )

    def _noise(self) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        return draw_noise(self._config, (_N, self._config.noise_dim), rng)


def _shortened(config: AdversarialConfig) -> AdversarialConfig:
    """Return the configuration of a check, which takes little time whatever the trial takes."""
    few = {"batch_size": _N, "k": 1, "unrolled_steps": min(1, config.unrolled_steps)}
    return type(config).from_dict(config.to_dict() | few)


def _among(shape: Sequence[int]) -> str:
    """Return in words what a minibatch of examples is, as networks see them."""
    if len(shape) != 3:
        return f"points [n, {shape[0]}]"
    return f"images [n, {', '.join(map(str, shape))}] (channels, height, width)"
