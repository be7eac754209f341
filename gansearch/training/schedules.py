"""The numbers of an iteration that follow a schedule: rates, momentum, steps, coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gansearch.config import AdversarialConfig
from gansearch.errors import ConfigError
from gansearch.training.optimizers import Scalar, Step
from gansearch.training.remedies import instance_noise_sd


@dataclass(frozen=True)
class Coefficients:
    """Numbers beside the rates, which trainings that share a pass have of their own.

    Attributes:
        loss_scale: factor on D's loss.
        label_smoothing: by how much D's target for real examples is below 1.
        penalty_weight: factor on the gradient penalty.
        instance_noise_sd: standard deviation of the noise on D's inputs.
        average_share: of the way to G's parameters that their average goes, see `average_share`.
    """

    loss_scale: Scalar
    label_smoothing: Scalar
    penalty_weight: Scalar
    instance_noise_sd: Scalar
    average_share: Scalar


@dataclass(frozen=True)
class Rates:
    """The learning rates and the momentum of an iteration, or of several."""

    generator_lr: Any
    discriminator_lr: Any
    momentum: Any


@dataclass(frozen=True)
class Schedule:
    """What one iteration of Algorithm 1 is done with.

    Attributes:
        coefficients: of the objectives.
        d_steps: sizes of D's k updates.
        g_step: size of G's update.
        momentum: of both.
    """

    coefficients: Coefficients
    d_steps: list[Step]
    g_step: Step
    momentum: float


@dataclass(frozen=True)
class Horizon:
    """What the schedules of a stage of a training refer to.

    Attributes:
        n_train: training examples; n_train / m iterations are an epoch.
        n_iterations: of the whole stage, its budget; None if unknown.
    """

    n_train: int
    n_iterations: float | None = None

    def progress(self, iteration: int | np.ndarray, name: str) -> Any:
        """Return the share of the budget that is spent at an iteration, at most 1.

        Raises:
            ConfigError: there is no budget; `name` is the parameter that needs it.
        """
        if self.n_iterations is None:
            raise ConfigError(
                f"configuration: {name}: it refers to the budget of the training, which was built "
                "without one. Give the training its max_updates."
            )
        return np.minimum(iteration / max(self.n_iterations, 1), 1.0)


def schedule_at(
    config: AdversarialConfig,
    iteration: int,
    horizon: Horizon,
    before: AdversarialConfig | None = None,
) -> Schedule:
    """Return the schedule of an iteration (from 0 in its stage).

    `before` is the configuration of the iteration before, if that was another.
    """
    d_steps, g_step = steps_at(config, iteration, horizon, before)
    momentum = rates_at(config, iteration, horizon).momentum
    return Schedule(coefficients_at(config, iteration), d_steps, g_step, momentum)


def rates_at(config: AdversarialConfig, iteration: int | np.ndarray, horizon: Horizon) -> Rates:
    """Return the rates of `iteration` (from 0), one or many.

    As in the authors' configuration, learning rates are divided by `lr_decay` each iteration down
    to `min_lr`, and the momentum rises linearly from epoch 1 to epoch `momentum_epochs`, an epoch
    being `n_train / m` iterations. Where shares of the budget are given, the rates are the initial
    ones times `final_lr_share` to the power of the share that is spent, and the momentum rises
    linearly over `momentum_share`.
    """

    def decayed(lr: float) -> Any:
        if config.final_lr_share < 1:
            spent = horizon.progress(iteration, "final_lr_share")
            return lr * np.power(config.final_lr_share, spent)
        decay = np.power(config.lr_decay, -np.float64(iteration))
        # A rate that starts below the floor stays as given.
        return np.maximum(lr * decay, min(config.min_lr, lr))

    return Rates(
        decayed(config.generator_lr),
        decayed(config.discriminator_lr),
        _momentum_at(config, iteration, horizon),
    )


def _momentum_at(config: AdversarialConfig, iteration: int | np.ndarray, horizon: Horizon) -> Any:
    if config.momentum_share > 0:
        spent = horizon.progress(iteration, "momentum_share")
        progress = np.minimum(spent / config.momentum_share, 1.0)
    else:
        epoch = 1 + iteration * config.batch_size / horizon.n_train
        progress = np.minimum((epoch - 1) / max(config.momentum_epochs - 1, 1e-9), 1.0)
    return config.momentum + progress * (config.final_momentum - config.momentum)


def steps_at(
    config: AdversarialConfig,
    iteration: int,
    horizon: Horizon,
    before: AdversarialConfig | None = None,
) -> tuple[list[Step], Step]:
    """Return the k steps of D in an iteration (from 0 in its stage), and that of G.

    `before` is as in `schedule_at`.
    """
    now = rates_at(config, iteration, horizon)
    last = rates_at(before or config, max(iteration - 1, 0), horizon)

    def step(lr: float, last_lr: float, number: int) -> Step:
        decay = now.momentum * last_lr / lr
        return Step(lr, decay, config.adam_beta1, config.adam_beta2, number)

    first = iteration * config.k + 1
    # Within an iteration the rate stays, so that only the first update finds another before it.
    last_lrs = [last.discriminator_lr] + [now.discriminator_lr] * (config.k - 1)
    lr = now.discriminator_lr
    return (
        [step(lr, last_lr, first + i) for i, last_lr in enumerate(last_lrs)],
        step(now.generator_lr, last.generator_lr, iteration + 1),
    )


def coefficients_at(config: AdversarialConfig, iteration: int | np.ndarray) -> Coefficients:
    """Return the coefficients in `iteration` (from 0 in its stage), one or many."""
    return Coefficients(
        config.discriminator_loss_scale,
        config.label_smoothing,
        config.gradient_penalty_weight,
        instance_noise_sd(config, iteration * (config.k + 1)),
        average_share(config.generator_ema, iteration),
    )


def average_share(decay: Any, iteration: int | np.ndarray) -> Any:
    """Return 1 - decay of an average of parameters in `iteration` (from 0 in its stage).

    The decay is min(`decay`, (1 + t) / (10 + t)), as with `num_updates` in TensorFlow's
    ExponentialMovingAverage: at first the average reaches back over a ninth of the iterations, so
    that a short training isn't scored by its initial weights.
    """
    return 1 - np.minimum(decay, (1 + iteration) / (10 + iteration))
