"""Holds a run to its time budget: when its search ends, and which of its replicas begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansearch.report.formatting import duration
from gansearch.rules import Config, count_of
from gansearch.runs.schemas import config_id_of_replica, replica_id
from gansearch.trial.messages import TrialSpec
from gansearch.tune.costs import Costs
from gansearch.tune.rows import best_first, is_out_of_time
from gansearch.tune.session import Session
from gansearch.tune.time_plan import (
    LEAST_SEEDS,
    Extent,
    Finalist,
    replicas_seconds,
    search_end,
    tolerance_seconds,
    widest_extent,
)

_STOP_SECONDS = 3.0  # until trials have saved their state, and their workers have ended
_MARGIN = 1.05  # by which the search leaves the replicas more time than they should take
_SLACK = 0.4  # of the tolerance, by which replicas may end late
_LEAST_SHARE = 0.1  # of a replica, from which its speed is known
_REPORT_SECONDS = 4.0  # of a run in which no trial was completed


def search_is_out_of_time(session: Session) -> bool:
    """Return whether the replicas and the conclusion need the rest of the time budget."""
    limit, costs = session.settings.time_budget_seconds, session.costs
    if limit is None or costs is None or session.progress.current_phase != "search":
        return False
    rows = session.rows("search")
    if not any(row["status"] == "completed" for row in rows):
        return session.seconds > limit - _REPORT_SECONDS
    finalists = _expected_finalists(session, rows)
    without_replicas = limit - _STOP_SECONDS - costs.conclusion
    if not finalists or not session.budget.replicas:
        return session.seconds > without_replicas
    beside = _STOP_SECONDS + session.recorder.times.start_seconds + costs.conclusion

    def needed(n_finalists: int, n_seeds: int) -> float:
        extent = Extent(n_finalists, n_seeds)
        return beside + _MARGIN * replicas_seconds(finalists, extent, session.share.max_concurrent)

    if session.seconds + needed(1, 1) > limit:
        return session.seconds > without_replicas  # not even one would end in time
    n, n_seeds = len(finalists), session.budget.replicas
    end = search_end(limit, needed(n, n_seeds), needed(n, min(LEAST_SEEDS, n_seeds)))
    return session.seconds > end


def _expected_finalists(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[Finalist]:
    """Return the replicas of the best so far and of the baseline, as far as they are known."""
    completed = [row for row in rows if row["status"] == "completed"]
    best = best_first(completed, session.space.objective)[: session.budget.top]
    baselines = {config.config_id for config in session.space.baselines}
    named = list(dict.fromkeys([*(row["config_id"] for row in best), *baselines]))
    speeds = Speeds(session, rows)
    n_unknown = max(0, session.space.n_finalists - len(named))
    seeds = range(session.budget.replicas)
    return [Finalist(speeds.replica_seconds(name), seeds) for name in [*named, *[""] * n_unknown]]


class Speeds:
    """How long trainings of single configurations take, from those that the session has seen.

    Args:
        session: of the run.
        rows: of the trials that say something of it.
    """

    def __init__(self, session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
        self._session = session
        self._of_config: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            self._of_config.setdefault(row["config_id"], []).append(row)

    def replica_seconds(self, config_id: str) -> float:
        """Return how long a replica takes, 0 if no trial has trained so far."""
        own = self._of_config.get(config_id, [])
        replicas = [row for row in own if row["phase"] == "replica"]
        times, max_updates = self._session.recorder.times, self._session.budget.max_updates
        whole = [
            seconds
            for row in replicas
            if row["status"] == "completed" and (seconds := times.whole_seconds(row["trial_id"]))
        ]
        if whole:
            return sum(whole) / len(whole)
        # The first updates of a training are slower.
        begun = self._begun(replicas)
        every = [row for rows in self._of_config.values() for row in rows]
        for rows in (begun, own, every):
            if (seconds := self._seconds_per_update(rows)) is not None:
                return self._costs.replica_seconds(seconds, max_updates)
        return 0.0

    def seconds_left(self, row: Mapping[str, Any]) -> float:
        """Return how long a running replica still takes, infinity if it has not reported yet."""
        times = self._session.recorder.times
        whole = self.replica_seconds(row["config_id"])
        if not whole:
            return math.inf
        share = max(0.0, 1 - row["updates"] / self._session.budget.max_updates)
        since = times.seconds_since_report(row["trial_id"])
        final_score = self._costs.final_score
        left: float = share * (whole - final_score) + final_score - since
        return max(0.0, left)

    def conclusion_seconds(self) -> float:
        """Return how long the conclusion takes: longer than measured if the machine is slower now.

        It is as much slower as replicas are beside the search's trials of their configurations.
        """
        took = expected = 0.0
        for rows in self._of_config.values():
            replicas = self._begun([row for row in rows if row["phase"] == "replica"])
            before = self._seconds_per_update([row for row in rows if row["phase"] == "search"])
            now = self._seconds_per_update(replicas)
            if before is not None and now is not None:
                updates = sum(row["updates"] for row in replicas)
                scored = sum(row["status"] == "completed" for row in replicas)
                took += now * updates - scored * self._costs.final_score
                expected += before * updates
        slowdown = max(1.0, took / expected) if expected else 1.0
        return slowdown * self._costs.conclusion

    @property
    def _costs(self) -> Costs:
        return self._session.costs or Costs(0.0, 0.0)

    def _begun(self, replicas: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the replicas that have trained for long enough to know their speed."""
        least = _LEAST_SHARE * self._session.budget.max_updates
        return [row for row in replicas if row["updates"] >= least]

    def _seconds_per_update(self, rows: Sequence[Mapping[str, Any]]) -> float | None:
        """Return the mean of some trials: of this session, or as earlier ones have trained."""
        seen = [self._session.recorder.times.training(row["trial_id"]) for row in rows]
        if updates := sum(n for _, n in seen):
            return sum(seconds for seconds, _ in seen) / updates
        known = [row for row in rows if row["updates"] and (row.get("seconds") or 0) > 0]
        if not known:
            return None
        trained: float = sum(row["seconds"] for row in known)
        return trained / float(sum(row["updates"] for row in known))


@dataclass
class ReplicaPlan:
    """Which replicas the time budget has room for, at the speed that the run has now.

    Attributes:
        session: of the run.
        finalists: the configurations, the best first.
        n_at_a_time: how many replicas train at a time.
    """

    session: Session
    finalists: Sequence[Config]
    n_at_a_time: int
    _n_said: int = 0

    def allowed(self, waiting: Sequence[TrialSpec]) -> list[TrialSpec]:
        """Return those of the replicas that wait which may begin, in their order."""
        speeds = Speeds(self.session, self.session.recorder.rows.values())
        available = self._available_seconds(speeds)
        if available is None:
            return list(waiting)
        ids = _by_preference(self.session, self.finalists)
        waits: dict[str, set[int]] = {name: set() for name in ids}
        for spec in waiting:
            waits[config_id_of_replica(spec.trial_id)].add(spec.number)
        unknown = math.inf if available <= 0 else 0.0
        finalists = [Finalist(speeds.replica_seconds(name) or unknown, waits[name]) for name in ids]
        extent = widest_extent(
            finalists,
            self._n_seeds,
            self._running(speeds),
            self.n_at_a_time,
            available + self._slack_seconds,
        )
        kept = ids[: extent.n_finalists]
        allowed = [
            spec
            for spec in waiting
            if config_id_of_replica(spec.trial_id) in kept and spec.number < extent.n_seeds
        ]
        self._show(len(waiting) - len(allowed))
        return allowed

    def are_out_of_time(self) -> bool:
        """Return whether the conclusion needs the rest, and no replica ends soon."""
        speeds = Speeds(self.session, self.session.recorder.rows.values())
        available = self._available_seconds(speeds)
        if available is None or available > 0:
            return False
        soonest = min(self._running(speeds), default=math.inf)
        return available + self._slack_seconds < soonest

    def _show(self, n_left_out: int) -> None:
        """Let the display expect fewer replicas, and say so where there are fewer than before."""
        n_planned = len(self.finalists) * self._n_seeds
        self.session.progress.expect(n_planned - n_left_out)
        if n_left_out > self._n_said:
            self._n_said = n_left_out
            limit = duration(self.session.settings.time_budget_seconds or 0.0)
            self.session.progress.note(
                f"the time budget of {limit} leaves room for {n_planned - n_left_out} of "
                f"{count_of(n_planned, 'replica')}"
            )

    @property
    def _slack_seconds(self) -> float:
        """By how much trainings may end late, so that none is cut for an estimate's error."""
        return _SLACK * tolerance_seconds(self.session.settings.time_budget_seconds or 0.0)

    @property
    def _n_seeds(self) -> int:
        return self.session.budget.replicas

    def _running(self, speeds: Speeds) -> list[float]:
        rows = self.session.recorder.rows
        running = (rows[trial_id] for trial_id in self.session.recorder.times.running)
        return [speeds.seconds_left(row) for row in running if row["phase"] == "replica"]

    def _available_seconds(self, speeds: Speeds) -> float | None:
        """Return the seconds that are left for trainings, None without a time budget."""
        limit = self.session.settings.time_budget_seconds
        if limit is None or self.session.costs is None:
            return None
        start = self.session.recorder.times.seconds_until_start
        return limit - speeds.conclusion_seconds() - start - self.session.seconds


def _by_preference(session: Session, finalists: Sequence[Config]) -> list[str]:
    """Return the ids of configurations: the best, what it is compared with, then the others."""
    ids = [config.config_id for config in finalists]
    if session.description.only:
        return ids
    baselines = {config.config_id for config in session.space.baselines}
    return ids[:1] + sorted(ids[1:], key=lambda name: name not in baselines)


def cut_replicas(session: Session, configs: Sequence[Config]) -> tuple[str, ...]:
    """Return the ids of the replicas that are planned and have not ended."""
    rows = session.recorder.rows
    planned = [replica_id(c.config_id, i) for c in configs for i in range(session.budget.replicas)]
    return tuple(
        name
        for name in planned
        if name not in rows or rows[name]["status"] == "running" or is_out_of_time(rows[name])
    )
