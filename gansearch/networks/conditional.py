"""G and D that also take the class of an example: section 7 of Goodfellow et al. (2014), p(x | c).

A pair is an example with its class, one-hot: a row `[x, c]` of dim + classes values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from gansearch.conditional_parameters import ConditionalConfig
from gansearch.errors import ConfigError
from gansearch.networks.activations import LINEAR, Activation
from gansearch.networks.dropout import Masks
from gansearch.networks.initialisation import initialise_layer
from gansearch.networks.interface import Networks, Shape
from gansearch.networks.layers import Dense, Layer
from gansearch.networks.models import layers_of
from gansearch.networks.pairs import (
    PairDiscriminator,
    PairGenerator,
    PairNetworkMaker,
    beside,
    bounds_of,
    classes_of_noise,
    pair_shape,
)


class Branches(Dense):
    """A dense layer of which some units see the class alone, and the others all but the class.

    So Mirza and Osindero (2014) begin both nets. It is one layer whose other weights are zero.

    Attributes:
        sees: which inputs each unit (of maxout: each piece) sees, as `weight`, of zeros and ones.
    """

    sees: Tensor

    def __init__(
        self,
        n_in: int,
        units: int,
        activation: Activation,
        *,
        class_share: float,
        class_inputs: slice,
        normalised: bool = False,
    ) -> None:
        super().__init__(n_in, units, activation, normalised=normalised)
        n_class_units = min(max(1, round(class_share * units)), units - 1)
        is_class = torch.zeros(n_in, 1)
        is_class[class_inputs] = 1
        of_class = torch.zeros(1, units)
        of_class[:, units - n_class_units :] = 1
        sees = is_class * of_class + (1 - is_class) * (1 - of_class)
        self.register_buffer("sees", sees.repeat(1, activation.pieces), persistent=False)

    def used_weight(self) -> Tensor:
        """Return the weight that the layer applies."""
        return super().used_weight() * self.sees


class ConditionalGenerator(PairGenerator):
    """G(z, c). The last coordinate of its noise decides the class, by the classes' frequencies.

    Args:
        config: the hyperparameters.
        shape: of an example.
        shares: of the classes in the training set, which generated examples have too.

    Attributes:
        bounds: of the last coordinate, between one class and the next, `[classes - 1]`.
        embedding: of the class; None where the layers take it one-hot.
    """

    bounds: Tensor

    def __init__(self, config: ConditionalConfig, shape: Shape, shares: Sequence[float]) -> None:
        n_given = config.condition_embedding or len(shares)
        widened = dataclasses.replace(config, noise_dim=config.noise_dim + n_given)
        super().__init__(widened, shape, config.noise_dim + 1)
        self.embedding = _embedding(config, len(shares))
        self.register_buffer("bounds", bounds_of(config.noise, shares))
        if config.generator_class_share > 0:
            first = cast("Dense", self.net.layers[0])
            self.net.layers[0] = Branches(
                *(first.n_in, first.n_out, first.activation),
                class_share=config.generator_class_share,
                class_inputs=slice(config.noise_dim, None),
                normalised=first.gamma is not None,
            )

    def classes(self, noise: Tensor) -> Tensor:
        """Return the class that each row of noise stands for, one-hot, `[n, classes]`."""
        return classes_of_noise(noise, self.bounds)

    def given(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Return examples `[n, dim]` of given classes, one-hot, by all but the last coordinate."""
        condition = classes if self.embedding is None else self.embedding(classes)
        made: Tensor = self.net(torch.cat((noise[..., :-1], condition), -1))
        return made

    def forward(self, noise: Tensor) -> Tensor:
        """Return generated examples `[n, dim]`, of all classes."""
        return self.given(noise, self.classes(noise))

    def trained_layers(self) -> list[Layer]:
        """Return all layers, the embedding first."""
        return [*([] if self.embedding is None else [self.embedding]), *super().trained_layers()]

    def initialise(self, data_mean: Tensor, rng: torch.Generator) -> None:
        """Draw the initial weights in place; `data_mean` is as for `initialise_generator`."""
        super().initialise(data_mean, rng)
        if self.embedding is not None:
            initialise_layer(self.embedding, self._config, self._config.generator_init_range, rng)


class ConditionalDiscriminator(PairDiscriminator):
    """D(x, c) before its sigmoid: pairs `[x, c]` to logits, as `condition` says.

    - concatenation (Mirza and Osindero 2014): the lowest layer takes c beside x.
    - projection (Miyato and Koyama 2018, Equation 5): the logit is w'h + b + (V c)'h, where h is
      what the output layer takes.
    - auxiliary (Odena et al. 2017): D sees x alone; a second output layer tells its class.

    Of a pair, gradients reach x only: c is no point of a continuum.

    Attributes:
        n_classes: how many there are.
        embedding: of the class; None where the layers take it one-hot, or don't take it.
        projection: gives V c; None but for projection.
        class_output: gives the logits of the classes; None but for auxiliary.
    """

    def __init__(self, config: ConditionalConfig, shape: Shape, n_classes: int) -> None:
        self._is_beside = config.condition == "concatenation"
        n_given = config.condition_embedding or n_classes
        n_beside = n_given if self._is_beside else 0
        input_shape = pair_shape(config, shape, n_beside)
        n_values = math.prod(shape)
        super().__init__(config, n_values + n_classes, input_shape)
        self.n_classes = n_classes
        self._n_values = n_values
        spectral = config.discriminator_normalization == "spectral"
        is_auxiliary = config.condition == "auxiliary"
        self.embedding = None if is_auxiliary else _embedding(config, n_classes, spectral=spectral)
        n_features = layers_of(self)[-1].n_in
        self.projection = (
            Dense(n_given, n_features, LINEAR, spectral=spectral)
            if config.condition == "projection"
            else None
        )
        self.class_output = (
            Dense(n_features, n_classes, LINEAR, spectral=spectral) if is_auxiliary else None
        )
        if self._is_beside and config.discriminator_class_share > 0:
            self._begin_with_branches(config, n_given)

    def _begin_with_branches(self, config: ConditionalConfig, n_given: int) -> None:
        first = cast("Dense", self.layers[0])
        pieces = config.branch_pieces if config.discriminator_activation == "maxout" else 1
        self.layers[0] = Branches(
            *(first.n_in, first.n_out, dataclasses.replace(first.activation, pieces=pieces)),
            class_share=config.discriminator_class_share,
            class_inputs=slice(self._n_values, self._n_values + n_given),
        )

    def inputs(self, pairs: Tensor) -> Tensor:
        """Return what the lowest layer takes of pairs."""
        x = pairs[..., : self._n_values]
        return beside(x, self._condition(pairs), self.shape) if self._is_beside else x

    def forward(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return logits `[n]` of pairs; as `Discriminator.forward`."""
        features = self.features(x, masks, n_batches)
        logits: Tensor = layers_of(self)[-1](features, n_batches).squeeze(-1)
        if self.projection is None:
            return logits
        of_class: Tensor = (features * self.projection(self._condition(x))).sum(-1)
        return logits + of_class

    def class_logits(self, x: Tensor, masks: Masks | None = None, n_batches: int = 1) -> Tensor:
        """Return what the auxiliary output says of the classes, `[n, classes]`; as `forward`."""
        assert self.class_output is not None
        found: Tensor = self.class_output(self.features(x, masks, n_batches))
        return found

    def given_classes(self, pairs: Tensor) -> Tensor:
        """Return the classes of pairs, one-hot, `[n, classes]`."""
        return pairs[..., self._n_values :].detach()

    def _condition(self, pairs: Tensor) -> Tensor:
        classes = self.given_classes(pairs)
        if self.embedding is None:
            return classes
        embedded: Tensor = self.embedding(classes)
        return embedded

    def trained_layers(self) -> list[Layer]:
        """Return all layers: those of the stack, then those that the class adds."""
        beside_stack = (self.embedding, self.projection, self.class_output)
        return [*super().trained_layers(), *(each for each in beside_stack if each is not None)]


class ConditionalNetworkMaker(PairNetworkMaker):
    """Makes the networks of a training; the weights that `Branches` leaves out are zero."""

    def __call__(
        self, config: ConditionalConfig, shape: Shape, data_mean: Tensor, *where: object
    ) -> Networks:
        """Return new networks with their initial weights.

        Raises:
            ConfigError: points would get a convolutional network.
        """
        networks = super().__call__(config, shape, data_mean, *where)  # type: ignore[arg-type]
        for net in (networks.generator, networks.discriminator):
            for layer in net.trained_layers():
                if isinstance(layer, Branches):
                    layer.weight.data *= layer.sees
        return networks


def check_class_shares(config: ConditionalConfig) -> None:
    """Raise ConfigError unless the lowest layers can leave some of their units to the class."""
    found = f"discriminator_class_share: {config.discriminator_class_share:g}"
    if config.discriminator_class_share > 0 and config.condition == "concatenation":
        if config.discriminator_network != "dense":
            raise ConfigError(
                f"{found}, with discriminator_network: {config.discriminator_network}. A "
                "convolution's channels all see the same maps. Leave it 0, or use a dense D."
            )
        if config.discriminator_normalization == "spectral":
            raise ConfigError(
                f"{found}, with discriminator_normalization: spectral. The norm of a layer that is "
                "two branches isn't defined. Leave one of them out."
            )
        _check_width("discriminator", config.discriminator_widths, found)
    if config.generator_class_share > 0:
        found = f"generator_class_share: {config.generator_class_share:g}"
        _check_width("generator", config.generator_widths, found)


def _check_width(player: str, widths: Sequence[int], found: str) -> None:
    if not widths or widths[0] < 2:
        raise ConfigError(
            f"{found}, of {player}_widths: {list(widths)}. Some units of the lowest hidden layer "
            "see the class, some all but the class. Give it two at least, or leave the share 0."
        )


def _embedding(
    config: ConditionalConfig, n_classes: int, *, spectral: bool = False
) -> Dense | None:
    if not config.condition_embedding:
        return None
    return Dense(n_classes, config.condition_embedding, LINEAR, spectral=spectral)
