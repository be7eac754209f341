"""Measures of the user's own: functions `f(samples, real)` that a space lists under `measures`.

    import gansearch

    @gansearch.measure(direction="minimize")
    def distance_of_means(samples, real):
        return abs(samples.mean() - real.mean())

`scoring/own.py` computes them. What is said here of each is stored in `run.json`, so that a report
needs none of the user's code. Measures of a model family, which its trainings compute, have the
same columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeVar, overload

from gansearch.measures import MEASURES

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Direction = Literal["minimize", "maximize"]
# A score, or those of several objectives; more is better.
Rating = float | tuple[float, ...]

DIRECTIONS: tuple[Direction, ...] = ("minimize", "maximize")
SHARE = "share"  # a unit: of values from 0 to 1
PIXELS = "pixels"  # in place of an extractor: the examples themselves
# torch-fidelity's Inception, by the name that it has there; `inception-v3-compat:PATH` names the
# file of its weights.
INCEPTION = "inception-v3-compat"
_PREFIX = "measure."
_DEFAULT_OBJECTIVE = "valid_ll"


@dataclass(frozen=True)
class OwnMeasure:
    """A measure of the user's own, or of a model family's.

    Attributes:
        name: unique in its space.
        function: a reference to it, as `user_code.load` takes it; empty for one of a model family,
            which `Training.measure` computes.
        direction: which way is better.
        unit: of its values; empty for none.
        features: what it compares: "pixels" for the examples themselves, or an extractor: a
            reference to a function, the path of a TorchScript file, or "inception-v3-compat".
        n_samples: how many samples it gets at an evaluation; None for as many as other measures.
        at_end: whether only a replica's end has it, so that it can be no objective.
    """

    name: str
    function: str
    direction: Direction = "minimize"
    unit: str = ""
    features: str = PIXELS
    n_samples: int | None = None
    at_end: bool = False

    @classmethod
    def of_family(
        cls, name: str, direction: Direction, unit: str = "", *, at_end: bool = False
    ) -> Self:
        """Return a measure that the trainings of a model family compute."""
        return cls(name, "", direction, unit, at_end=at_end)

    @property
    def is_of_family(self) -> bool:
        """Whether the trainings of a model family compute it."""
        return not self.function

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which its values lie, so that intervals end there."""
        return (0.0, 1.0) if self.is_of_family and self.unit == SHARE else (-math.inf, math.inf)

    @property
    def column(self) -> str:
        """Its column in every Parquet file: against validation examples."""
        return f"{_PREFIX}{self.name}"

    @property
    def test_column(self) -> str:
        """Its column of a replica's final samples against the test set."""
        return f"{self.column}_test"

    @property
    def final_columns(self) -> tuple[str, ...]:
        """Its columns in a replica's final score."""
        return self.column, self.test_column

    @property
    def ranking_columns(self) -> tuple[str, ...]:
        """Its columns in a ranking: each mean over seeds with the ends of its interval."""
        return tuple(f"{each}{end}" for each in self.final_columns for end in ("", "_low", "_high"))

    def as_score(self, value: Any) -> Any:
        """Return a value, or an array of them, so that more is better; the same call undoes it."""
        return value if self.direction == "maximize" else -value

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        said = asdict(self)
        if not self.at_end:  # which the user's own never are
            del said["at_end"]
        return said

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave.

        Raises:
            TypeError: it lacks something, or has too much.
        """
        return cls(**values)


class BuiltInMeasure(OwnMeasure):
    """A measure of `MEASURES` that trials report, as one of several objectives.

    A replica's end has one value of it, which is also that of the ranking.
    """

    @property
    def is_of_family(self) -> bool:
        """False: its values come from the samples."""
        return False

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which its values lie."""
        return (0.0, 1.0) if self.unit == SHARE else (-math.inf, math.inf)

    @property
    def column(self) -> str:
        """Its column in every Parquet file."""
        return self.name

    @property
    def test_column(self) -> str:
        """The same column: it has no other value of a replica's final samples."""
        return self.name

    @property
    def final_columns(self) -> tuple[str, ...]:
        """Its column in a replica's final score."""
        return (self.name,)


# Those that every evaluation has. Some runs lack the others: averages of weights, labels.
BUILT_IN_OBJECTIVES: dict[str, BuiltInMeasure] = {
    each.column: BuiltInMeasure.of_family(each.column, "maximize", each.unit)
    for each in MEASURES
    if "evaluation" in each.stages
    and each.better == "higher"
    and each.column not in (_DEFAULT_OBJECTIVE, "n_classes_effective")
    and not each.column.endswith("_raw")
}


@dataclass(frozen=True)
class Objective:
    """What a search and its ranking go by: one measure, or the first of several.

    Attributes:
        measure: of the user's own; None for the Parzen log-likelihood, `valid_ll`.
        others: the other objectives of a search that has several, in their order. What needs one
            value goes by the first: the state that is kept, and the order of a list.
    """

    measure: OwnMeasure | None = None
    others: tuple[Objective, ...] = ()

    @property
    def is_several(self) -> bool:
        """Whether the search has other objectives beside this."""
        return bool(self.others)

    @property
    def all(self) -> tuple[Objective, ...]:
        """Each objective by itself, this one first."""
        return (Objective(self.measure), *self.others)

    @property
    def columns(self) -> list[str]:
        """The columns of all of them."""
        return [each.column for each in self.all]

    @property
    def names(self) -> str:
        """What messages call all of them, as `valid_ll and coverage`."""
        return listed([each.name for each in self.all])

    @property
    def measures(self) -> tuple[OwnMeasure, ...]:
        """Those of them that are measures beside the log-likelihood."""
        return tuple(each.measure for each in self.all if each.measure)

    @property
    def built_in(self) -> tuple[BuiltInMeasure, ...]:
        """Those of them that gansearch measures in every run."""
        return tuple(each for each in self.measures if isinstance(each, BuiltInMeasure))

    def scores_of(self, row: Mapping[str, Any]) -> tuple[float, ...] | None:
        """Return `score_of` by each objective; None unless a row has all of them."""
        found = [each.score_of(row) for each in self.all]
        known = tuple(score for score in found if score is not None)
        return known if len(known) == len(found) else None

    @property
    def column(self) -> str:
        """The column of its values at an evaluation."""
        return self.measure.column if self.measure else _DEFAULT_OBJECTIVE

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.measure.name if self.measure else _DEFAULT_OBJECTIVE

    @property
    def unit(self) -> str:
        """Of its values; empty for none."""
        return self.measure.unit if self.measure else "nats"

    def n_samples(self, n: int) -> int:
        """Return from how many samples its values come where other measures get `n`."""
        return (self.measure and self.measure.n_samples) or n

    def as_score(self, value: Any) -> Any:
        """Return a value, or an array of them, so that more is better; the same call undoes it."""
        return self.measure.as_score(value) if self.measure else value

    def value_of(self, row: Mapping[str, Any]) -> float | None:
        """Return the value in a row of measurements by column; None if there is none."""
        value = row.get(self.column)
        return None if value is None or math.isnan(value) else value

    def score_of(self, row: Mapping[str, Any]) -> float | None:
        """Return `value_of`, so that more is better."""
        value = self.value_of(row)
        return None if value is None else self.as_score(value)

    def rating_of(self, row: Mapping[str, Any]) -> Rating | None:
        """Return what trials are compared by: the score or, of several objectives, all scores."""
        return self.scores_of(row) if self.is_several else self.score_of(row)

    def format(self, value: float) -> str:
        """Return a value as text without its unit: log-likelihoods alone have one magnitude."""
        return f"{value:.4g}" if self.measure else f"{value:.2f}"


VALID_LL = Objective()


def stored_objective(space: Mapping[str, Any]) -> Objective:
    """Return the objective, or several, of a space that `SearchSpace.to_dict` gave.

    Raises:
        TypeError: as `OwnMeasure.from_dict`.
    """
    own = {each.name: each for each in stored_measures(space)}
    names = space.get("objectives") or [space.get("objective")]
    first, *others = (own.get(name) or BUILT_IN_OBJECTIVES.get(name) for name in names)
    return Objective(first, tuple(map(Objective, others)))


def listed(texts: Sequence[str]) -> str:
    """Return texts as a list in words, as `valid_ll, coverage and recall`."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def several(objectives: Sequence[Objective]) -> Objective:
    """Return one or several objectives as one: the first, with the others beside it."""
    first, *others = objectives
    return Objective(first.measure, tuple(others))


def stored_measures(space: Mapping[str, Any]) -> tuple[OwnMeasure, ...]:
    """Return the measures of a space that `SearchSpace.to_dict` gave; none of older versions.

    Raises:
        TypeError: as `OwnMeasure.from_dict`.
    """
    return tuple(OwnMeasure.from_dict(values) for values in space.get("measures", ()))


def own_columns(measures: Iterable[OwnMeasure]) -> list[str]:
    """Return the columns of an evaluation."""
    return [measure.column for measure in measures]


def references_of(measures: Sequence[OwnMeasure], is_reference: Callable[[str], bool]) -> list[str]:
    """Return what of the user's own code the measures need."""
    named = [text for each in measures for text in (each.function, each.features)]
    return [text for text in dict.fromkeys(named) if is_reference(text)]


@overload
def measure(function: FunctionT, /) -> FunctionT: ...
@overload
def measure(
    *,
    direction: Direction = "minimize",
    unit: str = "",
    features: Any = None,
    n_samples: int | None = None,
) -> Callable[[FunctionT], FunctionT]: ...
def measure(
    function: Any = None,
    /,
    *,
    direction: Direction = "minimize",
    unit: str = "",
    features: Any = None,
    n_samples: int | None = None,
) -> Any:
    """Say of a function `(samples, real) -> float` how gansearch measures with it.

    The function itself is unchanged. It gets float32 arrays: images `[n, channels, height, width]`
    in [0, 1], or points `[n, d]` in the data's own units.

    Args:
        function: the measure.
        direction: which way is better, "minimize" or "maximize".
        unit: of its values, for tables.
        features: an extractor, whose features `[n, k]` it then gets instead: a function of one such
            array, `file.py:extract`, the path of a TorchScript file, from the folder of the
            function's file, or "inception-v3-compat", torch-fidelity's Inception.
        n_samples: how many samples it gets at an evaluation, from 20 to 10,000; None for as many
            as other measures.
    """

    def mark(marked: Any) -> Any:
        said = {"direction": direction, "unit": unit, "features": features, "n_samples": n_samples}
        for name, value in said.items():
            setattr(marked, name, value)
        return marked

    return mark if function is None else mark(function)
