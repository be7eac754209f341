"""One Tune experiment, without Ray running."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.tune import progress_reporter

from gansearch.budget import Budget
from gansearch.errors import RunFailedError
from gansearch.runs.folder import RunFolder
from gansearch.system.failures import Failure
from gansearch.trial.plan import TrialPlan, sign_seconds, slice_seconds
from gansearch.tune import experiment, stopping
from gansearch.tune.session import Stop


def test_tune_never_takes_its_reporter_that_clears_the_output_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_reporter, "IS_NOTEBOOK", True)
    session = SimpleNamespace(folder=RunFolder.create(tmp_path, "run"), recorder=None)
    reporter = experiment._run_config(
        session, "search", (), experiment._Stopper(session)
    ).progress_reporter
    assert isinstance(reporter, progress_reporter.ProgressReporter)
    assert not isinstance(reporter, progress_reporter.JupyterNotebookReporter)
    assert not reporter.should_report([], done=True)
    reporter.report([], True)


def test_a_lost_gpu_ends_the_experiment_and_the_run_says_how_to_go_on(tmp_path):
    recorder = SimpleNamespace(faults=[], failures={"a": Failure("engine", "lost")})
    folder = SimpleNamespace(path=tmp_path, fault=lambda: None)
    session = SimpleNamespace(
        recorder=recorder, folder=folder, stop=Stop(), resume_command="gansearch resume run"
    )
    stopper = experiment._Stopper(session)
    stopper._checked_at = float("inf")  # no slow checks
    assert not stopper.stop_all()
    experiment._raise_if_gpu_lost(session)
    recorder.failures["b"] = Failure("gpu", "GPU lost: it fell off the bus")
    assert stopper.stop_all()
    with pytest.raises(RunFailedError, match=r"GPU lost: it .* go on: gansearch resume run$"):
        experiment._raise_if_gpu_lost(session)


def test_the_end_of_an_experiment_leaves_the_states_that_forks_may_begin_from(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    state, checkpoint = folder.state_path("t00000", 200), folder.checkpoint_path("t00000")
    state.parent.mkdir(exist_ok=True)
    for path in (state, checkpoint):
        path.write_bytes(b"state")
    rows = {"t00000": {"status": "pruned", "reason": "low"}}
    session = SimpleNamespace(
        folder=folder, recorder=SimpleNamespace(rows=rows), stop=SimpleNamespace(reason=None)
    )
    experiment._drop_checkpoints_of_ended_trials(session)
    assert not checkpoint.exists()
    assert state.exists()  # without a reason to stop too, as after the loss of a GPU
    experiment.drop_states(folder, ())
    assert not state.exists()


def test_trials_are_told_once_that_their_run_stops():
    told = []
    session = SimpleNamespace(
        recorder=SimpleNamespace(faults=[], failures={}),
        stop=SimpleNamespace(reason="interrupted"),
    )
    stopper = experiment._Stopper(session, tell=lambda: told.append("stop"))
    assert [stopper.stop_all() for _ in range(3)] == [True] * 3
    assert told == ["stop"]


@pytest.mark.parametrize(("n_trials", "is_told"), [(160, False), (8000, True)])
def test_only_trials_whose_signs_are_rare_need_a_note_to_stop(
    tmp_path, monkeypatch, n_trials, is_told
):
    notes = set()
    monkeypatch.setattr(stopping, "leave_note", notes.add)
    monkeypatch.setattr(stopping, "forget_note", notes.discard)
    monkeypatch.setattr(stopping, "has_note", notes.__contains__)
    plan = TrialPlan(
        tmp_path,
        {},
        Budget(),
        slice_seconds=slice_seconds(n_trials),
        sign_seconds=sign_seconds(n_trials),
    )
    stopping.tell_to_stop(plan)
    assert bool(notes) == stopping.is_stopping(plan) == is_told
    assert not stopping.is_stopping(replace(plan, folder=tmp_path / "another"))
    stopping.let_go_on(plan)
    assert not stopping.is_stopping(plan)
