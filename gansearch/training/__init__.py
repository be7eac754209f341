"""Algorithm 1: the loop and its two updates, their losses, remedies and optimizers."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.training.training import AdversarialTraining

__all__ = ["AdversarialTraining"]

__getattr__, __dir__ = attributes(__name__, {"AdversarialTraining": "training"})
