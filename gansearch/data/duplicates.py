"""Splits and identical examples: these count once, and none may lie on both sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PURPOSES = {"train": "train on", "valid": "validate on", "test": "test on"}
MIN_EXAMPLES = {"train": 100, "valid": 20, "test": 20}
# Of the examples of a split that may be examples of another. Published data sets have a few.
MAX_SHARED = 0.01
_HELD_OUT_SHARE = 0.1  # for validation, and for test, if the data has no split
_MAX_HELD_OUT = 10_000


@dataclass(frozen=True)
class Overlap:
    """Examples of one split that another split has as well.

    Attributes:
        split, other: names of the splits; `other` comes first in the order train, valid, test.
        rows: which examples of `split` they are.
        other_rows: for each, the first example of `other` that is identical to it.
        n: number of examples in `split`.
    """

    split: str
    other: str
    rows: np.ndarray
    other_rows: np.ndarray
    n: int

    def describe(self, noun: str = "image") -> str:
        """Return the number of these examples in words; `noun` is what an example is."""
        n = f"{len(self.rows):,} of {self.n:,} {noun}s to {PURPOSES[self.split]}"
        article = "an" if noun == "image" else "a"
        verb = f"is also {article} {noun}" if len(self.rows) == 1 else f"are also {noun}s"
        return f"{n} {verb} to {PURPOSES[self.other]}"


def identities(examples: np.ndarray) -> np.ndarray:
    """Return for each of the examples `[n, d]` the number of the first one that equals it, `[n]`.

    Equal means the same stored values; examples that only look the same differ.
    """
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row, digest_size=16).digest() for row in examples)
    return np.array([first.setdefault(digest, i) for i, digest in enumerate(digests)], np.int64)


def hold_out(rows: np.ndarray, ids: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n examples of `rows`, or a few less, and the others, with no example in both.

    The first ones are taken, each with all its copies; those with more copies than there is room
    for are passed over. Both parts keep the order of `rows`. `ids` are `identities` of all.
    """
    values, first, counts = np.unique(ids[rows], return_index=True, return_counts=True)
    chosen: list[int] = []
    for i in np.argsort(first):
        if counts[i] <= n:
            chosen.append(values[i])
            n -= counts[i]
    is_held_out = np.isin(ids[rows], chosen)
    return rows[is_held_out], rows[~is_held_out]


def with_held_out(rows: Mapping[str, np.ndarray], ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of all three splits, with those that are absent held out from `train`.

    A tenth of it each, at most 10,000; the first ones, so that `train` must be in a random order.
    Identical examples stay together: on both sides of a split they would be no test.
    """
    if "valid" in rows:
        return dict(rows)
    train, test = rows["train"], rows.get("test")
    n = min(_MAX_HELD_OUT, round(_HELD_OUT_SHARE * len(train)))
    if test is None:
        test, train = hold_out(train, ids, n)
    valid, train = hold_out(train, ids, n)
    return {"train": train, "valid": valid, "test": test}


def take(examples: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the examples of some rows, without a copy if the rows are consecutive."""
    if len(rows) == rows[-1] + 1 - rows[0] and (np.diff(rows) == 1).all():
        return examples[rows[0] : rows[-1] + 1]
    taken: np.ndarray = examples[rows]
    return taken


def n_distinct(rows: np.ndarray, ids: np.ndarray) -> int:
    """Return how many distinct examples there are among `rows`."""
    return len(np.unique(ids[rows]))


def overlaps(splits: Mapping[str, np.ndarray], ids: np.ndarray) -> list[Overlap]:
    """Return the overlap of each two splits that share examples.

    Args:
        splits: the rows of each split, in the order train, valid, test.
        ids: `identities` of all examples.
    """
    found = []
    names = list(splits)
    for i, split in enumerate(names):
        for other in names[:i]:
            known, first = np.unique(ids[splits[other]], return_index=True)
            shared = splits[split][np.isin(ids[splits[split]], known)]
            if len(shared):
                others = splits[other][first[np.searchsorted(known, ids[shared])]]
                found.append(Overlap(split, other, shared, others, len(splits[split])))
    return found


def note_shared(overlap: str) -> str:
    """Return the sentence on an overlap, in words, that is small enough to be accepted."""
    return f"{overlap}. Scores slightly reward generators that copy them."


def note_copies(
    splits: Mapping[str, np.ndarray], ids: np.ndarray, noun: str = "image"
) -> list[str]:
    """Return a sentence on the images of each split that are copies of others in it, if any are."""
    copies = {split: len(rows) - n_distinct(rows, ids) for split, rows in splits.items()}
    listed = [
        f"{n:,} of {len(splits[split]):,} {noun}s to {PURPOSES[split]}"
        for split, n in copies.items()
        if n
    ]
    if not listed:
        return []
    return [f"{', '.join(listed)} are copies of others there. Each counts like any other {noun}."]
