"""A run's folder: where each of its files lies, and reading and writing them crash-safely.

`docs/files.md` describes every file and column for those who read them without gansearch. A file
appears whole or not at all: it is written aside, flushed to the disk, then renamed. So a run that
is killed at any moment leaves a folder that opens, and a report can read it while the run goes on.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gansearch.errors import ResultsError, did_you_mean
from gansearch.family import load_family
from gansearch.rules import Config
from gansearch.runs import schemas
from gansearch.runs.description import RunDescription, family_of, read_description
from gansearch.runs.history import HISTORY_COLUMNS, History
from gansearch.runs.lease import Lease
from gansearch.runs.lock import locked
from gansearch.runs.tables import (
    TRIALS_FILE,
    ResultsWarning,
    conform,
    make_table,
    read_frame,
    read_table,
    rows_of,
    unreadable,
    write_table,
)
from gansearch.system.files import set_aside, write_atomically
from gansearch.system.object_store import STORE_REMEDY, AnyPath, RemotePath, parse_path

# No log-likelihood of an example is that far from 0 (nats), however small sigma.
_LARGEST_LL = 1e15
# A run's description, and the copy that is read where it is damaged.
_DESCRIPTIONS = ("run.json", "run.json.copy")
JOURNAL = "optuna.journal"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass
class RunFolder:
    """The folder of one run, `results/<name>/`; the one place that knows its files.

    `RunFolder(path)` takes the path on trust, as a worker does that was given it; `create` and
    `open` check it. One process writes `run.json`, `trials` and `history` (see `lock`); workers
    write only files that are their trial's own; anybody may read at any time.
    """

    path: AnyPath
    _lease: Lease | None = field(default=None, init=False, repr=False, compare=False)
    # Of a run in an object store: where the journal lies while it is written.
    _scratch: TemporaryDirectory[str] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    @cached_property
    def _history(self) -> History:
        return History(self.path / "history")

    @cached_property
    def _trials_schema(self) -> pa.Schema:
        return schemas.trials_schema(self.table)

    @cached_property
    def _ranking_schema(self) -> pa.Schema:
        return schemas.ranking_schema(self.table)

    @cached_property
    def table(self) -> type[Config]:
        """The parameter table of the run's family, by which its configurations are read."""
        return load_family(family_of(self.path / name for name in _DESCRIPTIONS)).config_type

    @classmethod
    def create(cls, results: AnyPath, name: str) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            ResultsError: a name that is no plain name or is taken, or a place that isn't writable.
        """
        path = _inside(results, name, what="a run's name").resolve()
        try:
            if isinstance(path, RemotePath):
                _try_out(path)
            else:
                path.mkdir(parents=True)
        except FileExistsError:
            remedy = (
                f"go on with it: gansearch resume {name}"
                if _is_run(path)
                else "remove it: it holds no run"
            )
            raise ResultsError(
                f"{path}: exists. A new run needs a folder of its own. "
                f"Choose another --name, or {remedy}."
            ) from None
        except OSError as error:
            remedy = (
                STORE_REMEDY if isinstance(path, RemotePath) else "Choose another with --results."
            )
            raise ResultsError(
                f"{path}: can't be made: {error.strerror or error}. Results need a folder that can "
                f"be written. {remedy}"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: AnyPath | str, results: AnyPath = Path("results")) -> RunFolder:
        """Open a run by its folder's path, or by its name below `results`.

        Raises:
            ResultsError: neither is a run, and those that are there are named; or it can't be told,
                as without a network.
        """
        named = parse_path(path)
        candidates = [named]
        if isinstance(named, RemotePath):
            results = named.parent
        else:
            candidates.append(results / named)
        try:
            for candidate in candidates:
                if _is_run(candidate):
                    return cls(candidate.resolve())
            runs = _runs_in(results)
        except OSError as error:
            raise unreadable(candidate, error) from error
        hint = (
            did_you_mean(named.name, runs)
            if runs
            else f"There is no run in {results} yet: start one with gansearch run, or say where "
            f"it is with --results."
        )
        raise ResultsError(f"{path}: no such run. A run is a folder with a run.json. {hint}")

    def fault(self) -> str | None:
        """Return why the process that holds the lock can't go on with the run; None if it can."""
        if self._lease is not None:
            return self._lease.fault
        if _is_run(self.path):
            return None
        return "the run's folder is gone: it was moved or removed, or its disk is no longer there"

    def journal(self) -> Path:
        """Return where Optuna's journal lies for the process that holds the lock.

        A journal is appended to, which an object isn't: `keep_journal` puts it into the store.
        """
        path = self.path / JOURNAL
        if not isinstance(path, RemotePath):
            return path
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="gansearch-")
            local = Path(self._scratch.name, JOURNAL)
            with suppress(FileNotFoundError):
                local.write_bytes(path.read_bytes())
        return Path(self._scratch.name, JOURNAL)

    def keep_journal(self) -> None:
        """Put the journal, and one that was set aside, into the object store of the run."""
        if self._scratch is None:
            return
        for local in Path(self._scratch.name).glob(f"*{JOURNAL}*"):
            if local.suffix != ".lock":
                write_atomically(self.path / local.name, local.read_bytes())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone; the lock of a process that died does not hold.

        Raises:
            StorageError: the folder can't be written.
            ResultsError: another live process holds it, or the file system knows no locks.
        """
        with locked(self.path / "lock") as self._lease:
            yield

    def write_run(self, description: RunDescription) -> None:
        """Write `run.json`, the description of the run, and its copy.

        Without it nothing of the run can be used, and nothing else tells what it does.
        """
        content = description.encode()
        for name in _DESCRIPTIONS:
            write_atomically(self.path / name, content)

    def read_run(self) -> RunDescription:
        """Read `run.json`, or its copy with a `ResultsWarning` where that is damaged or absent.

        Raises:
            ResultsError: both are absent, aren't JSON objects, or lack what a run has.
        """
        first, copy = (self.path / name for name in _DESCRIPTIONS)
        try:
            return read_description(first)
        except ResultsError as error:
            try:
                description = read_description(copy)
            except ResultsError:
                raise error from None
            warnings.warn(f"{copy.name} was read instead: {error}", ResultsWarning, stacklevel=2)
            return description

    def restore_description(self) -> list[str]:
        """Write `run.json` anew where it is damaged and its copy is not; say so."""
        path = self.path / _DESCRIPTIONS[0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            description = self.read_run()
        if not caught:
            return []
        how = f"damaged; set aside as {set_aside(path).name}" if path.exists() else "absent"
        self.write_run(description)
        return [f"{path}: {how}. It was read from its copy"]

    def append_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add reports as one new file of `history/`; only the holder of the lock may."""
        self._history.append(rows)

    def history(self, columns: Sequence[str] = HISTORY_COLUMNS) -> pd.DataFrame:
        """Return all reports in the order in which they were made, a row each; see `History`."""
        return self._history.read(columns)

    def compact_history(self, n_newest: int | None = None) -> None:
        """Gather the history's parts, or its newest ones, in one; only the holder of the lock."""
        self._history.compact(n_newest)

    def clear_history(self) -> list[tuple[AnyPath, AnyPath]]:
        """Set the history's damaged parts aside; only the holder of the lock may."""
        return self._history.clear()

    def trials_table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Return rows of trials as a table of `trials.parquet`, NaN and absent values as null."""
        return make_table(rows, self._trials_schema, nan_is_null=True)

    def write_trials(self, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Write `trials.parquet`: a row a trial, as a `trials_table` or what makes one."""
        table = rows if isinstance(rows, pa.Table) else self.trials_table(rows)
        write_table(self.path / TRIALS_FILE, table)

    def trials(self) -> pd.DataFrame:
        """Return `trials.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / TRIALS_FILE, self._trials_schema)

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
        table = make_table(rows_of(pd.DataFrame(references)), schemas.REFERENCES, nan_is_null=True)
        write_table(self.path / "references.parquet", table)

    def references(self) -> pd.DataFrame:
        """Return `references.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "references.parquet", schemas.REFERENCES)

    def write_curve(self, curve: Sequence[Mapping[str, Any]]) -> None:
        """Write `curve.parquet`: what the winner's and training examples score by their number."""
        write_table(self.path / "curve.parquet", curve_table(curve))

    def curve(self) -> pd.DataFrame:
        """Return `curve.parquet` as pandas reads it; no rows while there is no such file."""
        return read_frame(self.path / "curve.parquet", schemas.CURVE)

    def write_stability(self, cells: pd.DataFrame, importances: pd.DataFrame) -> None:
        """Write `stability.parquet` and `importances.parquet`: where trials died, what decides."""
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
            raise unreadable(path, "it has a value that is no log-likelihood")
        return values

    def test_lls(self) -> dict[str, np.ndarray]:
        """Return the per-example test log-likelihoods of all replicas, by trial id.

        A file that can't be read is left out with a `ResultsWarning`.
        """
        found: dict[str, np.ndarray] = {}
        for path in (self.path / "test_ll").glob("[!._]*.parquet"):
            try:
                found[path.stem] = self.test_ll(path.stem)
            except ResultsError as error:
                warnings.warn(f"left out: {error}", ResultsWarning, stacklevel=2)
        return dict(sorted(found.items()))

    def model_dir(self, trial_id: str) -> AnyPath:
        """Return the folder of a trial's generator: `models/<trial_id>/`."""
        return _inside(self.path / "models", trial_id, what="a trial's id")

    def checkpoint_path(self, trial_id: str) -> AnyPath:
        """Return where a trial's state lies: `checkpoints/<trial_id>.safetensors`."""
        return _inside(self.path / "checkpoints", f"{trial_id}.safetensors", what="a trial's id")

    def checkpointed(self) -> list[str]:
        """Return the ids of the trials whose state lies in `checkpoints/`."""
        return [path.stem for path in (self.path / "checkpoints").glob("[!._]*.safetensors")]

    def _test_ll_path(self, trial_id: str) -> AnyPath:
        return _inside(self.path / "test_ll", f"{trial_id}.parquet", what="a trial's id")


def curve_table(curve: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of scores by number of samples as a table of `curve.parquet`."""
    return make_table(curve, schemas.CURVE)


def _inside(folder: AnyPath, name: str, what: str) -> AnyPath:
    """Return `folder/name`, having made sure that it lies in `folder`."""
    if not _NAME.fullmatch(name) or name in (".", "..") or len(name) > 200:
        raise ResultsError(
            f"{name!r}: can't be {what}. It must have 1 to 200 letters, digits, dots, dashes or "
            f"underscores, such as mnist-2. Choose another."
        )
    return folder / name


def _try_out(path: RemotePath) -> None:
    """Raise OSError where a run can't be written, or FileExistsError where there is something."""
    if path.exists():
        raise FileExistsError
    probe = path / ".probe"
    probe.write_bytes(b"")
    probe.unlink()


def _is_run(path: AnyPath) -> bool:
    return any((path / name).is_file() for name in _DESCRIPTIONS)


def _runs_in(results: AnyPath) -> list[str]:
    return [run.name for run in results.iterdir() if _is_run(run)] if results.is_dir() else []
