"""Calls the user's functions and classes that make G and D.

A maker is called with those of the following that its signature takes: each argument that the
space sets, such as `width` for `generator.width`; `shape` of an example as a network sees it,
`(channels, height, width)` of an image or `(d,)` of a point; `noise_dim`; and `config`, an object
with all parameters of the trial as attributes, on which `generator.width` is `width` for G.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from gansearch.errors import ConfigError, did_you_mean
from gansearch.networks.interface import Shape
from gansearch.rules import Config
from gansearch.space.own_parameters import GIVEN_ARGUMENTS
from gansearch.system.failures import is_lack_of_memory
from gansearch.system.user_code import describe_error

Maker = Callable[..., Any]

_KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NO_DEFAULT = inspect.Parameter.empty


def make_module(maker: Maker, player: str, config: Config, shape: Shape) -> nn.Module:
    """Return the module that one of the user's makers makes.

    Raises:
        ConfigError: it refuses its arguments, fails, or returns no module.
    """
    where = name_of(maker, player)
    if isinstance(maker, nn.Module):
        raise ConfigError(
            f"{where}: it is a module that has been made. Each training needs one of its own. Name "
            "its class, or a function that returns it."
        )
    args, keywords = arguments_for(maker, player, config, shape)
    try:
        made = maker(*args, **keywords)
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        given = ", ".join(f"{k}={v!r}" for k, v in keywords.items() if k not in GIVEN_ARGUMENTS)
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
    first = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    args = [available.get(p.name, p.default) for p in first]
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
    given = dict(zip((p.name for p in first), args, strict=True)) | takes | keywords
    _require(where, player, [name for name, value in given.items() if value is _NO_DEFAULT])
    return args, keywords


def _require(where: str, player: str, missing: list[str]) -> None:
    """Raise ConfigError if a maker needs arguments that nobody gives."""
    if missing:
        names = ", ".join(missing)
        raise ConfigError(
            f"{where}: it needs {names}, which the space doesn't set. gansearch gives config, "
            f"shape and noise_dim by itself. Set {player}.{missing[0]}, or give it a default."
        )


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
