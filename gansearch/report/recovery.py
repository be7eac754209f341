"""Reads the tables that a report shows, around those that are damaged or lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from gansearch.errors import ResultsError
from gansearch.ranking.ranking import rank
from gansearch.runs.commands import command
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder

T = TypeVar("T")


def read_with_warnings(reader: Callable[[], T]) -> tuple[T, list[str]]:
    """Return the result of a reader of files, and its warnings of what it left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = reader()
    return result, [str(warning.message) for warning in caught]


def read_or_leave_out(
    reader: Callable[[], pd.DataFrame], schema: pa.Schema
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table, or no rows of its schema if it is damaged, and a warning that says so."""
    try:
        return reader(), []
    except ResultsError as error:
        nothing: pd.DataFrame = schema.empty_table().to_pandas()
        return nothing, [f"Left out: {error}"]


def read_or_rank(
    folder: RunFolder,
    run: RunDescription,
    trials: pd.DataFrame,
    read_test_lls: Callable[[], Mapping[str, np.ndarray]],
) -> tuple[pd.DataFrame, list[str]]:
    """Return the ranking, computed again if its file is damaged, or lost by a finished run.

    Only then are the test log-likelihoods read, of which each replica has a file.

    Returns:
        The columns of `ranking.parquet`, and a warning if it was computed again.
    """
    try:
        ranking = folder.ranking()
        replicas = trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]
        if not ranking.empty or run.state != "finished" or replicas.empty or not read_test_lls():
            return ranking, []
        why = f"{folder.path / 'ranking.parquet'}: absent or empty."
        why += f" `{command('resume', folder.path)}` writes it again."
    except ResultsError as error:
        why = str(error)
    ranking, messages = read_with_warnings(
        lambda: rank(trials, read_test_lls(), paper_config_id=run.paper_config_id)
    )
    return ranking, [f"The ranking was computed from the other files: {why}", *messages]
