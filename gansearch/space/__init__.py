"""Search spaces: YAML or Python -> `SearchSpace` -> Optuna's suggestions -> a configuration."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.space.load import load_space
    from gansearch.space.search_space import SearchSpace

__all__ = ["SearchSpace", "load_space"]

__getattr__, __dir__ = attributes(__name__, {"SearchSpace": "search_space", "load_space": "load"})
