"""gansearch: distributed hyperparameter search for generative adversarial nets."""

from __future__ import annotations

__version__ = "0.1.0"
