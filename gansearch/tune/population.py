"""Which members of a population go on, which end, and of which others begin as forks.

Population-based training (Jaderberg et al. 2017) that knows health. At each of a few levels of
updates all members wait for each other. Those with the lowest scores end, and forks of the best
take their places: they begin from the same state, with changed hyperparameters. No fork is of a
training that doesn't look sound. One that dies begins again from its last sound state.

A level is decided when every member has come there or has ended. So the decisions follow from what
trials report, whatever its order, and a resume makes the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from types import MappingProxyType
from typing import Literal, NamedTuple

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL, Objective
from gansearch.tune.freeze_thaw import Next
from gansearch.tune.rescue import MAX_ATTEMPTS

# Of the members after a level, those that are forks; they are of as many of the best.
FORK_SHARE = 0.25
# The number of members falls as this power of the updates. With 1, each doubling of the updates
# gets as many of them.
DECREASE = 1.0


@dataclass(frozen=True)
class Fork:
    """A trial that begins from another's state.

    Attributes:
        name: of the trial.
        donor: the trial whose state it begins from.
        updates: of this state.
        model: the trial whose hyperparameters led to it.
        rescue: which attempt at the rescue of a dying training it is, from 1; 0 if it is none.
    """

    name: str
    donor: str
    updates: int
    model: str
    rescue: int = 0


class EarlierMember(NamedTuple):
    """What earlier sessions have seen of a trial.

    Attributes:
        reports: updates and score of each, and whether it looked sound; without the one by which a
            collapsed trial ended.
        end: "unsound" for a trial that has collapsed or diverged, "failed", "pruned", or None.
        is_fork: whether it is one, which is a member once it has been decided.
    """

    reports: Sequence[tuple[int, float | None, bool]] = ()
    end: Literal["unsound", "failed", "pruned"] | None = None
    is_fork: bool = False


class _Report(NamedTuple):
    score: float | None
    is_sound: bool
    of: str  # the trial that has saved this state


@dataclass
class _Member:
    """A trial; its reports begin with that of the state that it began from."""

    start: int = 0
    n_rescues: int = 0  # of it, and of those that it was forked from
    reports: dict[int, _Report] = field(default_factory=dict)
    end: str | None = None
    is_over: bool = False

    def reached(self, level: float = math.inf) -> int:
        """Return the updates of the first report at a level, or of the last one before it."""
        at = (updates for updates in self.reports if updates >= level)
        return min(at, default=max(self.reports, default=self.start))

    def is_at(self, level: float) -> bool:
        return bool(self.reports) and self.reached(level) >= level


class Population:
    """The members of a search by the names of their trials.

    Scores are by `Objective.as_score`, more is better.

    Args:
        budget: of the search; `trials` trainings begin from scratch, and all trials together get as
            many updates as with successive halving, or more where the best `top` take more.
        objective: of the scores.
        earlier: what earlier sessions have seen of trials, by name.
        max_rescues: attempts to rescue a training that dies, or those that rescue it.

    Attributes:
        levels: updates at which members wait for each other, ascending; the last are `max_updates`.
        n_new: trainings that are still to begin from scratch; the searcher keeps it up to date.
        new_forks: that have been decided, for the searcher to take.
    """

    def __init__(
        self,
        budget: Budget,
        objective: Objective = VALID_LL,
        earlier: Mapping[str, EarlierMember] = MappingProxyType({}),
        *,
        max_rescues: int = MAX_ATTEMPTS,
    ) -> None:
        self.n_new = budget.trials
        self.levels = levels_of(budget)
        self._total = budget.trials * budget.expected_updates
        self._n_last = _n_last(budget)
        self._objective = objective
        self.new_forks: list[Fork] = []
        self._earlier = earlier
        self._max_rescues = max_rescues
        self._members: dict[str, _Member] = {}
        self._running: set[str] = set()
        self._waiting: dict[str, None] = {}  # in their order
        self._i = 0  # of the level that is decided next
        for name in earlier:
            if not earlier[name].is_fork:
                self._add(name, _Member())

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def living(self) -> set[str]:
        """Return the members that have not ended."""
        return {name for name, member in self._members.items() if not member.is_over}

    def begin(self, name: str) -> None:
        """Note that a trial trains: a new one, one that has waited, or one that is tried again."""
        self._waiting.pop(name, None)
        self._running.add(name)
        if name not in self._members:
            self._add(name, _Member())

    def wait(self, name: str) -> None:
        """Note that a trial waits to be continued, or a fork to begin."""
        self._running.discard(name)
        self._waiting[name] = None

    def choose(self) -> str | Next:
        """Return the trial that goes on next, or what else a worker does."""
        for name in self._waiting:
            if name in self._members and not self._is_at_level(self._members[name]):
                return name
        if self.n_new > 0:
            return Next.NEW
        return Next.WAIT if self._running else Next.NOTHING

    def add_score(
        self, name: str, updates: int, score: float | None, *, is_sound: bool = True
    ) -> None:
        """Note an evaluation of a trial; one that is known already changes nothing."""
        member = self._members[name]
        if updates > member.reached():
            member.reports[updates] = _Report(score, is_sound, name)

    def end(self, name: str, score: float | None = None) -> None:  # noqa: ARG002
        """Note that a trial is over: completed with a score, or ended by a decision."""
        self._running.discard(name)
        self._waiting.pop(name, None)

    def withdraw(self, name: str, *, is_unsound: bool = True) -> None:
        """Note that a trial has collapsed or diverged, or else that it has failed."""
        self.end(name)
        self._members[name].end = "unsound" if is_unsound else "failed"

    def pauses(self, name: str) -> bool:
        """Return whether a running trial has come to the level that is decided next; it waits."""
        if self._is_at_level(self._members[name]):
            self.wait(name)
            return True
        return False

    def give_up(self) -> dict[str, str]:
        """Return the members that end now, with the reason in words; add to `new_forks`."""
        ended: dict[str, str] = {}
        while (following := self._rescue_one()) or self._is_due():
            ended |= {} if following else self._decide()
        return ended

    def _is_due(self) -> bool:
        """Return whether all members have come to the level that is decided next."""
        living = [self._members[name] for name in self.living()]
        return not self.n_new and bool(living) and all(map(self._is_at_level, living))

    def _decide(self) -> dict[str, str]:
        """Return the members that end at the level, and let forks of the best begin."""
        level = self.levels[self._i]
        n_slots = self._n_slots(level)
        self._i += 1
        # Among equals a donor goes before its forks.
        names = sorted(self.living())
        ranked = sorted(names, key=lambda name: self._place(name, level), reverse=True)
        sound = [name for name in ranked if self._at(name, level).is_sound]
        n_forks = round(FORK_SHARE * n_slots) if sound else 0
        kept = ranked[: max(1, n_slots - n_forks)]
        donors = [name for name in sound if name in kept][: max(1, n_forks)]
        n_forks = max(0, n_slots - len(kept)) if donors else 0
        forks = [self._fork(donors[i % len(donors)], level) for i in range(n_forks)]
        ended = ranked[len(kept) :]
        for name in ended:
            self._members[name].is_over = True
        # The last of all makes room for the first fork.
        taken = dict(zip(reversed(ended), forks, strict=False))
        return {name: self._reason(name, kept, taken.get(name), level) for name in ended}

    def _add(self, name: str, member: _Member) -> None:
        self._members[name] = member
        earlier = self._earlier.get(name, EarlierMember())
        for updates, score, is_sound in earlier.reports:
            self.add_score(name, updates, score, is_sound=is_sound)
        member.end = earlier.end

    def _rescue_one(self) -> bool:
        """End a member that has died on the way to the next level; perhaps a fork begins for it.

        Also one that an earlier session has pruned: nothing waits for what will never come.
        """
        for name, member in self._members.items():
            if member.end is None or member.is_over or self._is_at_level(member):
                continue
            member.is_over = True
            sound = [updates for updates, report in member.reports.items() if report.is_sound]
            if member.end == "unsound" and sound and member.n_rescues < self._max_rescues:
                n, updates = member.n_rescues + 1, max(sound)
                self._begin(Fork(f"{name}-r", member.reports[updates].of, updates, name, rescue=n))
            return True
        return False

    def _fork(self, model: str, level: float) -> str:
        """Let a fork begin of a member at a level; return its name."""
        donor, updates = self._at(model, level).of, self._members[model].reached(level)
        names = (f"{donor}-{updates}{letters}" for letters in _letters())
        name = next(name for name in names if name not in self._members)
        self._begin(Fork(name, donor, updates, model))
        return name

    def _begin(self, fork: Fork) -> None:
        model = self._members[fork.model]
        reports = {fork.updates: model.reports[fork.updates]}
        n_rescues = fork.rescue or model.n_rescues
        self._add(fork.name, _Member(fork.updates, n_rescues, reports))
        self.new_forks.append(fork)

    def _is_at_level(self, member: _Member) -> bool:
        return self._i < len(self.levels) - 1 and member.is_at(self.levels[self._i])

    def _at(self, name: str, level: float) -> _Report:
        member = self._members[name]
        return member.reports[member.reached(level)]

    def _place(self, name: str, level: float) -> tuple[bool, float]:
        """Return by what members are ordered at a level, the best with the most."""
        report = self._at(name, level)
        return report.is_sound, -math.inf if report.score is None else report.score

    def _n_slots(self, level: float) -> int:
        """Return for how many members up to the next level the updates suffice that are left."""
        spent = sum(member.reached(level) - member.start for member in self._members.values())
        return _n_members(self._total - spent, self.levels[self._i :], self._n_last)

    def _reason(self, name: str, kept: Sequence[str], fork: str | None, level: float) -> str:
        def shown(of: str) -> str:
            score = self._at(of, level).score
            return "none" if score is None else f"{self._objective.as_score(score):.4g}"

        why = (
            f"{self._objective.name} after {level:,.0f} updates is {shown(name)}: it isn't among "
            f"the best {len(kept)} of the population, the last of which, {kept[-1]}, has "
            f"{shown(kept[-1])}"
        )
        return f"{why}; {fork} takes its place" if fork else why


def levels_of(budget: Budget) -> list[int]:
    """Return the updates at which members wait for each other: evaluations, the last at the end.

    >>> levels_of(Budget(max_updates=5000, reports=10, grace=0.2))
    [1000, 1500, 2500, 3500, 5000]
    """
    marks = budget.report_updates()
    return sorted({next(mark for mark in marks if mark >= u) for u in budget.pause_updates})


def planned_updates(budget: Budget) -> float:
    """Return how many updates all members make, if no training dies.

    As many as with successive halving, or more where the best `top` take more.
    """
    levels = levels_of(budget)
    total = budget.trials * budget.expected_updates
    updates = float(budget.trials * levels[0])
    for i, (start, end) in enumerate(pairwise(levels)):
        updates += (end - start) * _n_members(total - updates, levels[i:], _n_last(budget))
    return updates


def n_first_forks(budget: Budget) -> int:
    """Return how many forks begin at the first level, if no training dies."""
    levels = levels_of(budget)
    left = budget.trials * (budget.expected_updates - levels[0])
    return round(FORK_SHARE * _n_members(left, levels))


def _n_last(budget: Budget) -> int:
    """Return how many members are trained to the end at least: the finalists."""
    return min(budget.top, budget.trials)


def _n_members(updates: float, levels: Sequence[int], least: int = 1) -> int:
    """Return how many members go on from the first of `levels`, if so many updates are left."""
    ahead = list(pairwise(levels))
    weights = [math.pow(start, -DECREASE) for start, _ in ahead]
    cost = sum((end - start) * weight for (start, end), weight in zip(ahead, weights, strict=True))
    return max(1, least, round(updates * weights[0] / cost))


def _letters() -> Iterator[str]:
    """Yield nothing, then b, c, ...; numbers after z."""
    yield ""
    yield from "bcdefghijklmnopqrstuvwxyz"
    yield from (f"-{n}" for n in count(27))
