"""`history/`: a row an evaluation, appended in small files during a run, merged at its end."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from gansearch.runs.schemas import HISTORY
from gansearch.runs.tables import (
    ResultsWarning,
    conform,
    is_damage,
    make_table,
    read_table,
    write_table,
)
from gansearch.system.files import set_aside
from gansearch.system.object_store import AnyPath

HISTORY_COLUMNS: tuple[str, ...] = tuple(HISTORY.names)
_PART = re.compile(r"part-(\d+)\.parquet")


class History:
    """The parts of a run's history; one process writes them, any process may read them."""

    def __init__(self, path: AnyPath, schema: pa.Schema = HISTORY) -> None:
        self._path = path
        self._schema = schema
        # Stored, because listing a folder of many parts costs more than writing one.
        self._next_part: int | None = None

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add evaluations as one new file `part-<number>.parquet`, whole or not at all."""
        if rows:
            self._add_part(make_table(rows, self._schema))

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all evaluations in the order in which they were made, a row each.

        Duplicates, as after a trial's restart, are dropped: the first row of each
        (trial_id, updates) counts. A part that can't be read is left out with a `ResultsWarning`.

        Args:
            columns: to read, None for all; `trial_id` and `updates` must be among them.
        """
        table, _, damaged = self._read_parts(columns)
        for path, error in damaged:
            warnings.warn(
                f"{path}: left out, it can't be read: {error}", ResultsWarning, stacklevel=3
            )
        frame: pd.DataFrame = _deduplicated(table).to_pandas()
        return frame

    def compact(self, n_newest: int | None = None) -> None:
        """Merge the parts, or the newest ones, into one file.

        Damaged parts are set aside. With `n_newest` the time does not grow with the history.

        Safe against a kill at any time: the old parts are removed only when the new one is in
        place, and while both exist `read` returns each evaluation once.
        """
        table, parts, damaged = self._read_parts(n_newest=n_newest)
        _set_damaged_aside(damaged)
        if len(parts) > 1:
            self._add_part(_deduplicated(table))
            for path in parts:
                path.unlink()
        for leftover in self._path.glob(".*.tmp"):
            leftover.unlink()

    def repair(self) -> list[tuple[AnyPath, AnyPath]]:
        """Set damaged parts aside; return the old and the new path of each."""
        return _set_damaged_aside(self._read_parts()[2])

    def _parts(self) -> dict[int, AnyPath]:
        """Return the history's parts by number, ascending."""
        found = {
            int(match[1]): path
            for path in self._path.glob("part-*.parquet")
            if (match := _PART.fullmatch(path.name))
        }
        return dict(sorted(found.items()))

    def _add_part(self, table: pa.Table) -> None:
        if self._next_part is None:
            self._next_part = max(self._parts(), default=-1) + 1
        while (path := self._path / f"part-{self._next_part:08d}.parquet").exists():
            self._next_part += 1
        write_table(path, table)

    def _read_parts(
        self, columns: Sequence[str] | None = None, *, n_newest: int | None = None
    ) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
        """Return parts as one table, the paths that were read, and those that can't be read."""
        schema = self._schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        while True:
            parts = self._parts()
            try:
                return _read_all(list(parts.values())[-(n_newest or 0) :], schema)
            except FileNotFoundError:
                # Merged since the listing; a new listing has the part that replaces it.
                if parts == self._parts():
                    raise


def _read_all(
    parts: Iterable[AnyPath], schema: pa.Schema
) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
    tables, read, damaged = [schema.empty_table()], [], []
    for path in parts:
        try:
            tables.append(conform(read_table(path, schema.names), schema).select(schema.names))
            read.append(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, pa.ArrowException) as error:
            damaged.append((path, error))
    return pa.concat_tables(tables), read, damaged


def _set_damaged_aside(
    damaged: Iterable[tuple[AnyPath, Exception]],
) -> list[tuple[AnyPath, AnyPath]]:
    """Set damaged parts aside, but not those that a disk or a network failed to deliver."""
    return [(path, set_aside(path)) for path, error in damaged if is_damage(error)]


def _deduplicated(history: pa.Table) -> pa.Table:
    # As integers: comparing millions of strings takes seconds.
    trials = history.column("trial_id").combine_chunks().dictionary_encode().indices
    updates = history.column("updates")
    keys = pd.DataFrame({"trial": trials.to_pandas(), "updates": updates.to_pandas()})
    is_duplicate = keys.duplicated().to_numpy()
    return history.filter(~is_duplicate) if is_duplicate.any() else history
