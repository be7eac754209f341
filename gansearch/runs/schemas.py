"""The columns of a run's Parquet files: `docs/files.md` describes each.

Columns of configurations come from the parameter table of the run's model family, those of measures
from `MEASURES`, and those of the user's own from the space, at the end. A new version adds columns
after its others: none is renamed or moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gansearch.measures import MEASURES, Stage, columns
from gansearch.own_measures import OwnMeasure, own_columns
from gansearch.rules import Config

# The scores of trials that ended like this do not count.
UNSOUND = ("collapsed", "diverged", "failed")
STATUSES = ("running", "completed", "pruned", *UNSOUND)
PHASES = ("search", "replica")
# Why a trial was pruned that the time budget cut short.
SEARCH_TIME_SPENT = "the time budget of the search was spent"
RUN_TIME_SPENT = "the time budget of the run was spent"

Fields = Sequence[tuple[str, pa.DataType]]


def replica_id(config_id: str, number: int) -> str:
    """Return the id of a configuration's replica on one of its seeds, from 0."""
    return f"r-{config_id}-{number}"


def config_id_of_replica(trial_id: str) -> str:
    """Return the configuration of the replica that `replica_id` names.

    >>> config_id_of_replica(replica_id("10d738cc", 3))
    '10d738cc'
    """
    return trial_id.removeprefix("r-").rpartition("-")[0]


INT, FLOAT, STRING, BOOL = pa.int64(), pa.float64(), pa.string(), pa.bool_()
_KINDS = {
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "str": STRING,
    "widths": pa.list_(INT),
    "schedule": STRING,  # as JSON
}
_BY_NAME = {m.column: (m.column, _KINDS[m.kind]) for m in MEASURES}

_COUNTS: Fields = [
    ("updates", INT),
    ("d_updates", INT),
    ("g_updates", INT),
    ("seconds", FLOAT),
]


# The measures of version 0.1, in the order of its columns.
_EVALUATED = ("valid_ll", "sigma", "sigma_at_edge", "coverage", "recall", "nn_ratio")
_LOSSES = ("d_loss", "g_loss")
_MONITORED = ("d_real", "d_fake", "d_grad_norm", "g_grad_norm")
_TEST = ("test_ll", "test_ll_se")


def is_sound_search(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return which trials are of the search and have scores that count."""
    return (trials["phase"] == "search") & ~trials["status"].isin(UNSOUND)


def is_from_scratch(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return which trials are of the search and no forks: those that `budget.trials` counts."""
    return (trials["phase"] == "search") & trials["forked_at"].isna()


def _measures(*names: str) -> Fields:
    return [_BY_NAME[name] for name in names]


def _completed(fields: Fields, *stages: Stage) -> pa.Schema:
    """Return a schema of `fields`, followed by the measures at `stages` that they lack."""
    names = {name for name, _ in fields}
    added = [
        _BY_NAME[m.column]
        for m in MEASURES
        if m.stages.intersection(stages) and m.column not in names
    ]
    return pa.schema([*fields, *added])


def with_own(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """Return a schema with columns of the user's own measures at its end."""
    return pa.schema([*schema, *(pa.field(name, FLOAT) for name in names)])


def trials_schema(table: type[Config], measures: Sequence[OwnMeasure] = ()) -> pa.Schema:
    """Return the columns of `trials.parquet`.

    Args:
        table: the parameters of its configurations.
        measures: of the user's own.
    """
    fields = [
        ("trial_id", STRING),
        ("number", INT),
        ("phase", STRING),
        ("config_id", STRING),
        ("seed", INT),
        ("status", STRING),
        ("reason", STRING),
        *_COUNTS,
        ("device", STRING),
        *_measures(*_EVALUATED, *_LOSSES),
        *_config(table),
        *_measures(*_TEST),
        ("overhead_seconds", FLOAT),
        *_measures("train_nn_ratio"),
        ("p_recovers", FLOAT),
        ("missing_classes", pa.list_(STRING)),
        *_measures("test_ll_raw", "valid_ll_raw", "coverage_raw", "valid_ll_all"),
        *_measures("n_classes_effective", "collapsed_p"),
        *_measures("precision", "clipped_density", "clipped_coverage", "fld", "copy_p", "kl"),
        ("kept_updates", INT),
        *_schedule(table),
        ("forked_from", STRING),
        ("forked_at", INT),
    ]
    own = (name for each in measures for name in each.final_columns)
    return with_own(_completed(fields, "evaluation", "final"), own)


def updates_of_their_own(trials: pd.DataFrame) -> pd.Series[int]:
    """Return the updates that each trial has trained for itself, without those before a fork."""
    return (trials["updates"] - trials["forked_at"].fillna(0)).astype(int)


def ranking_schema(table: type[Config], measures: Sequence[OwnMeasure] = ()) -> pa.Schema:
    """Return the columns of `ranking.parquet`.

    Args:
        table: as `trials_schema` takes it.
        measures: of the user's own, then those built in that are objectives, which have intervals.
    """
    fields = [
        ("rank", INT),
        ("tied_with", pa.list_(STRING)),
        ("config_id", STRING),
        ("n_seeds", INT),
        ("n_failed", INT),
        *_measures(*_TEST, "valid_ll", "coverage", "recall"),
        *_config(table),
        ("test_ll_low", FLOAT),
        ("test_ll_high", FLOAT),
        *_measures("nn_ratio", "sigma"),
        ("is_paper", BOOL),
        *_measures("train_nn_ratio"),
        ("p_works", FLOAT),
        ("p_works_low", FLOAT),
        ("p_works_high", FLOAT),
        ("updates_per_success", FLOAT),
        ("test_ll_worst", FLOAT),
        ("test_ll_seeds", pa.list_(FLOAT)),
        *_measures("test_ll_raw", "coverage_raw", "valid_ll_all", "n_classes_effective"),
        *_measures("precision", "clipped_density", "clipped_coverage", "fld", "copy_p", "kl"),
        ("name", STRING),
        ("kept_updates", FLOAT),
        ("pareto_rank", INT),
        ("p_front", FLOAT),
        *_schedule(table),
    ]
    schema = _completed(fields, "ranking")
    own = (name for each in measures for name in each.ranking_columns)
    return with_own(schema, (name for name in own if name not in schema.names))


def warm_start_schema(table: type[Config]) -> pa.Schema:
    """Return the columns of `warm_start.parquet`, given the parameters of its configurations."""
    fields = [
        ("run", STRING),
        ("trial_id", STRING),
        ("config_id", STRING),
        ("status", STRING),
        ("weight", FLOAT),
        ("place", FLOAT),
        ("progress", FLOAT),
        ("first", INT),
    ]
    return pa.schema([*fields, *_config(table), *_schedule(table)])


def history_schema(measures: Sequence[OwnMeasure]) -> pa.Schema:
    """Return the columns of `history/`, given the measures of the user's own."""
    return with_own(HISTORY, own_columns(measures))


def references_schema(measures: Sequence[OwnMeasure]) -> pa.Schema:
    """Return the columns of `references.parquet`, given the measures of the user's own."""
    return with_own(REFERENCES, (name for each in measures for name in each.final_columns))


HISTORY = _completed(
    [
        ("trial_id", STRING),
        ("number", INT),
        ("phase", STRING),
        *_COUNTS,
        *_measures(*_EVALUATED, *_LOSSES, *_MONITORED),
        ("verdict", STRING),
        ("reported_at", pa.timestamp("us", tz="UTC")),
        ("p_recovers", FLOAT),
    ],
    *("evaluation", "history"),
)
REFERENCES = _completed(
    [
        ("name", STRING),
        *_measures(*_TEST, "valid_ll", "sigma", "coverage", "recall", "nn_ratio", "train_nn_ratio"),
        ("n_samples", INT),
        ("source", STRING),
    ],
    "reference",
)
CURVE = _completed([("name", STRING), ("n_samples", INT), *_measures(*_TEST)], "curve")
STABILITY = pa.schema(
    [
        ("kind", STRING),
        ("parameter", STRING),
        ("value", STRING),
        ("low", FLOAT),
        ("high", FLOAT),
        ("ratio", STRING),
        ("ratio_low", FLOAT),
        ("ratio_high", FLOAT),
        ("n_trials", INT),
        ("n_survived", INT),
        ("p_survives", FLOAT),
        ("p_low", FLOAT),
        ("p_high", FLOAT),
        ("n_measured", INT),
        ("median_valid_ll", FLOAT),
        ("median_objective", FLOAT),
    ]
)
IMPORTANCES = pa.schema(
    [
        ("target", STRING),
        ("parameter", STRING),
        ("importance", FLOAT),
        ("concordance", FLOAT),
        ("p_value", FLOAT),
        ("n_trials", INT),
        ("reason", STRING),
    ]
)
TEST_LL = pa.schema([("test_ll", FLOAT)])

# Columns of each evaluation in history/, and of a trial's last one in trials.parquet.
EVALUATION_COLUMNS: tuple[str, ...] = (*(name for name, _ in _COUNTS), *columns("evaluation"))


def config_columns(config: Config) -> dict[str, Any]:
    """Return the `config.<name>` entries of a configuration's row: its values, or null."""
    rules = config.rules()
    return {
        f"config.{name}": json.dumps(value)
        if rules[name].kind == "schedule" and value is not None
        else value
        for name, value in config.to_dict().items()
    }


def config_values(
    row: Mapping[str, Any], table: type[Config], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return a row's `config.<name>` entries as `Config.to_dict` returns them.

    Undoes the conversions of pandas: NaN is None again, 5.0 in a whole-number column is 5, and an
    array of widths is a list; and that of a schedule to text. `table.from_dict` takes the result.
    `names` limits it to some.
    """
    rules = table.rules()
    return {
        name: _value(row[f"config.{name}"], rules[name].kind)
        for name in (rules if names is None else names)
    }


def _config(table: type[Config]) -> Fields:
    rules = table.rules().items()
    return [(f"config.{name}", _KINDS[r.kind]) for name, r in rules if r.kind != "schedule"]


def _schedule(table: type[Config]) -> Fields:
    """Return the column of schedules, which came after those of all other parameters."""
    return [(f"config.{name}", STRING) for name, r in table.rules().items() if r.kind == "schedule"]


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [int(width) for width in value]
    if pd.isna(value):
        return None
    if kind == "schedule":
        return json.loads(value)
    return {"int": int, "float": float, "bool": bool, "str": str}[kind](value)
