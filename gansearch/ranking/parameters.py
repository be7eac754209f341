"""The searched parameters as the trials of a search had them: numbers or names, null if absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gansearch.family import Balance
from gansearch.rules import Config, short

# Whole numbers with at most this many different values are listed one by one.
_MOST_VALUES = 6


@dataclass(frozen=True)
class Parameter:
    """The values of a parameter in the trials.

    Attributes:
        name: of the parameter.
        column: numbers or names, `[n]`; NaN where the parameter did not apply.
        is_number: whether its values are numbers.
        is_listed: whether it has a cell for each value; the others have intervals.
        is_log: whether the ends of its intervals are round numbers of a logarithmic scale.
    """

    name: str
    column: pd.Series[Any]
    is_number: bool
    is_listed: bool
    is_log: bool = False

    @property
    def varies(self) -> bool:
        """Whether it has more than one value."""
        return len(self.column.dropna().unique()) > 1


def searched_parameters(
    trials: pd.DataFrame,
    search: Mapping[str, Mapping[str, Any]],
    table: type[Config],
    balance: Balance | None,
) -> Iterator[Parameter]:
    """Yield the searched parameters, null where they did not apply, then the balance's ratio."""
    found: dict[str, Parameter] = {}
    for name, entry in search.items():
        applies = pd.Series(True, trials.index)
        for other, wanted in entry.get("when", {}).items():
            applies &= _condition_column(trials, found, table, other).isin(
                [_comparable(value) for value in wanted]
            )
        found[name] = parameter_of(trials, table, name, entry, applies)
        yield found[name]
    if balance is None:
        return
    rates = [found.get(name) for name in (balance.numerator, balance.denominator)]
    if all(rate is not None and rate.varies for rate in rates):
        yield ratio_parameter(trials, balance)


def parameter_of(
    trials: pd.DataFrame,
    table: type[Config],
    name: str,
    entry: Mapping[str, Any],
    applies: pd.Series[Any] | None = None,
) -> Parameter:
    """Return a parameter of the trials.

    Args:
        trials: rows of `trials.parquet`.
        table: the parameter table of their configurations.
        name: of the parameter.
        entry: of the parameter in the space, as `run.json` has it.
        applies: the trials to which it applies, `[n]`; None for all.
    """
    values = _column(trials, table, name)
    if applies is not None:
        values = values.where(applies)
    is_number = table.rules()[name].kind in ("int", "float")
    is_listed = "choice" in entry or ("int" in entry and values.nunique() <= _MOST_VALUES)
    # A preset's value may lie outside the searched range.
    is_log = bool(entry.get("log", False)) and bool((values.dropna() > 0).all())
    return Parameter(name, values, is_number, is_listed, is_log)


def ratio_parameter(trials: pd.DataFrame, balance: Balance) -> Parameter:
    """Return the ratio of a family's balance, such as that of the learning rates."""
    ratio = trials[f"config.{balance.numerator}"] / trials[f"config.{balance.denominator}"]
    column = ratio.astype(float)
    return Parameter(balance.ratio, column, is_number=True, is_listed=False, is_log=True)


def _condition_column(
    trials: pd.DataFrame, found: Mapping[str, Parameter], table: type[Config], name: str
) -> pd.Series[Any]:
    """Return the values of a parameter that others depend on: a searched one precedes them."""
    return found[name].column if name in found else _column(trials, table, name)


def _column(trials: pd.DataFrame, table: type[Config], name: str) -> pd.Series[Any]:
    """Return the trials' values of a parameter: floats, or strings such as `64-64`."""
    column = trials[f"config.{name}"]
    kind = table.rules()[name].kind
    if kind in ("int", "float"):
        return column.astype(float)
    if kind == "str":
        return column.astype(object)
    return column.map(_comparable, na_action="ignore").astype(object)


def _comparable(value: Any) -> Any:
    return short(list(value)) if isinstance(value, list | tuple | np.ndarray) else value
