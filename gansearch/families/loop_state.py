"""The state of a training loop of the user's own, as bytes: a safetensors file, no pickle.

State is a mapping of names to what has `state_dict` and `load_state_dict` (modules, optimizers,
schedules), to tensors and arrays, and to dicts and lists of these and of plain values.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gansearch.errors import ConfigError
from gansearch.system.files import safetensors_metadata

_PLAIN = (type(None), bool, int, float, str)
_MAX_TOLD = 300  # characters of what torch says, with a line for each parameter
_RULE = (
    "State has, each under a name of its own, modules, optimizers and other objects with a "
    "state_dict, tensors and arrays, and dicts and lists of numbers, text, tensors and arrays. "
    "Leave it out, or store what it is made of."
)


def encode(header: Mapping[str, Any], state: Mapping[str, Any] | None) -> bytes:
    """Return a header, of the kinds that state has, and the state as bytes.

    Raises:
        ConfigError: something in it can't be saved.
    """
    tensors: dict[str, Tensor] = {}
    content = {"header": _packed("header", dict(header), tensors), "state": None}
    if state is not None:
        content["state"] = _packed("state", _values_of(state), tensors)
    return save_tensors(tensors, {"loop": json.dumps(content)})


def decode(content: bytes) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the header and the values of the state that `encode` was given.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        packed = json.loads(safetensors_metadata(content)["loop"])
        tensors = load_tensors(content)
        return _unpacked(packed["header"], tensors), _unpacked(packed["state"], tensors)
    except Exception as error:  # what safetensors and json raise on damaged bytes
        raise ValueError(f"not the state of a loop ({error})") from error


def restore(state: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Load the values that `decode` returned into the objects of `state`.

    Raises:
        ConfigError: the names differ, or an object can't take its value.
    """
    if set(state) != set(values):
        raise ConfigError(
            f"restore: found {', '.join(sorted(state))}, where the last report's state has "
            f"{', '.join(sorted(values))}. Give both the same state."
        )
    for name, value in values.items():
        _load_into(f"state[{name!r}]", state[name], value)


def modules_of(state: Mapping[str, Any] | None) -> list[torch.nn.Module]:
    """Return the modules of a state."""
    return [value for value in (state or {}).values() if isinstance(value, torch.nn.Module)]


def tensors_of(state: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Return the weights of the modules of a state by name, such as `g.0.weight`."""
    return {
        f"{name}.{key}": tensor.detach().cpu().contiguous().numpy()
        for name, value in (state or {}).items()
        if isinstance(value, torch.nn.Module)
        for key, tensor in value.state_dict().items()
        if tensor.dtype != torch.bfloat16  # which NumPy doesn't know
    }


def _values_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with each object's `state_dict` in its place."""
    return {
        name: value.state_dict() if hasattr(value, "state_dict") else value
        for name, value in state.items()
    }


def _packed(where: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON, its tensors by the names that they have in `tensors`."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {"array": _packed(where, torch.from_numpy(np.ascontiguousarray(value)), tensors)}
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        entries = [
            [key, _packed(f"{where}[{key!r}]", entry, tensors)] for key, entry in value.items()
        ]
        if all(isinstance(key, _PLAIN) for key, _ in entries):
            return {"dict": entries}
    if isinstance(value, list | tuple):
        entries = [_packed(f"{where}[{i}]", entry, tensors) for i, entry in enumerate(value)]
        return {"tuple": entries} if isinstance(value, tuple) else entries
    kind = type(value).__name__
    raise ConfigError(f"{where}: an object of the type {kind} can't be saved. {_RULE}")


def _unpacked(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(packed, list):
        return [_unpacked(entry, tensors) for entry in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return _unpacked(content, tensors).numpy()
    if kind == "tuple":
        return tuple(_unpacked(entry, tensors) for entry in content)
    return {key: _unpacked(entry, tensors) for key, entry in content}


def _load_into(where: str, target: Any, value: Any) -> None:
    """Load a value into an object, in place."""
    try:
        if hasattr(target, "load_state_dict"):
            target.load_state_dict(value)
        elif isinstance(target, Tensor):
            with torch.no_grad():
                target.copy_(value)
        elif isinstance(target, np.ndarray):
            target[...] = value
        elif isinstance(target, dict):
            target.clear()
            target.update(value)
        elif isinstance(target, list):
            target[:] = value
        else:
            raise ConfigError(
                f"restore: {where}: found {reprlib.repr(target)}, which can't be changed in place. "
                "Put it into a dict or a list, from which the loop reads it after restore: "
                'state={"counts": {"epoch": epoch}}, say.'
            )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"restore: {where}: the {type(target).__name__} can't take what was saved "
            f"({shorten(str(error), _MAX_TOLD)}). Give restore the same state as report."
        ) from error
