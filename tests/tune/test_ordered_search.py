"""A whole search in a fixed order is the same with any number of workers; without Ray running."""

import heapq
import random
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from gansearch.budget import Budget
from gansearch.own_measures import VALID_LL
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune import ordered_search
from gansearch.tune.fixed_order import FixedOrder
from gansearch.tune.ordered_search import OrderedScheduler, OrderedSearcher, make_ordered_sampler
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import new_row
from gansearch.tune.samplers import SAMPLERS
from gansearch.tune.study import open_study
from tests.written_runs import step

N_TRIALS = 26
SPACE = SearchSpace.from_dict(
    {
        "dataset": "digits",
        "budget": {"trials": N_TRIALS, "max_updates": 800, "reports": 8, "grace": 0.25},
        "search": {
            "generator_lr": {"float": [0.01, 1.0], "log": True},
            "k": {"int": [1, 4]},
            "noise": {"choice": ["uniform", "normal"]},
            "batch_size": {"choice": [10, 20, 50], "when": {"noise": "normal"}},
        },
        "start_from": [],
    }
)


class Workers:
    """A session of a search with some workers, whose trials take turns as their speeds have it.

    It stands in for Tune's controller.
    """

    def __init__(self, folder, n, speeds, rows=(), sampler="tpe", window=8):
        self.n_free, self.speeds, self.now, self.events = n, random.Random(speeds), 0.0, []
        self.rows = {row["number"]: dict(row) for row in rows}
        order = FixedOrder(SPACE.budget, window=window)
        known = [(row["number"], *each) for row in rows for each in row["reports"]]
        order.recall(rows, known)
        self.study = open_study(folder / "optuna.journal", make_ordered_sampler(sampler, 3, order))
        self.scheduler = OrderedScheduler(SPACE.budget, order=order)
        interrupted = [row["spec"] for row in rows if row["status"] == "running"]
        self.searcher = OrderedSearcher(
            SPACE,
            self.study,
            seed=3,
            n_new=N_TRIALS - len(rows),
            outcomes=self.scheduler.outcomes,
            interrupted=interrupted,
            rows=list(rows),
            order=order,
        )
        self.n_begun = 0
        self.longest = 0

    def run(self, n_events=10**6):
        """Run to the end, or until so many results; return the rows."""
        self._begin()
        while self.events and n_events:
            self.now, _, trial, result = heapq.heappop(self.events)
            n_events -= 1
            self._handle(trial, result)
            self._begin()
        if n_events:
            assert self.n_free and not self.scheduler._waiting
            ends = {row["status"] for row in self.rows.values()}
            assert ends in ({"completed", "pruned"}, {"completed", "pruned", "collapsed"})
        return [self.rows[number] for number in sorted(self.rows)]

    def stop_trial(self, trial):
        self.scheduler.on_trial_complete(self, trial, trial.last_result)
        self.searcher.on_trial_complete(trial.trial_id, trial.last_result)
        outcome = self.scheduler.outcomes[trial.trial_id]
        row = self.rows[TrialSpec.from_tune(trial.config).number]
        row.update(status=outcome.status, reason=outcome.reason)
        trial.status = Trial.TERMINATED
        self.n_free += 1

    def _schedule_trial_train(self, trial):
        if trial.resent:
            result = trial.resent.pop(0)
        else:
            trial.i += 1
            result = self._result(trial)
        due = self.now + trial.seconds * self.speeds.uniform(0.5, 1.5)
        heapq.heappush(self.events, (due, next(self._counter), trial, result))

    _counter = iter(range(10**9))

    def _schedule_trial_pause(self, trial, should_checkpoint):
        assert not should_checkpoint
        trial.status, trial.i, trial.resent = Trial.PAUSED, 0, []
        self.n_free += 1

    def _result(self, trial):
        spec = TrialSpec.from_tune(trial.config)
        lr, updates = spec.config["generator_lr"], 100 * trial.i
        noise = random.Random(f"{spec.seed}/{trial.i}").gauss(0, 0.3)
        score = -abs(lr - 0.1) * 5 - 3 / trial.i + noise
        dies = spec.config["k"] == 4 and spec.number % 3 == 0 and trial.i == 3
        return step(
            updates, score, verdict="collapsed" if dies else None, done=trial.i == 8
        ).to_tune()

    def _handle(self, trial, result):
        trial.last_result = result
        row = self.rows[TrialSpec.from_tune(trial.config).number]
        said = StepResult.from_tune(result)
        row["reports"] = sorted(
            (dict(row["reports"]) | {said.updates: said.score(VALID_LL)}).items()
        )
        if result.get("done"):
            decision = "STOP"
        else:
            decision = self.scheduler.on_trial_result(self, trial, result)
        if decision == "STOP":
            self.stop_trial(trial)
        else:
            self.searcher.on_trial_result(trial.trial_id, result)
        if decision == "CONTINUE":
            self._schedule_trial_train(trial)

    def _begin(self):
        while True:
            chosen = self.scheduler.choose_trial_to_run(self)
            if chosen is None and self.n_free:
                chosen = self._ask()
            if chosen is None or not self.n_free:
                return
            chosen.status = Trial.RUNNING
            self.n_free -= 1
            self._schedule_trial_train(chosen)

    def _ask(self):
        name = f"ray-{self.n_begun}"
        suggested = self.searcher.suggest(name)
        if suggested is None or suggested == self.searcher.FINISHED:
            return None
        self.n_begun += 1
        spec = TrialSpec.from_tune(suggested)
        self.rows.setdefault(
            spec.number, new_row(spec, SPACE.table) | {"spec": spec, "reports": []}
        )
        seconds = 10 ** self.speeds.uniform(-1, 1)
        trial = SimpleNamespace(
            trial_id=name, config=suggested, status=Trial.PENDING, seconds=seconds, i=0, resent=[]
        )
        self.scheduler.on_trial_add(self, trial)
        return trial


def results(rows):
    return [
        (row["number"], row["config_id"], row["status"], row["reason"], row["reports"])
        for row in rows
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The results of each sampler with one worker."""
    known = {}

    def results_of(sampler):
        if sampler not in known:
            workers = Workers(tmp_path_factory.mktemp("alone"), 1, speeds=0, sampler=sampler)
            known[sampler] = results(workers.run())
        return known[sampler]

    return results_of


OPTUNAS = [name for name in SAMPLERS if name not in ("auto", "brute_force", "gp")]


@pytest.mark.parametrize("sampler", OPTUNAS)
def test_a_search_is_the_same_with_any_number_of_workers(tmp_path, alone, sampler):
    for i, n in enumerate((3, 12)):
        (tmp_path / str(i)).mkdir()
        workers = Workers(tmp_path / str(i), n, speeds=10 + i, sampler=sampler)
        assert results(workers.run()) == alone(sampler)


@pytest.mark.parametrize("n_events", [7, 40, 90])
@pytest.mark.parametrize("sampler", ["tpe", "qmc", "nsga2"])
def test_a_search_that_was_interrupted_goes_on_to_the_same_results(
    tmp_path, alone, sampler, n_events
):
    rows = Workers(tmp_path, 3, speeds=1, sampler=sampler).run(n_events)
    assert any(row["status"] == "running" for row in rows)
    assert results(Workers(tmp_path, 2, 2, rows, sampler).run()) == alone(sampler)


def test_another_seed_of_speeds_changes_a_search_that_decides_at_once(tmp_path, monkeypatch):
    # What the other tests show would hold for any search whose decisions never depend on others.
    monkeypatch.setattr(FixedOrder, "must_wait", lambda self, number: False)
    found = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        found.append(results(Workers(tmp_path / str(i), 4, speeds=i).run()))
    assert found[0] != found[1]


def test_a_trial_that_waits_makes_room_for_one_that_has_lost_its_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(ordered_search, "_IDLE_SECONDS", -1.0)
    workers = Workers(tmp_path, 2, speeds=0)
    first, second = workers._ask(), workers._ask()
    for trial in (first, second):
        trial.status = Trial.RUNNING
    workers.n_free = 0
    second.i = 2
    first.status = Trial.PENDING  # it has lost its worker, and there is no other
    workers._handle(second, workers._result(second))
    assert workers.scheduler._waiting
    assert workers.scheduler.choose_trial_to_run(workers) is first
    assert second.status == Trial.PAUSED and workers.n_free == 1


def test_what_enumerates_needs_no_order(tmp_path):
    order = FixedOrder(Budget())
    study = open_study(tmp_path / "optuna.journal", make_ordered_sampler("grid", 0, order))
    assert Proposals(SPACE, study, seed=0).is_of_grid
