"""A run's folder: the schema of its Parquet files, and reading and writing them crash-safely.

`docs/files.md` describes every file and column for those who read them without gansearch. A file
appears whole or not at all: it is written aside, flushed to the disk, then renamed. So a run that
is killed at any moment leaves a folder that opens, and a report can read it while the run goes on.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import socket
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gansearch.config import TrialConfig
from gansearch.errors import ResultsError, did_you_mean
from gansearch.files import (
    BLANK_SEAL,
    fault_of_seal,
    sealed,
    set_aside,
    unwritable,
    write_atomically,
)
from gansearch.lease import Lease, leased
from gansearch.remote import STORE_REMEDY, AnyPath, RemotePath, place

# What a trial scored before it came to such an end counts for nothing.
UNSOUND = ("collapsed", "diverged", "failed")
# Below it most samples lie beside a training example; `docs/scores.md` has what it was chosen from.
SUSPICIOUS_NN_RATIO = 0.5
STATUSES = ("running", "completed", "pruned", *UNSOUND)

_INT, _FLOAT, _STRING, _BOOL = pa.int64(), pa.float64(), pa.string(), pa.bool_()
_KINDS = {"int": _INT, "float": _FLOAT, "str": _STRING, "widths": pa.list_(_INT)}
_RULES = TrialConfig.rules()
_CONFIG = [(f"config.{name}", _KINDS[rule.kind]) for name, rule in _RULES.items()]

# What trials.parquet has of a trial's last report, and history/ of each.
_COUNTS = [
    ("updates", _INT),
    ("d_updates", _INT),
    ("g_updates", _INT),
    ("seconds", _FLOAT),
]
_MEASURES = [
    ("valid_ll", _FLOAT),
    ("sigma", _FLOAT),
    ("sigma_at_edge", _BOOL),
    ("coverage", _FLOAT),
    ("recall", _FLOAT),
    ("nn_ratio", _FLOAT),
    ("d_loss", _FLOAT),
    ("g_loss", _FLOAT),
]

_TRIALS = pa.schema(
    [
        ("trial_id", _STRING),
        ("number", _INT),
        ("phase", _STRING),
        ("config_id", _STRING),
        ("seed", _INT),
        ("status", _STRING),
        ("reason", _STRING),
        *_COUNTS,
        ("device", _STRING),
        *_MEASURES,
        *_CONFIG,
        ("test_ll", _FLOAT),
        ("test_ll_se", _FLOAT),
        ("overhead_seconds", _FLOAT),
        ("train_nn_ratio", _FLOAT),
    ]
)
_HISTORY = pa.schema(
    [
        ("trial_id", _STRING),
        ("number", _INT),
        ("phase", _STRING),
        *_COUNTS,
        *_MEASURES,
        ("d_real", _FLOAT),
        ("d_fake", _FLOAT),
        ("d_grad_norm", _FLOAT),
        ("g_grad_norm", _FLOAT),
        ("verdict", _STRING),
        ("reported_at", pa.timestamp("us", tz="UTC")),
    ]
)
_RANKING = pa.schema(
    [
        ("rank", _INT),
        ("tied_with", pa.list_(_STRING)),
        ("config_id", _STRING),
        ("n_seeds", _INT),
        ("n_failed", _INT),
        ("test_ll", _FLOAT),
        ("test_ll_se", _FLOAT),
        ("valid_ll", _FLOAT),
        ("coverage", _FLOAT),
        ("recall", _FLOAT),
        *_CONFIG,
        ("test_ll_low", _FLOAT),
        ("test_ll_high", _FLOAT),
        ("nn_ratio", _FLOAT),
        ("sigma", _FLOAT),
        ("is_paper", _BOOL),
        ("train_nn_ratio", _FLOAT),
    ]
)
_REFERENCES = pa.schema(
    [
        ("name", _STRING),
        ("test_ll", _FLOAT),
        ("test_ll_se", _FLOAT),
        ("valid_ll", _FLOAT),
        ("sigma", _FLOAT),
        ("coverage", _FLOAT),
        ("recall", _FLOAT),
        ("nn_ratio", _FLOAT),
        ("train_nn_ratio", _FLOAT),
        ("n_samples", _INT),
        ("source", _STRING),
    ]
)
_CURVE = pa.schema(
    [
        ("name", _STRING),
        ("n_samples", _INT),
        ("test_ll", _FLOAT),
        ("test_ll_se", _FLOAT),
        ("valid_ll", _FLOAT),
        ("sigma", _FLOAT),
        ("sigma_at_edge", _BOOL),
    ]
)
_STABILITY = pa.schema(
    [
        ("kind", _STRING),
        ("parameter", _STRING),
        ("value", _STRING),
        ("low", _FLOAT),
        ("high", _FLOAT),
        ("ratio", _STRING),
        ("ratio_low", _FLOAT),
        ("ratio_high", _FLOAT),
        ("n_trials", _INT),
        ("n_survived", _INT),
        ("p_survives", _FLOAT),
        ("p_low", _FLOAT),
        ("p_high", _FLOAT),
        ("n_measured", _INT),
        ("median_valid_ll", _FLOAT),
    ]
)
_IMPORTANCES = pa.schema(
    [
        ("target", _STRING),
        ("parameter", _STRING),
        ("importance", _FLOAT),
        ("concordance", _FLOAT),
        ("p_value", _FLOAT),
        ("n_trials", _INT),
        ("reason", _STRING),
    ]
)
_TEST_LL = pa.schema([("test_ll", _FLOAT)])

REPORTED_COLUMNS: tuple[str, ...] = tuple(name for name, _ in [*_COUNTS, *_MEASURES])
TRIALS_COLUMNS: tuple[str, ...] = tuple(_TRIALS.names)
HISTORY_COLUMNS: tuple[str, ...] = tuple(_HISTORY.names)
RANKING_COLUMNS: tuple[str, ...] = tuple(_RANKING.names)
REFERENCES_COLUMNS: tuple[str, ...] = tuple(_REFERENCES.names)
STABILITY_COLUMNS: tuple[str, ...] = tuple(_STABILITY.names)
IMPORTANCES_COLUMNS: tuple[str, ...] = tuple(_IMPORTANCES.names)

# What run.json has, by the kind of its value; the last three are not in every version's.
_RUN: dict[str, type | UnionType] = {
    "name": str,
    "space": dict,
    "seed": int,
    "only": list | None,
    "paper_config_id": str,
    "started_at": str,
    "state": str,
    "wall_seconds": int | float,
}
_RUN_OPTIONAL: dict[str, type | UnionType] = {
    "settings": dict,
    "search_is_over": bool,
    "recorder_seconds": int | float,
    "training_report": dict,
}
# Columns by which rows are found, so that none may lack a value.
_KEYS = {
    *("trial_id", "number", "phase", "seed", "status", "config_id", "updates"),
    *("name", "tied_with"),
}
# No log-likelihood of an example is that far from 0 (nats), however small sigma.
_LARGEST_LL = 1e15

# A run's description, and the copy that is read where it is damaged.
_DESCRIPTIONS = ("run.json", "run.json.copy")
_TRIALS_FILE = "trials.parquet"
JOURNAL = "optuna.journal"
# Where in a Parquet file's metadata its seal stands.
_SEAL_KEY = "gansearch.seal"

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PART = re.compile(r"part-(\d+)\.parquet")


class ResultsWarning(UserWarning):
    """A file of a run can't be read; it was left out and the rest is shown."""


@dataclass
class RunFolder:
    """The folder of one run, `results/<name>/`; the one place that knows its files.

    `RunFolder(path)` takes the path on trust, as a worker does that was given it; `create` and
    `open` check it. One process writes `run.json`, `trials` and `history` (see `lock`); workers
    write only files that are their trial's own; anybody may read at any time.
    """

    path: AnyPath
    # Kept, since listing a folder of many parts costs more than writing one.
    _next_part: int | None = field(default=None, init=False, repr=False, compare=False)
    _lease: Lease | None = field(default=None, init=False, repr=False, compare=False)
    # Of a run in an object store: where the journal lies while it is written.
    _scratch: TemporaryDirectory[str] | None = field(
        default=None, init=False, repr=False, compare=False
    )

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
        named = place(path)
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
        path = self.path / "lock"
        if isinstance(path, RemotePath):
            with leased(path) as self._lease:
                yield
            return
        try:
            file = path.open("a+")
        except OSError as error:
            raise unwritable(path, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise ResultsError(
                    f"{self.path}: {holder} is at work on this run. Two at once would spoil it. "
                    f"Wait for the other or stop it, or start a new run under another --name."
                ) from None
            except OSError as error:
                raise ResultsError(
                    f"{path}: can't be locked: {error.strerror}. A run needs a file system with "
                    f"locks. Choose another place with --results."
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            try:
                yield
            finally:
                # Not left to the closing: a child process may hold a copy of the descriptor.
                fcntl.flock(file, fcntl.LOCK_UN)

    def write_run(self, info: Mapping[str, Any]) -> None:
        """Write `run.json`, the description of the run, and its copy.

        Without it nothing of the run can be used, and nothing else tells what it does.
        """
        info = {**info, "seal": BLANK_SEAL}
        content = sealed((json.dumps(info, indent=2) + "\n").encode())
        for name in _DESCRIPTIONS:
            write_atomically(self.path / name, content)

    def read_run(self) -> dict[str, Any]:
        """Read `run.json`, or its copy with a `ResultsWarning` where that is damaged or absent.

        Raises:
            ResultsError: both are absent, aren't JSON objects, or lack what a run has.
        """
        first, copy = (self.path / name for name in _DESCRIPTIONS)
        try:
            return _read_description(first)
        except ResultsError as error:
            try:
                info = _read_description(copy)
            except ResultsError:
                raise error from None
            warnings.warn(f"{copy.name} was read instead: {error}", ResultsWarning, stacklevel=2)
            return info

    def restore_description(self) -> list[str]:
        """Write `run.json` anew where it is damaged and its copy is not; say so."""
        path = self.path / _DESCRIPTIONS[0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            info = self.read_run()
        if not caught:
            return []
        how = f"damaged; set aside as {set_aside(path).name}" if path.exists() else "absent"
        self.write_run(info)
        return [f"{path}: {how}. It was read from its copy"]

    def append_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add reports as one new file `history/part-<number>.parquet`, whole or not at all.

        Only the process that holds the lock may append.
        """
        if rows:
            self._add_part(_table(rows, _HISTORY))

    def history(self, columns: Sequence[str] = HISTORY_COLUMNS) -> pd.DataFrame:
        """Return all reports in the order in which they were made, a row each.

        A report that is there twice, as after a trial's restart, counts once: the first of a
        (trial_id, updates) is kept. A part that can't be read is left out with a `ResultsWarning`.

        Args:
            columns: the ones to read; `trial_id` and `updates` must be among them.
        """
        table, _, torn = self._read_history(columns)
        for path, error in torn:
            warnings.warn(
                f"{path}: left out, it can't be read: {error}", ResultsWarning, stacklevel=2
            )
        frame: pd.DataFrame = _deduplicated(table).to_pandas()
        return frame

    def compact_history(self, n_newest: int | None = None) -> None:
        """Gather the history's parts, or its newest ones, in one file.

        Damaged parts are set aside. The newest alone take the same time however long the
        history is.

        Safe against a kill at any moment: the old parts go only when the new one is in place, and
        while both are there `history` shows each report once. Only the process that holds the lock
        may compact.
        """
        table, parts, torn = self._read_history(n_newest=n_newest)
        _set_damaged_aside(torn)
        if len(parts) > 1:
            self._add_part(_deduplicated(table))
            for path in parts:
                path.unlink()
        for leftover in (self.path / "history").glob(".*.tmp"):
            leftover.unlink()

    def clear_parts(self) -> list[tuple[AnyPath, AnyPath]]:
        """Set the history's damaged parts aside; return where they were and are.

        Only the process that holds the lock may.
        """
        return _set_damaged_aside(self._read_history()[2])

    def write_trials(self, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Write `trials.parquet`: a row a trial, as a `trials_table` or what makes one."""
        table = rows if isinstance(rows, pa.Table) else trials_table(rows)
        _write(self.path / _TRIALS_FILE, table)

    def trials(self) -> pd.DataFrame:
        """Return `trials.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / _TRIALS_FILE, _TRIALS)

    def write_ranking(self, ranking: pd.DataFrame) -> None:
        """Write `ranking.parquet`, in the order of `ranking`."""
        _write(self.path / "ranking.parquet", _table(_rows(ranking), _RANKING, nan_is_null=True))

    def ranking(self) -> pd.DataFrame:
        """Return `ranking.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / "ranking.parquet", _RANKING)

    def write_references(self, references: pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Write `references.parquet`: the scores of the reference lines."""
        table = _table(_rows(pd.DataFrame(references)), _REFERENCES, nan_is_null=True)
        _write(self.path / "references.parquet", table)

    def references(self) -> pd.DataFrame:
        """Return `references.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / "references.parquet", _REFERENCES)

    def write_curve(self, curve: Sequence[Mapping[str, Any]]) -> None:
        """Write `curve.parquet`: what the winner's and training examples score by their number."""
        _write(self.path / "curve.parquet", curve_table(curve))

    def curve(self) -> pd.DataFrame:
        """Return `curve.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / "curve.parquet", _CURVE)

    def write_stability(self, cells: pd.DataFrame, importances: pd.DataFrame) -> None:
        """Write `stability.parquet` and `importances.parquet`: where trials died, what decides."""
        _write(self.path / "stability.parquet", _table(_rows(cells), _STABILITY, nan_is_null=True))
        table = _table(_rows(importances), _IMPORTANCES, nan_is_null=True)
        _write(self.path / "importances.parquet", table)

    def stability(self) -> pd.DataFrame:
        """Return `stability.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / "stability.parquet", _STABILITY)

    def importances(self) -> pd.DataFrame:
        """Return `importances.parquet` as pandas reads it; no rows while there is no such file."""
        return _read_frame(self.path / "importances.parquet", _IMPORTANCES)

    def write_test_ll(self, trial_id: str, per_example: np.ndarray) -> None:
        """Write a replica's log-likelihoods (nats) of the test examples, `[n]`, in their order."""
        table = pa.table([pa.array(np.asarray(per_example, np.float64))], _TEST_LL)
        _write(self._test_ll_path(trial_id), table)

    def test_ll(self, trial_id: str) -> np.ndarray:
        """Return a replica's log-likelihoods (nats) of the test examples, `[n]`.

        Raises:
            ResultsError: the file is absent or can't be read.
        """
        path = self._test_ll_path(trial_id)
        try:
            table = _conform(_read(path), _TEST_LL)
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

    def _parts(self) -> dict[int, AnyPath]:
        """Return the history's parts by number, ascending."""
        found = {
            int(match[1]): path
            for path in (self.path / "history").glob("part-*.parquet")
            if (match := _PART.fullmatch(path.name))
        }
        return dict(sorted(found.items()))

    def _add_part(self, table: pa.Table) -> None:
        if self._next_part is None:
            self._next_part = max(self._parts(), default=-1) + 1
        while (path := self.path / "history" / f"part-{self._next_part:08d}.parquet").exists():
            self._next_part += 1
        _write(path, table)

    def _read_history(
        self, columns: Sequence[str] = HISTORY_COLUMNS, *, n_newest: int | None = None
    ) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
        """Return parts as one table, the paths that were read, and those that can't be."""
        while True:
            parts = self._parts()
            try:
                return _read_parts(list(parts.values())[-(n_newest or 0) :], columns)
            except FileNotFoundError:
                # Compacted away since the listing; a new listing has the part that replaces it.
                if parts == self._parts():
                    raise


def trials_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of trials as a table of `trials.parquet`, NaN and absent values as null."""
    return _table(rows, _TRIALS, nan_is_null=True)


def curve_table(curve: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of scores by number of samples as a table of `curve.parquet`."""
    return _table(curve, _CURVE)


def config_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's `config.<name>` entries as `TrialConfig.to_dict` gives them.

    Undoes what pandas makes of them: NaN is None again, 5.0 in a whole-number column is 5, and an
    array of widths is a list. `TrialConfig.from_dict` takes the result.
    """
    return {name: _plain(row[f"config.{name}"], rule.kind) for name, rule in _RULES.items()}


def _plain(value: Any, kind: str) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [int(width) for width in value]
    if pd.isna(value):
        return None
    return {"int": int, "float": float, "str": str}[kind](value)


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


def _read_description(path: AnyPath) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        info = json.loads(content)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(info, dict):
        raise unreadable(path, f"found {type(info).__name__} where an object must be")
    if why := _fault_of_run(info):
        raise unreadable(path, why)
    if why := fault_of_seal(content):
        raise unreadable(path, f"{why} (if you changed it on purpose, remove its seal)")
    info.pop("seal", None)
    return info


def _fault_of_run(info: Mapping[str, Any]) -> str | None:
    """Return what a run's description lacks, or has of the wrong kind; None if it is sound."""
    if absent := [key for key in _RUN if key not in info]:
        return f"it lacks {', '.join(absent)}"
    for key, kind in (_RUN | _RUN_OPTIONAL).items():
        if key in info and (
            not isinstance(info[key], kind) or (isinstance(info[key], bool) and kind is not bool)
        ):
            return f"found {str(info[key])[:40]!r} for {key}"
    try:
        datetime.fromisoformat(info["started_at"])
    except ValueError as error:
        return f"started_at: {error}"
    if not 0 <= info["wall_seconds"] < math.inf:
        return f"found {info['wall_seconds']} for wall_seconds"
    if why := _fault_of_training_report(info.get("training_report")):
        return why
    return _fault_of_space(info["space"])


def _fault_of_training_report(told: Mapping[str, Any] | None) -> str | None:
    """Return what is wrong with what training examples score, which older runs haven't told."""
    if told is None:
        return None
    for key, kind in {"name": str, "n_samples": int, "valid_ll": float}.items():
        if not isinstance(told.get(key), kind):
            return f"training_report: found {str(told.get(key))[:40]!r} for {key}"
    if not math.isfinite(told["valid_ll"]):
        return f"training_report: found {told['valid_ll']} for valid_ll"
    return None


def _fault_of_space(space: Mapping[str, Any]) -> str | None:
    """Return what a run's space lacks that a report reads; `SearchSpace` checks all of it."""
    for section in ("name", "dataset"):
        if not isinstance(space.get(section), str):
            return f"space: {section}: found {str(space.get(section))[:40]!r}"
    for section in ("budget", "search", "fixed", "presets"):
        if not isinstance(space.get(section), dict):
            return f"space: {section}: found {str(space.get(section))[:40]!r}"
    for name, entry in space["search"].items():
        if name not in _RULES or not isinstance(entry, dict) or not _is_range(entry):
            return f"space: search: found {name}: {str(entry)[:40]}"
    return None


def _is_range(entry: Mapping[str, Any]) -> bool:
    kinds = [entry[kind] for kind in ("int", "float", "choice") if kind in entry]
    when = entry.get("when", {})
    return (
        len(kinds) == 1
        and isinstance(kinds[0], list)
        and isinstance(when, dict)
        and set(when) <= set(_RULES)
        and all(isinstance(wanted, list) for wanted in when.values())
    )


def unreadable(path: AnyPath, found: object) -> ResultsError:
    """Return the error that says what is wrong with a file of a run."""
    if isinstance(found, OSError) and not isinstance(found, FileNotFoundError):
        remedy = "See that you may read it, and that its disk answers."
        if isinstance(path, RemotePath):
            remedy = STORE_REMEDY
        return ResultsError(f"{path}: can't be read: {found.strerror or found}. {remedy}")
    remedy = "start the run anew"
    if path.name == _TRIALS_FILE:
        remedy = "let gansearch resume make it anew from optuna.journal and the history"
    return ResultsError(
        f"{path}: can't be read: {found}. It was changed or damaged since gansearch wrote it. "
        f"Restore it from a copy, or {remedy}."
    )


def _table(
    rows: Sequence[Mapping[str, Any]], schema: pa.Schema, *, nan_is_null: bool = False
) -> pa.Table:
    """Return `rows` as a table of `schema`: absent entries are null, entries of no column go."""
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        values = [row.get(name) for row in rows]
        # In the other types NaN can only be what pandas made of a null.
        from_pandas = nan_is_null or kind != _FLOAT
        try:
            columns.append(pa.array(values, kind, from_pandas=from_pandas))
        except pa.ArrowException as error:
            error.add_note(f"in column {name}")
            raise
    return pa.table(columns, schema)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _write(path: AnyPath, table: pa.Table) -> None:
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


def _read(path: AnyPath, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file as a table.

    Raises:
        OSError: its bytes can't be had, which says nothing of what they are.
        ValueError, ArrowException: they were damaged.
    """
    data = path.read_bytes()
    if why := fault_of_seal(data):
        raise ValueError(why)
    try:
        # Not pq.read_table: it is slower.
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            table = file.read(columns, use_threads=file.metadata.num_rows > 1000)
    except OSError as error:  # so Arrow tells some kinds of damage
        raise ValueError(str(error)) from error
    return table.replace_schema_metadata(None)


def _read_frame(path: AnyPath, schema: pa.Schema) -> pd.DataFrame:
    try:
        table = _conform(_read(path), schema)
        _check_keys(table)
    except FileNotFoundError:
        table = schema.empty_table()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _check_keys(table: pa.Table) -> None:
    for name in _KEYS & set(table.column_names):
        if table.column(name).null_count:
            raise ValueError(f"a row lacks its {name}")
    for name, known in (("status", STATUSES), ("phase", ("search", "replica"))):
        if name in table.column_names:
            unknown = set(pc.unique(table.column(name)).to_pylist()) - set(known)
            if unknown:
                raise ValueError(f"found {name} {min(unknown)[:40]!r}, none of {', '.join(known)}")


def _read_parts(
    parts: Iterable[AnyPath], columns: Sequence[str]
) -> tuple[pa.Table, list[AnyPath], list[tuple[AnyPath, Exception]]]:
    schema = pa.schema([_HISTORY.field(name) for name in columns])
    tables, read, torn = [schema.empty_table()], [], []
    for path in parts:
        try:
            tables.append(_conform(_read(path, columns), schema).select(schema.names))
            read.append(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, pa.ArrowException) as error:
            torn.append((path, error))
    return pa.concat_tables(tables), read, torn


def _set_damaged_aside(torn: Iterable[tuple[AnyPath, Exception]]) -> list[tuple[AnyPath, AnyPath]]:
    """Set parts aside, but not those of which a disk or a network has only not given the bytes."""
    return [(path, set_aside(path)) for path, error in torn if not isinstance(error, OSError)]


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with the columns of `schema` first, null where an older version lacks them.

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


def _deduplicated(history: pa.Table) -> pa.Table:
    # By numbers: comparing millions of texts takes seconds.
    trials = history.column("trial_id").combine_chunks().dictionary_encode().indices
    updates = history.column("updates")
    keys = pd.DataFrame({"trial": trials.to_pandas(), "updates": updates.to_pandas()})
    is_again = keys.duplicated().to_numpy()
    return history.filter(~is_again) if is_again.any() else history
