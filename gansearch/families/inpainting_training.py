"""Trainings of nets for all conditionals p(x_S | x_not S)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansearch.artifacts import GeneratorModule
from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError
from gansearch.families.inpainting_parameters import MIXED, InpaintingConfig
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.families.plain_generator import plain_generator
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.family import Split
from gansearch.networks.interface import Shape
from gansearch.networks.models import Generator, draw_noise
from gansearch.networks.pairs import (
    PairDiscriminator,
    PairGenerator,
    PairNetworkMaker,
    pair_shape,
)
from gansearch.scoring.completions import CompletionEvaluator, Questions
from gansearch.scoring.masks import kinds_of, masks_from, n_numbers, n_units, over_channels
from gansearch.seeds import trial_seed
from gansearch.system.precision import full_precision
from gansearch.training.pairs import Minibatch

_BLOCK = 10_000  # completions that are made together


class InpaintingGenerator(PairGenerator):
    """G(z, x m, m): completes examples x of which the mask m shows a part.

    Where m is 0 everywhere, the inputs beside the noise are 0, and G is an unconditional generator
    with the same weights.

    Attributes:
        is_bounded: whether the values of examples are pixels in [0, 1].
    """

    def __init__(self, config: InpaintingConfig, shape: Shape, *, is_bounded: bool) -> None:
        n_beside = math.prod(shape) + n_units(shape)
        widened = dataclasses.replace(config, noise_dim=config.noise_dim + n_beside)
        super().__init__(widened, shape, config.noise_dim)
        self._n_beside = n_beside
        self.is_bounded = is_bounded

    def completed(self, noise: Tensor, x: Tensor, masks: Tensor) -> Tensor:
        """Return x `[n, dim]` where masks `[n, n_units]` show it, and G's values elsewhere."""
        visible = over_channels(masks, self.shape)
        made: Tensor = self.net(torch.cat((noise, x * visible, masks), -1))
        return torch.where(visible > 0, x, made)

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`, of which all was hidden."""
        nothing = noise.new_zeros(*noise.shape[:-1], self._n_beside)
        made: Tensor = self.net(torch.cat((noise, nothing), -1))
        return made

    def unconditional(self, config: InpaintingConfig) -> Generator:
        """Return the generator that `forward` is, with the weights of its inputs alone."""
        generator = Generator(config, self.shape)
        weights = dict(self.net.state_dict())
        weights["layers.0.weight"] = weights["layers.0.weight"][: config.noise_dim]
        generator.load_state_dict(weights)
        return generator


class InpaintingDiscriminator(PairDiscriminator):
    """D(x, m): a dense one sees the mask beside x, a convolutional one as one more channel."""

    def __init__(self, config: InpaintingConfig, shape: Shape) -> None:
        is_map = config.discriminator_network == "convolutional"
        n_beside = 1 if is_map else n_units(shape)
        input_shape = pair_shape(config, shape, n_beside)
        super().__init__(config, math.prod(input_shape), input_shape)
        self.n_extra = n_numbers(shape)


class TrainedInpainting(TrainedGenerator):
    """A trained generator that completes examples."""

    def complete(self, x: np.ndarray, mask: np.ndarray, n: int) -> np.ndarray:
        """Return n completions of each example, `[n_examples, n, dim]`, float32.

        They agree with x bit for bit where it is visible. The same call gives the same ones.

        Args:
            x: `[n_examples, dim]`, as `Dataset.to_float` scales examples.
            mask: `[n_examples, n_units]`, bool, True where x is visible.
            n: how many of each.

        Raises:
            BadInputError: visible values aren't in the data's range.
        """
        network = self.network
        assert isinstance(network, InpaintingGenerator)
        masks = torch.tensor(mask, dtype=torch.float32)
        shown = x[over_channels(masks, network.shape).numpy() > 0]
        if network.is_bounded and ((shown < 0) | (shown > 1)).any():
            raise BadInputError(
                f"x: found visible values from {shown.min():.4g} to {shown.max():.4g}. Pixels lie "
                "in [0, 1]. Divide bytes by 255."
            )
        return completions(network, self.config, self.seed, torch.tensor(x), masks, n)

    def module(self) -> GeneratorModule:
        """Return the unconditional generator as a module of torch's own layers."""
        assert isinstance(self.network, InpaintingGenerator)
        assert isinstance(self.config, InpaintingConfig)
        generator = self.network.unconditional(self.config)
        return plain_generator(generator, self.config.noise, self.seed)


class InpaintingTraining(TrainedPairTraining):
    """One training of G(z, x m, m) against D(x, m).

    D tells an example and a mask from the same example, completed by G where the mask hides it. So
    both kinds of pairs have the same visible parts under the same masks, and against the best D, G
    minimises the mean over these of the Jensen-Shannon divergence of the conditionals.
    """

    config: InpaintingConfig
    generator: InpaintingGenerator
    trained_type = TrainedInpainting

    def __init__(self, config: InpaintingConfig, dataset: Dataset, *args: Any, **how: Any) -> None:
        super().__init__(config, dataset, *args, **how)
        known = kinds_of(dataset.shape)
        self._kinds = known if config.masks == MIXED else (config.masks,)
        self._drawn = (torch.empty(0), torch.empty(0))  # the last numbers, and their masks
        self._evaluator: CompletionEvaluator | None = None

    @classmethod
    def details_of(cls, config: Any, dataset: Dataset) -> dict[str, Any]:  # noqa: ARG003
        """Return whether examples are pixels in [0, 1]."""
        return {"is_bounded": dataset.is_bounded}

    @classmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:
        """Return what makes the networks."""
        return PairNetworkMaker(
            partial(InpaintingGenerator, config, shape, is_bounded=bool(details["is_bounded"])),
            partial(InpaintingDiscriminator, config, shape),
        )

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return real examples with masks."""
        return self._pairs(batch.x, self._masks(batch))

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return the same examples with the same masks, completed by G."""
        masks = self._masks(batch)
        return self._pairs(self.generator.completed(batch.drawn.noise, batch.x, masks), masks)

    def complete(self, x: Tensor, masks: Tensor, m: int) -> np.ndarray:
        """Return m completions of each of x `[n, dim]`, `[n, m, dim]`, as they are scored."""
        network = self.scored_generator
        assert isinstance(network, InpaintingGenerator)
        return completions(network, self.config, self.sample_seed, x, masks, m)

    def measure(self, split: Split, *, at_end: bool) -> Mapping[str, float]:
        """Return the scores of completions of held-out examples."""
        if self._evaluator is None:
            self._evaluator = CompletionEvaluator(self.dataset)

        def complete(asked: Questions, m: int) -> np.ndarray:
            return self.complete(asked.x, asked.masks, m)

        return self._evaluator.measure(complete, split, at_end=at_end)

    def _masks(self, batch: Minibatch) -> Tensor:
        numbers = batch.drawn.extra
        assert numbers is not None
        if self._drawn[0] is not numbers:  # else they are those of this minibatch's other pairs
            share = self.config.all_hidden_share
            masks = masks_from(numbers, self._kinds, self.dataset.shape, share)
            self._drawn = numbers, masks
        return self._drawn[1]

    def _pairs(self, x: Tensor, masks: Tensor) -> Tensor:
        if self.config.discriminator_network == "dense":
            return torch.cat((x, masks), -1)
        n_channels = self.dataset.shape[2]
        images = torch.unflatten(x, -1, (-1, n_channels))
        return torch.cat((images, masks[..., None]), -1).flatten(-2)


def completions(
    network: InpaintingGenerator, config: Any, seed: int, x: Tensor, masks: Tensor, m: int
) -> np.ndarray:
    """Return m completions of each of x `[n, dim]`, `[n, m, dim]`, by noise of a seed's own."""
    device = next(network.parameters()).device
    rng = torch.Generator().manual_seed(trial_seed(seed, "completions", 0))
    made = []
    with torch.no_grad(), full_precision(device.type):
        n_at_once = max(1, _BLOCK // m)
        batches = torch.split(x, n_at_once), torch.split(masks, n_at_once)
        for some, shown in zip(*batches, strict=True):
            noise = draw_noise(config, (len(some) * m, network.noise_dim), rng)
            repeated = (each.repeat_interleave(m, 0).to(device) for each in (some, shown))
            made.append(network.completed(noise.to(device), *repeated).cpu())
    return torch.cat(made).view(len(x), m, -1).numpy()
