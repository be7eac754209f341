"""What a run takes of earlier ones (`--warm-start`): trials to learn from, and those tried first.

Scores of another data set can't be compared, so of an earlier score only its place within its own
run is taken. Configurations are taken as the new space has them: the values that it searches are
the earlier trial's, all others are its own. What lies outside the new space is left out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from gansearch.data.own_names import GIVEN
from gansearch.errors import BadInputError, ResultsError
from gansearch.rules import Config, count_of
from gansearch.runs.commands import command
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import config_columns, config_values
from gansearch.runs.tables import rows_of
from gansearch.space.likeness import likeness
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath
from gansearch.tune.rows import is_fork, is_out_of_time

# How many configurations of each earlier run are tried first.
N_FIRST = 3
# The most trials of one run that are stored: evenly spaced from its worst to its best.
_MOST = 200
# What likeness is worth where the scores are of other data, or of another measure.
_OTHER_SCORES = 0.5
_LEARNED = ("completed", "pruned", "collapsed", "diverged")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class EarlierRuns:
    """What a run takes of earlier ones.

    Attributes:
        rows: of `warm_start.parquet`.
        sources: an entry of `run.json` for each earlier run.
        notes: a sentence for each: what was taken, and what was left out and why.
    """

    rows: Rows = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """What is taken of one run, how many trials lie outside the space, and by which parameters."""

    rows: Rows
    n_outside: int
    outside: Counter[str]


def read_earlier_runs(
    space: SearchSpace, runs: Sequence[AnyPath | str], results: AnyPath
) -> EarlierRuns:
    """Return what a search of `space` takes of earlier runs, each a path or a name.

    Raises:
        BadInputError: one is no run, is damaged, is of another model family, or has no trial that
            could be taken.
    """
    rows: Rows = []
    sources, notes, paths = [], [], set()
    for run in runs:
        folder = _opened(run, results)
        if folder.path in paths:
            raise BadInputError(f"--warm-start {run}: given twice. Give each run once.")
        paths.add(folder.path)
        try:
            description, trials, ranking = folder.read_run(), folder.trials(), folder.ranking()
            # What a run has tried first may lie outside its space for another version's rules.
            earlier = SearchSpace.from_dict({**description.full_space, "start_from": []})
        except BadInputError as error:
            raise BadInputError(f"--warm-start {run}: {error}") from error
        _check_shared(run, space, earlier)
        weight = _weight(space, earlier)
        taken = take_trials(space, earlier, rows_of(trials), rows_of(ranking))
        if not taken.rows:
            raise _nothing_taken(run, folder, space, taken.outside)
        rows += [{"run": str(folder.path), "weight": weight, **row} for row in taken.rows]
        sources.append(_source(folder, description, weight, taken.rows))
        state = folder.state_of(description)
        notes.append(_note(run, state, space, earlier, weight, taken))
    return EarlierRuns(_distinct_firsts(rows), sources, notes)


def stored_earlier_trials(folder: RunFolder, space: SearchSpace) -> Rows:
    """Return the rows of `warm_start.parquet` that fit the space, which a resume may have changed.

    Raises:
        ResultsError: the file can't be read.
    """
    rows = []
    for row in rows_of(folder.warm_start()):
        if _fits(space, row, Counter()):
            rows.append({**row, **_values(row["adapted"])})
    return rows


def first_configs(space: SearchSpace, rows: Rows) -> list[Config]:
    """Return the configurations that are tried first, in their order.

    Args:
        space: of the new run.
        rows: of its `warm_start.parquet`.
    """
    firsts = sorted(
        (row for row in rows if not _is_null(row["first"])), key=lambda row: row["first"]
    )
    return [space.table.from_dict(config_values(row, space.table)) for row in firsts]


def _is_null(value: Any) -> bool:
    return bool(pd.isna(value))


def _opened(run: AnyPath | str, results: AnyPath) -> RunFolder:
    try:
        return RunFolder.open(run, results)
    except ResultsError as error:
        raise BadInputError(f"--warm-start {error}") from error


def _check_shared(run: AnyPath | str, space: SearchSpace, earlier: SearchSpace) -> None:
    """Raise BadInputError unless both spaces search a parameter of one family's table."""
    if earlier.table is not space.table:
        raise BadInputError(
            f"--warm-start {run}: the run is of another model family than the space {space.name}: "
            "their configurations have other parameters. Leave it out, or search its own space: "
            f"--space {run}/run.json."
        )
    if not space.search.keys() & earlier.search.keys():
        raise BadInputError(
            f"--warm-start {run}: the run searched {_listed(earlier.search)}, and the space "
            f"{space.name} searches {_listed(space.search)}. They must share a parameter, or "
            "nothing is learned. Leave it out."
        )


def _listed(names: Any) -> str:
    return ", ".join(names) or "nothing"


def _weight(space: SearchSpace, earlier: SearchSpace) -> float:
    same_data = (
        earlier.dataset == space.dataset != GIVEN and earlier.data.to_dict() == space.data.to_dict()
    )
    same_measure = earlier.objective.column == space.objective.column
    return likeness(space, earlier) * _OTHER_SCORES ** ((not same_data) + (not same_measure))


def take_trials(space: SearchSpace, earlier: SearchSpace, trials: Rows, ranking: Rows) -> Taken:
    """Return the rows of a run's trials that fit the space, the best of them marked as first."""
    outside: Counter[str] = Counter()
    ended = list(_placed(earlier, trials))
    fitting = [row for row in ended if _fits(space, row, outside)]
    configs = {row["config_id"]: row for row in fitting}
    ranked = [row for row in ranking if not _is_null(row["rank"])]
    for row in ranked:
        if row["config_id"] not in configs:  # of a run that compared given configurations
            row |= {"trial_id": "", "status": "completed", "place": None, "progress": 1.0}
            if _fits(space, row, outside if not ended else Counter()):
                configs[row["config_id"]] = row
    best_first = [row["config_id"] for row in ranked] + [
        row["config_id"] for row in reversed(fitting) if row["status"] == "completed"
    ]
    firsts = [name for name in dict.fromkeys(best_first) if name in configs][:N_FIRST]
    stored = {id(row): row for row in [*_thinned(fitting), *(configs[name] for name in firsts)]}
    for i, name in enumerate(firsts):
        configs[name]["first"] = i
    return Taken([_stored(row) for row in stored.values()], len(ended) - len(fitting), outside)


def _placed(earlier: SearchSpace, trials: Rows) -> Iterator[dict[str, Any]]:
    """Yield the ended trials of a search from the worst to the best, with their place in [0, 1].

    In the order of TPE: dying ones, pruned ones by how far they came, completed ones by score. A
    `place` is that among trials of the same kind. Forks aren't among them: what they score is not
    by the parameters that they began with.
    """
    objective, max_updates = earlier.objective, earlier.budget.max_updates
    searched = [
        row
        for row in trials
        if row["phase"] == "search"
        and row["status"] in _LEARNED
        and not (is_out_of_time(row) or is_fork(row))
    ]
    kinds: dict[int, Rows] = {0: [], 1: [], 2: []}
    for row in searched:
        score = objective.score_of(row)
        if row["status"] == "completed" and score is not None and math.isfinite(score):
            kinds[2].append({**row, "_order": (score,)})
        elif row["status"] == "pruned":
            known = -math.inf if score is None else score
            kinds[1].append({**row, "_order": (row["updates"], known)})
        elif row["status"] in ("collapsed", "diverged"):
            kinds[0].append({**row, "_order": (row["number"],)})
    for rows in kinds.values():
        rows.sort(key=lambda row: row["_order"])
        for i, row in enumerate(rows):
            place, progress = (i + 0.5) / len(rows), min(1.0, row["updates"] / max_updates)
            yield {**row, "place": place, "progress": progress}


def _fits(space: SearchSpace, row: dict[str, Any], outside: Counter[str]) -> bool:
    """Give a row the configuration as the space has it; return False if it lies outside."""
    config = space.table.from_dict(config_values(row, space.table))
    row["adapted"] = space.adapted(config)
    if getattr(row["adapted"], "schedule", ()) != getattr(config, "schedule", ()):
        outside["with a schedule that the space doesn't have"] += 1
        return False
    names = space.outside(row["adapted"])
    outside.update(f"{name} outside {space.search[name].describe()}" for name in names)
    return not names


def _thinned(rows: Rows) -> Rows:
    """Return at most `_MOST` rows, evenly spaced, of which the last is the last."""
    n = len(rows)
    return rows if n <= _MOST else [rows[(i + 1) * n // _MOST - 1] for i in range(_MOST)]


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `warm_start.parquet`."""
    kept = {name: row.get(name) for name in ("trial_id", "status", "place", "progress", "first")}
    return {**kept, **_values(row["adapted"])}


def _values(config: Config) -> dict[str, Any]:
    return {"config_id": config.config_id, **config_columns(config)}


def _distinct_firsts(rows: Rows) -> Rows:
    """Number what is tried first over all runs, best of each run first, each training once."""
    firsts = sorted((row for row in rows if row["first"] is not None), key=lambda r: r["first"])
    numbers: dict[str, int] = {}
    for row in firsts:
        is_new = row["config_id"] not in numbers
        row["first"] = numbers.setdefault(row["config_id"], len(numbers)) if is_new else None
    return rows


def _source(
    folder: RunFolder, description: RunDescription, weight: float, rows: Rows
) -> dict[str, Any]:
    """Return what `run.json` says of an earlier run."""
    taken = json.dumps(rows, sort_keys=True, default=str).encode()
    return {
        "path": str(folder.path),
        "space": description.space["name"],
        "dataset": description.space["dataset"],
        "weight": round(weight, 4),
        "n_trials": sum(row["place"] is not None for row in rows),
        "sha256": hashlib.sha256(taken).hexdigest(),
    }


def _note(
    run: AnyPath | str,
    state: str,
    space: SearchSpace,
    earlier: SearchSpace,
    weight: float,
    taken: Taken,
) -> str:
    """Say what was taken of a run, and what was left out."""
    n = sum(row["place"] is not None for row in taken.rows)
    n_first = sum(row["first"] is not None for row in taken.rows)
    parts = [f"{count_of(n, 'trial')} of it, weighted {weight:.2f}"]
    if earlier.dataset != space.dataset:
        parts[0] += f" (it learned {earlier.dataset})"
    parts.append(f"its best {count_of(n_first, 'configuration')} tried first")
    if taken.n_outside:
        why = ", ".join(f"{text} ({n})" for text, n in taken.outside.most_common(3))
        parts.append(f"{count_of(taken.n_outside, 'trial')} left out: {why}")
    if state in ("searching", "replicating"):
        parts.append("it is still running, and what it finds from now on isn't taken")
    return f"warm start from {run}: {'; '.join(parts)}"


def _nothing_taken(
    run: AnyPath | str, folder: RunFolder, space: SearchSpace, outside: Counter[str]
) -> BadInputError:
    if not outside:
        return BadInputError(
            f"--warm-start {run}: no trial of the run has ended with a result, so there is nothing "
            f"to begin with. Leave it out, or let it go on: `{command('resume', folder.path)}`."
        )
    why = ", ".join(f"{text} ({count_of(n, 'trial')})" for text, n in outside.most_common(3))
    return BadInputError(
        f"--warm-start {run}: all its trials lie outside the space {space.name}: {why}. Widen the "
        "ranges of the space, or leave it out."
    )
