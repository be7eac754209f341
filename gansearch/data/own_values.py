"""Whatever holds examples, as one array of them: tensors, tables, data sets of torch and others.

No library is imported here for it: a value is known by what it can do, so that neither torch nor
Hugging Face's `datasets` need be installed or loaded.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from gansearch.data.decoding import GREY_MODES, on_white
from gansearch.errors import DataError
from gansearch.rules import count_of
from gansearch.system.user_code import describe_error

RULE = (
    "It must be an array of numbers, a tensor, a pandas frame, or a data set with a length and "
    "items; or a tuple (train, test) or (train, valid, test), or a dict, of such."
)
# What a value in a dict, as an item of a data set, is called.
_EXAMPLE_KEYS = ("image", "img", "pixel_values", "x", "data", "input", "inputs", "features")
_LABEL_KEYS = ("label", "labels", "y", "target", "class", "fine_label")
_N_SHOWN = 5


@dataclass(frozen=True)
class Part:
    """The examples of one split, as they were given.

    Attributes:
        values: `[n, ...]`, numbers of any type.
        labels: `[n]`, whole numbers or text; None without.
        names: of the classes, where the labels are indices into them.
        notes: sentences on what of the examples isn't used.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def read_part(value: Any, where: str) -> Part:
    """Return the examples of one split, and their labels where there are any.

    Raises:
        DataError: the value holds none, or some that can't be one array; `where` names it.
    """
    if _is_labelled_pair(value):
        return Part(_array(value[0], where), read_labels(value[1], f"{where}: labels"))
    if all(hasattr(value, name) for name in ("features", "column_names", "__len__")):
        return _of_columns(value, where)
    if hasattr(value, "dtypes") and hasattr(value, "columns"):
        return Part(_of_frame(value, where))
    if isinstance(value, list) and value and _is_item(value[0]):
        return _of_items(value, where)
    if _is_array(value) or isinstance(value, list):
        return Part(_array(value, where))
    if isinstance(value, Mapping | str | bytes) or value is None or np.isscalar(value):
        raise DataError(f"{where}: found {reprlib.repr(value)}. {RULE}")
    return _of_items(value, where)


def read_labels(value: Any, where: str) -> np.ndarray:
    """Return labels `[n]`: whole numbers, or text.

    Raises:
        DataError: they are neither.
    """
    labels = _array(value, where, rule="Labels are whole numbers or text, one for each example.")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(str)
    # Beyond 2**53 floating-point numbers skip whole ones. NaN is in no range.
    if labels.dtype.kind == "f":
        exact = np.where(np.abs(labels.astype(np.float64)) <= 2**53, labels, 0.5)
        labels = exact.astype(np.int64) if (exact % 1 == 0).all() else labels
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{where}: found {labels.dtype} of shape {list(labels.shape)}. Labels are whole "
            "numbers or text, one for each example. Leave them out, or convert them."
        )
    return labels


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "detach")


def _is_labelled_pair(value: Any) -> bool:
    """Return whether a value is (examples, labels), as scikit-learn and Keras give them."""
    if not isinstance(value, tuple) or len(value) != 2 or not all(map(_is_array, value)):
        return False
    shapes = [tuple(each.shape) for each in value]
    return len(shapes[0]) > 1 and len(shapes[1]) == 1 and shapes[0][0] == shapes[1][0]


def _is_item(value: Any) -> bool:
    """Return whether an entry of a list is one example, or one with its label, and no row."""
    if isinstance(value, tuple) and value:
        value = value[0]
    is_array = _is_array(value) and np.ndim(value if hasattr(value, "ndim") else 0) > 0
    return is_array or isinstance(value, Image.Image | Mapping)


def _array(value: Any, where: str, rule: str = RULE) -> np.ndarray:
    """Return an array or nested lists of numbers in memory as an array."""
    try:
        if hasattr(value, "detach"):
            return _of_tensor(value)
        if hasattr(value, "to_numpy"):  # of pandas, with its own types for what may be absent
            value = value.to_numpy(na_value=np.nan) if value.hasnans else value.to_numpy()
        if isinstance(value, np.ma.MaskedArray):
            value = np.where(np.ma.getmaskarray(value), np.nan, np.ma.getdata(value))
        array = np.asarray(value)
    # Whatever the library of the array raises, for rows of different lengths for example.
    except Exception as error:
        raise DataError(
            f"{where}: a {type(value).__name__} that can't be made an array ({error}). All "
            f"examples must have one shape. {rule}"
        ) from error
    return array


def _of_tensor(tensor: Any) -> np.ndarray:
    """Return a tensor of any device or precision; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    if "bfloat16" in str(tensor.dtype):
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array


def _of_frame(frame: Any, where: str) -> np.ndarray:
    """Return the rows of a pandas frame whose columns are all numbers."""
    others = [str(name) for name, kind in frame.dtypes.items() if kind.kind not in "iufb"]
    if others:
        more = f" and {len(others) - _N_SHOWN} more" if len(others) > _N_SHOWN else ""
        raise DataError(
            f"{where}: the columns {', '.join(others[:_N_SHOWN])}{more} hold no numbers. Every "
            "column is learned, and must be numbers. Leave them out, or encode them as numbers, "
            "such as by pandas.get_dummies."
        )
    rows: np.ndarray = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return rows


def _of_columns(value: Any, where: str) -> Part:
    """Return the examples of a `datasets.Dataset`: its images, or its columns of numbers."""
    kinds = {name: type(feature).__name__ for name, feature in value.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    names = tuple(value.features[classes[0]].names) if classes else None
    if len(images) > 1:
        raise DataError(
            f"{where}: found images in the columns {', '.join(images)}. Examples lie in one. "
            f"Leave the others out: .remove_columns({images[1:]})."
        )
    if images:
        keys = [images[0], *classes[:1]]
        if hasattr(value, "select_columns"):
            value = value.select_columns(keys)
        items = _Items(lambda i: tuple(value[i][key] for key in keys), len(value))
        return _of_items(items, where, names)
    columns = [name for name in kinds if name not in classes]
    arrays = [_array(list(value[name]), f"{where}: {name}") for name in columns]
    for name, array in zip(columns, arrays, strict=True):
        if array.dtype.kind not in "iufb":
            raise DataError(
                f"{where}: the column {name} holds no numbers. Every column is learned. Leave it "
                f"out: .remove_columns([{name!r}])."
            )
    if not arrays:
        raise DataError(f"{where}: has no columns but labels. {RULE}")
    rows = [array[:, None] if array.ndim == 1 else array for array in arrays]
    joined = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
    labels = read_labels(list(value[classes[0]]), f"{where}: labels") if classes else None
    return Part(joined, labels, names)


@dataclass(frozen=True)
class _Items:
    """Items by their number, as a data set has them."""

    item: Callable[[int], Any]
    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return self.item(i)


def _of_items(value: Any, where: str, names: tuple[str, ...] | None = None) -> Part:
    """Return the examples of a map-style data set: items, or items with labels."""
    n = _length(value, where)
    values: np.ndarray | None = None
    labels: list[Any] = []
    for i in range(n):
        example, label = _example_and_label(_item(value, i, where), f"{where}: item {i}")
        if values is None:
            values = np.empty((n, *example.shape), example.dtype)
        if example.shape != values.shape[1:]:
            raise DataError(
                f"{where}: item {i} has the shape {_by(example.shape)}, item 0 has "
                f"{_by(values.shape[1:])}. All examples must have one shape. Resize them, such as "
                "by a transform of the data set."
            )
        if example.dtype != values.dtype:
            values = values.astype(np.result_type(values, example))
        values[i] = example
        labels.append(label)
    if values is None:
        raise DataError(f"{where}: it has no items. {RULE}")
    if any(label is None for label in labels):
        unused = any(label is not None for label in labels)
        note = "What stands beside the examples isn't one class each, and is not used as labels."
        return Part(values, notes=(note,) * unused)
    if not all(_is_class(label) for label in labels):
        return Part(values, notes=("The labels of the items are no classes, and are not used.",))
    return Part(values, read_labels(labels, f"{where}: labels"), names or _class_names(value))


def _length(value: Any, where: str) -> int:
    if hasattr(value, "__iter__") and not hasattr(value, "__len__"):
        raise DataError(
            f"{where}: found a {type(value).__name__}, which can only be iterated over. Examples "
            "are split and drawn at random, so their number must be known. Give a list: "
            "list(itertools.islice(data, 10_000))."
        )
    if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        raise DataError(f"{where}: found {reprlib.repr(value)}. {RULE}")
    try:
        return len(value)
    except Exception as error:
        raise DataError(f"{where}: its length raised {describe_error(error)}. {RULE}") from error


def _item(value: Any, i: int, where: str) -> Any:
    try:
        return value[i]
    except Exception as error:
        raise DataError(
            f"{where}: item {i} raised {describe_error(error)}. All {count_of(len(value), 'item')} "
            "are read once. Correct the data set, or leave the item out."
        ) from error


def _example_and_label(item: Any, where: str) -> tuple[np.ndarray, Any]:
    """Return one example as an array, and its label or None."""
    label = None
    if isinstance(item, Mapping):
        keys = [key for key in _EXAMPLE_KEYS if key in item]
        if not keys:
            raise DataError(
                f"{where}: found a dict with the keys {', '.join(map(str, item))}. The example "
                f"stands under one of {', '.join(_EXAMPLE_KEYS)}."
            )
        label = next((_scalar(item[key]) for key in _LABEL_KEYS if key in item), None)
        item = item[keys[0]]
    elif isinstance(item, tuple | list) and item and not _is_number(item[0]):
        label = _scalar(item[1]) if len(item) == 2 else None
        item = item[0]
    if isinstance(item, Image.Image):
        return np.asarray(on_white(item, "L" if item.mode in GREY_MODES else "RGB")), label
    return _array(item, where), label


def _is_number(value: Any) -> bool:
    return not isinstance(value, Image.Image | Mapping | str) and np.ndim(value) == 0


def _scalar(label: Any) -> Any:
    """Return a label that may be a tensor or array of one value; None for anything larger."""
    if hasattr(label, "item") and getattr(label, "ndim", 0) == 0:
        return label.item()
    return label if isinstance(label, int | float | str) else None


def _is_class(label: Any) -> bool:
    return isinstance(label, str) or (isinstance(label, int | float) and label == int(label))


def _class_names(value: Any) -> tuple[str, ...] | None:
    """Return the names of a data set's classes, also where it is a subset of another."""
    while not hasattr(value, "classes") and hasattr(value, "dataset"):
        value = value.dataset
    classes = getattr(value, "classes", None)
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        return tuple(map(str, classes))
    return None


def _by(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def class_indices(parts: Mapping[str, Part]) -> tuple[dict[str, np.ndarray], list[str]] | None:
    """Return the class of each example of all splits, and the names; None where some have none."""
    labels = {split: part.labels for split, part in parts.items()}
    known = {split: each for split, each in labels.items() if each is not None}
    if len(known) < len(parts):
        return None
    names = next((part.names for part in parts.values() if part.names), None)
    together = np.concatenate(list(known.values()))
    if names and together.dtype.kind in "iu" and 0 <= together.min() <= together.max() < len(names):
        return known, list(names)
    values = sorted(set(chain.from_iterable(each.tolist() for each in known.values())), key=str)
    values = sorted(values) if together.dtype.kind in "iu" else values
    if len(values) > np.iinfo(np.int16).max:
        return None  # a class for almost each example is none
    index = {value: i for i, value in enumerate(values)}
    found = {
        split: np.array([index[value] for value in each.tolist()]) for split, each in known.items()
    }
    return found, [str(value) for value in values]
