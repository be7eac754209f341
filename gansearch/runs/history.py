"""`history/`: a row a report, appended as small files while a run goes on, gathered at its end."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from gansearch.runs.schemas import HISTORY
from gansearch.runs.tables import ResultsWarning, conform, make_table, read_table, write_table
from gansearch.system.files import set_aside
from gansearch.system.object_store import AnyPath

HISTORY_COLUMNS: tuple[str, ...] = tuple(HISTORY.names)
_PART = re.compile(r"part-(\d+)\.parquet")


class History:
    """The parts of a run's history; one process appends, compacts and clears, anybody may read."""

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        # Kept, since listing a folder of many parts costs more than writing one.
        self._next_part: int | None = None

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add reports as one new file `part-<number>.parquet`, whole or not at all."""
        if rows:
            self._add_part(make_table(rows, HISTORY))

    def read(self, columns: Sequence[str] = HISTORY_COLUMNS) -> pd.DataFrame:
        """Return all reports in the order in which they were made, a row each.

        A report that is there twice, as after a trial's restart, counts once: the first of a
        (trial_id, updates) is kept. A part that can't be read is left out with a `ResultsWarning`.

        Args:
            columns: the ones to read; `trial_id` and `updates` must be among them.
        """
        table, _, torn = self._read_parts(columns)
        for path, error in torn:
            warnings.warn(
                f"{path}: left out, it can't be read: {error}", ResultsWarning, stacklevel=3
            )
        frame: pd.DataFrame = _deduplicated(table).to_pandas()
        return frame

    def compact(self, n_newest: int | None = None) -> None:
        """Gather the parts, or the newest ones, in one file.

        Damaged parts are set aside. The newest alone take the same time however long the history
        is.

        Safe against a kill at any moment: the old parts go only when the new one is in place, and
        while both are there `read` shows each report once.
        """
        table, parts, torn = self._read_parts(n_newest=n_newest)
        _set_damaged_aside(torn)
        if len(parts) > 1:
            self._add_part(_deduplicated(table))
            for path in parts:
                path.unlink()
        for leftover in self._path.glob(".*.tmp"):
            leftover.unlink()

    def clear(self) -> list[tuple[AnyPath, AnyPath]]:
        """Set damaged parts aside; return where they were and are."""
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
        self, columns: Sequence[str] = HISTORY_COLUMNS, *, n_newest: int | None = None
    ) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
        """Return parts as one table, the paths that were read, and those that can't be."""
        while True:
            parts = self._parts()
            try:
                return _read_all(list(parts.values())[-(n_newest or 0) :], columns)
            except FileNotFoundError:
                # Compacted away since the listing; a new listing has the part that replaces it.
                if parts == self._parts():
                    raise


def _read_all(
    parts: Iterable[AnyPath], columns: Sequence[str]
) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
    schema = pa.schema([HISTORY.field(name) for name in columns])
    tables, read, torn = [schema.empty_table()], [], []
    for path in parts:
        try:
            tables.append(conform(read_table(path, columns), schema).select(schema.names))
            read.append(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, pa.ArrowException) as error:
            torn.append((path, error))
    return pa.concat_tables(tables), read, torn


def _set_damaged_aside(torn: Iterable[tuple[AnyPath, Exception]]) -> list[tuple[AnyPath, AnyPath]]:
    """Set parts aside, but not those of which a disk or a network has only not given the bytes."""
    return [(path, set_aside(path)) for path, error in torn if not isinstance(error, OSError)]


def _deduplicated(history: pa.Table) -> pa.Table:
    # By numbers: comparing millions of texts takes seconds.
    trials = history.column("trial_id").combine_chunks().dictionary_encode().indices
    updates = history.column("updates")
    keys = pd.DataFrame({"trial": trials.to_pandas(), "updates": updates.to_pandas()})
    is_again = keys.duplicated().to_numpy()
    return history.filter(~is_again) if is_again.any() else history
