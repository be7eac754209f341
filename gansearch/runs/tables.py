"""Rows to Parquet and back: whole or not at all, sealed, in the columns of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gansearch.errors import ResultsError
from gansearch.runs.commands import command
from gansearch.runs.schemas import FLOAT, PHASES, STATUSES
from gansearch.system.files import BLANK_SEAL, fault_of_seal, sealed, write_atomically
from gansearch.system.object_store import STORE_REMEDY, AnyPath, RemotePath

TRIALS_FILE = "trials.parquet"
TEST_LL_FOLDER = "test_ll"
WARM_START_FILE = "warm_start.parquet"
# What a resume makes a damaged file of again.
_REBUILT_FROM = {
    TRIALS_FILE: "optuna.journal and the history",
    "ranking.parquet": "trials.parquet and test_ll/",
    "references.parquet": "the data",
    "curve.parquet": "the winner's generator and the data",
    "stability.parquet": "trials.parquet and the history",
    "importances.parquet": "trials.parquet and the history",
    f"{TEST_LL_FOLDER}/": "the replica's generator",
}
# The key of a Parquet file's metadata that holds its seal.
_SEAL_KEY = "gansearch.seal"
# Columns that identify rows, so that none may have a null.
_KEYS = {
    *("trial_id", "number", "phase", "seed", "status", "config_id", "updates"),
    *("name", "tied_with"),
}


class ResultsWarning(UserWarning):
    """A file of a run can't be read; it was left out of what is shown."""


def make_table(
    rows: Sequence[Mapping[str, Any]], schema: pa.Schema, *, nan_is_null: bool = False
) -> pa.Table:
    """Return `rows` as a table of `schema`: absent entries are null, unknown ones are dropped."""
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        values = [_encodable(row.get(name)) for row in rows]
        # In the other types a NaN can only be a null that pandas converted.
        from_pandas = nan_is_null or kind != FLOAT
        try:
            columns.append(pa.array(values, kind, from_pandas=from_pandas))
        except pa.ArrowException as error:
            error.add_note(f"in column {name}")
            raise
    return pa.table(columns, schema)


def _encodable(value: Any) -> Any:
    """Return a text as Parquet holds it: bytes that aren't UTF-8, as of file names, are escaped."""
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    return value


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def write_table(path: AnyPath, table: pa.Table) -> None:
    """Write a table with a seal over its whole content.

    Raises:
        StorageError: as `write_atomically`.
    """
    sink = pa.BufferOutputStream()
    # A few rows take a quarter of the time without compression, dictionaries and statistics.
    big = len(table) > 1000
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if big else "none",
        use_dictionary=big,
        write_statistics=big,
        write_page_checksum=True,  # for other readers; ours looks at the seal of the whole file
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_SEAL_KEY: BLANK_SEAL})
    write_atomically(path, sealed(sink.getvalue().to_pybytes()))


def read_table(path: AnyPath, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file as a table.

    Raises:
        OSError: the file can't be read, whether damaged or not.
        ValueError, ArrowException: its content is damaged.
    """
    data = path.read_bytes()
    if why := fault_of_seal(data):
        raise ValueError(why)
    try:
        # Not pq.read_table: it is slower.
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            table = file.read(columns, use_threads=file.metadata.num_rows > 1000)
    except OSError as error:  # Arrow raises it for some kinds of damage
        raise ValueError(str(error)) from error
    return table.replace_schema_metadata(None)


def read_frame(path: AnyPath, schema: pa.Schema) -> pd.DataFrame:
    """Return a file as pandas reads it, with the columns of `schema`; no rows if it is absent.

    Raises:
        ResultsError: it can't be read.
    """
    try:
        table = conform(read_table(path), schema)
        _check_keys(table)
    except FileNotFoundError:
        table = schema.empty_table()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    frame: pd.DataFrame = table.to_pandas()
    return frame


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with the columns of `schema` first, null if an older version lacks them.

    Columns that a newer version has added follow.
    """
    if table.schema.equals(schema):
        return table
    names = [*schema.names, *(name for name in table.column_names if name not in schema.names)]
    columns = []
    for name in names:
        if name not in table.column_names:
            columns.append(pa.nulls(len(table), schema.field(name).type))
        elif name in schema.names:
            columns.append(table.column(name).cast(schema.field(name).type))
        else:
            columns.append(table.column(name))
    return pa.table(columns, names=names)


def is_damage(found: object) -> bool:
    """Return whether a file is damaged or absent, rather than kept back by a disk or a network."""
    no_file = FileNotFoundError | IsADirectoryError | NotADirectoryError
    return not isinstance(found, OSError) or isinstance(found, no_file)


def unreadable(path: AnyPath, found: object) -> ResultsError:
    """Return the error for a file of a run that can't be read, with its remedy."""
    what = str(found.strerror or found if isinstance(found, OSError) else found).rstrip(".")
    if not is_damage(found):
        remedy = "See that you may read it, and that its disk answers."
        if isinstance(path, RemotePath):
            remedy = STORE_REMEDY
        return ResultsError(f"{path}: can't be read: {what}. {remedy}")
    if isinstance(found, FileNotFoundError):
        return ResultsError(f"{path}: absent. {restoring(path)}")
    return ResultsError(
        f"{path}: can't be read: {what}. It was changed or damaged since gansearch wrote it. "
        f"{restoring(path)}"
    )


def restoring(path: AnyPath) -> str:
    """Return how a damaged file of a run comes back."""
    run, name = path.parent, path.name
    if run.name == TEST_LL_FOLDER:
        run, name = run.parent, f"{TEST_LL_FOLDER}/"
    if (source := _REBUILT_FROM.get(name)) is not None:
        return (
            f"Restore it from a copy, or let `{command('resume', run)}` rebuild it from {source}."
        )
    return (
        "Restore it from a copy, or start a new run; the tables that lie beside it open without "
        "it, for example with pandas."
    )


def _check_keys(table: pa.Table) -> None:
    columns = set(table.column_names)
    # Where rows have an id, only those that are presets of the space have a name.
    optional = {"name"} if "config_id" in columns else set()
    for name in _KEYS & columns - optional:
        if table.column(name).null_count:
            raise ValueError(f"a row lacks its {name}")
    for name, known in (("status", STATUSES), ("phase", PHASES)):
        if name in table.column_names:
            unknown = set(pc.unique(table.column(name)).to_pylist()) - set(known)
            if unknown:
                raise ValueError(f"found {name} {min(unknown)[:40]!r}, none of {', '.join(known)}")
