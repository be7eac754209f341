"""The two players, G and D: their networks, trained parameters, optimizers and arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator
from gansearch.system.precision import arithmetic
from gansearch.training.optimizers import Player, Scalar, Step, descend, update_average


@dataclass(frozen=True)
class Players:
    """G and D with their optimizers; of one training, or of several that are trained together.

    Attributes:
        config: the hyperparameters; of several trainings, what they have in common.
        generator_net, discriminator_net: the networks.
        generator, discriminator: their trained parameters, with the optimizer's moments.
    """

    config: AdversarialConfig
    generator_net: AnyGenerator
    discriminator_net: AnyDiscriminator
    generator: Player
    discriminator: Player

    def arithmetic(
        self, tensor: Tensor, *, backward: bool = False
    ) -> AbstractContextManager[object]:
        """Return the context in which the networks are applied to `tensor`, or differentiated."""
        return arithmetic(self.config.precision, tensor.device.type, backward=backward)

    def gradients(self, objective: Tensor, player: Player, *, is_last: bool = True) -> list[Tensor]:
        """Return the gradients of a sum with respect to a player's parameters."""
        with self.arithmetic(objective, backward=True):
            return list(
                torch.autograd.grad(
                    objective,
                    player.params,
                    retain_graph=not is_last,
                    # A network of the user's own may leave out a layer at random.
                    materialize_grads=not player.layers,
                )
            )

    def descend_generator(
        self,
        grads: list[Tensor],
        step: Step | Sequence[Tensor],
        average_share: Scalar,
        due: Tensor | None,
    ) -> None:
        """Update G in place, and then the average of its parameters if it has one."""
        descend(self.generator, grads, step, due)
        update_average(self.generator, average_share, due)

    def descend_discriminator(
        self, grads: list[Tensor], step: Step | Sequence[Tensor], due: Tensor | None
    ) -> None:
        """Update D in place, and its spectral norms if it has them."""
        descend(self.discriminator, grads, step, due)
        config = self.config
        if isinstance(config, TrialConfig) and config.discriminator_normalization == "spectral":
            for layer in self.discriminator.layers:
                layer.power_iterate()
