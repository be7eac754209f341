"""Where in its space a search dies: shares of survivors, and the parameters that decide them.

A trial of the search *died* if it collapsed or diverged. It *survived* if it was completed, or if
it was pruned at the first rung or later: it was alive when it was stopped, and what would have
become of it is unknown. Failed and running trials count for nothing, for they tell of machines or
of nothing yet, nor do those that were cut short before the first rung, where health is first
judged.

Shares are of what the search tried, and a sampler tries more where scores are good: cells differ in
more than what names them. What decides is therefore asked of a random forest (Breiman 2001, "Random
forests", Machine Learning 45), which sees all parameters at once, and is answered only if it
foretells trials that it was not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from gansearch.family import Balance, ModelFamily
from gansearch.ranking.importance import Feature, foretell
from gansearch.rules import Config, short
from gansearch.runs.schemas import IMPORTANCES, STABILITY

DIED = ("collapsed", "diverged")
# Of each, dead and alive, that a forest needs; and of survivors that were measured.
LEAST_OF_EACH, LEAST_MEASURED = 5, 10
LEVEL = 0.95
# No better than chance where pure noise would foretell as well this often. Held-out predictions of
# one fold come from one forest, so that noise may be called skill in a few searches of a hundred.
_CHANCE = 0.01

# Of more trials than these a forest sees so many, drawn at random.
MOST_IN_FOREST = 5000

_MOST_BINS, _MOST_VALUES, _TRIALS_IN_BIN = 6, 6, 8


@dataclass(frozen=True)
class Stability:
    """What is known of survival in a search.

    Attributes:
        cells: rows of `stability.parquet`: all trials, the map by the family's balance (of the
            paper's nets k and the ratio of the learning rates), and the cells of each searched
            parameter.
        importances: rows of `importances.parquet`: what decides survival, and what the quality of
            the survivors.
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
        """Cells of the map, a row of it after the other."""
        return self.cells[self.cells["kind"] == "map"]

    @property
    def worst(self) -> pd.DataFrame:
        """Cells whose interval lies below the share of all trials, the worst first."""
        whole = self.cells["p_survives"].iloc[0]
        worse: pd.DataFrame = self.cells[self.cells["p_high"] < whole]
        return worse.sort_values("p_high", kind="stable")


@dataclass(frozen=True)
class _Parameter:
    """What the trials had for a parameter: numbers or names, `[n]`, NaN where it did not apply.

    `is_listed` parameters have a cell for each value, the others for intervals, whose ends are
    round numbers of a scale that is logarithmic if `is_log`.
    """

    name: str
    column: pd.Series[Any]
    is_number: bool
    is_listed: bool
    is_log: bool = False

    @property
    def varies(self) -> bool:
        return len(self.column.dropna().unique()) > 1


@dataclass(frozen=True)
class _Bin:
    """A value or an interval of a parameter: `low <= x < high`, None where it has no end."""

    label: str
    low: float | None
    high: float | None
    holds: np.ndarray


def stability(
    trials: pd.DataFrame,
    history: pd.DataFrame,
    *,
    family: ModelFamily[Any],
    search: Mapping[str, Mapping[str, Any]],
    grace_updates: int,
) -> Stability:
    """Tell where trials of a search died, and which parameters decide that and the quality.

    What decides is asked of at most `MOST_IN_FOREST` trials, drawn at random.

    Args:
        trials: rows of `trials.parquet`; those of another phase than search are left aside.
        history: rows of `history/`; of their columns, `trial_id`, `updates` and `valid_ll`.
        family: of the models that were trained.
        search: what the space searches, as `run.json` has it.
        grace_updates: `Budget.grace_updates`. Quality is the `valid_ll` (nats) of a trial's first
            report from there on: the last place where all survivors were measured, before the worse
            ones were pruned.

    The same trials give the same numbers.
    """
    told = _told(trials, history, grace_updates)
    table, balance = family.config_type, family.balance
    parameters = [p for p in _searched(told, search, table, balance) if p.varies]
    fates = told[["survived", "quality"]]
    rows = [_cell(fates, {"kind": "all"})]
    if balance is not None:
        rows += _map_cells(told, search, table, balance)
    for parameter in parameters:
        rows += [_cell(fates[b.holds], _place(parameter, b)) for b in _bins(parameter)]
    importances = [*_of_survival(told, parameters), *_of_quality(told, parameters)]
    return Stability(
        pd.DataFrame(rows, columns=STABILITY.names),
        pd.DataFrame(importances, columns=IMPORTANCES.names),
    )


def jeffreys(n_survived: int, n_trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Jeffreys' prior, as Brown, Cai and DasGupta advise.

    "Interval estimation for a binomial proportion", Statistical Science 16 (2001), section 4.1.2:
    its ends are 0 where none of the trials survived, and 1 where all did.
    """
    tail = (1 - LEVEL) / 2
    a, b = n_survived + 0.5, n_trials - n_survived + 0.5
    low = 0.0 if n_survived == 0 else float(betaincinv(a, b, tail))
    high = 1.0 if n_survived == n_trials else float(betaincinv(a, b, 1 - tail))
    return low, high


def _told(trials: pd.DataFrame, history: pd.DataFrame, grace_updates: int) -> pd.DataFrame:
    """Return the trials that died or survived, with `survived` and `quality`."""
    at_rung = trials["updates"] >= grace_updates
    survived = (trials["status"] == "completed") | ((trials["status"] == "pruned") & at_rung)
    counts = (trials["phase"] == "search") & (survived | trials["status"].isin(DIED))
    told = trials[counts].reset_index(drop=True)
    reports = history[history["updates"] >= grace_updates]
    first = reports.groupby("trial_id", sort=False)["updates"].idxmin()
    quality = reports.loc[first].set_index("trial_id")["valid_ll"]
    measured = told["trial_id"].map(quality).astype(float)
    added = {
        "survived": survived[counts].to_numpy(),
        "quality": measured.where(np.isfinite(measured)),
    }
    return pd.concat([told, pd.DataFrame(added, index=told.index)], axis=1)


def _searched(
    told: pd.DataFrame,
    search: Mapping[str, Mapping[str, Any]],
    table: type[Config],
    balance: Balance | None,
) -> Iterator[_Parameter]:
    """Yield the searched parameters, null where they were not asked for, then the ratio."""
    found: dict[str, _Parameter] = {}
    for name, entry in search.items():
        holds = pd.Series(True, told.index)
        for other, wanted in entry.get("when", {}).items():
            holds &= _taken(told, found, table, other).isin(
                [_comparable(value) for value in wanted]
            )
        found[name] = _parameter(table, name, _raw(told, table, name).where(holds), entry)
        yield found[name]
    if balance is None:
        return
    rates = [found.get(name) for name in (balance.numerator, balance.denominator)]
    if all(rate is not None and rate.varies for rate in rates):
        yield _ratio(told, balance)


def _taken(
    told: pd.DataFrame, found: Mapping[str, _Parameter], table: type[Config], name: str
) -> pd.Series[Any]:
    """Return what a parameter that others depend on was: a searched one comes before them."""
    return found[name].column if name in found else _raw(told, table, name)


def _raw(told: pd.DataFrame, table: type[Config], name: str) -> pd.Series[Any]:
    """Return the trials' values of a parameter: floats, or texts such as `64-64`."""
    column = told[f"config.{name}"]
    kind = table.rules()[name].kind
    if kind in ("int", "float"):
        return column.astype(float)
    if kind == "str":
        return column.astype(object)
    return column.map(_comparable, na_action="ignore").astype(object)


def _comparable(value: Any) -> Any:
    return short(list(value)) if isinstance(value, list | tuple | np.ndarray) else value


def _parameter(
    table: type[Config], name: str, values: pd.Series[Any], entry: Mapping[str, Any]
) -> _Parameter:
    is_number = table.rules()[name].kind in ("int", "float")
    is_listed = "choice" in entry or ("int" in entry and values.nunique() <= _MOST_VALUES)
    # A preset's value may lie outside of what is searched.
    is_log = bool(entry.get("log", False)) and bool((values.dropna() > 0).all())
    return _Parameter(name, values, is_number, is_listed, is_log)


def _ratio(told: pd.DataFrame, balance: Balance) -> _Parameter:
    ratio = told[f"config.{balance.numerator}"] / told[f"config.{balance.denominator}"]
    column = ratio.astype(float)
    return _Parameter(balance.ratio, column, is_number=True, is_listed=False, is_log=True)


def _map_cells(
    told: pd.DataFrame,
    search: Mapping[str, Mapping[str, Any]],
    table: type[Config],
    balance: Balance,
) -> Iterator[dict[str, Any]]:
    """Yield the cells of the map, empty ones too; none where neither of its sides varies."""
    name = balance.rows
    down = _parameter(table, name, _raw(told, table, name), search.get(name, {"choice": []}))
    ratio = _ratio(told, balance)
    if not (down.varies or ratio.varies):
        return
    fates = told[["survived", "quality"]]
    for row in _bins(down):
        for across in _bins(ratio):
            place = {"ratio": across.label, "ratio_low": across.low, "ratio_high": across.high}
            holds = row.holds & across.holds
            yield _cell(fates[holds], _place(down, row) | {"kind": "map"} | place)


def _place(parameter: _Parameter, bin: _Bin) -> dict[str, Any]:
    return {
        "kind": "parameter",
        "parameter": parameter.name,
        "value": bin.label,
        "low": bin.low,
        "high": bin.high,
    }


def _cell(fates: pd.DataFrame, place: Mapping[str, Any]) -> dict[str, Any]:
    n_trials, n_survived = len(fates), int(fates["survived"].sum())
    low, high = jeffreys(n_survived, n_trials) if n_trials else (math.nan, math.nan)
    quality = fates.loc[fates["survived"], "quality"].dropna()
    return {
        **place,
        "n_trials": n_trials,
        "n_survived": n_survived,
        "p_survives": n_survived / n_trials if n_trials else math.nan,
        "p_low": low,
        "p_high": high,
        "n_measured": len(quality),
        "median_valid_ll": float(quality.median()) if len(quality) else math.nan,
    }


def _bins(parameter: _Parameter) -> list[_Bin]:
    """Return the values of a listed parameter, ascending, or intervals between round numbers."""
    values = parameter.column
    if parameter.is_listed:
        bounds = (lambda value: float(value)) if parameter.is_number else (lambda _: None)
        return [
            _Bin(_shown(value), bounds(value), bounds(value), (values == value).to_numpy())
            for value in sorted(values.dropna().unique())
        ]
    numbers = values.to_numpy(float)
    present = numbers[np.isfinite(numbers)]
    n_bins = int(np.clip(len(present) // _TRIALS_IN_BIN, 2, _MOST_BINS))
    edges = _round_edges(present, n_bins) if parameter.is_log else []
    edges = edges or _quantile_edges(present, n_bins)
    if not edges:
        return [_Bin("all", None, None, np.isfinite(numbers))]
    places = np.where(np.isfinite(numbers), np.searchsorted(edges, numbers, side="right"), -1)
    lows, highs = [None, *edges], [*edges, None]
    return [
        _Bin(_interval(low, high), low, high, places == i)
        for i, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]


def _round_edges(values: np.ndarray, n_bins: int) -> list[float]:
    """Return 1, 3 and 10, or decades, or every other: what makes most bins, but at most so many.

    Those that cut off less than a twentieth of the values are left out.
    """
    low, high = np.quantile(values, [0.05, 0.95])
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    scales = [
        [float(f"{digit}e{e}") for e in exponents for digit in (1, 3)],
        [float(f"1e{e}") for e in exponents],
        *([float(f"1e{e}") for e in exponents if e % 2 == parity] for parity in (1, 0)),
        [float(f"1e{e}") for e in exponents if e % 4 == 0],
    ]
    inside = [[mark for mark in scale if low < mark <= high] for scale in scales]
    return max((marks for marks in inside if len(marks) < n_bins), key=len, default=[])


def _quantile_edges(values: np.ndarray, n_bins: int) -> list[float]:
    """Return rounded quantiles that part the values in about equal numbers."""
    quantiles = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
    rounded = sorted({float(f"{edge:.2g}") for edge in quantiles})
    return [edge for edge in rounded if values.min() < edge <= values.max()]


def _interval(low: float | None, high: float | None) -> str:
    if low is None:
        return f"<{high:.3g}"
    return f">={low:.3g}" if high is None else f"{low:.3g}-{high:.3g}"


def _shown(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _of_survival(told: pd.DataFrame, parameters: Sequence[_Parameter]) -> Iterator[dict[str, Any]]:
    n_survived = int(told["survived"].sum())
    n_died = len(told) - n_survived
    few = (
        f"{n_died} died and {n_survived} survived; at least {LEAST_OF_EACH} of each are needed"
        if min(n_died, n_survived) < LEAST_OF_EACH
        else None
    )
    values, drawn = _drawn(told["survived"].to_numpy(float), parameters)
    return _rows("survival", drawn, values, few)


def _of_quality(told: pd.DataFrame, parameters: Sequence[_Parameter]) -> Iterator[dict[str, Any]]:
    """Tell what decides the quality of the survivors by its rank: the worst lie far below."""
    measured = (told["survived"] & told["quality"].notna()).to_numpy()
    n = int(measured.sum())
    were = "survivor was" if n == 1 else "survivors were"
    few = (
        f"{n} {were} measured at the first rung; at least {LEAST_MEASURED} are needed"
        if n < LEAST_MEASURED
        else None
    )
    theirs = [replace(p, column=p.column[measured]) for p in parameters]
    values, drawn = _drawn(told.loc[measured, "quality"].to_numpy(float), theirs)
    return _rows("quality", drawn, pd.Series(values).rank().to_numpy(), few)


def _drawn(
    values: np.ndarray, parameters: Sequence[_Parameter]
) -> tuple[np.ndarray, Sequence[_Parameter]]:
    """Return the trials that a forest sees: all, or so many as make it steady, at random."""
    if len(values) <= MOST_IN_FOREST:
        return values, parameters
    chosen = np.sort(np.random.default_rng(0).permutation(len(values))[:MOST_IN_FOREST])
    return values[chosen], [replace(p, column=p.column.iloc[chosen]) for p in parameters]


def _rows(
    target: str, parameters: Sequence[_Parameter], values: np.ndarray, few: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the row of each parameter; `few` says why there is nothing to learn from, if so."""
    common = {"target": target, "n_trials": len(values), "reason": few and f"too few trials: {few}"}
    varying = [p for p in parameters if p.varies]
    importances = [math.nan] * len(varying)
    if not varying and not few:
        common["reason"] = f"no searched parameter varies among these {len(values)} trials"
    elif not few:
        found = foretell([_feature(p) for p in varying], values)
        common |= {"concordance": found.full, "p_value": found.p_value}
        if found.p_value <= _CHANCE:
            skill = found.full - 0.5
            importances = [(found.full - max(0.5, left)) / skill for left in found.without]
        else:
            right = f"{100 * found.full:.0f} % in the right order"
            common["reason"] = (
                f"too few trials: of pairs that it hasn't seen, a forest puts {right}, as chance "
                f"may (p {found.p_value:.2g})"
            )
    of_parameter = dict(zip([p.name for p in varying], importances, strict=True))
    for parameter in parameters:
        yield common | {
            "parameter": parameter.name,
            "importance": of_parameter.get(parameter.name, math.nan),
        }


def _feature(parameter: _Parameter) -> Feature:
    """Return what a forest sees of a parameter: a number, its logarithm, or a flag a choice."""
    column = parameter.column
    if parameter.is_number:
        numbers = column.to_numpy(float)[:, None]
        block = np.log(numbers) if parameter.is_log else numbers
    else:
        names = sorted(column.dropna().unique())
        block = np.stack([(column == name).to_numpy(float) for name in names], axis=1)
    return Feature(block, column.notna().to_numpy())
