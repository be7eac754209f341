"""What a training loop of the user's own sees of a data set, and its samples on the way back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.errors import ConfigError
from gansearch.networks.models import channels_first, channels_last
from gansearch.networks.own_makers import network_shape


class LoopData:
    """The training examples as torch's users have them; a map-style data set for a `DataLoader`.

    Images are `[channels, height, width]`, float32, in the range that `trainable` names; points
    `[d]`. With labels, an item is a pair of an example and its class.

    Args:
        dataset: of the run.
        output_range: of images.
        seed: of the order of `batches`.

    Attributes:
        dataset: as given; its validation and test examples judge, and are not for training.
        output_range: as given.
        shape: of an example.
    """

    def __init__(self, dataset: Dataset, output_range: tuple[float, float], seed: int) -> None:
        self.dataset = dataset
        self.output_range = output_range
        self._seed = seed
        self.shape = network_shape(dataset.shape)

    @cached_property
    def train(self) -> Tensor:
        """The training examples, `[n, *shape]`, float32, on the CPU."""
        return self.examples(slice(None))

    @cached_property
    def labels(self) -> Tensor | None:
        """Their classes, `[n]`, int64; None without."""
        labels = self.dataset.labels
        return None if labels is None else torch.from_numpy(labels.train.astype(np.int64))

    def __len__(self) -> int:
        return len(self.dataset.train)

    def __getitem__(self, index: Any) -> Any:
        example = self.train[index]
        return example if self.labels is None else (example, self.labels[index])

    def batches(self, batch_size: int, *, first: int = 0) -> Iterator[Tensor]:
        """Yield minibatches `[batch_size, *shape]` without end, drawn with replacement.

        Batch i is the same whatever came before it, so that a loop that goes on at step `first`
        sees what it would have seen. No global random numbers are used.
        """
        step = first
        while True:
            # On the CPU also where the loop has set another default device.
            rng = torch.Generator("cpu").manual_seed((self._seed * 1_000_003 + step) % 2**63)
            rows = torch.randint(len(self), (batch_size,), generator=rng, device="cpu")
            yield self.train[rows]
            step += 1

    def examples(self, rows: slice) -> Tensor:
        """Return some training examples as the loop sees them."""
        values = torch.from_numpy(self.dataset.to_float(self.dataset.train[rows]))
        if not self.dataset.is_image:
            return values
        low, high = self.output_range
        images = channels_first(values, self.dataset.shape).reshape(len(values), *self.shape)
        return images * (high - low) + low

    def rows_of(self, made: Any, n: int) -> np.ndarray:
        """Return n samples of the loop as rows `[n, dim]`, as `Dataset.to_float` scales examples.

        Raises:
            ConfigError: they have another shape, or aren't numbers.
        """
        try:
            tensor = torch.as_tensor(made).detach().to("cpu", torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"sample: it returned a {type(made).__name__}, which is no tensor ({error}). It "
                f"must return {n} examples, [{n}, {', '.join(map(str, self.shape))}]."
            ) from error
        flat = (n, self.dataset.dim)
        if tuple(tensor.shape) not in ((n, *self.shape), flat):
            raise ConfigError(
                f"sample: sample({n}) returned shape {list(tensor.shape)}. It must be "
                f"{[n, *self.shape]}{', channels first' if self.dataset.is_image else ''}."
            )
        if not self.dataset.is_image:
            return tensor.reshape(flat).numpy()
        low, high = self.output_range
        rows = channels_last(tensor.reshape(flat), self.dataset.shape)
        return ((rows - low) / (high - low)).numpy()
