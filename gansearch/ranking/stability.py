"""Where in its space trainings fail: shares of survivors, and the parameters that decide them.

A trial of the search *died* if it collapsed or diverged. It *survived* if it was completed, or if
it was pruned at the first rung or later: it was alive when it was stopped. Failed and running
trials are not counted, nor are those that were stopped before the first rung, where health is
first judged.

Shares are of the trials of the search, and a sampler tries more where scores are good, so cells
differ in more than the parameter that names them. Which parameters decide is therefore left to a
random forest (Breiman 2001, "Random forests", Machine Learning 45), which uses all parameters at
once, and whose answer counts only if it predicts held-out trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gansearch.family import Balance, ModelFamily
from gansearch.own_measures import VALID_LL, Objective
from gansearch.ranking.bins import Bin, bins_of
from gansearch.ranking.importance import Feature, predict_held_out
from gansearch.ranking.parameters import (
    Parameter,
    parameter_of,
    ratio_parameter,
    searched_parameters,
)
from gansearch.ranking.shares import jeffreys
from gansearch.rules import Config
from gansearch.runs.schemas import IMPORTANCES, STABILITY

DIED = ("collapsed", "diverged")
_OUTCOMES = ["survived", "quality", "first_objective", "first_valid_ll"]
# Trials of each kind, dead and alive, that a forest needs; and survivors with a measurement.
LEAST_OF_EACH, LEAST_MEASURED = 5, 10
# Above this p-value a forest is called no better than chance. The held-out predictions of one fold
# come from one forest, so noise may be taken for skill in a few searches of a hundred.
_CHANCE = 0.01

# If there are more trials, a forest is fitted to this many, drawn at random.
MOST_IN_FOREST = 5000


@dataclass(frozen=True)
class Stability:
    """Which trials of a search survived, and which parameters decide that.

    Attributes:
        cells: rows of `stability.parquet`: all trials, the map by the family's balance (of the
            paper's nets k and the ratio of the learning rates), and the cells of each searched
            parameter.
        importances: rows of `importances.parquet`: the parameters that decide survival, and those
            that decide the quality of the survivors.
    """

    cells: pd.DataFrame
    importances: pd.DataFrame

    @property
    def n_trials(self) -> int:
        """Trials of the search that died or survived."""
        return int(self.cells["n_trials"].iloc[0])

    @property
    def n_survived(self) -> int:
        """Those that survived."""
        return int(self.cells["n_survived"].iloc[0])

    @property
    def map(self) -> pd.DataFrame:
        """Cells of the map, row by row."""
        return self.cells[self.cells["kind"] == "map"]

    @property
    def worst(self) -> pd.DataFrame:
        """Cells whose interval is below the survival of all trials, the worst first."""
        whole = self.cells["p_survives"].iloc[0]
        worse: pd.DataFrame = self.cells[self.cells["p_high"] < whole]
        return worse.sort_values("p_high", kind="stable")


def stability(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    *,
    family: ModelFamily[Any],
    search: Mapping[str, Mapping[str, Any]],
    grace_updates: int,
    objective: Objective = VALID_LL,
) -> Stability:
    """Find where trials of a search died, and which parameters decide that and the quality.

    The forests use at most `MOST_IN_FOREST` trials, drawn at random.

    Args:
        trials: rows of `trials.parquet`; those of other phases than search are ignored.
        history: rows of `history/`, with `trial_id`, `updates`, `valid_ll` and the column of the
            objective at least.
        family: of the models that were trained.
        search: what the space searches, as `run.json` has it.
        grace_updates: `Budget.grace_updates`. Quality is the objective at a trial's first
            evaluation from there on: the last point at which all survivors were measured, before
            the worse ones were pruned.
        objective: what the search goes by.

    The same trials give the same numbers.
    """
    trials = _trials_with_outcome(trials, history, grace_updates, objective)
    table, balance = family.config_type, family.balance
    parameters = [p for p in searched_parameters(trials, search, table, balance) if p.varies]
    outcomes = trials[_OUTCOMES]
    rows = [_cell(outcomes, {"kind": "all"})]
    if balance is not None:
        rows += _map_cells(trials, search, table, balance)
    for parameter in parameters:
        rows += [
            _cell(outcomes[b.holds], _parameter_cell(parameter, b)) for b in bins_of(parameter)
        ]
    importances = [
        *_survival_importances(trials, parameters),
        *_quality_importances(trials, parameters),
    ]
    return Stability(
        pd.DataFrame(rows, columns=STABILITY.names),
        pd.DataFrame(importances, columns=IMPORTANCES.names),
    )


def _trials_with_outcome(
    trials: pd.DataFrame, history: pd.DataFrame, grace_updates: int, objective: Objective
) -> pd.DataFrame:
    """Return the trials that died or survived, with `_OUTCOMES`; more quality is better."""
    at_rung = trials["updates"] >= grace_updates
    survived = (trials["status"] == "completed") | ((trials["status"] == "pruned") & at_rung)
    counts = (trials["phase"] == "search") & (survived | trials["status"].isin(DIED))
    found = trials[counts].reset_index(drop=True)
    evaluations = history[history["updates"] >= grace_updates]
    first = evaluations.groupby("trial_id", sort=False)["updates"].idxmin()
    measured = evaluations.loc[first].set_index("trial_id").reindex(found["trial_id"])
    values = measured[objective.column].astype(float).set_axis(found.index)
    is_known = np.isfinite(values)
    added = {
        "survived": survived[counts].to_numpy(),
        "quality": objective.as_score(values).where(is_known),
        "first_objective": values.where(is_known),
        "first_valid_ll": measured["valid_ll"].astype(float).set_axis(found.index),
    }
    return pd.concat([found, pd.DataFrame(added, index=found.index)], axis=1)


def _map_cells(
    trials: pd.DataFrame,
    search: Mapping[str, Mapping[str, Any]],
    table: type[Config],
    balance: Balance,
) -> Iterator[dict[str, Any]]:
    """Yield the cells of the map, empty ones too; none where neither of its sides varies."""
    name = balance.rows
    down = parameter_of(trials, table, name, search.get(name, {"choice": []}))
    ratio = ratio_parameter(trials, balance)
    if not (down.varies or ratio.varies):
        return
    outcomes = trials[_OUTCOMES]
    for row in bins_of(down):
        for across in bins_of(ratio):
            ratio_range = {
                "ratio": across.label,
                "ratio_low": across.low,
                "ratio_high": across.high,
            }
            holds = row.holds & across.holds
            yield _cell(outcomes[holds], _parameter_cell(down, row) | {"kind": "map"} | ratio_range)


def _parameter_cell(parameter: Parameter, bin: Bin) -> dict[str, Any]:
    return {
        "kind": "parameter",
        "parameter": parameter.name,
        "value": bin.label,
        "low": bin.low,
        "high": bin.high,
    }


def _cell(outcomes: pd.DataFrame, cell: Mapping[str, Any]) -> dict[str, Any]:
    n_trials, n_survived = len(outcomes), int(outcomes["survived"].sum())
    low, high = jeffreys(n_survived, n_trials) if n_trials else (math.nan, math.nan)
    measured = outcomes[outcomes["survived"] & outcomes["quality"].notna()]
    return {
        **cell,
        "n_trials": n_trials,
        "n_survived": n_survived,
        "p_survives": n_survived / n_trials if n_trials else math.nan,
        "p_low": low,
        "p_high": high,
        "n_measured": len(measured),
        "median_valid_ll": float(measured["first_valid_ll"].median()),
        "median_objective": float(measured["first_objective"].median()),
    }


def _survival_importances(
    trials: pd.DataFrame, parameters: Sequence[Parameter]
) -> Iterator[dict[str, Any]]:
    n_survived = int(trials["survived"].sum())
    n_died = len(trials) - n_survived
    few = (
        f"{n_died} died and {n_survived} survived; at least {LEAST_OF_EACH} of each are needed"
        if min(n_died, n_survived) < LEAST_OF_EACH
        else None
    )
    values, drawn = _subsample(trials["survived"].to_numpy(float), parameters)
    return _importance_rows("survival", drawn, values, few)


def _quality_importances(
    trials: pd.DataFrame, parameters: Sequence[Parameter]
) -> Iterator[dict[str, Any]]:
    """Yield rows on the survivors' quality, by its rank: the worst are far below the others."""
    measured = (trials["survived"] & trials["quality"].notna()).to_numpy()
    n = int(measured.sum())
    were = "survivor was" if n == 1 else "survivors were"
    few = (
        f"{n} {were} measured at the first rung; at least {LEAST_MEASURED} are needed"
        if n < LEAST_MEASURED
        else None
    )
    theirs = [replace(p, column=p.column[measured]) for p in parameters]
    values, drawn = _subsample(trials.loc[measured, "quality"].to_numpy(float), theirs)
    return _importance_rows("quality", drawn, pd.Series(values).rank().to_numpy(), few)


def _subsample(
    values: np.ndarray, parameters: Sequence[Parameter]
) -> tuple[np.ndarray, Sequence[Parameter]]:
    """Return the trials for a forest: all, or `MOST_IN_FOREST` of them at random."""
    if len(values) <= MOST_IN_FOREST:
        return values, parameters
    chosen = np.sort(np.random.default_rng(0).permutation(len(values))[:MOST_IN_FOREST])
    return values[chosen], [replace(p, column=p.column.iloc[chosen]) for p in parameters]


def _importance_rows(
    target: str, parameters: Sequence[Parameter], values: np.ndarray, few: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the row of each parameter; `few` says why there are too few trials, if there are."""
    common = {"target": target, "n_trials": len(values), "reason": few and f"too few trials: {few}"}
    varying = [p for p in parameters if p.varies]
    importances = [math.nan] * len(varying)
    if not varying and not few:
        common["reason"] = f"no searched parameter varies among these {len(values)} trials"
    elif not few:
        found = predict_held_out([_feature(p) for p in varying], values)
        common |= {"concordance": found.full, "p_value": found.p_value}
        if found.p_value <= _CHANCE:
            skill = found.full - 0.5
            importances = [(found.full - max(0.5, left)) / skill for left in found.without]
        else:
            common["reason"] = (
                f"too few trials: a forest puts {100 * found.full:.0f} % of held-out pairs in the "
                f"right order, which may be chance (p {found.p_value:.2g})"
            )
    of_parameter = dict(zip([p.name for p in varying], importances, strict=True))
    for parameter in parameters:
        yield common | {
            "parameter": parameter.name,
            "importance": of_parameter.get(parameter.name, math.nan),
        }


def _feature(parameter: Parameter) -> Feature:
    """Return a parameter as a forest uses it: a number, its logarithm, or a flag per choice."""
    column = parameter.column
    if parameter.is_number:
        numbers = column.to_numpy(float)[:, None]
        block = np.log(numbers) if parameter.is_log else numbers
    else:
        names = sorted(column.dropna().unique())
        block = np.stack([(column == name).to_numpy(float) for name in names], axis=1)
    return Feature(block, column.notna().to_numpy())
