"""What travels between the driver and the workers: a trial's specification, a step's result.

Tune passes dictionaries. Only `to_tune` and `from_tune` build and read them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from gansearch.family import Counts, Metrics
from gansearch.measures import Evaluation
from gansearch.own_measures import Objective, Rating
from gansearch.scoring.verdict import Verdict

Phase = Literal["search", "replica"]


class Origin(NamedTuple):
    """The state that a fork begins from: of which trial, after how many updates."""

    trial_id: str
    updates: int


@dataclass(frozen=True)
class TrialSpec:
    """What a trial is.

    Attributes:
        trial_id: unique in its run.
        number: in the search, from 0, and of a fork that of the training from scratch whose seed it
            has; of a replica, the index of its seed.
        phase: "search" or "replica".
        seed: of the training.
        config: as `Config.to_dict` gives it.
        is_alone: whether it has a GPU or node to itself, after it ran out of memory.
        origin: of a fork: a state that a training from scratch with the same configuration and seed
            comes to as well. None for a training from scratch.
    """

    trial_id: str
    number: int
    phase: Phase
    seed: int
    config: Mapping[str, Any]
    is_alone: bool = False
    origin: Origin | None = None

    @property
    def begins_at(self) -> int:
        """Updates after which the trial's own training begins."""
        return 0 if self.origin is None else self.origin.updates

    def to_tune(self) -> dict[str, Any]:
        """Return Tune's `config` of the trial."""
        return {"trial": self}

    @classmethod
    def from_tune(cls, config: Mapping[str, Any]) -> TrialSpec:
        """Return the trial that Tune's `config` describes."""
        spec: TrialSpec = config["trial"]
        return spec


@dataclass(frozen=True)
class StepResult:
    """The result of a trial's step: its progress, and its measurements if an evaluation was due.

    Attributes:
        counts: updates and seconds since the trial's start.
        device: name of the GPU, or "cpu".
        metrics: of the training; None between two evaluations.
        evaluation: the scores of its samples; None between two evaluations.
        verdict: on the trial's health; where it is "diverged", there are no metrics.
        final: a completed replica's scores on the test set, by column of `trials.parquet`.
        kept_updates: updates after which the generator that was stored had its state.
        best: the evaluation of that state, where it isn't the training's last.
        done: whether the training has come to its end.
        note: a message for the user.
        unwritable: the error of a write to the run's folder that failed, which ends the run.
    """

    counts: Counts
    device: str
    metrics: Metrics | None = None
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    final: Mapping[str, Any] | None = None
    kept_updates: int | None = None
    best: Evaluation | None = None
    done: bool = False
    note: str | None = None
    unwritable: str | None = None

    @property
    def is_evaluation(self) -> bool:
        """Whether the trial was evaluated."""
        return self.evaluation is not None

    @property
    def is_sign(self) -> bool:
        """Whether it says no more than how far the trial is."""
        has_more = (self.evaluation, self.verdict, self.final, self.note, self.unwritable)
        return not self.done and all(each is None for each in has_more)

    @property
    def is_unsound(self) -> bool:
        """Whether the verdict ends the trial."""
        verdict = self.verdict
        return verdict is not None and (
            verdict.status == "diverged" or (verdict.status == "collapsed" and verdict.ends_trial)
        )

    @property
    def updates(self) -> int:
        """Parameter updates that the trial has done."""
        return self.counts.updates

    @property
    def valid_ll(self) -> float | None:
        """The samples' validation log-likelihood, in nats; None between two evaluations."""
        return self.evaluation.valid_ll if self.evaluation else None

    @property
    def stored_evaluation(self) -> Evaluation | None:
        """That of the state that is kept, or else this step's; None between two evaluations."""
        return self.best or self.evaluation

    def score(self, objective: Objective) -> float | None:
        """Return the score of the samples, more is better; None between two evaluations."""
        return None if self.evaluation is None else objective.score_of(self.evaluation.measured)

    def rating(self, objective: Objective) -> Rating | None:
        """Return `score` or, of several objectives, all scores; None without one of them."""
        if self.evaluation is None:
            return None
        return objective.rating_of(self.evaluation.measured)

    def stored_score(self, objective: Objective) -> float | None:
        """Return the score of `stored_evaluation`, as `score` does."""
        stored = self.stored_evaluation
        return None if stored is None else objective.score_of(stored.measured)

    def stored_rating(self, objective: Objective) -> Rating | None:
        """Return that of `stored_evaluation`, as `rating` does."""
        stored = self.stored_evaluation
        return None if stored is None else objective.rating_of(stored.measured)

    def with_collapsed_p(self, p: float | None) -> Self:
        """Return a copy with what the collapse test has found for the state that is kept."""
        if self.best is not None:
            return dataclasses.replace(self, best=dataclasses.replace(self.best, collapsed_p=p))
        assert self.evaluation is not None
        judged = dataclasses.replace(self.evaluation, collapsed_p=p)
        return dataclasses.replace(self, evaluation=judged)

    @property
    def measured(self) -> dict[str, Any]:
        """What was measured in this step, and how far the trial is, by column."""
        found = {**vars(self.counts), "device": self.device}
        if self.metrics is not None:
            found |= vars(self.metrics)
        if self.evaluation is not None:
            found |= self.evaluation.measured
            found["p_recovers"] = self.verdict.p_recovers if self.verdict else None
        return found

    def to_tune(self) -> dict[str, Any]:
        """Return Tune's result of the step; whole, since Tune would flatten a dictionary."""
        return {"step": self, "done": self.done}

    @classmethod
    def from_tune(cls, result: Mapping[str, Any]) -> StepResult:
        """Return the `StepResult` in one of Tune's results."""
        step: StepResult = result["step"]
        return step

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, what is None left out."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave.

        Raises:
            KeyError, TypeError: something is absent, or there is too much of it.
        """
        if "counts" not in values:
            values = _nested(values)
        kinds = {
            "metrics": Metrics,
            "evaluation": Evaluation,
            "verdict": Verdict,
            "best": Evaluation,
        }
        parsed = {name: kind(**values[name]) for name, kind in kinds.items() if name in values}
        rest = ("device", "final", "kept_updates", "done", "note", "unwritable")
        return cls(
            counts=Counts(**values["counts"]),
            **parsed,
            **{name: values[name] for name in rest if name in values},
        )


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint of version 0.1 keeps of a result, flat, in the present form."""

    def some(kind: type[Any]) -> dict[str, Any]:
        return {f.name: values[f.name] for f in dataclasses.fields(kind) if f.name in values}

    nested = {
        "counts": some(Counts),
        **{n: values[n] for n in ("device", "done", "final") if n in values},
    }
    if values["is_report"]:
        nested |= {"metrics": some(Metrics), "evaluation": some(Evaluation)}
    if "verdict" in values:
        nested["verdict"] = {"status": values["verdict"], "reason": values["reason"]}
    return nested
