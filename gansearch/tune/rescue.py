"""What to change of a configuration whose training dies, when it goes on from an earlier state.

Momentum off, and both learning rates lower and alike: what `benchmarks/studies/rescue.py` found to
save most, of trainings that collapse as of those that diverge.
"""

from __future__ import annotations

import math

from gansearch.rules import Config

MAX_ATTEMPTS = 2
_RATES = ("generator_lr", "discriminator_lr")
_MOMENTA = ("momentum", "final_momentum", "adam_beta1")
# Of the geometric mean of the rates that a training died with.
_SHARE = 1 / 3


def rescue_changes(config: Config, attempt: int) -> dict[str, float]:
    """Return the parameters that change, with their new values; none if nothing is worth trying.

    Each attempt goes by the values that the training has died with, so that a second one has lower
    rates than the first.

    Args:
        config: as it was when the training died, see `ScheduledConfig.at`.
        attempt: at saving this training, from 1.
    """
    schedulable = getattr(config, "schedulable", ())
    free = {name for name in config.rules() if name in schedulable and config.applies(name)}
    if attempt > MAX_ATTEMPTS or not free.issuperset(_RATES):
        return {}
    lr = _SHARE * math.prod(math.sqrt(getattr(config, name)) for name in _RATES)
    wanted = dict.fromkeys(_RATES, lr) | dict.fromkeys(_MOMENTA, 0.0)
    return {
        name: value
        for name, value in wanted.items()
        if name in free and value != getattr(config, name)
    }
