"""YAML or Python -> `SearchSpace` -> Optuna's suggestions -> a configuration."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.space.search_space import load_space

__all__ = ["load_space"]

__getattr__ = attributes(__name__, {"load_space": "search_space"})
