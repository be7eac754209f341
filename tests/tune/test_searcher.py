"""What the searcher asks Optuna and tells it, without Ray running."""

import time
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from gansearch.errors import StorageError
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import TrialSpec
from gansearch.tune.freeze_thaw import FreezeThaw
from gansearch.tune.pausing_search import PausingScheduler, PausingSearcher
from gansearch.tune.phases import _end_open_trials
from gansearch.tune.rows import OUT_OF_TIME, Outcome, is_out_of_time
from gansearch.tune.samplers import UNHEALTHY, make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import open_study, tell
from tests.written_runs import spec, step


@pytest.fixture
def space():
    return load_space("digits")


@pytest.fixture
def study(tmp_path):
    return open_study(tmp_path / "optuna.journal", make_sampler("random", 0))


def report(updates, valid_ll=None):
    return step(updates, valid_ll).to_tune()


def suggested(searcher, trial_id):
    return TrialSpec.from_tune(searcher.suggest(trial_id))


def searcher_of(space, study, outcomes, **more):
    return OptunaSearcher(space, study, seed=1, outcomes=outcomes, **({"n_new": 3} | more))


def test_as_many_configurations_are_proposed_as_asked_for(space, study):
    searcher = searcher_of(space, study, {})
    specs = [suggested(searcher, f"ray-{i}") for i in range(3)]
    assert [each.trial_id for each in specs] == ["t00000", "t00001", "t00002"]
    assert len({each.seed for each in specs}) == 3
    assert searcher.suggest("ray-3") == searcher.FINISHED


@pytest.mark.parametrize(
    ("status", "state", "constraint"),
    [
        ("completed", TrialState.COMPLETE, -1),
        ("pruned", TrialState.PRUNED, -1),
        ("collapsed", TrialState.PRUNED, 1),
        ("diverged", TrialState.PRUNED, 1),
    ],
)
def test_optuna_learns_each_status_of_an_ended_trial(space, study, status, state, constraint):
    searcher = searcher_of(space, study, {"ray-0": Outcome(status, "because")})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.5))
    searcher.on_trial_complete("ray-0", report(200, 2.5))
    (trial,) = study.trials
    assert trial.state == state
    assert trial.constraints == {UNHEALTHY: constraint}
    assert trial.user_attrs == {"status": status, "reason": "because"}
    assert trial.intermediate_values[100] == 1.5
    if status == "completed":
        assert trial.value == 2.5


def test_optuna_learns_the_score_of_the_state_that_is_stored(space, study):
    searcher = searcher_of(space, study, {"ray-0": Outcome("completed")})
    searcher.suggest("ray-0")
    best = step(100, 9.5).evaluation
    searcher.on_trial_complete("ray-0", step(200, 2.5, best=best, kept_updates=100).to_tune())
    (trial,) = study.trials
    assert (trial.value, trial.intermediate_values) == (9.5, {200: 2.5})


@pytest.mark.parametrize(
    ("how", "result"),
    [
        ("the worker was lost", None),
        ("OSError: [Errno 28] No space left on device", None),
        # Reported by the worker itself, between two reports and after one.
        ("out of memory: tried to allocate 2 GiB", report(150)),
        ("out of memory: tried to allocate 2 GiB", report(150, -500.0)),
    ],
)
def test_a_trial_that_failed_with_its_machine_teaches_nothing(space, study, how, result):
    searcher = searcher_of(space, study, {"ray-0": Outcome("failed", how)})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, -400.0))
    searcher.on_trial_complete("ray-0", result, error=result is None)
    (trial,) = study.trials
    assert trial.state == TrialState.FAIL
    assert not trial.constraints
    assert trial.user_attrs == {"status": "failed", "reason": how}


def test_a_trial_that_the_time_budget_cut_short_is_not_taken_for_dead(space, study):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.0))
    searcher.on_trial_complete("ray-0", report(100, 1.0))  # as Tune stops it: without an outcome
    assert study.trials[0].state == TrialState.RUNNING
    assert not study.trials[0].constraints
    outcome = Outcome("pruned", "the time budget of the search was spent")
    tell(study, optuna.trial.Trial(study, study.trials[0]._trial_id), outcome)
    (trial,) = study.trials
    assert (trial.state, trial.constraints) == (TrialState.PRUNED, {UNHEALTHY: -1})


def test_optuna_learns_the_last_outcome_of_a_retried_trial(space, study):
    outcomes = {}
    searcher = searcher_of(space, study, outcomes)
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.0))
    # The worker dies. Tune starts another, which repeats a report, without a call of the searcher.
    searcher.on_trial_result("ray-0", report(100, 1.0))
    outcomes["ray-0"] = Outcome("collapsed", "one image")
    searcher.on_trial_complete("ray-0", report(200, 1.0))
    searcher.on_trial_complete("ray-0", report(200, 1.0))
    (trial,) = study.trials
    assert (trial.state, trial.constraints) == (TrialState.PRUNED, {UNHEALTHY: 1})


def test_an_outcome_that_could_not_be_written_is_written_when_the_trial_ends_again(
    space, study, monkeypatch
):
    searcher = searcher_of(space, study, {"ray-0": Outcome("collapsed", "one image")})
    searcher.suggest("ray-0")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(optuna.Study, "tell", full)
        searcher.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.RUNNING
    with pytest.warns(UserWarning, match="already set"):
        searcher.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].constraints == {UNHEALTHY: 1}


def test_a_slice_between_two_reports_tells_optuna_nothing(space, study):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(50))
    assert not study.trials[0].intermediate_values


def test_an_interrupted_trial_stays_open_and_continues_first(space, study):
    first = searcher_of(space, study, {})
    interrupted = suggested(first, "ray-0")
    first.on_trial_result("ray-0", report(100, 1.0))
    first.on_trial_complete("ray-0", report(100, 1.0))
    assert study.trials[0].state == TrialState.RUNNING

    outcomes = {"ray-9": Outcome("completed")}
    second = searcher_of(space, study, outcomes, n_new=0, interrupted=[interrupted])
    assert suggested(second, "ray-9") == interrupted
    second.on_trial_result("ray-9", report(100, 1.0))  # known already; reported once
    second.on_trial_complete("ray-9", report(200, 4.0))
    assert second.suggest("ray-10") == second.FINISHED
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 4.0)
    assert trial.intermediate_values == {100: 1.0, 200: 4.0}


@pytest.mark.parametrize("status", ["completed", "collapsed"])
def test_a_trial_whose_end_optuna_knows_already_continues_and_is_not_told_again(
    space, study, status
):
    searcher_of(space, study, {}).suggest("ray-0")
    study.tell(0, state=TrialState.PRUNED)
    outcomes = {"ray-1": Outcome(status)}
    searcher = searcher_of(space, study, outcomes, n_new=0, interrupted=[spec(0)])
    searcher.suggest("ray-1")
    searcher.on_trial_result("ray-1", report(100, 1.0))
    searcher.on_trial_complete("ray-1", report(200, 2.0))
    assert study.trials[0].state == TrialState.PRUNED
    assert not study.trials[0].constraints


def test_a_cut_trial_is_pruned_in_the_results_and_open_to_optuna_so_that_it_can_go_on(study):
    known, cut = study.ask(), study.ask()
    tell(study, known, Outcome("completed"), 2.5)  # an end that the results have lost
    rows = {
        trial.number: {"trial_id": trial.number, "number": trial.number, "status": "running"}
        | {"reason": "", "valid_ll": None}
        for trial in (known, cut)
    }
    run = SimpleNamespace(
        stop=SimpleNamespace(reason="time"),
        rows=lambda _: list(rows.values()),
        recorder=SimpleNamespace(
            end=lambda name, outcome: rows[name].update(
                status=outcome.status, reason=outcome.reason
            ),
            flush=lambda: None,
        ),
    )
    _end_open_trials(run, "search", OUT_OF_TIME)
    assert [row["status"] for row in rows.values()] == ["pruned", "pruned"]
    assert all(map(is_out_of_time, rows.values()))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_search_ends_when_every_configuration_has_been_tried_however_many_trials_it_has(study):
    space = SearchSpace.from_dict({"dataset": "digits", "search": {"k": {"int": [1, 3]}}})
    searcher = searcher_of(space, study, {}, n_new=40)
    found = [suggested(searcher, f"ray-{i}").config["k"] for i in range(3)]
    assert sorted(found) == [1, 2, 3]
    assert not searcher.is_exhausted
    assert searcher.suggest("ray-3") == searcher.FINISHED
    assert searcher.is_exhausted


def test_a_configuration_whose_trial_failed_is_proposed_again(study):
    space = SearchSpace.from_dict({"dataset": "digits", "search": {"k": {"int": [1, 2]}}})
    searcher = searcher_of(space, study, {"ray-0": Outcome("failed", "the worker was lost")})
    suggested(searcher, "ray-0")
    searcher.on_trial_complete("ray-0", None, error=True)
    assert {suggested(searcher, f"ray-{i}").config["k"] for i in (1, 2)} == {1, 2}
    assert searcher.suggest("ray-3") == searcher.FINISHED


class Search:
    """A search with freeze-thaw as Tune runs it, on one worker."""

    def __init__(self, space, study, *, n_new=6, interrupted=(), reports=(), completed=None):
        self.order = FreezeThaw(space.budget)
        self.scheduler = PausingScheduler(space.budget, pausing=self.order)
        self.scheduler.replay(reports)
        for name, score in (completed or {}).items():
            self.order.end(name, score)
        self.ended = {}
        self.searcher = PausingSearcher(
            space,
            study,
            seed=1,
            n_new=n_new,
            outcomes=self.scheduler.outcomes,
            interrupted=interrupted,
            pausing=self.order,
            end=self.ended.__setitem__,
        )
        self.n_begun = 0
        self.reports = {}  # that a trial's checkpoint has
        self.names = []  # of the trials that trained, one after the other

    def begin(self):
        tune_id = f"ray-{self.n_begun}"
        self.n_begun += 1
        config = self.searcher.suggest(tune_id)
        if not isinstance(config, dict):
            return config
        self.names.append(TrialSpec.from_tune(config).trial_id)
        trial = SimpleNamespace(trial_id=tune_id, config=config)
        self.scheduler.on_trial_add(None, trial)
        return trial

    def train(self, trial, score_of):
        """Train a trial until it pauses or ends."""
        name = TrialSpec.from_tune(trial.config).trial_id
        seen = self.reports.setdefault(name, [])
        marks = self.space_marks
        # As a worker does that continues a trial: all earlier results come again.
        for updates in [*seen, *[mark for mark in marks if mark > (seen[-1] if seen else 0)]]:
            if updates not in seen:
                seen.append(updates)
            result = step(updates, score_of(name, updates), done=updates == marks[-1]).to_tune()
            if result["done"]:
                self.scheduler.on_trial_complete(None, trial, result)
                break
            if self.scheduler.on_trial_result(None, trial, result) == PausingScheduler.STOP:
                self.scheduler.on_trial_complete(None, trial, {**result, "done": True})
                break
            self.searcher.on_trial_result(trial.trial_id, result)
        self.searcher.on_trial_complete(trial.trial_id, result)

    def run(self, score_of, most=1000):
        for _ in range(most):
            trial = self.begin()
            if not isinstance(trial, SimpleNamespace):
                return trial
            self.train(trial, score_of)
        return None

    @property
    def space_marks(self):
        return [100 * i for i in range(1, 11)]


@pytest.fixture
def short_space():
    return load_space("digits", ("max_updates=1000", "reports=10", "grace=0.2", "top=1"))


BEST = 2  # the number of the best trial


def by_number(name, updates):
    """Return the score of a trial, which grows more slowly from report to report."""
    height = (3, 0, 5, 1, 4, 2)[int(name.removeprefix("t"))]
    return 10 * height * (1 - 1 / (1 + updates / 100))


def test_paused_trials_go_on_as_other_trials_of_tune_until_all_have_ended(short_space, study):
    search = Search(short_space, study)
    assert search.run(by_number) == search.searcher.FINISHED
    assert len(set(search.names)) == 6 < len(search.names)
    states = [trial.state for trial in study.get_trials()]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert study.best_trial.number == BEST
    pruned = [trial for trial in study.get_trials() if trial.state == TrialState.PRUNED]
    assert {f"t{trial.number:05d}" for trial in pruned} == set(search.ended)
    assert all("below the best" in trial.user_attrs["reason"] for trial in pruned)


def test_a_trial_reports_each_value_once_however_often_it_goes_on(short_space, study):
    search = Search(short_space, study)
    search.run(by_number)
    for trial in study.get_trials():
        values = trial.intermediate_values
        assert list(values) == search.reports[f"t{trial.number:05d}"]


def test_an_interrupted_search_goes_on_where_it_would_have_been(short_space, tmp_path):
    sampler = make_sampler("random", 0)
    whole = Search(short_space, open_study(tmp_path / "whole.journal", sampler))
    whole.run(by_number)

    study = open_study(tmp_path / "cut.journal", make_sampler("random", 0))
    first = Search(short_space, study)
    first.run(by_number, most=4)
    reports = [
        (name, updates, by_number(name, updates))
        for name, marks in first.reports.items()
        for updates in marks
    ]
    running = [trial.number for trial in study.get_trials() if trial.state == TrialState.RUNNING]
    assert running
    completed = {
        f"t{trial.number:05d}": trial.value
        for trial in study.get_trials()
        if trial.state == TrialState.COMPLETE
    }
    second = Search(
        short_space,
        study,
        n_new=6 - len(study.get_trials()),
        interrupted=[spec(number) for number in running],
        reports=reports,
        completed=completed,
    )
    second.reports = first.reports
    assert second.run(by_number) == second.searcher.FINISHED
    assert second.reports == whole.reports
    assert study.best_trial.number == BEST


def test_a_worker_without_a_trial_waits_for_those_that_train(short_space, study):
    search = Search(short_space, study, n_new=1)
    trial = search.begin()
    assert search.begin() is None
    search.train(trial, by_number)
    assert search.begin() == search.searcher.FINISHED


def steps_in(study):
    """Return the steps that the file of a study has, of every trial."""
    again = optuna.load_study(study_name=study.study_name, storage=study._storage)
    return {trial.number: sorted(trial.intermediate_values) for trial in again.trials}


def test_reports_are_journal_batch_and_before_what_builds_on_them(space, study, monkeypatch):
    outcomes = {}
    searcher = searcher_of(space, study, outcomes)
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    searcher.suggest("ray-0")
    for updates in (100, 200, 300):
        searcher.on_trial_result("ray-0", report(updates, 1.0))
    assert steps_in(study) == {0: []}
    searcher.suggest("ray-1")
    assert steps_in(study) == {0: [100, 200, 300], 1: []}
    searcher.on_trial_result("ray-0", report(400, 1.0))
    searcher.on_trial_result("ray-1", report(100, 1.0))
    outcomes["ray-1"] = Outcome("pruned")
    searcher.on_trial_complete("ray-1", report(200, 1.0))
    assert steps_in(study) == {0: [100, 200, 300, 400], 1: [100, 200]}
    assert study.trials[1].state == TrialState.PRUNED
    searcher.on_trial_result("ray-0", report(500, 1.0))
    assert steps_in(study)[0][-1] == 400
    now[0] += 2  # none waits for long
    searcher.on_trial_result("ray-0", report(600, 1.0))
    assert steps_in(study)[0][-2:] == [500, 600]


def test_reports_that_could_not_be_written_are_written_later(space, study, monkeypatch):
    searcher = searcher_of(space, study, {})
    searcher.suggest("ray-0")
    searcher.on_trial_result("ray-0", report(100, 1.0))
    with monkeypatch.context() as full:
        full.setattr("gansearch.tune.searcher.report_all", failing)
        with pytest.raises(StorageError):
            searcher.on_trial_result("ray-0", report(200, 1.0))
            searcher.write_reports()
    searcher.write_reports()
    assert steps_in(study) == {0: [100, 200]}


def failing(*_):
    raise StorageError("the disk is full")
