"""A tracker that can't be used is refused before the run, with what to type."""

import json

import pytest
from click.testing import CliRunner

from gansearch.cli import cli
from gansearch.errors import BadInputError
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.tracking import names
from gansearch.tune.resumption import resumption
from gansearch.tune.settings import Settings
from tests.written_runs import finished_run

SPACE = load_space("digits")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("mlflow", ("mlflow",)),
        (["wandb", "mlflow", "wandb"], ("wandb", "mlflow")),
        ((), ()),
        ("none", ()),
    ],
)
def test_a_name_or_several_are_stored_and_read_back(given, stored):
    settings = Settings(track=given)
    assert settings.track == stored
    assert Settings.from_dict(json.loads(json.dumps(vars(settings)))) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tensorbord", "track=tensorbord (--track): no such tracker. Did you mean tensorboard?"),
        (["none", "mlflow"], "track=none, mlflow (--track): none excludes others. Leave it out."),
        (7, "track: found 7. It must be a tracker's name, or a list of them."),
        ([None], "track: found [None]. It must be a tracker's name, or a list of them."),
    ],
)
def test_another_name_is_refused_with_the_nearest(given, message):
    with pytest.raises(BadInputError) as caught:
        Settings(track=given)
    assert str(caught.value) == message


@pytest.fixture
def _nothing_installed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names, "find_spec", lambda name: None)


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_a_run_whose_tracker_is_not_installed_does_not_begin(more, tmp_path):
    result = CliRunner().invoke(cli, ["run", "--track", "wandb", *more])
    assert isinstance(result.exception, BadInputError)
    assert str(result.exception) == (
        "--track wandb: the package wandb is not installed. pip install 'gansearch[wandb]'; or "
        "leave the tracker out (of a run that has it, by --track none)."
    )
    assert not (tmp_path / "results").exists()


def test_a_resume_has_the_trackers_of_the_run_or_those_that_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda name: "there")
    folder = finished_run(tmp_path, settings={"track": ["mlflow"]})
    monkeypatch.setattr("gansearch.tune.resumption.SearchSpace.from_dict", lambda _: SPACE)
    for given, expected in ((None, ("mlflow",)), (("wandb",), ("wandb",)), ("none", ())):
        found = resumption(RunFolder(folder.path), folder.read_run(), {"track": given})
        assert found.settings.track == expected
    monkeypatch.setattr(names, "find_spec", lambda name: None)
    with pytest.raises(BadInputError, match="--track mlflow: the package mlflow is not installed"):
        resumption(folder, folder.read_run(), {})
