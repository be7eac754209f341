"""Answers to names that a space doesn't know: what other tools call its parameters and budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gansearch.budget import EPOCH_WORDS, Budget
from gansearch.data.registry import N_TRAIN
from gansearch.errors import did_you_mean
from gansearch.space.ranges import Table


@dataclass(frozen=True)
class Words:
    """The words of a family's table and of the budget.

    Attributes:
        table: the parameter table of the family.
        dataset: the name of the data set, if it is known.
        values: values of parameters that aren't searched.
    """

    table: Table
    dataset: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def of_parameter(self, name: str, known: Iterable[str] | None = None, value: Any = None) -> str:
        """Return the end of a message about an unknown parameter; `known` are all right names."""
        if answer := self.table.answer_to(name):
            return f"{answer}."
        if name in Budget.rules():
            return "It belongs under budget."
        if Budget.answer_to(name):
            return self.of_budget(name, value)
        names = list(self.table.rules() if known is None else known)
        if of_networks := [each for each in names if each.endswith(f".{name}")]:
            return f"Did you mean {' or '.join(of_networks)}?"
        return did_you_mean(name, names)

    def of_budget(self, name: str, value: Any = None) -> str:
        """Return the end of a message about an unknown entry of the budget, given as `value`."""
        if name in self.table.rules() and not self._is_schedule(name):  # it may mean scheduler
            return "It belongs under search or fixed."
        answer = Budget.answer_to(name)
        if answer is None:
            of_table = self.table.answer_to(name)
            return f"{of_table}." if of_table else did_you_mean(name, Budget.rules())
        if isinstance(Budget.other_words[_key(name)], tuple):
            return f"{answer}, of the budget."
        return f"{answer}.{self._conversion(name, value)}"

    def of_section(self, name: str) -> str | None:
        """Return the advice for a word that stands among the sections; None if it is unknown."""
        if answer := self.table.answer_to(name):
            of_table = isinstance(self.table.other_words[_key(name)], tuple)
            return f"{answer}{', under search or fixed' if of_table else ''}."
        return self.of_budget(name) if Budget.answer_to(name) else None

    def _is_schedule(self, name: str) -> bool:
        return self.table.rules()[name].kind == "schedule"

    def _conversion(self, name: str, value: Any) -> str:
        """Return a number of epochs in parameter updates, if the data set's size is known."""
        n_train = N_TRAIN.get(self.dataset or "")
        given = {**self.table.defaults(), **self.values}
        if _key(name) not in EPOCH_WORDS or not n_train or not {"k", "batch_size"} <= set(given):
            return ""
        k, batch_size = given["k"], given["batch_size"]
        updates = (k + 1) * n_train / batch_size
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        n = value if is_number else 1
        epochs = "An epoch" if n == 1 else f"{n:,} epochs"
        return (
            f" {epochs} of {self.dataset} ({n_train:,} examples) at k={k} and "
            f"batch_size={batch_size}: max_updates={max(1, round(n * updates))}."
        )


def _key(name: str) -> str:
    return name.strip().lower().replace("-", "_")
