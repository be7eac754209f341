"""A run's folder: where each of its files lies, and reading and writing them crash-safely.

`docs/files.md` describes every file and column. A file appears whole or not at all: it is written
to a temporary file, flushed to the disk, then renamed. So a run that is killed at any time leaves
a folder that opens, and a report can read it while the run is in progress.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gansearch.errors import ResultsError, StorageError
from gansearch.own_measures import OwnMeasure
from gansearch.rules import Config
from gansearch.runs import schemas
from gansearch.runs.commands import command
from gansearch.runs.description import (
    DESCRIPTION_FILES,
    RunDescription,
    described_family,
    described_measures,
    described_objectives,
    read_description,
)
from gansearch.runs.history import History
from gansearch.runs.journal import Journal
from gansearch.runs.lease import Lease
from gansearch.runs.location import (
    find_run_folder,
    is_run,
    make_numbered_folder,
    make_run_folder,
    path_inside,
)
from gansearch.runs.lock import is_held, locked
from gansearch.runs.tables import (
    TEST_LL_FOLDER,
    TRIALS_FILE,
    WARM_START_FILE,
    ResultsWarning,
    conform,
    make_table,
    read_frame,
    read_table,
    restoring,
    rows_of,
    unreadable,
    write_table,
)
from gansearch.system.files import set_aside, write_atomically
from gansearch.system.object_store import AnyPath
from gansearch.system.user_code import UserCode

# Between a trial's id and the updates of a state that is kept for its forks.
_AT = "."
# No log-likelihood of an example is further from 0 than this (nats), however small sigma is.
_LARGEST_LL = 1e15


@dataclass
class RunFolder:
    """The folder of one run, `results/<name>/`; the one place that knows its files.

    `RunFolder(path)` does not check the path, which suits workers; `create` and `open` do. One
    process writes `run.json`, `trials` and `history` (see `lock`); workers write only the files of
    their own trials; any process may read at any time.
    """

    path: AnyPath
    _lease: Lease | None = field(default=None, init=False, repr=False, compare=False)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self.path)

    @cached_property
    def _history(self) -> History:
        return History(self.path / "history", schemas.history_schema(self.measures))

    @cached_property
    def _trials_schema(self) -> pa.Schema:
        return schemas.trials_schema(self.table, self.measures)

    @cached_property
    def _ranking_schema(self) -> pa.Schema:
        paths = (self.path / name for name in DESCRIPTION_FILES)
        return schemas.ranking_schema(self.table, (*self.measures, *described_objectives(paths)))

    @cached_property
    def _references_schema(self) -> pa.Schema:
        return schemas.references_schema(self.measures)

    @cached_property
    def measures(self) -> tuple[OwnMeasure, ...]:
        """The measures of the user's own, which have columns in the run's tables."""
        return described_measures(self.path / name for name in DESCRIPTION_FILES)

    @cached_property
    def table(self) -> type[Config]:
        """The parameter table of the run's family, by which its configurations are read."""
        return described_family(self.path / name for name in DESCRIPTION_FILES).config_type

    @classmethod
    def create(cls, results: AnyPath, name: str) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            ResultsError: as `make_run_folder`.
        """
        return cls(make_run_folder(results, name))

    @classmethod
    def create_numbered(cls, results: AnyPath, name: str) -> RunFolder:
        """Make the folder of a new run under the first free name: `name`, `name-2`, `name-3`.

        Raises:
            ResultsError: as `make_run_folder`.
        """
        return cls(make_numbered_folder(results, name))

    @classmethod
    def open(cls, path: AnyPath | str, results: AnyPath = Path("results")) -> RunFolder:
        """Open a run by its folder's path, or by its name below `results`.

        Raises:
            ResultsError: as `find_run_folder`.
        """
        return cls(find_run_folder(path, results))

    def fault(self) -> str | None:
        """Return why the process that holds the lock can't continue the run; None if it can."""
        if self._lease is not None:
            return self._lease.fault
        if is_run(self.path):
            return None
        return "the run's folder is gone: it was moved or removed, or its disk is no longer there"

    def journal(self) -> Path:
        """Return where Optuna's journal lies for the process that holds the lock."""
        return self._journal.path()

    def save_journal(self) -> None:
        """Save the journal, and one that was set aside, if the run lies in an object store."""
        self._journal.save()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone; the lock of a process that died does not hold.

        Raises:
            StorageError: the folder can't be written.
            ResultsError: another live process holds it, or the file system does not support locks.
        """
        with locked(self.path / "lock") as self._lease:
            yield

    def write_run(self, description: RunDescription) -> None:
        """Write `run.json`, the description of the run, and its copy.

        There is a copy because no other file could replace a damaged description.
        """
        content = description.encode()
        for name in DESCRIPTION_FILES:
            write_atomically(self.path / name, content)

    def read_run(self) -> RunDescription:
        """Read `run.json`, or its copy with a `ResultsWarning` where that is damaged or absent.

        Raises:
            ResultsError: both are absent, aren't JSON objects, or lack what a run has.
        """
        first, copy = (self.path / name for name in DESCRIPTION_FILES)
        try:
            return read_description(first)
        except ResultsError as error:
            try:
                description = read_description(copy)
            except ResultsError:
                raise error from None
            what = str(error).removesuffix(restoring(first))
            remedy = f"`{command('resume', self.path)}` restores it from this copy."
            message = f"{what}{copy.name} was read instead. {remedy}"
            warnings.warn(message, ResultsWarning, stacklevel=2)
            return description

    def state_of(self, run: RunDescription) -> str:
        """Return the state of a run of this folder: "interrupted" if its process has died."""
        if not run.is_going_on:
            return run.state
        try:
            return run.state if is_held(self.path / "lock") else "interrupted"
        except (OSError, StorageError):  # whether it lives can't be known
            return run.state

    def restore_description(self) -> list[str]:
        """Rewrite a damaged `run.json` from its copy; return what was done, for warnings."""
        path, copy = (self.path / name for name in DESCRIPTION_FILES)
        repairs = []
        if copy.is_dir():  # in whose place no file can be written
            repairs.append(f"{copy}: a folder; set aside as {set_aside(copy).name}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            description = self.read_run()
        if not caught:
            return repairs
        how = f"damaged; set aside as {set_aside(path).name}" if path.exists() else "absent"
        self.write_run(description)
        return [*repairs, f"{path}: {how}. It was read from its copy"]

    def write_code(self, code: UserCode) -> dict[str, str]:
        """Store the texts of the user's own files below `code/`; return where, by their paths."""
        if not code.texts:
            return {}
        paths = [Path(path) for path in code.texts]
        top = Path(os.path.commonpath([path.parent for path in paths]))
        places = {str(path): f"code/{path.relative_to(top).as_posix()}" for path in paths}
        for path, place in places.items():
            write_atomically(self._code_path(place), code.texts[path])
        return places

    def read_code(self) -> UserCode:
        """Return the user's own files as they were when the run began.

        Raises:
            ResultsError: one is absent.
        """
        texts = {}
        for path, place in self.read_run().code.items():
            try:
                texts[path] = self._code_path(place).read_bytes()
            except OSError as error:
                raise unreadable(self.path / place, error) from error
        return UserCode(texts)

    def _code_path(self, place: str) -> AnyPath:
        parts = place.split("/")
        if parts[0] != "code" or ".." in parts:
            raise unreadable(self.path / "run.json", f"code: found {place!r}")
        return self.path / place

    def append_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add evaluations as one new file of `history/`; only the holder of the lock may."""
        self._history.append(rows)

    def history(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all evaluations in their order, a row each; see `History.read`."""
        return self._history.read(columns)

    def compact_history(self, n_newest: int | None = None) -> None:
        """Merge the history's parts, or its newest ones; only the holder of the lock may."""
        self._history.compact(n_newest)

    def repair_history(self) -> list[tuple[AnyPath, AnyPath]]:
        """Set the history's damaged parts aside; only the holder of the lock may."""
        return self._history.repair()

    def trials_table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Return rows of trials as a table of `trials.parquet`, NaN and absent values as null."""
        return make_table(rows, self._trials_schema, nan_is_null=True)

    def write_trials(self, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Write `trials.parquet` from a `trials_table` or its rows, a row a trial."""
        table = rows if isinstance(rows, pa.Table) else self.trials_table(rows)
        write_table(self.path / TRIALS_FILE, table)

    def trials(self) -> pd.DataFrame:
        """Return `trials.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / TRIALS_FILE, self._trials_schema)

    def write_warm_start(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `warm_start.parquet`: what the run takes of earlier ones."""
        schema = schemas.warm_start_schema(self.table)
        table = make_table(rows, schema, nan_is_null=True)
        write_table(self.path / WARM_START_FILE, table)

    def warm_start(self) -> pd.DataFrame:
        """Return `warm_start.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / WARM_START_FILE, schemas.warm_start_schema(self.table))

    def write_ranking(self, ranking: pd.DataFrame) -> None:
        """Write `ranking.parquet`, in the order of `ranking`."""
        write_table(
            self.path / "ranking.parquet",
            make_table(rows_of(ranking), self._ranking_schema, nan_is_null=True),
        )

    def ranking(self) -> pd.DataFrame:
        """Return `ranking.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "ranking.parquet", self._ranking_schema)

    def write_references(self, references: pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Write `references.parquet`: the scores of the reference lines."""
        rows = rows_of(pd.DataFrame(references))
        table = make_table(rows, self._references_schema, nan_is_null=True)
        write_table(self.path / "references.parquet", table)

    def references(self) -> pd.DataFrame:
        """Return `references.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "references.parquet", self._references_schema)

    def write_curve(self, curve: Sequence[Mapping[str, Any]]) -> None:
        """Write `curve.parquet`: scores by number of samples."""
        write_table(self.path / "curve.parquet", make_table(curve, schemas.CURVE))

    def curve(self) -> pd.DataFrame:
        """Return `curve.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "curve.parquet", schemas.CURVE)

    def write_stability(self, cells: pd.DataFrame, importances: pd.DataFrame) -> None:
        """Write `stability.parquet` and `importances.parquet`.

        They say where in the space trials collapsed or diverged, and which parameters decide it.
        """
        write_table(
            self.path / "stability.parquet",
            make_table(rows_of(cells), schemas.STABILITY, nan_is_null=True),
        )
        table = make_table(rows_of(importances), schemas.IMPORTANCES, nan_is_null=True)
        write_table(self.path / "importances.parquet", table)

    def stability(self) -> pd.DataFrame:
        """Return `stability.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "stability.parquet", schemas.STABILITY)

    def importances(self) -> pd.DataFrame:
        """Return `importances.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "importances.parquet", schemas.IMPORTANCES)

    def write_test_ll(self, trial_id: str, per_example: np.ndarray) -> None:
        """Write a replica's log-likelihoods (nats) of the test examples, `[n]`, in their order."""
        table = pa.table([pa.array(np.asarray(per_example, np.float64))], schemas.TEST_LL)
        write_table(self._test_ll_path(trial_id), table)

    def test_ll(self, trial_id: str) -> np.ndarray:
        """Return a replica's log-likelihoods (nats) of the test examples, `[n]`.

        Raises:
            ResultsError: the file is absent or can't be read.
        """
        path = self._test_ll_path(trial_id)
        try:
            table = conform(read_table(path), schemas.TEST_LL)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
        values: np.ndarray = table.column("test_ll").to_numpy()
        if (np.abs(values) > _LARGEST_LL).any():
            raise unreadable(path, "it has a value that can't be a log-likelihood")
        return values

    def has_test_ll(self, trial_id: str) -> bool:
        """Return whether a replica has a file of test log-likelihoods, damaged or not."""
        return self._test_ll_path(trial_id).exists()

    def test_lls(self) -> dict[str, np.ndarray]:
        """Return the per-example test log-likelihoods of all replicas, by trial id.

        A file that can't be read is left out with a `ResultsWarning`.
        """
        found: dict[str, np.ndarray] = {}
        for path in (self.path / TEST_LL_FOLDER).glob("[!._]*.parquet"):
            try:
                found[path.stem] = self.test_ll(path.stem)
            except ResultsError as error:
                warnings.warn(f"left out: {error}", ResultsWarning, stacklevel=2)
        return dict(sorted(found.items()))

    def model_dir(self, trial_id: str) -> AnyPath:
        """Return the folder of a trial's generator: `models/<trial_id>/`."""
        return path_inside(self.path / "models", trial_id, what="a trial's id")

    def checkpoint_path(self, trial_id: str) -> AnyPath:
        """Return where a trial's state lies: `checkpoints/<trial_id>.safetensors`."""
        return path_inside(
            self.path / "checkpoints", f"{trial_id}.safetensors", what="a trial's id"
        )

    def checkpointed_trials(self) -> list[str]:
        """Return the ids of the trials whose state lies in `checkpoints/`."""
        return [name for name in self._checkpoints() if _AT not in name]

    def state_path(self, trial_id: str, updates: int) -> AnyPath:
        """Return where an earlier state of a trial lies, for its forks.

        `checkpoints/<trial_id>.<updates>.safetensors`.
        """
        return self.checkpoint_path(f"{trial_id}{_AT}{updates}")

    def kept_states(self) -> list[tuple[str, int]]:
        """Return the trial and the updates of each state at a `state_path`."""
        found = (name.partition(_AT) for name in self._checkpoints())
        return [(trial_id, int(updates)) for trial_id, _, updates in found if updates.isdigit()]

    def _checkpoints(self) -> list[str]:
        return [path.stem for path in (self.path / "checkpoints").glob("[!._]*.safetensors")]

    def _test_ll_path(self, trial_id: str) -> AnyPath:
        return path_inside(self.path / TEST_LL_FOLDER, f"{trial_id}.parquet", what="a trial's id")
