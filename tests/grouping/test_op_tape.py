"""Nothing of a chunk is baked in when it is recorded, as a CUDA graph is, and replayed.

No GPU is needed: the operations of a chunk whose members are not due are written down with their
tensors, and done again on the same memory for every later chunk. A number that the host computed,
or a branch that it took, would stay as it was in the recording.
"""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.training.examples import Examples
from tests.grouping.test_group import STRUCTURES, blobs, same, state_of, training_of
from tests.training.test_training import small


class Tape(TorchDispatchMode):
    """Operations with their arguments and results; `replay` does them again in place."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        results = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, results))
        return results

    def replay(self):
        for function, args, kwargs, results in self.operations:
            is_in_place = any(a.alias_info and a.alias_info.is_write for a in arguments(function))
            if not is_in_place and are_views(results, (args, kwargs)):
                continue
            new = function(*args, **kwargs)
            if not is_in_place:
                for old, value in zip(tensors(results), tensors(new), strict=True):
                    old.copy_(value)


def arguments(function):
    return function._schema.arguments


def tensors(tree):
    return [leaf.detach() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def are_views(results, of):
    memory = {tensor.untyped_storage().data_ptr() for tensor in tensors(of)}
    return all(tensor.untyped_storage().data_ptr() in memory for tensor in tensors(results))


class TapedGroup(Group):
    """A group whose chunks are replayed from tapes, one for each pattern of ticks."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.tapes = {}

    def run_ticks(self, with_g):
        if with_g not in self.tapes:
            due, sums = self._buffers.due.clone(), self._loss_sums.clone()
            self._buffers.due.zero_()
            with Tape() as tape:
                super().run_ticks(with_g)
            self.tapes[with_g] = tape
            self._loss_sums.copy_(sums)
            self._buffers.due.copy_(due)
        with torch.no_grad():
            self.tapes[with_g].replay()


def states(kind, configs):
    """Train two members, one of which leaves for a third; return what each has learnt."""
    examples = Examples(blobs(), "cpu")
    group = kind(structure_of(configs[0]), blobs().shape, examples, n_slots=2, n_ticks=4)
    members = [training_of(config, seed) for seed, config in enumerate((*configs, configs[0]))]
    for member, n_iterations in zip(members, (7, 3), strict=False):
        group.admit(member, n_iterations)
    while group.left(members[1]):
        group.advance()
    group.release(members[1])
    group.admit(members[2], 3)
    while group.left(members[0]) or group.left(members[2]):
        group.advance()
    group.release(members[0])
    group.release(members[2])
    return [state_of(member) for member in members], group


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_chunk_replayed_from_its_operations_is_the_chunk_to_the_bit(name, precision, monkeypatch):
    # That of a GPU; that for CPUs looks whether any pieces tie.
    monkeypatch.setattr("gansearch.networks.activations._maximum", lambda pieces: pieces.amax(-2))
    changing = {"lr_decay": 1.01, "precision": precision}
    configs = [small(**(changing | values)) for values in STRUCTURES[name]]
    ordinary, _ = states(Group, configs)
    replayed, group = states(TapedGroup, configs)
    assert 1 <= len(group.tapes) <= 3
    assert all(map(same, ordinary, replayed))
    assert not same(ordinary[0], state_of(training_of(configs[0], 0)))


def test_a_number_that_the_host_bakes_in_is_seen(monkeypatch):
    tick = Group._tick

    def baking(self, at, *, with_g):
        tick(self, at, with_g=with_g)
        with torch.no_grad():
            self._players.generator.params[0].add_(float(self._buffers.numbers[at, 0, 0]))

    monkeypatch.setattr(Group, "_tick", baking)
    configs = [small(lr_decay=1.5), small(lr_decay=1.5)]
    assert not all(map(same, states(Group, configs)[0], states(TapedGroup, configs)[0]))
