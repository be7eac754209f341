"""The user's own examples as a `Dataset`: arrays, tensors, frames, or data sets of torch."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gansearch.data.dataset import MAX_ABS, SPLITS, Dataset, Labels, check_variety
from gansearch.data.duplicates import (
    MAX_SHARED,
    MIN_EXAMPLES,
    PURPOSES,
    identities,
    n_distinct,
    note_copies,
    note_shared,
    overlaps,
    take,
    with_held_out,
)
from gansearch.data.own_images import read_images
from gansearch.data.own_names import GIVEN
from gansearch.data.own_values import RULE, Part, class_indices, read_labels, read_part
from gansearch.data.split_names import similar_split
from gansearch.data.units import Units
from gansearch.errors import DataError, did_you_mean
from gansearch.rules import count_of

# Rows of so few different values repeat by their nature, and copies can't be kept on one side.
_FEW_DISTINCT = 0.5
_IN_ONE = ("train", "data", "x", "images", "samples")  # the key of examples without a split
_N_COLUMNS = 5


def as_dataset(value: Any, *, name: str = GIVEN, where: str = "dataset") -> Dataset:
    """Return examples that the user has as a data set.

    Images `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` are uint8, or floating-point numbers in
    [0, 1]. Vectors `[n, d]` are numbers of any range: each column is standardised by the training
    set. Splits are those that are given; without them a tenth of the examples each, drawn with a
    fixed seed, is held out for validation and for test. All are put in a random order.

    Args:
        value: an array, a tensor, a pandas frame, a map-style data set of torch, a
            `datasets.Dataset`; (examples, labels); a tuple (train, test) or (train, valid, test) or
            a dict of such; or a `Dataset`.
        name: of the data set.
        where: names the value in messages.

    Raises:
        DataError: the examples can't be used. The message says what was found and what mends it.
    """
    if isinstance(value, Dataset):
        return _checked(value, where)
    parts = _split(value, where)
    _check_shapes(parts, where)
    for split, part in parts.items():
        _check_values(part, f"{where}: {split}")
    images = parts["train"].values.ndim > 2
    return (_of_images if images else _of_vectors)(parts, name, where)


def _split(value: Any, where: str) -> dict[str, Part]:
    """Return the examples of each split that is given; without any, all are `train`."""
    if isinstance(value, Mapping):
        return _of_mapping(value, where)
    if isinstance(value, tuple) and not _is_pair(value):
        if len(value) not in (2, 3):
            raise DataError(
                f"{where}: found a tuple of {len(value)}. It must be (train, test), or (train, "
                "valid, test). Put examples that belong together into one array."
            )
        names = SPLITS if len(value) == 3 else ("train", "test")
        return {
            split: read_part(each, f"{where}: {split}")
            for split, each in zip(names, value, strict=True)
        }
    return {"train": read_part(value, where)}


def _is_pair(value: tuple[Any, ...]) -> bool:
    """Return whether a tuple is examples with their labels, and not two splits."""
    return len(value) == 2 and getattr(value[1], "ndim", None) == 1 != getattr(value[0], "ndim", 1)


def _of_mapping(value: Mapping[Any, Any], where: str) -> dict[str, Part]:
    """Return the splits of a dict, with labels that stand beside them.

    These stand under `labels`, as the examples do, or under `train_labels` and so on.
    """
    labels: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for key, each in value.items():
        text = str(key).lower()
        if text in ("labels", "y"):
            nested = each if isinstance(each, Mapping) else {"train": each}
            labels |= {_split_of(name, value, where): found for name, found in nested.items()}
        elif text.endswith("_labels"):
            labels[_split_of(text.removesuffix("_labels"), value, where)] = each
        else:
            split = _split_of(text, value, where)
            if split in parts:
                raise DataError(
                    f"{where}: found {', '.join(map(str, value))}, of which two mean {split}. Each "
                    "split stands there once. Leave one out."
                )
            parts[split] = each
    missing = {"test"} if "valid" in parts else set()
    for split in ["train", *sorted(missing)]:
        if split not in parts:
            raise DataError(
                f"{where}: found {', '.join(map(str, value))}, but no {split}. It must have train, "
                "or train and test, or train, valid and test."
            )
    for split in labels:
        if split not in parts:
            raise DataError(f"{where}: found labels of {split}, but no {split}. Leave them out.")
    found = {
        split: read_part(parts[split], f"{where}: {split}") for split in SPLITS if split in parts
    }
    for split, each in labels.items():
        read = read_labels(each, f"{where}: labels of {split}")
        found[split] = Part(found[split].values, read, notes=found[split].notes)
    return found


def _split_of(name: str, value: Mapping[Any, Any], where: str) -> str:
    if name.lower() in _IN_ONE:
        return "train"
    split = similar_split(name)
    if split is None:
        raise DataError(
            f"{where}: found {reprlib.repr(name)} among {', '.join(map(str, value))}. A dict has "
            f"the splits train, valid and test, and labels. {did_you_mean(name, SPLITS)} Leave "
            "anything else out."
        )
    return split


def _check_shapes(parts: Mapping[str, Part], where: str) -> None:
    shapes = {split: part.values.shape[1:] for split, part in parts.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"{where}: examples of {split} have the shape {_by(shape)}, those of train "
                f"{_by(shapes['train'])}. All must have one shape. Resize one of the two."
            )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _check_values(part: Part, where: str) -> None:
    """Raise DataError unless these are finite numbers, as many as their labels."""
    values, labels = part.values, part.labels
    if values.ndim == 0 or values.size == 0:
        raise DataError(f"{where}: shape {list(values.shape)}, no examples. {RULE}")
    if values.dtype.kind not in "iufb":
        objects = ", of Python objects or rows of different lengths" * (values.dtype == object)
        raise DataError(
            f"{where}: the type of the values is {values.dtype}{objects}. It must be "
            "that of real numbers. Convert them, such as by x.astype('float32'), or leave out what "
            "is no number."
        )
    if labels is not None and len(labels) != len(values):
        raise DataError(
            f"{where}: {count_of(len(labels), 'label')} of {count_of(len(values), 'example')}. "
            "Each example has one. Take both from the same rows."
        )
    if values.dtype.kind == "f":
        rows = values.reshape(len(values), -1)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            columns = np.flatnonzero(~np.isfinite(rows).all(axis=0))
            which = ""
            if values.ndim == 2:
                shown = ", ".join(map(str, columns[:_N_COLUMNS].tolist()))
                more = f" and {len(columns) - _N_COLUMNS:,} more" * (len(columns) > _N_COLUMNS)
                which = f" in the columns {shown}{more} (from 0)"
            raise DataError(
                f"{where}: {int((~finite).sum()):,} of {len(values):,} examples hold NaN or "
                f"infinite values{which}, example {int(np.argmin(finite)):,} (from 0) first. Every "
                "value is learned. Leave these examples out, x[numpy.isfinite(x).all(axis=1)], or "
                "fill them in."
            )


def _of_images(parts: Mapping[str, Part], name: str, where: str) -> Dataset:
    images = read_images({split: part.values for split, part in parts.items()}, where)
    together = np.concatenate(list(images.values.values()))
    ids = identities(together)
    rows, notes = _rows(parts, ids, where, "image")
    splits = {split: take(together, rows[split]) for split in SPLITS}
    for split, part in splits.items():
        why = "There is nothing to learn from them" if split == "train" else "No score can use them"
        check_variety(f"{where}: images to {PURPOSES[split]}", part, f"{why}. Use other images.")
    return Dataset(
        name,
        splits["train"],
        splits["valid"],
        splits["test"],
        shape=images.shape,
        scale=images.scale,
        notes=(*_notes_of(parts), *images.notes, *notes),
        labels=_labels(parts, rows),
    )


def _of_vectors(parts: Mapping[str, Part], name: str, where: str) -> Dataset:
    values = [part.values.reshape(len(part.values), -1) for part in parts.values()]
    together = np.ascontiguousarray(np.concatenate(values), np.float64)
    rows, notes = _rows(parts, identities(together), where, "row")
    train = together[rows["train"]]
    for split in SPLITS:
        part = together[rows[split]]
        if (part == part[:1]).all():
            raise DataError(
                f"{where}: all {len(part):,} rows to {PURPOSES[split]} are identical. There is "
                "nothing to learn from them. Use other rows."
            )
    units = Units.of(train, where)
    splits = {split: units.standardised(together[rows[split]]) for split in SPLITS}
    for split, part in splits.items():
        if np.abs(part).max() > MAX_ABS:
            raise DataError(
                f"{where}: a row to {PURPOSES[split]} lies more than {MAX_ABS:g} standard "
                "deviations from the mean of the training set. Distances would overflow. Remove "
                "such rows, or take logarithms."
            )
    return Dataset(
        name,
        splits["train"],
        splits["valid"],
        splits["test"],
        shape=(together.shape[1],),
        scale=1.0,
        notes=(*_notes_of(parts), _note_units(units, train), *notes),
        labels=_labels(parts, rows),
        units=units,
    )


def _rows(
    parts: Mapping[str, Part], ids: np.ndarray, where: str, noun: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the rows of each split, in random order, and sentences on their copies."""
    rng, start, rows = np.random.default_rng(0), 0, {}
    for split, part in parts.items():
        rows[split] = start + rng.permutation(len(part.values))
        start += len(part.values)
    notes = _check_shared(rows, ids, where, noun)
    distinct = len(np.unique(ids))
    if distinct == 1:
        raise DataError(
            f"{where}: all {len(ids):,} {noun}s are identical. There is nothing to learn from "
            f"them. Use other {noun}s."
        )
    kind = "distinct " if distinct < len(ids) else ""
    if noun == "row" and distinct < _FEW_DISTINCT * len(ids):
        rows = with_held_out(rows, np.arange(len(ids)))
        notes.append(
            f"The {len(ids):,} rows have {distinct:,} different values. Identical rows lie on both "
            "sides of the split, and the likelihood of values that repeat has no upper bound: "
            "compare coverage and recall."
        )
        counts, kind = {split: len(rows[split]) for split in SPLITS}, ""
    else:
        rows = with_held_out(rows, ids)
        notes += note_copies(rows, ids, noun)
        counts = {split: n_distinct(rows[split], ids) for split in SPLITS}
    for split, minimum in MIN_EXAMPLES.items():
        if counts[split] < minimum:
            raise DataError(
                f"{where}: found {count_of(counts[split], f'{kind}{noun}')} to {PURPOSES[split]}, "
                f"of {len(ids):,} in all. There must be at least {minimum}. Add {noun}s."
            )
    return rows, notes


def _check_shared(
    rows: Mapping[str, np.ndarray], ids: np.ndarray, where: str, noun: str
) -> list[str]:
    """Return sentences on examples of one split that are in another; raise on many images."""
    shared = overlaps(rows, ids)
    lines = [overlap.describe(noun) for overlap in shared]
    if noun == "image" and any(len(each.rows) > MAX_SHARED * each.n for each in shared):
        raise DataError(
            f"{where}: {'; '.join(lines)}. Scores would reward generators that copy. At most "
            f"{MAX_SHARED:.0%} of a split may be in another. Remove them from one of the two, or "
            "give all images without splits, which are then split at random."
        )
    return [note_shared(line) for line in lines]


def _labels(parts: Mapping[str, Part], rows: Mapping[str, np.ndarray]) -> Labels | None:
    found = class_indices(parts)
    if found is None:
        return None
    classes, names = found
    together = np.concatenate([classes[split] for split in parts])
    return Labels.of(names, **{split: together[rows[split]] for split in SPLITS})


def _notes_of(parts: Mapping[str, Part]) -> list[str]:
    notes = dict.fromkeys(note for part in parts.values() for note in part.notes)
    if any(part.labels is not None for part in parts.values()) and class_indices(parts) is None:
        unused = "The labels aren't used: some splits have none, or there are too many classes."
        return [*notes, unused]
    return list(notes)


def _note_units(units: Units, train: np.ndarray) -> str:
    """Return the sentence that says what the likelihoods of standardised data mean."""
    constant = int((train == train[:1]).all(axis=0).sum())
    n = train.shape[1]
    columns = f"{constant:,} of {n:,} columns are constant. " if constant else ""
    return (
        f"{columns}Each column is standardised by the mean and the standard deviation of the "
        "training set, and log-likelihoods are those of standardised rows. For those in the data's "
        f"own units add {-units.log_volume:.2f} nats; differences are the same."
    )


def _checked(dataset: Dataset, where: str) -> Dataset:
    """Return a data set that the user has made; raise DataError if it can't be used."""
    for split in SPLITS:
        examples = getattr(dataset, split)
        if not isinstance(examples, np.ndarray) or examples.shape[1:] != (dataset.dim,):
            raise DataError(
                f"{where}: {split} of the Dataset has the shape {list(np.shape(examples))}. It "
                f"must be an array [n, {dataset.dim}], of examples of the shape {dataset.shape}."
            )
        if examples.dtype not in (np.uint8, np.float32):
            raise DataError(
                f"{where}: {split} of the Dataset has the type {examples.dtype}. It must be uint8, "
                "or float32 for points and for images in [0, 1]. Convert it."
            )
        if len(examples) < MIN_EXAMPLES[split]:
            raise DataError(
                f"{where}: found {count_of(len(examples), 'example')} to {PURPOSES[split]}. There "
                f"must be at least {MIN_EXAMPLES[split]}. Add examples."
            )
        _check_values(Part(examples), f"{where}: {split}")
    return dataset
