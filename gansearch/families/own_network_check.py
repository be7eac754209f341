"""Tries the user's own networks on a few examples, before a run starts.

Each fault is answered with one sentence on what was found, the rule, and the remedy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.networks.global_random import seeded
from gansearch.networks.interface import Network
from gansearch.networks.models import draw_noise
from gansearch.networks.own import (
    OwnDiscriminator,
    OwnGenerator,
    OwnNetworkMaker,
    name_of,
    network_shape,
)
from gansearch.system.failures import is_lack_of_memory
from gansearch.system.user_code import describe_error
from gansearch.training import state
from gansearch.training.losses import GENERATOR_LOSSES, discriminator_loss
from gansearch.training.training import AdversarialTraining

_N = 4  # examples in a minibatch
_TRIES = 4  # before a parameter counts as unused: a layer may be left out at random
_N_NAMED = 4  # of the unused parameters
_TOLERANCE = 1e-3  # beyond the range of pixels
# Operations after a sigmoid that leave its values as they are.
_RESHAPES = ("View", "Reshape", "Squeeze", "Unsqueeze", "Select", "Flatten", "Transpose", "Permute")

T = TypeVar("T")


def check_networks(maker: OwnNetworkMaker, config: AdversarialConfig, dataset: Dataset) -> None:
    """Raise ConfigError if the networks of a configuration can't be trained on a data set."""
    try:
        with seeded(0, "cpu"), _one_thread():
            _Check(maker, config, dataset).run()
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core: for so few examples others only make it wait, a second on a busy CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        before: bytes = _tried(
            f"{self._g_name}, {self._d_name}: their parameters and buffers can't be saved",
            "Each must be a tensor of its own, no part of another",
            training.save,
        )
        generator, discriminator = training.generator, training.discriminator
        assert isinstance(generator, OwnGenerator) and isinstance(discriminator, OwnDiscriminator)
        for name, net in ((self._g_name, generator), (self._d_name, discriminator)):
            _check_parameters(name, net)
        tries = [self._unused(generator, discriminator)]
        while any(tries[-1]) and len(tries) < _TRIES:
            tries.append(self._unused(generator, discriminator))
        for name, *unused in zip((self._g_name, self._d_name), *tries, strict=True):
            _refuse_unused(name, set.intersection(*unused))
        self._check_sampling(generator)
        _tried(
            f"{self._g_name}, {self._d_name}: their saved state can't be loaded again",
            "Parameters and buffers must keep their names and shapes",
            lambda: training.load(before),
        )
        self._check_iteration(training)

    def _built(self) -> AdversarialTraining:
        return _tried(
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
            _unused_by(self._g_name, g_loss, generator),
            _unused_by(self._d_name, d_loss, discriminator),
        )

    def _fake(self, generator: OwnGenerator) -> Tensor:
        """Return G's examples as rows."""
        shape = network_shape(self._dataset.shape)
        noise, dim = self._noise(), self._config.noise_dim

        def remedy() -> str:
            if _succeeds(lambda: generator.net(noise[..., None, None])):
                return f"Let it begin with nn.Unflatten(1, ({dim}, 1, 1))"
            return "Mend its code"

        made = _tried(
            f"{self._g_name}: it fails on noise of shape {list(noise.shape)}",
            f"It must take noise [n, {dim}] and return {_among(shape)}",
            lambda: generator.net(noise),
            remedy,
        )
        self._check_fake(made, shape)
        return generator.rows(made)

    def _check_fake(self, made: Any, shape: Sequence[int]) -> None:
        name = self._g_name
        _check_tensor(name, made, "examples")
        dim = self._dataset.dim
        if tuple(made.shape) not in {(_N, *shape), (_N, dim)}:
            raise ConfigError(
                f"{name}: of {_N} rows of noise it makes a tensor of shape {list(made.shape)}. On "
                f"{self._dataset.name} it must be {_among(shape)}, that is {[_N, *shape]}. Change "
                "its last layers."
            )
        _check_finite(name, made, "output")
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
        logits: Tensor = _tried(
            f"{name}: it fails on examples of shape {list(seen.shape)}",
            f"It must take {_among(network_shape(self._dataset.shape))} and return a logit of each",
            lambda: discriminator.net(seen),
        )
        _check_tensor(name, logits, "logits")
        if tuple(logits.shape) not in {(_N,), (_N, 1), (_N, 1, 1, 1)}:
            raise ConfigError(
                f"{name}: of {_N} examples it makes a tensor of shape {list(logits.shape)}. It "
                "must return one logit of each, [n] or [n, 1]. Change its last layers."
            )
        _check_finite(name, logits, "output")
        if _ends_with_sigmoid(logits):
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
        first, again = (_tried(what, "Samples are made in this mode", sampled) for _ in range(2))
        _check_finite(self._g_name, first, "output in evaluation mode")
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
        _tried(what, rule, training.step, lambda: remedy)
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


def _tried(
    what: str,
    rule: str,
    function: Callable[[], T],
    remedy: Callable[[], str] = lambda: "Mend its code",
) -> T:
    """Return what a function of the user's returns; raise ConfigError where it fails."""
    try:
        return function()
    except ConfigError:
        raise
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        found = describe_error(error).removesuffix(".")
        raise ConfigError(f"{what} ({found}). {rule}. {remedy()}.") from error


def _succeeds(function: Callable[[], object]) -> bool:
    """Return whether a function of the user's works."""
    try:
        function()
    except Exception:  # whatever it is
        return False
    return True


def _check_parameters(name: str, net: Network) -> None:
    parameters = list(net.parameters())
    if not parameters:
        raise ConfigError(
            f"{name}: it has no parameters, so that it can't learn. Layers must be attributes of "
            "the module; in a list they need nn.ModuleList."
        )
    if not net.trained_parameters():
        raise ConfigError(
            f"{name}: all of its parameters are frozen (requires_grad is False). Some must be "
            "trained. Leave some of them as they are."
        )
    other = next((p.dtype for p in parameters if p.dtype != torch.float32), None)
    if other is not None:
        raise ConfigError(
            f"{name}: it has parameters of the type {other}. They must be torch.float32; "
            "precision: bf16 trains in shorter numbers. Leave the conversion out."
        )


def _check_tensor(name: str, made: Any, what: str) -> None:
    if not isinstance(made, Tensor):
        raise ConfigError(
            f"{name}: it returns an object of the type {type(made).__name__}. It must return one "
            f"tensor, of {what}. Leave the rest out."
        )
    if not made.is_floating_point():
        raise ConfigError(
            f"{name}: it returns numbers of the type {made.dtype}. It must return floating-point "
            "numbers, which have a gradient. Leave the conversion out."
        )
    if not made.requires_grad:
        raise ConfigError(
            f"{name}: no gradient leads through it to its parameters. It is trained by its "
            "gradient. Leave out detach(), no_grad() and new tensors made from values."
        )


def _check_finite(name: str, made: Tensor, what: str) -> None:
    if not torch.isfinite(made).all():
        raise ConfigError(
            f"{name}: its {what} has values that are NaN or infinite before any training. All must "
            "be finite. Check its initial weights, and divisions and logarithms in it."
        )


def _unused_by(name: str, loss: Tensor, net: Network) -> set[str]:
    """Return the names of the trained parameters that a loss does not depend on."""
    trained = {key: p for key, p in net.named_parameters() if p.requires_grad}
    grads: tuple[Tensor | None, ...] = _tried(
        f"{name}: its gradient can't be computed",
        "Each of its operations must have one",
        lambda: torch.autograd.grad(loss, list(trained.values()), None, True, allow_unused=True),
    )
    for grad in grads:
        if grad is not None:
            _check_finite(name, grad, "gradient")
    found = zip(trained, grads, strict=True)
    return {key.removeprefix("net.") for key, grad in found if grad is None}


def _refuse_unused(name: str, unused: set[str]) -> None:
    if not unused:
        return
    more = f" and {len(unused) - _N_NAMED} more" if len(unused) > _N_NAMED else ""
    raise ConfigError(
        f"{name}: nothing uses its parameters {', '.join(sorted(unused)[:_N_NAMED])}{more}: its "
        "loss does not depend on them. All that are trained must be used. Use them in forward, "
        "remove them, or freeze them by requires_grad_(False)."
    )


def _ends_with_sigmoid(logits: Tensor) -> bool:
    """Return whether the last operation, apart from changes of shape, is a sigmoid."""
    node = logits.grad_fn
    while node is not None and any(word in node.name() for word in _RESHAPES):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")


def _among(shape: Sequence[int]) -> str:
    """Return in words what a minibatch of examples is, as networks see them."""
    if len(shape) != 3:
        return f"points [n, {shape[0]}]"
    return f"images [n, {', '.join(map(str, shape))}] (channels, height, width)"
