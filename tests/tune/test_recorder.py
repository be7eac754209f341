"""What the recorder writes, and when; without Ray running."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.errors import StorageError
from gansearch.own_measures import Objective, OwnMeasure
from gansearch.report.frame import KnownTrial, Score
from gansearch.report.progress import Progress
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.system import pacing
from gansearch.system.failures import Failure
from gansearch.trial.messages import TrialSpec
from gansearch.tune import recorder as module
from gansearch.tune.recorder import Recorder
from gansearch.tune.rows import OUT_OF_TIME, Outcome, known_trials, score_of_row, spec_of_row
from tests.written_runs import spec, step


class Clock:
    """Time that stands still, but for what a write is said to take."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class PlayedTrial:
    """What the recorder asks of a Tune trial."""

    def __init__(self, number):
        self.trial_id = f"ray-{number}"
        self.config = spec(number, TrialConfig()).to_tune()


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "run")


@pytest.fixture
def clock(monkeypatch, folder):
    """Let writing history take .01 s and writing trials .1 s, and tell what was written."""
    clock = Clock()
    clock.written = []
    for each in (module, pacing):
        monkeypatch.setattr(each, "time", clock)
    for name, seconds in (("append_history", 0.01), ("write_trials", 0.1)):
        real = getattr(RunFolder, name)

        def slow(self, rows, name=name, seconds=seconds, real=real):
            real(self, rows)
            clock.now += seconds
            clock.written.append(name)

        monkeypatch.setattr(RunFolder, name, slow)
    return clock


def recorder_of(folder, **options):
    progress = Progress(
        Console(quiet=True), budget=Budget(), n_replicas=0, time_budget_seconds=None, quiet=True
    )
    recorder = Recorder(folder, progress, **options)
    recorder.outcomes = {}
    return recorder


def start(recorder, number):
    trial = PlayedTrial(number)
    recorder.on_trial_start(0, [], trial)
    return trial


def report(recorder, trial, updates, valid_ll=1.0, *, node_ip="192.0.2.1", **more):
    of_tune = {"time_total_s": 1.0, "node_ip": node_ip}
    recorder.on_trial_result(0, [], trial, step(updates, valid_ll, **more).to_tune() | of_tune)


def end(recorder, trial, status="completed"):
    recorder.outcomes[trial.trial_id] = Outcome(status)
    recorder.on_trial_complete(0, [], trial)


def test_reports_reach_the_disk_while_the_table_of_trials_waits_for_its_turn(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    clock.written.clear()
    for second in range(19):  # a write of .1 s is followed by 20 s without
        clock.now += 2.1
        report(recorder, trial, second + 1)
        if len(clock.written) > 4:
            break
        assert folder.history()["updates"].tolist() == list(range(1, second + 2))
    assert clock.written[:4] == ["append_history"] * 4
    assert folder.trials()["updates"].tolist() == [0]
    clock.now += 20
    report(recorder, trial, 100)
    assert clock.written[-2:] == ["append_history", "write_trials"]
    assert folder.trials()["updates"].tolist() == [100]


def test_a_write_that_was_slow_for_once_delays_the_next_by_half_a_minute_at_most(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    recorder._trials_pace.cost = 5.0  # another process kept the disk busy
    clock.now += 29
    report(recorder, trial, 100)
    assert folder.trials()["updates"].tolist() == [0]
    clock.now += 1
    report(recorder, trial, 200)
    assert folder.trials()["updates"].tolist() == [200]


def test_a_checkpoint_goes_only_when_the_end_of_its_trial_is_on_disk(folder, clock):
    recorder = recorder_of(folder)
    trial, other = start(recorder, 0), start(recorder, 1)
    recorder.flush()
    path = folder.checkpoint_path("t00000")
    path.parent.mkdir()
    path.write_bytes(b"state")
    clock.now += 2.5
    report(recorder, trial, 100)
    end(recorder, trial)
    clock.now += 2.5
    report(recorder, other, 50)  # history is written, and it is not the trials' turn
    assert len(folder.history()) == 2
    assert path.exists()
    assert folder.trials()["status"].tolist() == ["running", "running"]
    recorder.flush()
    assert not path.exists()
    assert folder.trials()["status"].tolist() == ["completed", "running"]


def test_a_new_trial_is_on_disk_as_soon_as_its_reports(folder, clock):
    recorder = recorder_of(folder)
    start(recorder, 0)
    clock.now += 1.5
    trial = start(recorder, 1)  # within the pause that the first write has earned
    report(recorder, trial, 100)
    assert folder.history().empty
    clock.now += 9.0  # half of the pause that trials which are on disk already would have
    report(recorder, trial, 200)
    assert folder.history()["trial_id"].tolist() == ["t00001"] * 2
    assert folder.trials()["trial_id"].tolist() == ["t00000", "t00001"]


def test_a_report_that_a_resumed_trial_repeats_is_recorded_once(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100)
    recorder.flush()
    report(recorder, trial, 200)  # received, and lost with the driver
    again = recorder_of(folder)
    trial = start(again, 0)
    for updates in (100, 200, 300):
        report(again, trial, updates)
    for updates in (100, 200, 300):  # its worker was lost too
        report(again, trial, updates)
    again.flush()
    parts = [pq.read_table(path) for path in sorted((folder.path / "history").iterdir())]
    assert [n for part in parts for n in part["updates"].to_pylist()] == [100, 200, 300]


def test_the_reports_of_a_fork_whose_row_is_lost_are_recorded_once(folder, clock):
    recorder = recorder_of(folder)
    first, fork = start(recorder, 0), start(recorder, 1)
    for trial in (first, fork):
        report(recorder, trial, 100)
    end(recorder, first)
    recorder.flush()
    folder.write_trials([recorder.rows["t00000"]])  # as `trials.parquet` is rebuilt
    again = recorder_of(folder)
    fork = start(again, 1)
    for updates in (100, 200):
        report(again, fork, updates)
    again.flush()
    history = folder.history()
    assert history["updates"][history["trial_id"] == "t00001"].tolist() == [100, 200]


def test_a_report_of_a_trial_that_the_time_cut_short_is_recorded_once_too(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100)
    recorder.end("t00000", OUT_OF_TIME)
    recorder.flush()
    again = recorder_of(folder)
    report(again, start(again, 0), 100)
    again.flush()
    assert len(list((folder.path / "history").iterdir())) == 1


def test_the_repeated_reports_of_a_trial_that_goes_on_do_not_take_its_row_back(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100, 1.0)
    report(recorder, trial, 200, 2.0)
    recorder.on_trial_complete(0, [], trial)  # without an outcome: it is paused
    trial = start(recorder, 0)
    report(recorder, trial, 100, 1.0)
    row = recorder.rows["t00000"]
    assert (row["updates"], row["valid_ll"], row["status"]) == (200, 2.0, "running")


def test_a_trial_that_the_time_budget_cut_is_written_anew_once_it_goes_on(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100, 1.0)
    recorder.end("t00000", OUT_OF_TIME)
    recorder.flush()
    assert [row["trial_id"] for row in recorder.reopen("search")] == ["t00000"]
    assert recorder.reopen("replica") == []
    trial = start(recorder, 0)
    report(recorder, trial, 200, 2.0)
    recorder.flush()
    assert folder.trials()["status"].tolist() == ["running"]
    end(recorder, trial)
    recorder.flush()
    row = folder.trials().iloc[0]
    assert (row["status"], row["updates"]) == ("completed", 200)


def test_a_repeated_last_report_still_brings_the_final_score(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100)
    recorder.flush()
    again = recorder_of(folder)
    trial = start(again, 0)
    report(again, trial, 100, final={"test_ll": 7.0})
    end(again, trial)
    again.flush()
    assert folder.trials()["test_ll"].tolist() == [7.0]


def test_a_trial_has_the_scores_of_its_stored_state_and_the_history_those_of_the_last(folder):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    report(recorder, trial, 100, 9.5)
    best = step(100, 9.5, coverage=0.8).with_collapsed_p(0.5).evaluation
    report(recorder, trial, 200, 2.5, best=best, kept_updates=100)
    end(recorder, trial)
    recorder.flush()
    row = folder.trials().iloc[0]
    assert (row["updates"], row["kept_updates"]) == (200, 100)
    assert (row["valid_ll"], row["coverage"], row["collapsed_p"]) == (9.5, 0.8, 0.5)
    last = folder.history().iloc[-1]
    assert (last["updates"], last["valid_ll"], last["coverage"]) == (200, 2.5, 0.7)
    assert np.isnan(last["collapsed_p"])


def test_no_end_is_on_disk_before_the_reports_that_led_to_it(folder, clock):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    clock.now += 0.5
    report(recorder, trial, 100)
    report(recorder, trial, 200)  # waits
    clock.now += 100
    clock.written.clear()
    end(recorder, trial)
    assert clock.written == ["append_history", "write_trials"]


def test_the_table_of_trials_is_that_of_all_rows_whatever_order_they_end_in(folder):
    recorder = recorder_of(folder)
    trials = [start(recorder, number) for number in range(7)]
    for number in (4, 1, 6, 0, 3):
        report(recorder, trials[number], 100 + number, valid_ll=float(number))
        end(recorder, trials[number], ("completed", "pruned")[number % 2])
        recorder._trials_changed = True
        recorder.flush()
    found = pq.read_table(folder.path / "trials.parquet")
    folder.write_trials(list(recorder.rows.values()))
    assert found.equals(pq.read_table(folder.path / "trials.parquet"))
    assert found["number"].to_pylist() == list(range(7))
    # A search that goes on takes its rows from there.
    again = recorder_of(folder)
    start(again, 7)
    again.flush()
    assert folder.trials()["number"].tolist() == list(range(8))
    assert spec_of_row(again.rows["t00003"], TrialConfig) == TrialSpec.from_tune(trials[3].config)


def test_an_end_that_was_not_the_last_is_written_over(folder):
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    end(recorder, trial, "failed")
    recorder.flush()
    recorder.end("t00000", Outcome("completed"))
    recorder.flush()
    assert folder.trials()["status"].tolist() == ["completed"]


def test_the_history_is_gathered_by_the_parts_that_were_added_since(folder, monkeypatch):
    monkeypatch.setattr(module, "_COMPACT_AT", 3)
    recorder = recorder_of(folder)
    trial = start(recorder, 0)
    for updates in range(1, 8):
        report(recorder, trial, updates)
        recorder.flush()
    names = sorted(path.name for path in (folder.path / "history").iterdir())
    assert names == [f"part-{i:08d}.parquet" for i in (3, 7, 8)]
    assert folder.history()["updates"].tolist() == list(range(1, 8))


def test_a_node_that_keeps_losing_workers_is_named_by_the_last_address_of_its_trials(
    folder, monkeypatch
):
    notes = []
    recorder = recorder_of(folder)
    monkeypatch.setattr(recorder._progress, "note", notes.append)
    lost, elsewhere = Failure("worker", "lost"), Failure("engine", "lost", node="192.0.2.8")
    for number, failure in enumerate([lost, elsewhere, lost, Failure("error", "mine"), lost]):
        trial = start(recorder, number)
        report(recorder, trial, 1, node_ip="192.0.2.7")
        recorder.failures = {trial.trial_id: failure}
        recorder.on_trial_recover(0, [], trial)
    (warning,) = [line for line in notes if line.startswith("node ")]
    assert warning.startswith("node 192.0.2.7 has lost the workers of trials 3 times, all others ")
    assert "together 1. " in warning


@pytest.mark.parametrize(
    ("failure", "what"),
    [
        (
            Failure("memory", "out of memory: GPU: full", "GPU"),
            "continues alone from its checkpoint, out of memory: GPU: full",
        ),
        (Failure("worker", "died"), "lost its worker and continues from its checkpoint"),
        (
            Failure("error", "ValueError: odd"),
            "continues from its checkpoint after an error, ValueError: odd",
        ),
    ],
)
def test_the_display_says_after_which_failure_a_trial_continues(folder, monkeypatch, failure, what):
    notes = []
    recorder = recorder_of(folder)
    monkeypatch.setattr(recorder._progress, "note", notes.append)
    trial = start(recorder, 0)
    recorder.failures = {trial.trial_id: failure}
    recorder.on_trial_recover(0, [], trial)
    assert notes == [f"t00000 {what}"]


def test_the_display_is_told_from_how_many_samples_a_score_comes(folder, clock, monkeypatch):
    recorder = recorder_of(folder)
    scores = []
    progress = recorder._progress
    monkeypatch.setattr(
        progress, "trial_reported", lambda _id, _updates, score, _c, **_: scores.append(score)
    )
    monkeypatch.setattr(progress, "trial_ended", lambda *args: scores.append(args[-1]))
    trial = start(recorder, 0)
    final = {"valid_ll": 14.0, "test_ll": 13.0}
    report(recorder, trial, 100, 9.0, final=final)
    end(recorder, trial)
    final = Score(14.0, 10_000, is_final=True)
    assert scores == [Score(9.0, 1000), final]
    recorder.flush()
    space = load_space("digits", ["k={int: [1, 5]}", "start_from=[]"])
    (known,) = known_trials(recorder_of(folder).rows.values(), 1000, space)
    assert known.summary.startswith("k=")
    assert replace(known, summary="", values={}) == KnownTrial(
        "t00000", "completed", 100, final, values={}
    )


def test_the_display_calls_a_configuration_by_its_name(folder, monkeypatch):
    config_id = TrialConfig().config_id
    recorder = recorder_of(folder, names={config_id: "paper"})
    summaries = []
    monkeypatch.setattr(recorder._progress, "trial_started", lambda *args: summaries.append(args))
    start(recorder, 0)
    recorder.flush()
    space = load_space("digits", ["k={int: [1, 5]}", "start_from=[]"])
    rows = recorder_of(folder).rows.values()
    (known,) = known_trials(rows, 1000, space, {config_id: "paper"})
    assert [summaries[0][1][:6], known.summary[:9]] == ["paper:", "paper: k="]


def test_the_display_is_told_the_objective_as_it_is_from_as_many_samples_as_it_takes(folder):
    fid = OwnMeasure("fid", "m.py:fid", "minimize", n_samples=5000)
    recorder = recorder_of(folder, objective=Objective(fid))
    scores = []
    recorder._progress.trial_reported = lambda _id, _updates, score, _c, **_: scores.append(score)
    trial = start(recorder, 0)
    found = step(100, 9.0)
    own = replace(found, evaluation=replace(found.evaluation, own={"measure.fid": 12.0}))
    for each in (step(50), own):
        recorder.on_trial_result(0, [], trial, each.to_tune() | {"time_total_s": 1.0})
    row = recorder.rows["t00000"] | {"measure.fid": 11.0, "test_ll": 13.0}
    score = score_of_row(row, 1000, Objective(fid))
    assert [*scores, score] == [None, Score(12.0, 5000), Score(11.0, 10_000, is_final=True)]


def test_a_trial_that_failed_without_an_outcome_stays_open(folder):
    quiet = {"budget": Budget(), "n_replicas": 0, "time_budget_seconds": None}
    recorder = Recorder(folder, Progress(Console(quiet=True), **quiet))
    recorder.on_trial_error(0, [], PlayedTrial(0))
    assert [row["status"] for row in recorder.rows.values()] == ["running"]


def test_other_records_of_reports_are_written_before_the_history(folder, clock):
    recorder = recorder_of(folder)
    recorder.before_history = lambda: clock.written.append("study")
    report(recorder, start(recorder, 0), 100)
    recorder.flush()
    assert "append_history" in clock.written
    for i, name in enumerate(clock.written):
        assert name != "append_history" or clock.written[i - 1] == "study"


def test_reports_are_written_although_another_record_of_them_fails(folder):
    recorder = recorder_of(folder)

    def fail():
        raise StorageError("optuna.journal: no space left on device")

    recorder.before_history = fail
    report(recorder, start(recorder, 0), 100)
    with pytest.raises(StorageError, match="no space left"):
        recorder.flush()
    assert folder.history().updates.tolist() == [100]
    assert folder.trials().trial_id.tolist() == ["t00000"]
