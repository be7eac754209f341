"""Runs of simulated speed are held to their time budget, without Ray."""

import random
from types import SimpleNamespace

import pytest
from ray.tune.search import Searcher

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.own_measures import VALID_LL
from gansearch.runs.schemas import replica_id
from gansearch.trial.messages import TrialSpec
from gansearch.tune import trial_times
from gansearch.tune.costs import Costs
from gansearch.tune.replica_queue import ReplicaQueue
from gansearch.tune.rows import OUT_OF_TIME, REPLICA_OUT_OF_TIME, new_row
from gansearch.tune.settings import Settings
from gansearch.tune.time_budget import (
    ReplicaPlan,
    cut_replicas,
    search_is_out_of_time,
)
from gansearch.tune.time_plan import tolerance_seconds
from gansearch.tune.trial_times import TrialTimes

CONFIGS = [TrialConfig(k=1 + i) for i in range(3)]
CONCLUSION = 10.0


class Simulation:
    """A run on simulated workers, second after second.

    `speed(now, k)` is in updates per second of a worker that trains a configuration with this k.
    """

    def __init__(
        self, monkeypatch, limit, speed, *, replicas=4, n_workers=2, start=8.0, only=False
    ):
        self.now, self.speed, self.n_workers, self.start = 0.0, speed, n_workers, start
        monkeypatch.setattr(trial_times.time, "monotonic", lambda: self.now)
        rows, times = {}, TrialTimes()
        self.notes, self.expected = [], []
        budget = Budget(max_updates=5000, replicas=replicas, top=2)
        objective = VALID_LL
        self.session = SimpleNamespace(
            settings=Settings(time_budget_seconds=limit),
            costs=Costs(final_score=1.0, conclusion=CONCLUSION),
            progress=SimpleNamespace(
                current_phase="search", note=self.notes.append, expect=self.expected.append
            ),
            recorder=SimpleNamespace(rows=rows, times=times),
            budget=budget,
            share=SimpleNamespace(max_concurrent=n_workers),
            description=SimpleNamespace(only=[{}] if only else None),
            space=SimpleNamespace(objective=objective, baselines=CONFIGS[2:], n_finalists=3),
            rows=lambda phase: [row for row in rows.values() if row["phase"] == phase],
        )
        self.limit, self.rows, self.times = limit, rows, times

    @property
    def seconds(self):
        return self.now

    def tick(self, running):
        """Train for a second; return the trials that have ended."""
        self.now += 1
        self.session.seconds = self.now
        ended = []
        for trial_id in running:
            row = self.rows[trial_id]
            row["updates"] += self.speed(self.now, row["config.k"])
            self.times.reported(trial_id, row["updates"])
            if row["updates"] >= 5000 + (row["phase"] == "replica") * self.speed(self.now, 1):
                row.update(status="completed", updates=5000)
                self.times.ended(trial_id)
                ended.append(trial_id)
        return ended

    def begin(self, spec):
        if spec.trial_id not in self.rows:
            self.rows[spec.trial_id] = new_row(spec, TrialConfig) | {"valid_ll": -spec.number}
        self.times.started(spec.trial_id, self.rows[spec.trial_id]["updates"])

    def wait_for_workers(self):
        self.times.phase_begins()
        for _ in range(int(self.start)):
            self.tick(())

    def search(self):
        running, n = [], 0
        self.wait_for_workers()
        while not search_is_out_of_time(self.session):
            while len(running) < self.n_workers:
                config = CONFIGS[n % 3]
                self.begin(TrialSpec(f"t{n:05d}", n, "search", 0, config.to_dict()))
                running.append(f"t{n:05d}")
                n += 1
            ended = self.tick(running)
            running = [each for each in running if each not in ended]
        for trial_id in running:
            self.rows[trial_id].update(status=OUT_OF_TIME.status, reason=OUT_OF_TIME.reason)
            self.times.ended(trial_id)
        for _ in range(3):
            self.tick(())

    def replicate(self):
        self.session.progress.current_phase = "replicas"
        plan = ReplicaPlan(self.session, CONFIGS, self.n_workers)
        queue = ReplicaQueue(
            [
                TrialSpec(replica_id(config.config_id, i), i, "replica", 0, config.to_dict())
                for i in range(self.session.budget.replicas)
                for config in CONFIGS
                if self.rows.get(replica_id(config.config_id, i), {}).get("status") != "completed"
            ],
            plan.allowed,
        )
        if not plan.allowed(queue._waiting):
            return
        self.wait_for_workers()
        running, is_over = [], False
        while not (is_over and not running) and not plan.are_out_of_time():
            while len(running) < self.n_workers and not is_over:
                found = queue.suggest(f"tune-{self.now}-{len(running)}")
                is_over = found == Searcher.FINISHED
                if is_over or found is None:
                    break
                spec = TrialSpec.from_tune(found)
                self.begin(spec)
                running.append(spec.trial_id)
            for trial_id in self.tick(running):
                running.remove(trial_id)
                queue._open.pop()
        for trial_id in running:
            self.rows[trial_id].update(
                status=REPLICA_OUT_OF_TIME.status, reason=REPLICA_OUT_OF_TIME.reason
            )
            self.times.ended(trial_id)

    def conclude(self):
        """The conclusion was measured at the run's first speed; it is as slow as trainings."""
        self.now += CONCLUSION * max(1, self.speed(0, 1) / self.speed(self.now, 1))

    @property
    def n_seeds(self):
        """Completed replicas of each finalist."""
        done = [r["config_id"] for r in self.session.rows("replica") if r["status"] == "completed"]
        return [done.count(config.config_id) for config in CONFIGS]


def simulated(monkeypatch, limit, speed, **arguments):
    run = Simulation(monkeypatch, limit, speed, **arguments)
    run.session.seconds = 0.0
    run.search()
    run.replicate()
    run.conclude()
    return run


@pytest.mark.parametrize("limit", [90, 180, 600])
@pytest.mark.parametrize("speed", [200, 400, 2000])
def test_a_run_of_constant_speed_ends_in_time_and_its_finalists_have_equally_many_seeds(
    monkeypatch, limit, speed
):
    run = simulated(monkeypatch, limit, lambda now, k: speed)
    assert abs(run.now - limit) <= tolerance_seconds(limit)
    cut = cut_replicas(run.session, CONFIGS)
    assert sum(run.n_seeds) == 12 - len(cut)
    if speed == 2000 or limit >= 600:
        assert run.n_seeds == [4, 4, 4] and not cut and not run.notes
    if cut:
        assert run.notes[0].startswith("the time budget of ")
        trained = [n for n in run.n_seeds if n]
        assert max(trained) - min(trained) <= 1


@pytest.mark.parametrize("seed", range(8))
def test_a_machine_whose_speed_changes_is_followed(monkeypatch, seed):
    rng = random.Random(seed)
    speeds = [rng.uniform(150, 600) for _ in range(20)]
    limit = rng.choice([150, 300, 900])
    run = simulated(monkeypatch, limit, lambda now, k: speeds[int(now // 60) % 20] / k**0.5)
    assert abs(run.now - limit) <= tolerance_seconds(limit)
    assert max(run.n_seeds) >= 1


def test_replicas_that_turn_out_slower_are_cut_alike_and_those_about_to_end_may(monkeypatch):
    run = simulated(monkeypatch, 240, lambda now, k: 400 if now < 160 else 150)
    assert run.now <= 240 + tolerance_seconds(240)
    assert min(run.n_seeds) >= 1 and max(run.n_seeds) - min(run.n_seeds) <= 1
    assert run.n_seeds != [4, 4, 4]
    assert all("leaves room for" in note for note in run.notes) and run.notes
    cut = cut_replicas(run.session, CONFIGS)
    assert len(cut) == 12 - sum(run.n_seeds)


def test_a_conclusion_on_a_machine_that_became_slow_gets_its_time_from_the_replicas(monkeypatch):
    run = simulated(monkeypatch, 300, lambda now, k: 400 if now < 210 else 80)
    assert abs(run.now - 300) <= tolerance_seconds(300)
    assert max(run.n_seeds) >= 1


def test_a_resume_with_more_time_trains_what_was_cut(monkeypatch):
    run = simulated(monkeypatch, 120, lambda now, k: 300)
    assert cut_replicas(run.session, CONFIGS)
    for row in run.session.rows("replica"):
        if row["status"] == "pruned":
            row.update(status="running", reason="")
    run.session.settings = Settings(time_budget_seconds=2000)
    run.replicate()
    assert run.n_seeds == [4, 4, 4]
    assert cut_replicas(run.session, CONFIGS) == ()


def test_given_configurations_have_nothing_to_go_by_at_first_and_are_held_to_the_time(monkeypatch):
    run = Simulation(monkeypatch, 90, lambda now, k: 300, only=True)
    run.session.seconds = 0.0
    run.replicate()
    run.conclude()
    assert abs(run.now - 90) <= tolerance_seconds(90)
    assert min(run.n_seeds) >= 1 and run.n_seeds != [4, 4, 4]


def test_a_search_without_a_completed_trial_goes_on_until_the_report_is_due(monkeypatch):
    run = Simulation(monkeypatch, 60, lambda now, k: 10)
    run.session.seconds = 0.0
    run.search()
    assert 50 <= run.now <= 62


def test_a_search_that_no_replica_could_follow_has_all_of_the_time(monkeypatch):
    run = simulated(monkeypatch, 90, lambda now, k: 150 if now < 60 else 100)
    assert run.n_seeds == [0, 0, 0] and len(cut_replicas(run.session, CONFIGS)) == 12
    assert run.notes == ["the time budget of 90 s leaves room for 0 of 12 replicas"]
    assert 75 <= run.now <= 100


def test_without_a_time_budget_all_replicas_may_begin(monkeypatch):
    run = Simulation(monkeypatch, 60, lambda now, k: 10)
    run.session.settings = Settings()
    specs = [TrialSpec(replica_id(CONFIGS[0].config_id, 0), 0, "replica", 0, CONFIGS[0].to_dict())]
    assert ReplicaPlan(run.session, CONFIGS, 2).allowed(specs) == specs
    assert not ReplicaPlan(run.session, CONFIGS, 2).are_out_of_time()
    assert not search_is_out_of_time(run.session)
