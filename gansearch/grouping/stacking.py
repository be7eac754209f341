"""Players whose tensors have a leading member axis, and the part of them that a member has."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gansearch.config import TrialConfig
from gansearch.networks.layers import Layer
from gansearch.networks.models import Discriminator, Generator, layers_of
from gansearch.training.optimizers import Player, make_player, prepare_updates
from gansearch.training.players import Players


def stacked_players(
    structure: TrialConfig, shape: tuple[int, ...], n_slots: int, device: str
) -> Players:
    """Return players whose tensors have a leading axis of `n_slots`, all zero."""
    g, d = Generator(structure, shape), Discriminator(structure, shape)
    players = []
    bounded = structure.generator_max_norm > 0, structure.discriminator_max_norm > 0
    nets: tuple[Generator | Discriminator, ...] = (g, d)
    for net, is_bounded in zip(nets, bounded, strict=True):
        for layer in layers_of(net):
            _stack(layer, n_slots, device)
        bounds = torch.full((n_slots,), torch.inf, device=device) if is_bounded else None
        players.append(make_player(net, structure.optimizer, bounds))
        prepare_updates(players[-1])
    if structure.generator_ema > 0:
        players[0].average = [torch.zeros_like(p) for p in players[0].params]
    return Players(structure, g, d, *players)


def _stack(layer: Layer, n_slots: int, device: str) -> None:
    for name, parameter in list(layer.named_parameters()):
        stacked = torch.zeros(n_slots, *parameter.shape, device=device)
        setattr(layer, name, nn.Parameter(stacked))


def pairs(stacked: Players, own: Players, slot: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each tensor of a member's players with the part of its slot that it takes."""
    for padded, unpadded in zip(both(stacked), both(own), strict=True):
        pieces = [layer.activation.pieces for layer in unpadded.layers for _ in layer.parameters()]
        for kind, tensors in zip(padded.tensors, unpadded.tensors, strict=True):
            for n_pieces, member_axis, tensor in zip(pieces, kind, tensors, strict=True):
                yield _corner(member_axis.detach()[slot], tensor.detach(), n_pieces)


def both(players: Players) -> tuple[Player, Player]:
    """Return G's and D's trained parameters."""
    return players.generator, players.discriminator


def _corner(padded: Tensor, tensor: Tensor, n_pieces: int) -> tuple[Tensor, Tensor]:
    """Return the part of a padded tensor that another one takes, and that one in its shape.

    Units come last, `n_pieces` times one after the other, and each of these is padded. Those of
    convolutions, which don't, are not padded.
    """
    if padded.shape == tensor.shape:
        return padded, tensor
    by_piece, small = (torch.unflatten(t, -1, (n_pieces, -1)) for t in (padded, tensor))
    return by_piece[tuple(slice(n) for n in small.shape)], small
