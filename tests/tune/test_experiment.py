"""One Tune experiment, without Ray running."""

from types import SimpleNamespace

from ray.tune import progress_reporter

from gansearch.runs.folder import RunFolder
from gansearch.tune import experiment


def test_tune_never_takes_its_reporter_that_clears_the_output_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_reporter, "IS_NOTEBOOK", True)
    session = SimpleNamespace(folder=RunFolder.create(tmp_path, "run"), recorder=None)
    reporter = experiment._run_config(session, "search").progress_reporter
    assert isinstance(reporter, progress_reporter.ProgressReporter)
    assert not isinstance(reporter, progress_reporter.JupyterNotebookReporter)
    assert not reporter.should_report([], done=True)
    reporter.report([], True)
