"""What SECURITY.md promises; of a run's sockets and secrets see tests/end_to_end/test_search.py."""

import pickle

import pytest
from click.testing import CliRunner

from gansearch import cli
from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import GansearchError
from gansearch.networks.models import Generator
from gansearch.runs.folder import RunFolder
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from gansearch.tune.samplers import make_sampler
from gansearch.tune.study import open_study
from tests.saved_generators import save
from tests.traps import Trap
from tests.written_runs import WINNER, finished_run, replicas, spec


@pytest.fixture
def sprung(tmp_path):
    return tmp_path / "sprung"


@pytest.fixture
def trap(sprung):
    content = pickle.dumps(Trap(sprung))
    pickle.loads(content)
    assert sprung.exists(), "the trap is none"
    sprung.unlink()
    return content


@pytest.fixture
def run(tmp_path):
    folder = finished_run(tmp_path)
    (winner, *_) = replicas(WINNER)
    dataset = load_dataset("digits")
    save(
        folder.model_dir(winner["trial_id"]),
        Generator(WINNER, dataset.shape),
        WINNER,
        dataset="digits",
        seed=1,
    )
    return folder


def test_no_file_of_a_run_that_is_a_pickle_is_unpickled_by_report_or_sample(
    run, trap, sprung, monkeypatch
):
    monkeypatch.chdir(run.path.parent)  # where a picture is written
    files = sorted(path for path in run.path.rglob("*") if path.is_file())
    kinds = {(path.parent.name, path.suffix): path for path in files}
    assert {".json", ".parquet", ".safetensors"} <= {path.suffix for path in files}
    for path in kinds.values():
        whole = path.read_bytes()
        path.write_bytes(trap)
        for command in ("report", "sample"):
            CliRunner().invoke(cli.cli, [command, str(run.path)], catch_exceptions=True)
            assert not sprung.exists(), f"{command} has unpickled {path}"
        path.write_bytes(whole)


def test_no_checkpoint_or_journal_that_is_a_pickle_is_unpickled_by_a_resume(tmp_path, trap, sprung):
    folder = RunFolder.create(tmp_path, "run")
    plan = TrialPlan(folder.path, {}, Budget())
    process = TrialProcess.prepare(load_dataset("ring"), plan)
    trial = spec(0, TrialConfig())
    checkpoint, journal = folder.checkpoint_path("t00000"), folder.path / "optuna.journal"
    checkpoint.parent.mkdir()
    for path in (checkpoint, journal):
        path.write_bytes(trap)
    for use in (
        lambda: TrialRunner(trial, process),
        lambda: open_study(journal, make_sampler("tpe", 0)),
    ):
        try:
            use()
        except Exception as error:  # which one is told is the business of other tests
            assert not isinstance(error, AssertionError)
        assert not sprung.exists()


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "a/b", "..", ".", "", "a\nb", "a\0b", "é"])
def test_no_name_leads_out_of_the_results(tmp_path, name):
    with pytest.raises(GansearchError, match="can't be a run's name"):
        RunFolder.create(tmp_path / "results", name)
    folder = RunFolder(tmp_path)
    for path_of in (folder.model_dir, folder.checkpoint_path, folder.test_ll):
        if name not in ("..", ".", ""):  # with an ending these are plain names
            with pytest.raises(GansearchError, match="can't be a trial's id"):
                path_of(name)
    assert not list(tmp_path.iterdir())


def test_yaml_that_asks_for_python_objects_is_refused(tmp_path, sprung):
    space = tmp_path / "space.yaml"
    space.write_text(f"dataset: !!python/object/apply:pathlib.Path.touch [{sprung}]\n")
    done = CliRunner().invoke(cli.cli, ["spaces", str(space)])
    assert isinstance(done.exception, GansearchError)
    assert not sprung.exists()
