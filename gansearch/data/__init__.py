"""The data sets: a name gives a `Dataset`, loaded once a node; one file a data set."""

from typing import TYPE_CHECKING

from gansearch.lazy import attributes

if TYPE_CHECKING:
    from gansearch.data.dataset import Dataset
    from gansearch.data.registry import load_dataset

__all__ = ["Dataset", "load_dataset"]

__getattr__ = attributes(__name__, {"Dataset": "dataset", "load_dataset": "registry"})
