"""The data sets: each name stands for a `Dataset`, which is loaded once a node."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.data.dataset import Dataset
    from gansearch.data.registry import load_dataset

__all__ = ["Dataset", "load_dataset"]

__getattr__, __dir__ = attributes(__name__, {"Dataset": "dataset", "load_dataset": "registry"})
