"""How much memory a training takes at its highest, found without taking it.

An iteration is done with tensors that have a shape but no memory (`FakeTensorMode`), by the very
code that trains. The bytes are counted that would be held: weights, moments, gradients, random
numbers and activations, through unrolling and gradient penalties too.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gansearch.config import TrialConfig
from gansearch.data import Dataset
from gansearch.evaluation import N_FINAL_SAMPLES
from gansearch.failures import Place
from gansearch.models import Discriminator, Generator, draw_noise, layers_of
from gansearch.parzen import STORE_BYTES
from gansearch.training import ITERATIONS_DRAWN, Training

# A worker with torch and Ray imported, and the smallest training.
PROCESS_BYTES = 0.75 * 2**30
_N_GENERATED = 1000  # at a time, when samples are made


@dataclass(frozen=True)
class Footprint:
    """Bytes that a trial holds at its highest.

    Attributes:
        device: that it trains on, "cpu" or "cuda".
        training: weights, moments, gradients, random numbers and activations, at the peak of an
            iteration or of making samples.
        data: the training examples.
        scoring: the final samples, the examples that they are scored on, and their distances.
    """

    device: str
    training: float
    data: float
    scoring: float

    def on(self, place: Place) -> float:
        """Return the bytes on the GPU, or of the trial's process on the host."""
        trained = self.training + self.data + self.scoring
        if place == "GPU":
            return trained
        return PROCESS_BYTES + (trained if self.device == "cpu" else self.scoring)

    def describe(self, place: Place) -> str:
        """Return the parts of the bytes in a place in words."""
        scoring = f"{gib(self.scoring)} for scoring its samples"
        process = f", {gib(PROCESS_BYTES)} for its process" if place == "host" else ""
        if place == "host" and self.device != "cpu":
            return scoring + process
        return f"{gib(self.training)} to train, {gib(self.data)} of data, {scoring}{process}"


def footprint(config: TrialConfig, dataset: Dataset, device: str) -> Footprint:
    """Return what one trial of `config` holds on a device, which needs not be here.

    Raises:
        ConfigError: the configuration has no networks on such examples.
    """
    few = dataclasses.replace(dataset, train=dataset.train[:2])
    peak = _Peak()
    with FakeTensorMode(allow_non_fake_inputs=True), peak:
        training = Training(config, few, 0)
        training.draw_ahead(ITERATIONS_DRAWN[device])
        training.step(measure=True)
        with torch.no_grad():
            rng = torch.Generator().manual_seed(0)
            noise = draw_noise(config, (_N_GENERATED, training.generator.noise_dim), rng)
            training.generator(noise)
    return _with_the_data(float(peak.n_bytes), dataset, device)


def rough_footprint(config: TrialConfig, dataset: Dataset, device: str) -> Footprint:
    """Return about what `footprint` does, in milliseconds, by which configurations are compared.

    Raises:
        ConfigError: as `footprint`.
    """
    with torch.device("meta"):
        nets = Generator(config, dataset.shape), Discriminator(config, dataset.shape)
    weights = [sum(p.numel() for p in net.parameters()) for net in nets]
    n_copies = 4 if config.optimizer == "adam" else 3  # with the gradients and the moments
    values = sum(layer.n_in + layer.n_out for net in nets for layer in layers_of(net))
    drawn = dataset.dim + nets[0].noise_dim + sum(nets[1].input_widths())
    rows = config.batch_size * config.packing
    return _with_the_data(
        4.0
        * (
            n_copies * sum(weights)
            + 3 * config.unrolled_steps * weights[1]
            + rows * values * (2 + 3 * config.unrolled_steps)
            + rows * drawn * (2 * config.k + 1) * ITERATIONS_DRAWN[device]
        ),
        dataset,
        device,
    )


def gib(n_bytes: float) -> str:
    """Return bytes as text, for example `2.5 GiB`; less than .1 GiB in MiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 0.1 * 2**30 else f"{n_bytes / 2**20:.1f} MiB"


def _with_the_data(training: float, dataset: Dataset, device: str) -> Footprint:
    n_valid = dataset.n_valid_for_sigma
    n_rows = N_FINAL_SAMPLES + n_valid + len(dataset.test)
    scored = 2 * 4 * n_rows * dataset.dim  # as they are, and less their mean
    distances = min(4 * N_FINAL_SAMPLES * n_valid, STORE_BYTES)
    return Footprint(device, training, float(dataset.train.nbytes), float(scored + distances))


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
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # values that nobody has: whatever is asked, the dearer way is taken
        if func._schema.name.startswith("aten::_fused_"):
            return None  # in place; it has no form without memory, and would be done for real
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self._now += storage.nbytes()
        self.n_bytes = max(self.n_bytes, self._now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._now -= self._known.pop(key)
