"""The most memory that a training of the adversarial nets holds, found without taking it.

An iteration is done with tensors that have a shape but no memory (`FakeTensorMode`), by the very
code that trains. The bytes are counted that would be held: weights, moments, gradients, random
numbers and activations, through unrolling and gradient penalties too.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator
from gansearch.networks.models import Discriminator, Generator, draw_noise
from gansearch.system.torch_internals import (
    FakeTensorMode,
    TorchDispatchMode,
    is_fused_update,
    reads_a_value,
    storage_key,
    tree_leaves,
)
from gansearch.training.training import ITERATIONS_DRAWN, AdversarialTraining

_N_GENERATED = 1000  # at a time, when samples are made


def peak_bytes(
    config: AdversarialConfig,
    dataset: Dataset,
    device: str,
    *,
    beside: Callable[[AdversarialTraining], object] = lambda _: None,
    build: Callable[..., AdversarialTraining] = AdversarialTraining,
) -> float:
    """Return the peak memory, in bytes, of an iteration or of sampling on a device.

    No such device is needed. The examples themselves don't count. Of what changes in mid-training
    it is the highest.

    Args:
        config: what is trained.
        dataset: that it learns.
        device: on which.
        beside: returns what is held beside the training, and may train it first.
        build: makes the training, as `AdversarialTraining` is made.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    if config.schedule:
        stages = config.stages
        return max(peak_bytes(each, dataset, device, beside=beside, build=build) for each in stages)
    few = dataclasses.replace(dataset, train=dataset.train[:2])  # a training may hold all labels
    peak = _Peak()
    with FakeTensorMode(allow_non_fake_inputs=True), peak:
        training = build(config, few, 0, max_updates=1)
        held = beside(training)
        training.stream.draw_by(ITERATIONS_DRAWN[device])
        training.step(measure=True)
        with torch.no_grad():
            rng = torch.Generator().manual_seed(0)
            noise = draw_noise(config, (_N_GENERATED, training.generator.noise_dim), rng)
            training.scored_generator(noise)
        del held
    return float(peak.n_bytes)


def rough_bytes(config: TrialConfig, dataset: Dataset, device: str) -> float:
    """Return an estimate of `peak_bytes` within milliseconds, to compare configurations by.

    Raises:
        ConfigError: as `peak_bytes`.
    """
    with torch.device("meta"):
        nets = Generator(config, dataset.shape), Discriminator(config, dataset.shape)
    return rough_bytes_of_layers(config, *nets, device)


def rough_bytes_of_layers(
    config: TrialConfig, generator: AnyGenerator, discriminator: AnyDiscriminator, device: str
) -> float:
    """Return the same as `rough_bytes` of networks of our layers, whose tensors are on `meta`."""
    nets = generator, discriminator
    weights = [sum(p.numel() for p in net.parameters()) for net in nets]
    n_copies = 4 if config.optimizer == "adam" else 3  # with the gradients and the moments
    values = sum(layer.n_in + layer.n_out for net in nets for layer in net.trained_layers())
    drawn = discriminator.dim + generator.noise_dim + discriminator.n_extra
    n_masked = sum(discriminator.input_widths()) / 2  # of 16 bits
    rows = config.batch_size * config.packing
    return 4.0 * (
        n_copies * sum(weights)
        + (config.generator_ema > 0) * weights[0]
        + 3 * config.unrolled_steps * weights[1]
        + rows * values * (2 + 3 * config.unrolled_steps)
        + rows * (drawn + n_masked) * (2 * config.k + 1) * ITERATIONS_DRAWN[device]
    )


def rough_bytes_of(
    config: AdversarialConfig, generator: AnyGenerator, discriminator: AnyDiscriminator, device: str
) -> float:
    """Return an estimate of `peak_bytes` for networks of others, whose tensors are on `meta`.

    Activations are what autograd keeps of a forward pass.
    """
    weights = [sum(p.numel() for p in net.parameters()) for net in (generator, discriminator)]
    kept = _Kept()
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(kept.note, lambda x: x):
        discriminator(generator(torch.empty(2, generator.noise_dim)))
    n_copies = 4 if config.optimizer == "adam" else 3  # with the gradients and the moments
    k = config.k
    drawn = (k + 1) * generator.noise_dim + 2 * k  # rows are of 64 bits
    is_noisy = any(stage.instance_noise_sd > 0 for stage in config.stages)
    drawn += is_noisy * (2 * k + 1) * generator.dim
    return 4.0 * (
        n_copies * sum(weights)
        + (config.generator_ema > 0) * weights[0]
        + 3 * config.unrolled_steps * weights[1]
        + config.batch_size * (k * generator.dim + drawn * ITERATIONS_DRAWN[device])
    ) + config.batch_size * kept.n_bytes / 2 * (2 + 3 * config.unrolled_steps)


class _Kept:
    """Counts the bytes of the tensors that a forward pass keeps for its backward pass."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._known: set[int] = set()

    def note(self, tensor: Tensor) -> Tensor:
        """Count a tensor, unless it is a parameter or was counted."""
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage_key(storage) not in self._known:
            self._known.add(storage_key(storage))
            self.n_bytes += tensor.numel() * tensor.element_size()
        return tensor


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are alive, and keeps the highest count.

    Attributes:
        n_bytes: the highest so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_bytes = 0
        self._now = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if reads_a_value(func):
            return 1  # fake tensors have no values; 1 takes the more expensive branch
        if is_fused_update(func):
            return None  # in place, and without an implementation for fake tensors
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self._now += storage.nbytes()
        self.n_bytes = max(self.n_bytes, self._now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._now -= self._known.pop(key)
