"""Which trainings can share a group: those of one structure."""

from __future__ import annotations

from gansearch.config import AdversarialConfig, TrialConfig
from gansearch.networks.dropout import drops
from gansearch.networks.models import is_dense

# What members of a group share, beside the widths; all else is their own or no longer matters once
# the weights are drawn.
_SHARED = (
    *("update", "generator_loss", "gradient_penalty", "batch_size", "precision", "optimizer"),
    *("generator_activation", "generator_normalization", "generator_output"),
    *("discriminator_activation", "discriminator_normalization"),
    *("packing", "maxout_pieces", "leaky_slope"),
)
# The same for convolutional networks, whose sizes are all part of the structure.
_SHARED_BY_MAPS = (
    *("generator_network", "generator_channels"),
    *("generator_kernels", "generator_strides", "generator_paddings"),
    *("discriminator_network", "discriminator_channels", "convolution_pieces"),
    *("discriminator_kernels", "discriminator_strides", "discriminator_paddings"),
    *("discriminator_pools", "discriminator_pool_strides"),
    *("noise_dim", "generator_widths", "discriminator_widths"),
)
# What they share of these is whether there is any.
_SWITCHES = (
    *("dropout_input", "dropout_hidden", "instance_noise_sd"),
    *("generator_max_norm", "discriminator_max_norm", "generator_ema"),
)


def structure_of(config: AdversarialConfig) -> TrialConfig | None:
    """Return what trainings must have in common to share a group with `config`.

    None where it can't train in a group: networks of the user's own, what reaches over the
    members' own steps (unrolling, spectral norm, minibatch standard deviation, pretraining), and
    what changes in mid-training (a schedule).
    """
    if not isinstance(config, TrialConfig):
        return None
    apart = (
        config.unrolled_steps > 0
        or config.minibatch_sd > 0
        or config.discriminator_normalization == "spectral"
        or config.pretraining != "none"
        or bool(config.schedule)
    )
    if apart:
        return None
    values = {name: getattr(config, name) for name in _SHARED}
    for name in _SWITCHES:
        value = getattr(config, name)
        is_on = drops(value) if name.startswith("dropout") else value > 0
        values[name] = 0.5 if is_on else 0.0
    if not is_dense(config):
        return TrialConfig(**values, **{name: getattr(config, name) for name in _SHARED_BY_MAPS})
    names = (config.generator_activation, config.discriminator_activation)
    for player, activation in zip(("generator", "discriminator"), names, strict=True):
        # A padded sigmoid unit would not be zero.
        pad = (lambda width: width) if "sigmoid" in activation else bucket
        values[f"{player}_widths"] = tuple(map(pad, getattr(config, f"{player}_widths")))
    return TrialConfig(noise_dim=bucket(config.noise_dim), **values)


def bucket(width: int) -> int:
    """Return the width, at least `width`, that nets of about it are padded to: four an octave.

    >>> [bucket(width) for width in (3, 64, 100, 240, 1200)]
    [8, 64, 112, 256, 1280]
    """
    step = max(8, 1 << max(0, width.bit_length() - 3))
    return -(-width // step) * step
