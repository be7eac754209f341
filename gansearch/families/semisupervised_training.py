"""Trainings of adversarial nets whose D helps a classifier with few labels."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansearch.data.dataset import Dataset
from gansearch.families.pair_training import TrainedPairTraining
from gansearch.families.semisupervised_parameters import SemisupervisedConfig
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.family import Split
from gansearch.networks.activations import LINEAR
from gansearch.networks.dropout import Mask, Masks, drops, mask_at
from gansearch.networks.interface import AnyGenerator, Shape
from gansearch.networks.layers import Dense
from gansearch.networks.models import dropout_rates, layers_of
from gansearch.networks.pairs import PairDiscriminator, PairGenerator, PairNetworkMaker
from gansearch.pair_parameters import PairParameters
from gansearch.scoring.classifier import classifier_of
from gansearch.scoring.few_labels import error_rate, fit_few_labels, label_set
from gansearch.seeds import trial_seed
from gansearch.system.devices import exact_device
from gansearch.system.precision import full_precision
from gansearch.system.torch_internals import foreach_lerp_
from gansearch.training.gradients import Update
from gansearch.training.objective import as_float, with_instance_noise
from gansearch.training.pairs import Minibatch
from gansearch.training.random_draws import Draws
from gansearch.training.schedules import Coefficients, Schedule, average_share

Classify = Callable[[np.ndarray], np.ndarray]  # examples `[n, d]` to classes `[n]`

_BLOCK = 1000  # examples that D classifies together


class PlainGenerator(PairGenerator):
    """G(z)."""

    def __init__(self, config: SemisupervisedConfig, shape: Shape) -> None:
        super().__init__(config, shape, config.noise_dim)

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`."""
        made: Tensor = self.net(noise)
        return made


class NoisyDiscriminator(PairDiscriminator):
    """D(x), with Gaussian noise on the inputs of its later layers where `rng` is given.

    Attributes:
        rng: from which that noise is drawn; None where D isn't trained.
    """

    rng: torch.Generator | None = None

    def __init__(self, config: SemisupervisedConfig, shape: Shape) -> None:
        super().__init__(config, int(np.prod(shape)), shape)
        self._noise_sd = config.hidden_noise_sd

    def _input_of(self, i: int, h: Tensor, masks: Masks | None, n_batches: int) -> Tensor:
        h = super()._input_of(i, h, masks, n_batches)
        if i == 0 or self.rng is None or self._noise_sd == 0:
            return h
        noise = torch.randn(h.shape, generator=self.rng, device=self.rng.device).to(h)
        return h + self._noise_sd * noise


class ClassDiscriminator(NoisyDiscriminator):
    """D with a logit l_k for each of K classes; that of D(x) = Z / (Z + 1) is log Z.

    Z is the sum of exp(l_k): the softmax of K + 1 classes, of which the last is "generated" and has
    the logit 0 (Salimans et al. 2016, section 5).
    """

    def __init__(self, config: SemisupervisedConfig, shape: Shape, n_classes: int) -> None:
        super().__init__(config, shape)
        spectral = config.discriminator_normalization == "spectral"
        n_in = layers_of(self)[-1].n_in
        self.layers[-1] = Dense(n_in, n_classes, LINEAR, spectral=spectral)

    def class_logits(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return the logits of the classes, `[n, K]`; as `forward`."""
        logits: Tensor = layers_of(self)[-1](self.features(x, masks, n_batches), n_batches)
        return logits

    def forward(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return the logits of D(x), `[n]`."""
        return torch.logsumexp(as_float(self.class_logits(x, masks, n_batches)), -1)


class SemisupervisedTraining(TrainedPairTraining):
    """One training of G(z) against D(x), and of a classifier from D with few labels.

    Attributes:
        labelled: rows of the training examples whose labels are known; they follow from the seed.
    """

    config: SemisupervisedConfig
    discriminator: NoisyDiscriminator

    def __init__(
        self, config: SemisupervisedConfig, dataset: Dataset, *args: Any, **how: Any
    ) -> None:
        super().__init__(config, dataset, *args, **how)
        assert dataset.labels is not None
        self.labelled = label_set(dataset.labels, config.labels_per_class, self.seed)
        classes = dataset.labels.train[self.labelled].astype(np.int64)
        self._rows = torch.from_numpy(self.labelled).to(self.device)
        self._classes = torch.from_numpy(classes).to(self.device)
        # Seeded anew in each iteration, so that it has no state to save.
        self._iteration_rng = torch.Generator(exact_device(self.device))
        self._untrained = copy.deepcopy(self.discriminator)
        self._average: NoisyDiscriminator | None = None
        if config.discriminator_ema > 0:
            self._average = self._new_discriminator()
            self._average.load_state_dict(self.discriminator.state_dict())

    @classmethod
    def details_of(cls, config: Any, dataset: Dataset) -> dict[str, Any]:  # noqa: ARG003
        """Return the number of classes."""
        assert dataset.labels is not None
        return {"n_classes": len(dataset.labels.names)}

    @classmethod
    def maker(cls, config: Any, shape: Shape, details: Mapping[str, Any]) -> PairNetworkMaker:
        """Return what makes the networks."""
        discriminator: Callable[[], NoisyDiscriminator]
        discriminator = partial(NoisyDiscriminator, config, shape)
        if config.classifier == "classes":
            discriminator = partial(ClassDiscriminator, config, shape, details["n_classes"])
        return PairNetworkMaker(partial(PlainGenerator, config, shape), discriminator)

    @classmethod
    def trained(
        cls,
        network: AnyGenerator,
        config: PairParameters,
        seed: int,
        details: Mapping[str, Any],  # noqa: ARG003
    ) -> TrainedGenerator:
        """Return a trained generator, which is one of the paper's, as it is read from a folder."""
        assert isinstance(network, PlainGenerator)
        return TrainedGenerator(network.net, config, seed)

    def real_pairs(self, batch: Minibatch) -> Tensor:
        """Return the real examples: nothing belongs to them."""
        return batch.x

    def fake_pairs(self, batch: Minibatch) -> Tensor:
        """Return the generated examples."""
        made: Tensor = self.generator(batch.drawn.noise)
        return made

    def discriminator_term(
        self,
        batch: Minibatch,  # noqa: ARG002
        real: Tensor,  # noqa: ARG002
        fake: Tensor,  # noqa: ARG002
    ) -> Tensor | float:
        """Return the cross entropy of a minibatch of the known labels, of all if they are fewer."""
        if not isinstance(self.discriminator, ClassDiscriminator):
            return 0.0
        which = self._draw_labels()
        x = self.examples.at(self._rows[which])
        if self.present.instance_noise_sd > 0:
            noise = self._on_device(torch.randn(x.shape, **self._how))
            x = with_instance_noise(x, noise, self._coefficients)
        logits = as_float(self.discriminator.class_logits(x, self._draw_masks(len(x))))
        return self.config.label_weight * F.cross_entropy(logits, self._classes[which])

    def generator_loss(self, batch: Minibatch, fake: Tensor, coefficients: Coefficients) -> Tensor:
        """Return G's loss: under feature matching |E f(x) - E f(G(z))|^2, f the last hidden layer.

        Both means have the same instance noise and dropout.
        """
        if self.config.generator_loss != "feature_matching":
            return super().generator_loss(batch, fake, coefficients)
        drawn = batch.drawn
        means = []
        for pairs in (self.real_pairs(batch), fake):
            seen = with_instance_noise(pairs, drawn.instance_noise, coefficients)
            means.append(as_float(self.discriminator.hidden(seen, drawn.masks)).mean(-2))
        return (means[0].detach() - means[1]).square().sum()

    def measure(self, split: Split, *, at_end: bool) -> Mapping[str, float]:
        """Return the error of the classifier and, at the end, those that it is compared with."""
        found = {"error_rate": self._error(self.classifying, split)}
        if not at_end:
            return found
        for name, classify in self._compared.items():
            found[name] = error_rate(classify, self.dataset, split)
        found["gain"] = found["error_pixels"] - found["error_rate"]
        return found

    @cached_property
    def _compared(self) -> dict[str, Classify]:
        """The classifiers that D is compared with, by the names of their errors."""
        pixels = fit_few_labels(_unchanged, self.dataset, self.labelled)
        features = partial(_by_blocks, self._untrained.hidden, device=self.device)
        random = fit_few_labels(features, self.dataset, self.labelled)
        found: dict[str, Classify] = {
            "error_pixels": pixels.classes,
            "error_random": random.classes,
        }
        if (supervised := classifier_of(self.dataset)) is not None:
            found["error_supervised"] = lambda x: supervised.classes[
                supervised.probabilities(x).argmax(axis=1)
            ]
        return found

    @property
    def classifying(self) -> NoisyDiscriminator:
        """The D that classifies: by the average of its parameters where there is one."""
        if self._average is None:
            return self.discriminator
        # What is no parameter, such as u and v of spectral normalisation, is D's own.
        own = dict(self.discriminator.named_buffers())
        for name, buffer in self._average.named_buffers():
            buffer.copy_(own[name])
        return self._average

    def _iterate(
        self, batches: Tensor, draws: Draws, schedule: Schedule
    ) -> tuple[list[Update], Update]:
        self._coefficients = schedule.coefficients
        self._iteration_rng.manual_seed(trial_seed(self.seed, "labels and noise", self.iteration))
        self.discriminator.rng = self._iteration_rng
        try:
            updates = super()._iterate(batches, draws, schedule)
        finally:
            self.discriminator.rng = None
        if self._average is not None:
            share = float(average_share(self.config.discriminator_ema, self.iteration))
            with torch.no_grad():
                averages = self._average.trained_parameters()
                foreach_lerp_(averages, self.players.discriminator.params, share)
        return updates

    def _tensors(self) -> dict[str, Tensor]:
        average = {} if self._average is None else dict(self._average.named_parameters())
        return super()._tensors() | {
            f"discriminator.average.{name}": value.detach() for name, value in average.items()
        }

    def _new_discriminator(self) -> NoisyDiscriminator:
        with torch.device(self.device):
            net = self.maker(self.config, self.dataset.shape, self.details).discriminator()
        assert isinstance(net, NoisyDiscriminator)
        return net

    def _draw_labels(self) -> Tensor:
        """Return which of the known labels D learns from in an update."""
        n, size = len(self.labelled), self.config.batch_size
        if n <= size:
            return torch.arange(n, device=self.device)
        return self._on_device(torch.randperm(n, **self._how))[:size]

    def _draw_masks(self, n: int) -> Masks:
        """Return dropout masks of D's pass over n examples."""
        layers = zip(dropout_rates(self.config), self.discriminator.input_widths(), strict=True)
        return [self._draw_mask(rate, n, width) if drops(rate) else None for rate, width in layers]

    def _draw_mask(self, rate: float, n: int, width: int) -> Mask:
        bits = torch.randint(-(1 << 15), 1 << 15, (n, width), dtype=torch.int16, **self._how)
        return mask_at(rate, self._on_device(bits))

    @property
    def _how(self) -> dict[str, Any]:
        return {"generator": self._iteration_rng, "device": self._iteration_rng.device}

    def _on_device(self, drawn: Tensor) -> Tensor:
        return drawn.to(self.device)

    def _error(self, net: NoisyDiscriminator, split: Split) -> float:
        """Return the share of a split's examples that the classifier of a D gets wrong."""
        if isinstance(net, ClassDiscriminator):
            logits = partial(_by_blocks, net.class_logits, device=self.device)
            return error_rate(lambda x: logits(x).argmax(axis=1), self.dataset, split)
        return self._error_of_features(net, split)

    def _error_of_features(self, net: NoisyDiscriminator, split: Split) -> float:
        """Return the same of a linear classifier; NaN where the features are not finite."""
        features = partial(_by_blocks, net.hidden, device=self.device)
        try:
            fitted = fit_few_labels(features, self.dataset, self.labelled)
            return error_rate(fitted.classes, self.dataset, split)
        except FloatingPointError:
            return math.nan


def _unchanged(examples: np.ndarray) -> np.ndarray:
    return examples


def _by_blocks(
    function: Callable[[Tensor], Tensor], examples: np.ndarray, *, device: str
) -> np.ndarray:
    """Return a network's outputs for examples `[n, d]`, `[n, ...]`."""
    blocks = torch.split(torch.from_numpy(examples), _BLOCK)
    with torch.no_grad(), full_precision(device):
        return np.concatenate([function(block.to(device)).cpu().numpy() for block in blocks])
