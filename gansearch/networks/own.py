"""The user's own G and D: made by the user's functions or classes, with our interface around them.

A maker is called with those of the following that its signature takes: each argument that the
space sets, such as `width` for `generator.width`; `shape` of an example as a network sees it,
`(channels, height, width)` of an image or `(d,)` of a point; `noise_dim`; and `config`, an object
with all parameters of the trial as attributes, on which `generator.width` is `width` for G.

Images are `[n, channels, height, width]` in the range of values that the user declares, points `[n,
d]` as they are. D returns logits. While they are not trained, networks are in evaluation mode.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gansearch.errors import ConfigError, did_you_mean
from gansearch.networks.dropout import Masks
from gansearch.networks.global_random import GlobalRandom, seeded
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator, Network, Networks, Shape
from gansearch.networks.models import channels_first
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.system.failures import is_lack_of_memory
from gansearch.system.user_code import describe_error

PLAYERS = ("generator", "discriminator")
Maker = Callable[..., Any]
ValueRange = tuple[float, float]

_GIVEN = ("config", "shape", "noise_dim")  # arguments that no space sets
_KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NO_DEFAULT = inspect.Parameter.empty


class _OwnNetwork(Network):
    """What both have in common: the user's module, and when it trains.

    Attributes:
        net: the user's module.
    """

    net: nn.Module

    def trained_parameters(self) -> list[Tensor]:
        """Return the parameters that the user hasn't frozen."""
        return [p for p in self.parameters() if p.requires_grad]

    @contextmanager
    def evaluation(self, seed: int = 0) -> Iterator[None]:
        """Return a context of evaluation mode, with random numbers from `seed`."""
        device = next(self.parameters()).device.type
        was_training = self.training
        self.eval()
        try:
            with seeded(seed, device):
                yield
        finally:
            self.train(was_training)


class OwnGenerator(_OwnNetwork, AnyGenerator):
    """The user's G between our rows: noise `[n, noise_dim]` to examples `[n, dim]`.

    Args:
        net: the user's module.
        shape: of an example, as `Dataset.shape`.
        noise_dim: dimension of the noise.
        value_range: of the pixels that it returns; None where they are those of the data.

    Attributes:
        value_range: as given.
    """

    def __init__(
        self, net: nn.Module, shape: Shape, noise_dim: int, value_range: ValueRange | None
    ) -> None:
        super().__init__()
        self.net = net
        self.shape = shape
        self._noise_dim = noise_dim
        self.value_range = value_range

    @property
    def noise_dim(self) -> int:
        """Dimension of the noise that the forward pass takes."""
        return self._noise_dim

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        return self.rows(self.net(noise))

    def rows(self, made: Tensor) -> Tensor:
        """Return what the user's module made as rows."""
        if made.dim() == 4:
            made = made.permute(0, 2, 3, 1)
        rows = made.reshape(len(made), self.dim)
        if self.value_range is None:
            return rows
        low, high = self.value_range
        return (rows - low) / (high - low)


class OwnDiscriminator(_OwnNetwork, AnyDiscriminator):
    """The user's D behind our rows: examples `[n, dim]` to logits `[n]`."""

    def __init__(self, net: nn.Module, shape: Shape, value_range: ValueRange | None) -> None:
        super().__init__()
        self.net = net
        self.shape = shape
        self._value_range = value_range

    def forward(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:  # noqa: ARG002
        """Return logits `[n]`.

        Args:
            x: examples `[n, dim]`.
            masks: none; dropout is the network's own.
            n_batches: minibatches of equal size that x is made of, one after the other, such as a
                real and a generated one. The network takes each by itself.
        """
        logits = [self.net(each).reshape(len(each)) for each in self.inputs(x).chunk(n_batches)]
        return logits[0] if n_batches == 1 else torch.cat(logits)

    def inputs(self, x: Tensor) -> Tensor:
        """Return examples `[n, dim]` as the network takes them."""
        if self._value_range is not None:
            low, high = self._value_range
            x = x * (high - low) + low
        if len(self.shape) != 3:
            return x
        # By way of rows, so that strides are the usual ones: those of a permutation would make
        # convolutions give channels-last maps, which a network's own `view` can't take.
        return channels_first(x, self.shape).reshape(len(x), *network_shape(self.shape))


@dataclass(frozen=True)
class OwnNetworkMaker:
    """Makes the networks of a training from the user's two makers, as a `NetworkMaker`.

    Attributes:
        generator, discriminator: the user's makers.
        value_range: of pixels as the networks have them; None for values as the data has them.
    """

    generator: Maker
    discriminator: Maker
    value_range: ValueRange | None = None

    def __call__(
        self,
        config: Any,
        shape: Shape,
        data_mean: Tensor,  # noqa: ARG002
        rng: torch.Generator,
        device: str,
    ) -> Networks:
        """Return new networks; their weights are the same on every device.

        Raises:
            ConfigError: a maker refuses its arguments, fails, or returns no module.
        """
        seed = trial_seed(rng.initial_seed(), "initial weights", 0)
        generator, discriminator = self.on_cpu(config, shape, seed)
        # Made once more, since not every module can be copied; by the same numbers, since not all
        # that a module draws need be in its parameters.
        average = self.on_cpu(config, shape, seed)[0] if config.generator_ema > 0 else None
        for net in filter(None, (generator, discriminator, average)):
            if device != "cpu":
                net.to(device)
        drawn = GlobalRandom(trial_seed(rng.initial_seed(), "global random numbers", 0), device)
        return Networks(generator, discriminator, average, drawn)

    def on_cpu(self, config: Any, shape: Shape, seed: int) -> tuple[OwnGenerator, OwnDiscriminator]:
        """Return new networks on the CPU, in training mode, from torch's numbers of `seed`.

        Raises:
            ConfigError: as when it is called.
        """
        with seeded(seed, "cpu"):
            return self._make(config, shape)

    def on_meta(self, config: Any, shape: Shape) -> tuple[OwnGenerator, OwnDiscriminator]:
        """Return new networks whose tensors have shapes but no values."""
        with torch.device("meta"):
            return self.on_cpu(config, shape, 0)

    def _make(self, config: Any, shape: Shape) -> tuple[OwnGenerator, OwnDiscriminator]:
        made = [
            make_module(maker, player, config, shape)
            for player, maker in zip(PLAYERS, (self.generator, self.discriminator), strict=True)
        ]
        generator = OwnGenerator(made[0], shape, config.noise_dim, self.value_range)
        discriminator = OwnDiscriminator(made[1], shape, self.value_range)
        _complete(generator, discriminator)
        return generator.train(), discriminator.train()


def make_module(maker: Maker, player: str, config: Config, shape: Shape) -> nn.Module:
    """Return the module that one of the user's makers makes.

    Raises:
        ConfigError: it refuses its arguments, fails, or returns no module.
    """
    where = name_of(maker, player)
    args, keywords = arguments_for(maker, player, config, shape)
    try:
        made = maker(*args, **keywords)
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        given = ", ".join(f"{k}={v!r}" for k, v in keywords.items() if k not in _GIVEN)
        raise ConfigError(
            f"{where}: it fails{f' with {given}' if given else ''} ({describe_error(error)}). It "
            "must make a network for every configuration of the space. Mend it, or leave such "
            "values out of the space."
        ) from error
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"{where}: it returns {_described(made)}. It must return a torch.nn.Module, or be a "
            "class of these."
        )
    return made


def arguments_for(
    maker: Maker, player: str, config: Config, shape: Shape
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments that a maker is called with.

    Raises:
        ConfigError: the space sets an argument that it doesn't take, or leaves out one that it
            needs.
    """
    where, parameters = name_of(maker, player), _parameters(maker)
    own = _own_values(config, player)
    available = {
        "config": SimpleNamespace(**{n: getattr(config, n) for n in config.rules()} | own),
        "shape": network_shape(shape),
        "noise_dim": config.noise_dim,  # type: ignore[attr-defined]
    }
    args = [available.get(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_ONLY]
    takes = {p.name: p.default for p in parameters if p.kind in _KEYWORDS}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    keywords = {name: value for name, value in available.items() if name in takes}
    for name, value in own.items():
        if name in takes or takes_all:
            keywords[name] = _as_argument(value, takes.get(name))
        elif "config" not in takes and not args:
            raise ConfigError(
                f"{player}.{name}: {where.partition(': ')[2]} has no such argument. "
                + did_you_mean(name, takes)
            )
    missing = [name for name, default in takes.items() if default is _NO_DEFAULT]
    missing = [name for name in missing if name not in keywords]
    if missing or _NO_DEFAULT in args:
        names = ", ".join(missing) or "a positional argument"
        raise ConfigError(
            f"{where}: it needs {names}, which the space doesn't set. gansearch gives config, "
            f"shape and noise_dim by itself. Set {player}.{names.split(', ')[0]}, or give it a "
            "default."
        )
    return args, keywords


def network_shape(shape: Shape) -> Shape:
    """Return the shape of an example as networks of the user's own see it.

    >>> network_shape((28, 32, 3)), network_shape((2,))
    ((3, 28, 32), (2,))
    """
    if len(shape) != 3:
        return shape
    height, width, channels = shape
    return channels, height, width


def name_of(maker: Maker, player: str) -> str:
    """Return what messages call a maker, such as `generator: make_g`."""
    found = inspect.unwrap(maker)
    while hasattr(found, "func"):  # functools.partial
        found = found.func
    return f"{player}: {getattr(found, '__qualname__', type(found).__qualname__)}"


def _complete(generator: OwnGenerator, discriminator: OwnDiscriminator) -> None:
    """Give lazy modules, whose sizes come from their first input, their parameters."""
    if not any(is_lazy(t) for net in (generator, discriminator) for t in _tensors(net)):
        return
    with torch.no_grad():
        fake = generator.eval()(torch.zeros(2, generator.noise_dim))
        discriminator.eval()(fake)


def _tensors(net: nn.Module) -> Iterator[Tensor]:
    yield from net.parameters()
    yield from net.buffers()


def _parameters(maker: Maker) -> list[inspect.Parameter]:
    """Return what a maker takes; a class its constructor's arguments."""
    try:
        return list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):  # of a few functions in C
        return []


def _own_values(config: Config, player: str) -> dict[str, Any]:
    """Return the arguments that a configuration sets for a player's maker."""
    names = (name for name in config.rules() if name.startswith(f"{player}."))
    return {
        name.removeprefix(f"{player}."): getattr(config, name)
        for name in names
        if config.applies(name)
    }


def _as_argument(value: Any, default: Any) -> Any:
    """Return a value as the maker has it; widths, which are tuples, as a list where that has."""
    return list(value) if isinstance(value, tuple) and not isinstance(default, tuple) else value


def _described(value: object) -> str:
    """Return what a value is, for messages: with its shape, if it is a tensor."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return "None" if value is None else f"an object of the type {type(value).__name__}"
