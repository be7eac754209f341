"""Reads the tables that a report shows, around those that are damaged or lost."""

from __future__ import annotations

import threading
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
from gansearch.runs.tables import TRIALS_FILE, unreadable
from gansearch.system.object_store import AnyPath

T = TypeVar("T")
# What catches warnings does so for all threads.
_CATCHING = threading.RLock()


def read_with_warnings(reader: Callable[[], T]) -> tuple[T, list[str]]:
    """Return the result of a reader of files, and its warnings of what it left out."""
    with _CATCHING, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = reader()
    return result, [str(warning.message) for warning in caught]


def read_trials(folder: RunFolder, run: RunDescription) -> pd.DataFrame:
    """Return `trials.parquet`.

    Raises:
        ResultsError: it is damaged, or absent though trials have reported. Of a run that goes on it
            may be written later than its history.
    """
    trials = folder.trials()
    if trials.empty and not run.is_going_on and not read_with_warnings(folder.history)[0].empty:
        path = folder.path / TRIALS_FILE
        raise unreadable(path, FileNotFoundError())
    return trials


def read_or_leave_out(
    reader: Callable[[], pd.DataFrame], schema: pa.Schema, absent: AnyPath | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table, or no rows of its schema and a warning if it is damaged or lost.

    `absent` is the table's path if the run must have it by now.
    """
    try:
        table = reader()
        if absent is not None and not absent.exists():
            raise unreadable(absent, FileNotFoundError())
        return table, []
    except ResultsError as error:
        nothing: pd.DataFrame = schema.empty_table().to_pandas()
        return nothing, [f"Left out: {error}"]


def read_or_rank(
    folder: RunFolder,
    run: RunDescription,
    trials: pd.DataFrame,
    read_test_lls: Callable[[], Mapping[str, np.ndarray]],
) -> tuple[pd.DataFrame, list[str]]:
    """Return the ranking, computed again if a finished run lost its file or has another run's.

    It is also computed again if the file is damaged, or of an older version, which ranked
    configurations by the replicas that worked alone. Only then are the test log-likelihoods read,
    of which each replica has a file.

    Returns:
        The columns of `ranking.parquet`, and a warning if it was computed again.
    """
    try:
        ranking = folder.ranking()
        replicas = trials[trials["phase"] == "replica"]
        is_own = set(ranking["config_id"]) <= set(replicas["config_id"])
        scored = (replicas["status"] == "completed").any()
        is_there = not ranking.empty or run.state != "finished"
        is_by_all = ranking.empty or ranking["p_works"].notna().any()
        if is_own and ((is_there and is_by_all) or not scored or not read_test_lls()):
            return ranking, []
        what = _fault_of_ranking(is_own=is_own, is_there=is_there)
        why = f"{folder.path / 'ranking.parquet'}: {what}."
        why += f" `{command('resume', folder.path)}` writes it again."
    except ResultsError as error:
        why = str(error)
    ranking, messages = read_with_warnings(
        lambda: rank(
            trials,
            read_test_lls(),
            paper_config_id=run.paper_config_id,
            names=run.names,
            measures=run.measures,
            objective=run.objective,
        )
    )
    return ranking, [f"The ranking was computed from the other files: {why}", *messages]


def _fault_of_ranking(*, is_own: bool, is_there: bool) -> str:
    if not is_own:
        return "its configurations aren't those of this run"
    if not is_there:
        return "absent or empty"
    return "of an older version, which ranked by the mean of the replicas that worked alone"
