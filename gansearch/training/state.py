"""A training's state as bytes: a safetensors file with a JSON header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gansearch.errors import GansearchError
from gansearch.system.files import safetensors_metadata
from gansearch.training.players import Players


def encode(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Return a state as bytes."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save_tensors(contiguous, {"training": json.dumps(header)})


def decode(state: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header and the tensors that `encode` was given.

    Raises:
        GansearchError: the bytes are damaged.
    """
    try:
        return json.loads(safetensors_metadata(state)["training"]), load_tensors(state)
    except Exception as error:
        raise GansearchError(f"checkpoint: not a readable training state ({error}).") from error


def tensors_of(players: Players) -> dict[str, Tensor]:
    """Return all tensors of G, D and their optimizers, by name."""
    tensors: dict[str, Tensor] = {}
    for name, net, player in (
        ("generator", players.generator_net, players.generator),
        ("discriminator", players.discriminator_net, players.discriminator),
    ):
        tensors |= {f"{name}.{key}": p.detach() for key, p in net.named_parameters()}
        tensors |= {f"{name}.{key}": tensor for key, tensor in net.named_buffers()}
        kinds = ("sum",) if len(player.moments) == 1 else ("first", "second")
        for kind, moment in zip(kinds, player.moments, strict=True):
            tensors |= {f"{name}.{kind}.{j}": tensor for j, tensor in enumerate(moment)}
        averages = player.average or []
        tensors |= {f"{name}.average.{j}": tensor for j, tensor in enumerate(averages)}
    return tensors


def copy_into(own: Mapping[str, Tensor], loaded: Mapping[str, Tensor]) -> None:
    """Copy loaded tensors into those of the same names.

    Raises:
        GansearchError: the names or the shapes differ.
    """
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in loaded.items()}:
        raise GansearchError("checkpoint: its tensors don't fit this configuration.")
    with torch.no_grad():
        for name, tensor in loaded.items():
            own[name].copy_(tensor)
