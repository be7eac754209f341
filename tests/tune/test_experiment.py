"""One Tune experiment, without Ray running."""

from types import SimpleNamespace

import pytest
from ray.tune import progress_reporter

from gansearch.errors import RunFailedError
from gansearch.runs.folder import RunFolder
from gansearch.system.failures import Failure
from gansearch.tune import experiment
from gansearch.tune.session import Stop


def test_tune_never_takes_its_reporter_that_clears_the_output_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_reporter, "IS_NOTEBOOK", True)
    session = SimpleNamespace(folder=RunFolder.create(tmp_path, "run"), recorder=None)
    reporter = experiment._run_config(session, "search", ()).progress_reporter
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
